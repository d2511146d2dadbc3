"""Other people's senders against our door and the real write path: dcmtk's echoscu and storescu, pynetdicom."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import DataElement, config, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, build_role, evt
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import CTImageStorage, MRImageStorage, Verification

from pacs.dimse import connection
from pacs.dimse.server import DimseServer
from pacs.index import Index
from pacs.ingest import Ingest
from pacs.settings import IngestSettings, PeerSettings
from pacs.storage.segments import SegmentStore
from tests.dimse.served import MemoryIngest, serving
from tests.raw_store import store_bytes

PROPOSED = {
    "CT_small.dcm": "-xe",
    "MR_small.dcm": "-x=",
    "JPEG2000.dcm": "-xw",
    "SC_rgb_rle.dcm": "-xr",
    "JPEG-lossy.dcm": "-xx",
    "image_dfl.dcm": "-xd",
}
"""Files that pydicom ships, and the option that makes storescu propose their transfer syntax."""


def _file(name: str) -> str:
    return str(get_testdata_file(name))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index.open(f"sqlite:///{tmp_path / 'index.sqlite'}")
    index.migrate()
    yield index
    index.close()


@pytest.fixture
def server(tmp_path: Path, index: Index) -> Iterator[DimseServer]:
    store = SegmentStore(tmp_path / "objects")
    ingest = Ingest(store, index, IngestSettings())
    with serving(ingest) as running:
        yield running
    ingest.close()
    store.close()


def _dcmtk(tool: str, server: DimseServer, *arguments: str, nodelay: bool = True) -> subprocess.CompletedProcess[str]:
    host, port = server.address
    environment = {**os.environ, "TCP_NODELAY": "1"} if nodelay else None
    return subprocess.run(
        [tool, "-aec", "PACS", host, str(port), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment,
        check=False,
    )


@pytest.mark.dcmtk
def test_echoscu(server: DimseServer) -> None:
    assert _dcmtk("echoscu", server).returncode == 0
    assert _dcmtk("echoscu", server, "--repeat", "5", "--propose-pc", "128").returncode == 0
    assert _dcmtk("echoscu", server, "--abort").returncode == 0


@pytest.mark.dcmtk
def test_echoscu_with_another_called_title_is_told_so() -> None:
    with serving(MemoryIngest(), aet="OTHER") as server:
        answer = _dcmtk("echoscu", server)
    assert answer.returncode != 0
    assert "Called AE Title Not Recognized" in answer.stderr


@pytest.mark.dcmtk
def test_echoscu_that_is_no_peer_is_told_so() -> None:
    with serving(MemoryIngest(), peers=(PeerSettings(aet="CT1"),)) as server:
        stranger = _dcmtk("echoscu", server, "-aet", "STRANGER")
        known = _dcmtk("echoscu", server, "-aet", "CT1")
    assert "Calling AE Title Not Recognized" in stranger.stderr
    assert known.returncode == 0


@pytest.mark.dcmtk
@pytest.mark.parametrize("max_pdu", ["4096", "131072"])
@pytest.mark.parametrize(("name", "option"), PROPOSED.items(), ids=PROPOSED.keys())
def test_storescu_sends_as_stored(server: DimseServer, index: Index, name: str, option: str, max_pdu: str) -> None:
    path = _file(name)
    sent = _dcmtk("storescu", server, option, "-pdu", max_pdu, path)
    assert sent.returncode == 0, sent.stderr
    expected = dcmread(path, stop_before_pixels=True)
    existing = index.existing("default", str(expected.SOPInstanceUID))
    assert existing is not None
    assert existing.transfer_syntax_uid == expected.file_meta.TransferSyntaxUID


@pytest.mark.dcmtk
def test_storescu_twice_is_success_and_one_copy(server: DimseServer, index: Index) -> None:
    for _ in range(2):
        assert _dcmtk("storescu", server, _file("CT_small.dcm")).returncode == 0
    assert index.holdings("default").instances == 1


@pytest.mark.dcmtk
def test_storescu_that_lies_about_its_instance_is_refused(server: DimseServer, index: Index, tmp_path: Path) -> None:
    data_set = dcmread(_file("CT_small.dcm"))
    data_set.add(DataElement(0x0020000D, "UI", "1.2.3.4.not-a-uid", validation_mode=config.IGNORE))
    data_set.save_as(tmp_path / "odd.dcm")
    answer = _dcmtk("storescu", server, "-v", str(tmp_path / "odd.dcm"))
    assert "Error: CannotUnderstand" in answer.stderr
    assert index.holdings("default").instances == 0


@pytest.mark.dcmtk
def test_unmodified_storescu_is_not_held_up_by_nagle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control without TCP_QUICKACK takes 40 ms more for every C-STORE."""
    for number in range(25):
        shutil.copy(_file("CT_small.dcm"), tmp_path / f"{number}.dcm")

    def seconds() -> float:
        """The least of three: a busy machine only adds to it."""
        took_s = []
        for _ in range(3):
            with serving(MemoryIngest()) as server:
                started = time.monotonic()
                sent = _dcmtk("storescu", server, "+sd", str(tmp_path), nodelay=False)
                assert sent.returncode == 0, sent.stderr
                took_s.append(time.monotonic() - started)
        return min(took_s)

    ours = seconds()
    monkeypatch.setattr(connection, "_QUICKACK", None)
    assert seconds() > ours + 0.5


def test_pynetdicom_stores_and_negotiates_roles(server: DimseServer, index: Index) -> None:
    host, port = server.address
    ae = AE("SCANNER")
    ae.add_requested_context(CTImageStorage)
    ae.add_requested_context(MRImageStorage)
    ae.add_requested_context(Verification)
    association = ae.associate(
        host, port, ae_title="PACS", ext_neg=[build_role(CTImageStorage, scu_role=True, scp_role=True)]
    )
    assert association.is_established
    by_class = {context.abstract_syntax: context for context in association.accepted_contexts}
    assert by_class[CTImageStorage].as_scp
    assert by_class[CTImageStorage].as_scu
    assert association.send_c_echo().Status == 0
    for name in ("CT_small.dcm", "MR_small.dcm"):
        data_set = dcmread(_file(name))
        assert association.send_c_store(data_set).Status == 0
        assert index.existing("default", str(data_set.SOPInstanceUID)) is not None
    association.release()
    assert association.is_released


def test_pynetdicom_is_told_in_the_error_comment(server: DimseServer, index: Index) -> None:
    host, port = server.address
    ae = AE("SCANNER")
    ae.add_requested_context(CTImageStorage)
    association = ae.associate(host, port, ae_title="PACS")
    data_set = dcmread(_file("CT_small.dcm"))
    del data_set.StudyInstanceUID
    answer = association.send_c_store(data_set)
    assert answer.Status == 0xC000
    assert "Study" in answer.ErrorComment
    assert association.send_c_store(dcmread(_file("CT_small.dcm"))).Status == 0
    association.release()


def test_what_comes_in_another_encoding_than_announced_is_kept_under_its_own(server: DimseServer, index: Index) -> None:
    """Else it went out under a wrong name, and dcmtk gives such an association up."""
    host, port = server.address
    ae = AE("SCANNER")
    ae.add_requested_context(CTImageStorage, JPEGBaseline8Bit)
    association = ae.associate(host, port, ae_title="PACS")
    data_set = dcmread(_file("CT_small.dcm"))
    content, uid = encode(data_set, True, True), str(data_set.SOPInstanceUID)
    assert content is not None
    answer = store_bytes(association, CTImageStorage, uid, content, context_id=1)
    association.release()
    assert answer is not None
    assert answer.Status == 0
    [row] = index.instances("default", sop_instance_uid=uid)
    assert row.transfer_syntax_uid == ImplicitVRLittleEndian
    assert row.digest == hashlib.sha256(content).hexdigest()


def test_pynetdicom_sees_the_abort_when_the_archive_stops(tmp_path: Path) -> None:
    aborted: list[object] = []
    with serving(MemoryIngest()) as server:
        host, port = server.address
        ae = AE("SCANNER")
        ae.add_requested_context(Verification)
        association = ae.associate(host, port, ae_title="PACS", evt_handlers=[(evt.EVT_ABORTED, aborted.append)])
        assert association.is_established
        server.stop(5)
        association.join(10)
    assert aborted

"""Each bad input of the door's contract: a clear error to that peer, a log event, everybody else untouched."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import config as pydicom_config
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE

from benchmarks.dimse_load import _associate_rq
from tests.patience import SHORT_OF_ANY_TIMEOUT_S
from tests.raw_store import store_bytes
from tests.running_archive import RunningArchive
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path_factory.mktemp("hostile") / "data") as running:
        yield running


@pytest.fixture
def bystander(archive: RunningArchive) -> Iterator[Any]:
    """An honest association that is open the whole time and must still work afterwards."""
    ae = AE("HONEST")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", archive.dicom_port, ae_title=archive.aet)
    assert association.is_established
    assert _store(association, *_instance()).Status == 0
    yield association
    assert association.is_established
    assert _store(association, *_instance()).Status == 0
    association.release()


def _instance(**changes: str | None) -> tuple[str, bytes]:
    """A new CT instance, with attributes replaced or (None) left out."""
    data_set = dcmread(str(get_testdata_file("CT_small.dcm")))
    data_set.SOPInstanceUID = uid = generate_uid()
    with pydicom_config.disable_value_validation():
        for keyword, value in changes.items():
            if value is None:
                del data_set[keyword]
            else:
                data_set[keyword].value = value
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, data_set)
    return str(uid), buffer.getvalue()


def _store(association: Any, uid: str, data_set: bytes) -> Any:
    context_id = association.accepted_contexts[0].context_id
    return store_bytes(association, CTImageStorage, uid, data_set, context_id=context_id)


def _instances(archive: RunningArchive) -> int:
    studies = httpx.get(f"{archive.dicomweb}/studies").json()
    return sum(int(study["00201208"]["Value"][0]) for study in studies)


def _associated(archive: RunningArchive) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", archive.dicom_port), timeout=20)
    connection.sendall(_associate_rq(archive.aet))
    assert connection.recv(65536)[0] == 2
    return connection


def _ends_with_abort(connection: socket.socket) -> bool:
    """The peer is told by an A-ABORT (PDU type 7) and the connection closes."""
    received = b""
    connection.settimeout(20)
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received[:1] == b"\x07"


@pytest.mark.parametrize(
    ("name", "changes", "statuses"),
    [
        ("another instance than the command says", {"SOPInstanceUID": "1.2.3.4"}, {0xA900}),
        ("another class than the command says", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, {0xA900}),
        ("no Study Instance UID", {"StudyInstanceUID": None}, {0xA900, 0xC000}),
        ("an empty Series Instance UID", {"SeriesInstanceUID": ""}, {0xA900, 0xC000}),
        ("a UID that is a path", {"StudyInstanceUID": "../../../../tmp/evil"}, {0xA900, 0xC000}),
        ("no SOP Instance UID", {"SOPInstanceUID": None}, {0xA900, 0xC000}),
    ],
)
def test_a_data_set_that_lies(
    archive: RunningArchive, bystander: Any, name: str, changes: dict[str, str | None], statuses: set[int]
) -> None:
    before = _instances(archive)
    ae = AE("LIAR")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", archive.dicom_port, ae_title=archive.aet)
    answer = _store(association, *_instance(**changes))
    assert answer.Status in statuses, f"{name}: {answer.Status:04X}"
    assert answer.ErrorComment, "the peer is told why"
    assert len(answer.ErrorComment) <= 64
    assert _store(association, *_instance()).Status == 0, "the association lives on"
    association.release()
    assert _instances(archive) == before + 1
    assert any("LIAR" in str(event) for event in archive.events() if event["level"] in {"warning", "error"})


@pytest.mark.parametrize(
    "data_set",
    [
        b"",
        b"this is no data set at all, only text that goes on for a while",
        _instance()[1][:-100],
        struct.pack("<HH2sxxI", 0x0008, 0x0005, b"OB", 0xFFFFFFF0) + b"x" * 100,
        struct.pack("<HH2sxxI", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 10_000,
    ],
    ids=["empty", "text", "truncated", "a 4 GB length", "10,000 nested items"],
)
def test_a_data_set_that_is_none(archive: RunningArchive, bystander: Any, data_set: bytes) -> None:
    before = _instances(archive)
    ae = AE("LIAR")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", archive.dicom_port, ae_title=archive.aet)
    if data_set:
        answer = _store(association, generate_uid(), data_set)
        assert answer.Status in {0xA900, 0xC000}
        assert answer.ErrorComment
    else:
        _assert_empty_body_is_refused(archive)
    association.release()
    assert _instances(archive) == before


def _assert_empty_body_is_refused(archive: RunningArchive) -> None:
    """A C-STORE-RQ that says a data set follows, and a fragment of no bytes that is the last."""
    from benchmarks.dimse_load import _c_store_rq, _receive_pdu, _status
    from benchmarks.synthetic_ct import Slice

    with _associated(archive) as connection:
        command = _c_store_rq(1, Slice("", "", str(generate_uid()), "", b"", b""), 16384)
        connection.sendall(command + struct.pack(">BxIIBB", 4, 6, 2, 1, 2))
        assert _status(_receive_pdu(connection)) in {0xA900, 0xC000}


@pytest.mark.parametrize(
    "rubbish",
    [
        struct.pack(">BxI", 4, 0xFFFFFFFF),
        struct.pack(">BxI", 4, 0x7FFFFFFF) + b"x" * 1000,
        struct.pack(">BxI", 99, 4) + b"\0\0\0\0",
        struct.pack(">BxIIBB", 4, 6, 0xFFFFFFFF, 1, 2),
        struct.pack(">BxIIBB", 4, 106, 102, 77, 2) + b"x" * 100,
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
    ],
    ids=["4 GB PDU", "2 GB PDU", "unknown type", "4 GB PDV", "context not negotiated", "HTTP"],
)
def test_a_pdu_that_is_none(archive: RunningArchive, bystander: Any, rubbish: bytes) -> None:
    with _associated(archive) as connection:
        connection.sendall(rubbish)
        assert _ends_with_abort(connection)


def test_a_connection_that_ends_inside_a_message_leaves_nothing(archive: RunningArchive, bystander: Any) -> None:
    from benchmarks.dimse_load import _c_store_rq
    from benchmarks.synthetic_ct import Slice

    before, lost_before = _instances(archive), len(archive.events("association lost"))
    uid, data_set = _instance()
    message = _c_store_rq(1, Slice("", "", uid, "", data_set, b""), 16384)
    for end in (3, 50, len(message) // 2, len(message) - 1):
        with _associated(archive) as connection:
            connection.sendall(message[:end])
    wait_until(
        lambda: len(archive.events("association lost")) >= lost_before + 4,
        SHORT_OF_ANY_TIMEOUT_S,
        why="each cut is told in the log",
    )
    assert len(archive.events("association lost")) == lost_before + 4
    assert _instances(archive) == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/studies/..%2f..%2fetc/metadata", {400, 404}),
        ("/studies/1.2.x/metadata", {400}),
        ("/studies/1.2.3/metadata", {404}),
        ("/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/0", {400, 404}),
        ("/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/99999999999999999999", {400, 404}),
        ("/studies/1.2.3/series/1.2.4/instances/1.2.5/frames/x", {400}),
        ("/studies?limit=-1", {400}),
        ("/studies?StudyDate=yesterday", {400}),
        ("/studies?NoSuchThing=1", {400}),
        ("/nothing", {404}),
    ],
)
def test_a_wrong_url_is_answered_in_json(archive: RunningArchive, path: str, status: set[int]) -> None:
    answer = httpx.get(f"{archive.dicomweb}{path}")
    assert answer.status_code in status
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()["error"]


def _file(data_set: bytes, uid: str) -> bytes:
    from benchmarks.synthetic_ct import Slice, part10

    return part10(Slice("", "", uid, "", data_set, b""))


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ('multipart/related; type="application/dicom"; boundary=B', b"", {400}),
        ('multipart/related; type="application/dicom"; boundary=B', b"--B--\r\n", {400}),
        ('multipart/related; type="application/dicom"', b"--B\r\n\r\n", {400}),
        ("application/dicom", b"", {400}),
        ("application/dicom", b"no DICOM", {400, 409}),
        ("application/json", b"{}", {415}),
        ("text/plain", b"hello", {415}),
    ],
)
def test_a_wrong_store_request(archive: RunningArchive, content_type: str, body: bytes, status: set[int]) -> None:
    before = _instances(archive)
    answer = httpx.post(f"{archive.dicomweb}/studies", content=body, headers={"Content-Type": content_type})
    assert answer.status_code in status, answer.text
    assert _instances(archive) == before


def test_a_bad_instance_does_not_spoil_its_neighbour(archive: RunningArchive) -> None:
    good_uid, good = _instance()
    bad_uid, bad = _instance(StudyInstanceUID="../../../evil")
    part = b"--B\r\nContent-Type: application/dicom\r\n\r\n%b\r\n"
    body = part % _file(good, good_uid) + part % _file(bad, bad_uid) + part % b"rubbish" + b"--B--\r\n"
    answer = httpx.post(
        f"{archive.dicomweb}/studies",
        content=body,
        headers={
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=B',
            "Accept": "application/dicom+json",
        },
    )
    assert answer.status_code == 202
    outcome = answer.json()
    assert [one["00081155"]["Value"][0] for one in outcome["00081199"]["Value"]] == [good_uid]
    assert len(outcome["00081198"]["Value"]) >= 1
    assert Dataset.from_json(outcome)


def test_no_file_was_made_outside_the_archive() -> None:
    assert not Path("/tmp/evil").exists()

"""Every file of the real images is stored and comes back byte for byte, or is refused for a reason given here.

In by C-STORE of the bytes as they stand in the file; out by C-GET, C-MOVE and WADO-RS, compared with the file itself.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pydicom.filereader import _read_file_meta_info, read_partial, read_preamble
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom import _config as pynetdicom_config
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from benchmarks.free_port import free_port
from tests.raw_store import store_bytes
from tests.running_archive import RunningArchive

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(900)]

REFUSED_FILES = {
    "pydicom-data/data_store/data/bad_sequence.dcm": "its UIDs are hexadecimal digests, not allowed by PS3.5 §9.1",
    "pydicom-data/data_store/data/HTJ2KLossless_08_RGB.dcm": "no Study Instance UID",
    "pydicom-data/data_store/data/HTJ2K_08_RGB.dcm": "no Study Instance UID",
    "pydicom-data/data_store/data/JLSL_08_07_0_1F.dcm": "no Study Instance UID",
    "pydicom-data/data_store/data/JLSL_16_15_1_1F.dcm": "no Study Instance UID",
    "pydicom-data/data_store/data/JLSL_RGB_ILV0.dcm": "no SOP Instance UID",
    "pydicom-data/data_store/data/JLSL_RGB_ILV1.dcm": "no SOP Instance UID",
    "pydicom-data/data_store/data/JLSL_RGB_ILV2.dcm": "no SOP Instance UID",
    "pydicom-data/data_store/data/JLSN_RGB_ILV0.dcm": "no SOP Instance UID",
}
"""Beside these only a file whose SOP Instance UID is kept already with other bytes is refused."""


@dataclass(frozen=True)
class CorpusFile:
    """A file of the corpus, read by pydicom alone."""

    path: Path
    name: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    data_set_offset: int

    def data_set(self) -> bytes:
        return self.path.read_bytes()[self.data_set_offset :]

    def digest(self) -> str:
        return hashlib.sha256(self.data_set()).hexdigest()


def _read(path: Path, root: Path) -> CorpusFile | None:
    with path.open("rb") as file:
        if read_preamble(file, force=True) is None:
            return None
        meta = _read_file_meta_info(file)
        offset = file.tell()
        file.seek(0)
        data_set = read_partial(file, stop_when=lambda tag, _vr, _length: tag > 0x0020000E, force=True)
    return CorpusFile(
        path,
        path.relative_to(root).as_posix(),
        str(data_set.get("SOPClassUID", "")),
        str(data_set.get("SOPInstanceUID", "")),
        str(data_set.get("StudyInstanceUID", "")),
        str(data_set.get("SeriesInstanceUID", "")),
        str(meta.get("TransferSyntaxUID", "")),
        offset,
    )


@pytest.fixture(scope="module", autouse=True)
def _lenient() -> Iterator[None]:
    """pydicom should neither warn nor refuse: what the archive does with odd values is the question."""
    with pydicom_config.disable_value_validation():
        yield


@pytest.fixture(scope="module")
def files(corpus: Path) -> list[CorpusFile]:
    """All files that can be sent over DICOM at all."""
    paths = sorted(path for path in corpus.rglob("*") if path.is_file() and path.name not in {"INDEX.tsv", "README.md"})
    read = [_read(path, corpus) for path in paths]
    assert len(paths) >= 886
    return [file for file in read if file is not None and file.sop_instance_uid and file.transfer_syntax_uid]


@pytest.fixture(scope="module")
def destination() -> Iterator[tuple[int, dict[str, bytes]]]:
    """A storage SCP of pynetdicom that keeps what C-MOVE sends, as raw bytes by SOP Instance UID."""
    received: dict[str, bytes] = {}

    def keep(event: evt.Event) -> int:
        received[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0

    ae = AE("WORKSTATION")
    ae.maximum_pdu_size = 0
    port = free_port()
    server = ae.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)], contexts=[build_context("1.2.3")]
    )
    # Whatever is proposed is taken: the archive decides which transfer syntax it sends.
    original = pynetdicom_config.UNRESTRICTED_STORAGE_SERVICE
    pynetdicom_config.UNRESTRICTED_STORAGE_SERVICE = True
    try:
        yield port, received
    finally:
        pynetdicom_config.UNRESTRICTED_STORAGE_SERVICE = original
        server.shutdown()


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory, destination: tuple[int, dict[str, bytes]]
) -> Iterator[RunningArchive]:
    data = tmp_path_factory.mktemp("corpus") / "data"
    with RunningArchive(data, "--destination", f"WORKSTATION=127.0.0.1:{destination[0]}") as running:
        yield running


@pytest.fixture(scope="module")
def statuses(archive: RunningArchive, files: list[CorpusFile]) -> dict[str, Dataset]:
    """What C-STORE answered, by file name; every file is sent as it is."""
    answers: dict[str, Dataset] = {}
    for batch in _in_contexts(files):
        ae = AE("CORPUS")
        for pair in sorted({(file.sop_class_uid, file.transfer_syntax_uid) for file in batch}):
            ae.add_requested_context(pair[0], pair[1])
        association = ae.associate("127.0.0.1", archive.dicom_port, ae_title=archive.aet)
        assert association.is_established
        for file in batch:
            answers[file.name] = _send(association, file)
        association.release()
    return answers


def _send(association: Any, file: CorpusFile) -> Dataset:
    context = association._get_valid_context(
        file.sop_class_uid, file.transfer_syntax_uid, "scu", allow_conversion=False
    )
    response = store_bytes(
        association, file.sop_class_uid, file.sop_instance_uid, file.data_set(), context_id=context.context_id
    )
    assert response is not None, f"{file.name}: the archive ended the association"
    answer = Dataset()
    answer.Status = response.Status
    answer.ErrorComment = response.ErrorComment or ""
    return answer


def _in_contexts(files: list[CorpusFile]) -> Iterator[list[CorpusFile]]:
    """Batches that need no more than 128 presentation contexts."""
    batch: list[CorpusFile] = []
    pairs: set[tuple[str, str]] = set()
    for file in files:
        pair = (file.sop_class_uid, file.transfer_syntax_uid)
        if pair not in pairs and len(pairs) == 128:
            yield batch
            batch, pairs = [], set()
        pairs.add(pair)
        batch.append(file)
    yield batch


@pytest.fixture(scope="module")
def kept(files: list[CorpusFile], statuses: dict[str, Dataset]) -> list[CorpusFile]:
    """The first file of each SOP Instance UID that is no refused one."""
    first: dict[str, CorpusFile] = {}
    for file in files:
        if file.name not in REFUSED_FILES:
            first.setdefault(file.sop_instance_uid, file)
    return list(first.values())


def test_every_file_is_stored_or_refused_for_a_reason_of_the_table(
    corpus: Path, files: list[CorpusFile], statuses: dict[str, Dataset], kept: list[CorpusFile]
) -> None:
    first = {file.sop_instance_uid: file for file in kept}
    wrong = []
    for file in files:
        answer = statuses[file.name]
        if file.name in REFUSED_FILES:
            expected = "refused"
            right = answer.Status in {0xA900, 0xC000} and answer.ErrorComment
        else:
            original = first[file.sop_instance_uid]
            is_same = (original.digest(), original.transfer_syntax_uid) == (file.digest(), file.transfer_syntax_uid)
            expected = "stored" if is_same else "conflict"
            right = answer.Status == 0 if is_same else answer.Status != 0 and answer.ErrorComment
        if not right:
            wrong.append(f"{file.name}: {answer.Status:04X} {answer.ErrorComment!r}, expected {expected}")
    assert not wrong, "\n".join(wrong)
    assert len(kept) > 790


def test_what_is_refused_is_refused_by_import_too(archive: RunningArchive, corpus: Path, tmp_path: Path) -> None:
    """Also those that cannot be sent at all, because they have no identity or no known transfer syntax."""
    report = tmp_path / "report.jsonl"
    archive.run("import", *(str(corpus / name) for name in REFUSED_FILES), "--report", str(report))
    results = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(results) == len(REFUSED_FILES)
    assert {result["outcome"] for result in results} <= {"refused", "no DICOM"}
    assert all(result["reason"] for result in results)


def test_wado_rs_gives_the_same_data_set(archive: RunningArchive, kept: list[CorpusFile]) -> None:
    wrong = []
    with httpx.Client(base_url=archive.dicomweb, headers={"Accept": "application/dicom; transfer-syntax=*"}) as client:
        for file in kept:
            answer = client.get(
                f"{archive.dicomweb}/studies/{file.study_instance_uid}/series/{file.series_instance_uid}"
                f"/instances/{file.sop_instance_uid}"
            )
            if answer.status_code != 200 or not answer.content.endswith(file.data_set()):
                wrong.append(f"{file.name}: {answer.status_code}")
            elif answer.content[128:132] != b"DICM" or any(answer.content[:128]):
                wrong.append(f"{file.name}: not led in by an empty preamble")
    assert not wrong, "\n".join(wrong)


def test_c_get_gives_the_same_data_set(archive: RunningArchive, kept: list[CorpusFile]) -> None:
    received: dict[str, bytes] = {}

    def keep(event: evt.Event) -> int:
        received[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0

    studies: dict[str, list[CorpusFile]] = defaultdict(list)
    for file in kept:
        studies[file.study_instance_uid].append(file)
    for study, members in studies.items():
        ae = AE("CORPUS")
        ae.maximum_pdu_size = 0
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
        for pair in sorted({(file.sop_class_uid, file.transfer_syntax_uid) for file in members}):
            ae.add_requested_context(*pair)
        roles = [build_role(uid, scp_role=True) for uid in sorted({file.sop_class_uid for file in members})]
        association = ae.associate(
            "127.0.0.1",
            archive.dicom_port,
            ae_title=archive.aet,
            ext_neg=roles,
            evt_handlers=[(evt.EVT_C_STORE, keep)],
        )
        assert association.is_established
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        identifier.StudyInstanceUID = study
        final = [status for status, _ in association.send_c_get(identifier, StudyRootQueryRetrieveInformationModelGet)][
            -1
        ]
        association.release()
        assert final.Status == 0, f"{study}: {final}"
        assert final.NumberOfCompletedSuboperations == len(members)
    _compare(received, kept)


def test_c_move_gives_the_same_data_set(
    archive: RunningArchive, kept: list[CorpusFile], destination: tuple[int, dict[str, bytes]]
) -> None:
    received = destination[1]
    ae = AE("CORPUS")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
    association = ae.associate("127.0.0.1", archive.dicom_port, ae_title=archive.aet)
    assert association.is_established
    for study, count in Counter(file.study_instance_uid for file in kept).items():
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        identifier.StudyInstanceUID = study
        model = StudyRootQueryRetrieveInformationModelMove
        final = [status for status, _ in association.send_c_move(identifier, "WORKSTATION", model)][-1]
        assert final.Status == 0, f"{study}: {final}"
        assert final.NumberOfCompletedSuboperations == count
    association.release()
    _compare(received, kept)


def _compare(received: dict[str, bytes], kept: list[CorpusFile]) -> None:
    wrong = [file.name for file in kept if received.get(file.sop_instance_uid) != file.data_set()]
    assert not wrong, f"{len(wrong)} of {len(kept)} differ or are missing:\n" + "\n".join(wrong[:50])

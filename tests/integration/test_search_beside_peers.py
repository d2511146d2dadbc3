"""The same questions about the same real files, to this archive, to dicomweb-client's `DICOMfileClient` and to Orthanc.

Where answers differ, `DIFFERENCES` says why, one by one; a difference that it does not name is a failure, and so is a
reason that no question shows any more.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from dicomweb_client.file import DICOMfileClient
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind

from benchmarks.free_port import free_port
from benchmarks.peers import running
from pacs.model import Level, Match, Principal, Query, Source
from tests.dicomweb.served import archive_under

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.orthanc,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

ME = Principal("test")
TEXT = ("PatientID", "PatientName", "AccessionNumber", "StudyID", "ReferringPhysicianName", "PatientSex")
DATES = ("StudyDate", "PatientBirthDate")
OTHERS = ("StudyTime", "StudyInstanceUID", "ModalitiesInStudy")
VALUES_EACH = 3
"""Of each attribute, so many of the corpus's values are asked for."""

Ask = Callable[[str, str], set[str]]
"""Keyword and value -> Study Instance UIDs."""


@dataclass(frozen=True)
class Difference:
    peer: str
    keywords: tuple[str, ...]
    is_about: Callable[[str], bool]
    reason: str


def _any(_value: str) -> bool:
    return True


DIFFERENCES = [
    Difference(
        "DICOMfileClient",
        ("AccessionNumber", "ModalitiesInStudy"),
        _any,
        "Its table of studies does not have the attribute: the key is ignored, with a line in its log.",
    ),
    Difference(
        "DICOMfileClient",
        DATES,
        lambda value: "-" in value,
        "It knows no ranges: what is no single date is ignored. PS3.4 C.2.2.2.5 has them.",
    ),
    Difference(
        "DICOMfileClient",
        ("StudyTime",),
        _any,
        "It compares the end of the text: 000000 finds 120000.000000. A time is a moment here (PS3.4 C.2.2.2.1).",
    ),
    Difference(
        "DICOMfileClient",
        tuple(keyword for keyword in TEXT if not keyword.endswith("Name")),
        lambda value: "*" in value,
        "Its wild cards are SQL's LIKE, without regard to case; PS3.4 C.2.2.2.4 has that for names only.",
    ),
    Difference(
        "Orthanc",
        DATES,
        lambda value: value.startswith("-"),
        "It takes a study without a date for older than all; a range matches dates, and there is none.",
    ),
    Difference(
        "Orthanc",
        ("StudyTime",),
        _any,
        "It compares text: 000000 is not 000000.00. A time is a moment here (PS3.4 C.2.2.2.1).",
    ),
    Difference(
        "Orthanc",
        ("ModalitiesInStudy",),
        lambda value: value == "OT",
        "A series without Modality counts as OT here (PS3.3 C.7.3.1.1.1), so that every study has a modality.",
    ),
]


@pytest.fixture(scope="module")
def files(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two headers of each folder of real images, without their pixels."""
    folder = tmp_path_factory.mktemp("files")
    kept: set[str] = set()
    for place in sorted({path.parent for path in corpus.rglob("*") if path.is_file()}):
        for path in sorted(path for path in place.iterdir() if path.is_file())[:2]:
            try:
                header = dcmread(path, stop_before_pixels=True)
            except InvalidDicomError:
                continue
            if header.get("SOPInstanceUID", "") in kept or not {"StudyInstanceUID", "SeriesInstanceUID"} <= set(
                header.dir()
            ):
                continue
            if header.file_meta.TransferSyntaxUID.is_encapsulated:
                header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            kept.add(header.SOPInstanceUID)
            header.save_as(folder / f"{len(kept)}.dcm")
    assert len(kept) > 60
    return folder


@pytest.fixture(scope="module")
def ours(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with archive_under(tmp_path_factory.mktemp("archive")) as (ingest, search, _):
        for path in files.iterdir():
            ingest.store_file(Source(ME, "import"), path.read_bytes())

        def ask(keyword: str, value: str) -> set[str]:
            matches = (Match((tag_for_keyword(keyword) or 0,), (value,)),) if keyword else ()
            query = Query(Level.STUDY, matches, combines_date_and_time=True)
            return {answer["0020000D"]["Value"][0] for answer in search.find(ME, query)}

        yield ask


@pytest.fixture(scope="module")
def file_client(files: Path) -> Ask:
    client = DICOMfileClient(files.as_uri(), in_memory=True, update_db=True)
    return lambda keyword, value: {
        answer["0020000D"]["Value"][0]
        for answer in client.search_for_studies(search_filters={keyword: value} if keyword else {})
    }


@pytest.fixture(scope="module")
def orthanc(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Debian's, asked by C-FIND: its DICOMweb plugin takes percent-encoded values as they are."""
    assert shutil.which("Orthanc"), "install Debian's orthanc, or leave these tests out with -m 'not orthanc'"
    folder = tmp_path_factory.mktemp("orthanc")
    http, dicom = free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowFind": True,
        "LimitFindResults": 0,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    base = f"http://127.0.0.1:{http}"
    command = ["Orthanc", str(folder / "orthanc.json")]
    with running(command, folder / "log", f"{base}/system", TCP_NODELAY="1"), httpx.Client(timeout=60) as client:
        for path in files.iterdir():
            assert client.post(f"{base}/instances", content=path.read_bytes()).status_code == 200
        entity = AE("TEST")
        entity.add_requested_context(StudyRootFind)
        association = entity.associate("127.0.0.1", dicom, ae_title="ORTHANC")
        assert association.is_established

        def ask(keyword: str, value: str) -> set[str]:
            query = Dataset()
            query.SpecificCharacterSet = "ISO_IR 192"
            query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", ""
            if keyword:
                setattr(query, keyword, value)
            answers = [found for _, found in association.send_c_find(query, StudyRootFind) if found is not None]
            return {str(answer.StudyInstanceUID) for answer in answers}

        yield ask
        association.release()


def _questions(files: Path) -> dict[tuple[str, str], None]:
    """Each attribute with some of its values: as they are, and their beginning, middle and end."""
    values: dict[str, set[str]] = {keyword: set() for keyword in (*TEXT, *DATES, *OTHERS)}
    for path in files.iterdir():
        header = dcmread(path)
        for keyword, known in values.items():
            source = "Modality" if keyword == "ModalitiesInStudy" else keyword
            text = str(header.get(source) or "").strip()
            if text.strip("^ ="):
                known.add(text)
    values["ModalitiesInStudy"].add("OT")
    asked: list[tuple[str, str]] = []
    for keyword, found in values.items():
        step = max(1, len(found) // VALUES_EACH)
        for value in sorted(found)[::step]:
            asked.append((keyword, value))
            if keyword in TEXT and len(value) > 2:
                asked += [(keyword, form) for form in (f"{value[:-1]}*", f"*{value[1:-1]}*", f"?{value[1:]}")]
            if keyword in DATES:
                asked += [(keyword, form) for form in (f"{value}-{value}", f"{value}-", f"-{value}")]
    return dict.fromkeys([("", ""), *asked])


def test_answers_are_those_of_others(files: Path, ours: Ask, file_client: Ask, orthanc: Ask) -> None:
    questions = _questions(files)
    assert len(questions) > 60
    shown: set[Difference] = set()
    unexplained = []
    for keyword, value in questions:
        answer = ours(keyword, value)
        assert answer, (keyword, value)
        for peer, ask in (("DICOMfileClient", file_client), ("Orthanc", orthanc)):
            other = ask(keyword, value)
            if answer == other:
                continue
            why = [
                known
                for known in DIFFERENCES
                if known.peer == peer and keyword in known.keywords and known.is_about(value)
            ]
            shown.update(why)
            if not why:
                unexplained.append((peer, keyword, value, sorted(answer - other), sorted(other - answer)))
    assert unexplained == []
    assert [known.reason for known in DIFFERENCES if known not in shown] == []

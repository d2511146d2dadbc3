"""Text that comes as bulk data is in the character set that the stored data set names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

from tests.dicomweb.metadata_requests import Bulk, json_body, metadata
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under

TEXT = "Befund: unauffällig, 소견 없음"
WITHOUT_PIXELS = {"t7FE00010": None, "t00100010": None}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


def send(door: DoorInMemory, value: bytes, content_type: str, **attributes: Any) -> tuple[int, str, Dataset | None]:
    uid = generate_uid()
    reference = {"vr": "LT", "BulkDataURI": "text"}
    instance = metadata(uid, **{**WITHOUT_PIXELS, "t00104000": reference, **attributes})
    answer = door.post("/studies", *json_body([instance], [Bulk("text", value, content_type)]))
    kept = door.get(f"/studies/1.2.3/series/1.2.3.4/instances/{uid}", accept="application/dicom")
    return answer.status_code, answer.text, dcmread(DicomBytesIO(kept.content)) if kept.status_code == 200 else None


@pytest.mark.parametrize(
    "content_type",
    ["text/plain; charset=utf-8", 'text/plain; charset="UTF-8"', "text/plain", "application/octet-stream"],
)
@pytest.mark.parametrize("named", [None, "ISO_IR 100"])
def test_utf_8(door: DoorInMemory, content_type: str, named: str | None) -> None:
    attributes = {"t00080005": {"vr": "CS", "Value": [named]}} if named else {}
    status, text, found = send(door, TEXT.encode(), content_type, **attributes)
    assert status == 200, text
    assert found is not None
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert found.PatientComments.rstrip() == TEXT


def test_in_a_sequence(door: DoorInMemory) -> None:
    item = {"0040A160": {"vr": "UT", "BulkDataURI": "text"}}
    attributes = {"t00104000": None, "t0040A730": {"vr": "SQ", "Value": [item]}}
    status, text, found = send(door, TEXT.encode(), "text/plain", **attributes)
    assert status == 200, text
    assert found is not None
    assert found.ContentSequence[0].TextValue.rstrip() == TEXT


@pytest.mark.parametrize(
    ("charset", "status", "reason"),
    [
        ("; charset=iso-8859-1", 415, "iso-8859-1"),
        ("; charset=utf-16", 415, "utf-16"),
        ("; charset=euc-kr", 415, "euc-kr"),
        ("", 400, "UTF-8"),
        ("; charset=utf-8", 400, "UTF-8"),
    ],
)
def test_other_character_sets(door: DoorInMemory, charset: str, status: int, reason: str) -> None:
    found, text, kept = send(door, "für".encode("latin-1") * 3, f"text/plain{charset}")
    assert (found, reason in text) == (status, True), text
    assert kept is None


def test_a_letter_cut_off_at_the_end(door: DoorInMemory) -> None:
    status, text, kept = send(door, "é".encode()[:1], "text/plain")
    assert (status, kept) == (400, None), text


def test_bytes_of_no_text_are_kept_as_they_come(door: DoorInMemory) -> None:
    attributes = {"t00104000": None, "t00091010": {"vr": "OB", "BulkDataURI": "text"}}
    status, text, found = send(door, b"\xff\xfe", "text/plain; charset=iso-8859-1", **attributes)
    assert status == 200, text
    assert found is not None
    assert found[0x00091010].value == b"\xff\xfe"


@pytest.mark.parametrize("depth", [0, 1])
def test_the_character_set_itself_is_no_bulk_data(door: DoorInMemory, depth: int) -> None:
    named: dict[str, Any] = {"00080005": {"vr": "CS", "BulkDataURI": "text"}}
    attributes = {"t" + key: value for key, value in named.items()}
    if depth:
        attributes = {"t00081140": {"vr": "SQ", "Value": [named]}}
    status, text, kept = send(door, b"ISO_IR 100", "text/plain", t00104000=None, **attributes)
    assert (status, kept) == (400, None)
    assert "(0008,0005)" in text

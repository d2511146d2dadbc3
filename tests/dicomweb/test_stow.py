"""Storing over HTTP: one, many, some, none; and bodies that are broken."""

from __future__ import annotations

import json

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from pacs.dicomweb import store_response
from pacs.dicomweb.resources import ResourceKey
from tests.dicomweb.served import DoorInMemory, data_set_bytes, image, multipart_body, written

MULTIPART = 'multipart/related; type="application/dicom"; boundary=B'


def path_of(original: Dataset) -> str:
    return ResourceKey(original.StudyInstanceUID, original.SeriesInstanceUID, original.SOPInstanceUID).path


def sequence(answer: dict[str, dict[str, list[dict[str, dict[str, list[object]]]]]], tag: str) -> list[Dataset]:
    return [Dataset.from_json(item) for item in answer.get(tag, {}).get("Value", [])]


def test_one_file_as_it_is(door: DoorInMemory) -> None:
    original = image()
    answer = door.post("/studies", written(original))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    (reference,) = sequence(answer.json(), "00081199")
    assert reference.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == original.SOPClassUID
    assert reference.RetrieveURL == door.base + path_of(original)
    assert answer.json()["00081190"]["Value"] == [f"{door.base}/studies/{original.StudyInstanceUID}"]
    stored = door.get(path_of(original), accept="application/dicom").content
    assert data_set_bytes(stored) == data_set_bytes(written(original))


def test_many_files_and_the_study_in_the_url(door: DoorInMemory) -> None:
    study = generate_uid()
    originals = [image(StudyInstanceUID=study) for _ in range(20)]
    body, headers = multipart_body([written(original) for original in originals])
    answer = door.post(f"/studies/{study}", body, headers["content-type"])
    assert answer.status_code == 200
    references = sequence(answer.json(), "00081199")
    assert [item.ReferencedSOPInstanceUID for item in references] == [each.SOPInstanceUID for each in originals]
    assert len(door.get(f"/studies/{study}/instances").json()) == 20


def test_the_same_again_is_success(door: DoorInMemory) -> None:
    file = written(image())
    for _ in range(2):
        assert door.post("/studies", file).status_code == 200
    body, headers = multipart_body([file, file])
    assert door.post("/studies", body, headers["content-type"]).status_code == 200


def test_other_bytes_under_the_same_uid_are_a_conflict(door: DoorInMemory) -> None:
    original = image()
    door.keep(original)
    original.PatientID = "OTHER"
    answer = door.post("/studies", written(original))
    assert answer.status_code == 409
    (failure,) = sequence(answer.json(), "00081198")
    assert failure.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert failure.FailureReason == 0x0111


def test_some_stored_and_some_not(door: DoorInMemory) -> None:
    good, foreign = image(), image()
    no_uid = image(SOPInstanceUID=None)
    body, headers = multipart_body([written(good), b"not DICOM", written(foreign), written(no_uid), b""])
    answer = door.post(f"/studies/{good.StudyInstanceUID}", body, headers["content-type"])
    assert answer.status_code == 202
    assert [item.ReferencedSOPInstanceUID for item in sequence(answer.json(), "00081199")] == [good.SOPInstanceUID]
    reasons = {item.ReferencedSOPInstanceUID: item.FailureReason for item in sequence(answer.json(), "00081198")}
    assert reasons[foreign.SOPInstanceUID] == 0xA900
    others = sequence(answer.json(), "0008119A")
    assert {item.FailureReason for item in others} == {0xC000}
    assert "no DICOM" in others[0][0x00091001].value
    assert door.get(path_of(foreign)).status_code == 404


def test_all_of_another_study_is_a_conflict(door: DoorInMemory) -> None:
    original = image()
    answer = door.post("/studies/1.2.3", written(original))
    assert answer.status_code == 409
    assert "1.2.3" in json.dumps(answer.json())
    assert door.get(path_of(original)).status_code == 404


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (b"", "application/dicom", 400, "no part"),
        (b"hello", "application/dicom", 400, "no DICOM"),
        (b"\0" * 128 + b"DICM", "application/dicom", 400, "Transfer Syntax"),
        (b"\0" * 128 + b"DICM\2\0\0\0UL\4\0\xff\xff\xff\xff", "application/dicom", 400, ""),
        (b"\0" * 128 + b"DICM\2\0\1\0OB\0\0\xff\xff\xff\xff", "application/dicom", 400, "claims"),
        (b"x", "text/plain", 415, "text/plain"),
        (b"x", None, 415, "missing"),
        (b"x", "nonsense", 400, "nonsense"),
        (b"{}", 'multipart/related; type="application/dicom+json"; boundary=B', 400, "delimiter"),
        (b"{}", 'multipart/related; type="image/jpeg"; boundary=B', 415, "image/jpeg"),
        (b"", MULTIPART, 400, "delimiter"),
        (b"--B--", MULTIPART, 400, "no part"),
        (b"--B\r\n\r\nx", MULTIPART, 400, "cut off"),
        (b"--B\r\nContent-Type: text/plain\r\n\r\nx\r\n--B--", MULTIPART, 415, "text/plain"),
        (b"--B\r\n\r\n\r\n--B--", MULTIPART, 400, "empty"),
        (b"x", 'multipart/related; type="application/dicom"', 400, "boundary"),
    ],
)
def test_broken_bodies(door: DoorInMemory, body: bytes, content_type: str | None, status: int, reason: str) -> None:
    answer = door.post("/studies", body, content_type)
    assert answer.status_code == status, answer.text
    if answer.headers["content-type"] == "application/json":
        assert reason in answer.json()["error"]
        assert answer.json()["hint"]
    else:
        (failure,) = [*sequence(answer.json(), "00081198"), *sequence(answer.json(), "0008119A")]
        assert reason in failure[0x00091001].value


def test_a_truncated_file_stores_nothing(door: DoorInMemory) -> None:
    original = image()
    file = written(original)
    for end in (len(file) - 1, len(file) // 2, 400):
        answer = door.post("/studies", file[:end])
        assert answer.status_code == 400, end
        assert sequence(answer.json(), "00081198") or sequence(answer.json(), "0008119A")
    assert door.get(path_of(original)).status_code == 404


def test_a_body_cut_between_parts_keeps_what_was_whole(door: DoorInMemory) -> None:
    first, second = image(), image()
    body, headers = multipart_body([written(first), written(second)])
    answer = door.post("/studies", body[:-40], headers["content-type"])
    assert answer.status_code == 202
    assert [item.ReferencedSOPInstanceUID for item in sequence(answer.json(), "00081199")] == [first.SOPInstanceUID]
    assert "cut off" in answer.json()["0008119A"]["Value"][0]["00091001"]["Value"][0]
    assert door.get(path_of(second)).status_code == 404


def test_bad_study_in_the_url_and_encodings(door: DoorInMemory) -> None:
    assert door.post("/studies/1.a", written(image())).status_code == 400
    refused = door.request(
        "POST", "/studies", content=b"x", headers={"content-type": "application/dicom", "content-encoding": "br"}
    )
    assert refused.status_code == 415


def test_failures_that_are_not_listed_are_told_of(door: DoorInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_response, "MAX_REPORTED_FAILURES", 2)
    body, headers = multipart_body([b"not DICOM"] * 3)
    answer = door.post("/studies", body, headers["content-type"])
    assert answer.status_code == 400
    assert answer.headers["warning"].startswith(f'299 {door.base} "1 further')
    assert len(sequence(answer.json(), "0008119A")) == 2
    assert (
        "warning" not in door.post("/studies", *multipart_body([b"not DICOM"] * 2)[:1], headers["content-type"]).headers
    )

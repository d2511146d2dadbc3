"""Studies, series and instances as files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, generate_uid

from tests.dicomweb.served import DoorInMemory, data_set_bytes, image, parts_of, written

MULTIPART = 'multipart/related; type="application/dicom"'


def test_an_instance_comes_back_as_it_went_in(door: DoorInMemory) -> None:
    original = image()
    kept = door.keep(original)
    for accept in ("application/dicom", "application/dicom; transfer-syntax=*"):
        answer = door.get(kept.path, accept=accept)
        assert answer.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
        assert data_set_bytes(answer.content) == data_set_bytes(written(original))
        assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize(
    "accept", ["", "*/*", MULTIPART, f"{MULTIPART}; transfer-syntax=*", "multipart/related; type=application/dicom"]
)
def test_multipart_is_the_default(door: DoorInMemory, accept: str) -> None:
    original = image()
    kept = door.keep(original)
    answer = door.get(kept.path, **({"accept": accept} if accept else {}))
    ((headers, file),) = parts_of(answer)
    assert headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    assert headers["content-location"] == door.base + kept.path
    assert data_set_bytes(file) == data_set_bytes(written(original))
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_study_with_several_transfer_syntaxes(door: DoorInMemory) -> None:
    study = generate_uid()
    first, second = image(StudyInstanceUID=study), image(StudyInstanceUID=study)
    second.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    for original in (first, second):
        door.keep(original)
    answer = door.get(f"/studies/{study}")
    parts = parts_of(answer)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "transfer-syntax" not in answer.headers["content-type"]
    assert {data_set_bytes(file) for _, file in parts} == {data_set_bytes(written(each)) for each in (first, second)}
    assert {headers["content-type"].rpartition("=")[2] for headers, _ in parts} == {
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
    }
    assert door.get(f"/studies/{study}", accept="application/dicom").status_code == 406


def test_explicit_little_endian_is_made_for_who_names_it(door: DoorInMemory) -> None:
    pixels = np.arange(16 * 24, dtype="<u2")
    original = image(PixelData=pixels.astype(">u2").tobytes())
    original.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    kept = door.keep(original)
    for accept in (
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
        f"{MULTIPART}; transfer-syntax=1.2.840.10008.1.2.1",
    ):
        answer = door.get(kept.path, accept=accept)
        file = answer.content if accept.startswith("application") else parts_of(answer)[0][1]
        made = dcmread(io.BytesIO(file))
        assert made.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert made.PixelData == pixels.tobytes()
        assert made.PatientName == original.PatientName
    assert door.get(kept.path, accept="application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50").status_code == 406


def test_entity_tags(door: DoorInMemory) -> None:
    original = image()
    kept = door.keep(original)
    first = door.get(kept.path)
    assert "immutable" in first.headers["cache-control"]
    assert "private" in first.headers["cache-control"]
    again = door.get(kept.path, if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert door.get(kept.path, accept="application/dicom").headers["etag"] != first.headers["etag"]
    study = f"/studies/{kept.study_instance_uid}"
    before = door.get(study).headers["etag"]
    door.keep(image(StudyInstanceUID=kept.study_instance_uid))
    assert door.get(study, if_none_match=before).status_code == 200


def test_what_is_not_there(door: DoorInMemory) -> None:
    kept = door.keep(image())
    for path in (f"/studies/{generate_uid()}", f"/studies/{kept.study_instance_uid}/series/1.2", kept.path[:-1]):
        answer = door.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]
    # An instance is only found below its own series.
    other = door.keep(image())
    wrong = f"/studies/{kept.study_instance_uid}/series/{kept.series_instance_uid}/instances/{other.sop_instance_uid}"
    assert door.get(wrong).status_code == 404


def test_head(door: DoorInMemory) -> None:
    kept = door.keep(image())
    answer = door.request("HEAD", kept.path)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 500

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from pacs.pixels.annotation import annotated, patient_lines, technique_lines
from pacs.pixels.rendering import Rendering, picture_as
from tests.dicomweb.served import image
from tests.pixels.test_presentation import scanned


def header(**attributes: Any) -> Any:
    return scanned(image(SpecificCharacterSet="ISO_IR 192", **attributes))


def test_what_is_told_of_the_patient() -> None:
    found = patient_lines(
        header(
            PatientName="HONG^GILDONG=洪^吉洞=홍^길동", PatientID="7", PatientBirthDate="19700102", PatientSex="M",
            InstitutionName="서울병원",
        )
    )  # fmt: skip
    assert found == ["HONG GILDONG=洪 吉洞=홍 길동", "7  1970-01-02  M", "서울병원"]
    assert patient_lines(header(PatientName="", PatientID="")) == []


def test_what_is_told_of_the_technique() -> None:
    plain = header(
        StudyTime="101112.5", SeriesDescription="Thorax", ImagePositionPatient=[1, -2.25, 3], SliceThickness=5, KVP=120
    )
    assert technique_lines(plain, 1, 1) == [
        "2024-01-01 10:11:12", "CT  Thorax", "Se 1  Im 1", "Pos 1.0 -2.2 3.0  Thk 5mm  kV 120",
    ]  # fmt: skip
    position = Dataset()
    position.ImagePositionPatient = [4, 5, 6]
    group = Dataset()
    group.PlanePositionSequence = [position]
    enhanced = header(PerFrameFunctionalGroupsSequence=[Dataset(), group], NumberOfFrames=2)
    assert technique_lines(enhanced, 2, 2)[-2:] == ["Se 1  Im 1  Fr 2/2", "Pos 4.0 5.0 6.0"]
    assert technique_lines(enhanced, 1, 2)[-1] == "Se 1  Im 1  Fr 1/2"


@pytest.mark.parametrize("shape", [(300, 400), (64, 64), (40, 900), (900, 40), (8, 8), (1, 1), (200, 200, 3)])
def test_both_ends_of_a_picture_of_any_size(shape: tuple[int, ...]) -> None:
    subject = header(PatientBirthDate="19700102", SeriesDescription="A rather long description of what was done")
    grey = np.full(shape, 90, np.uint8)
    picture = annotated(grey, subject, ("patient", "technique"), 1, 1)
    assert picture.shape == grey.shape
    if min(shape[:2]) >= 40:
        changed = np.argwhere(picture != 90)
        assert changed[:, 0].min() < 0.3 * shape[0]
        assert changed[:, 0].max() > 0.7 * shape[0]
        assert (picture > 180).sum() > 20


def test_only_what_is_asked_for_is_drawn() -> None:
    subject, grey = header(), np.full((300, 300), 90, np.uint8)
    assert np.array_equal(annotated(grey, subject, (), 1, 1), grey)
    of_patient = np.argwhere(annotated(grey, subject, ("patient",), 1, 1) != 90)
    assert of_patient[:, 0].max() < 150
    of_technique = np.argwhere(annotated(grey, subject, ("technique",), 1, 1) != 90)
    assert of_technique[:, 0].min() > 150


def test_a_picture_s_values_are_otherwise_untouched() -> None:
    subject = image(Rows=200, Columns=200, PixelData=np.arange(40000, dtype="<u2").tobytes())
    frame = (1, [memoryview(subject.PixelData)])
    plain = picture_as(scanned(subject), frame, Rendering())
    with_text = picture_as(scanned(subject), frame, Rendering(annotations=("patient",)))
    assert np.array_equal(plain[100:], with_text[100:])
    assert not np.array_equal(plain, with_text)

from __future__ import annotations

from pacs.index.row_values import (
    instance_columns,
    modality_in_study,
    patient_columns,
    series_columns,
    study_columns,
)
from pacs.index.tables import NO_NUMBER
from tests.index.new_instances import attributes, name, new_instance


def test_columns_of_ordinary_values() -> None:
    patient = attributes(PatientID=" P1 ", PatientName=name("Kim^A", "金^A"), PatientBirthDate="1970.01.02")
    assert patient_columns(patient) == {
        "patient_id": "P1",
        "issuer_of_patient_id": "",
        "patient_name": "kim^a",
        "patient_name_ideographic": "金^a",
        "patient_name_phonetic": "",
        "patient_birth_date": "19700102",
        "patient_sex": "",
    }
    assert study_columns(attributes(StudyTime="1015"))["study_time"] == "101500.000000"
    assert series_columns(attributes(Modality="CT", SeriesNumber=3))["series_number"] == 3


def test_missing_and_wrong_values_are_empty_columns() -> None:
    assert set(patient_columns({"00100010": {"vr": "PN", "Value": ["text"]}}).values()) == {""}
    assert set(patient_columns({"00100020": {"vr": "SQ", "Value": [{}]}}).values()) == {""}
    assert set(study_columns(attributes(StudyDate="x", StudyTime=None)).values()) == {""}
    assert series_columns(attributes(SeriesNumber="x"))["series_number"] == NO_NUMBER
    assert modality_in_study({}) == "OT"
    assert modality_in_study(attributes(Modality="C\\T")) == "CT"


def test_an_instance_row_holds_its_digest_in_32_bytes() -> None:
    assert len(instance_columns(new_instance(), 0)["digest"]) == 32

"""Levels and unique keys of PS3.4 Annex C.6, as identifiers name them or fail to."""

from __future__ import annotations

import pytest

from pacs.dimse.scp.identifier import Identifier, Key
from pacs.dimse.scp.information_model import (
    FIND_MODELS,
    GET_MODELS,
    MOVE_MODELS,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    STUDY_ROOT,
    InformationModel,
    level_of,
    require_keys_above,
    retrieve_keys,
)
from pacs.errors import InvalidRequest
from pacs.model import Level

PATIENT, STUDY, SERIES, IMAGE = 0x00100020, 0x0020000D, 0x0020000E, 0x00080018


def identifier(level: str = "", **values: str | tuple[str, ...]) -> Identifier:
    tags = {"patient": PATIENT, "study": STUDY, "series": SERIES, "image": IMAGE}
    keys = [Key(0x00080052, "CS", (level,) if level else ())]
    for name, value in values.items():
        keys.append(Key(tags[name], "UI", (value,) if isinstance(value, str) else value))
    return Identifier(tuple(keys))


@pytest.mark.parametrize(
    ("model", "level"),
    [
        (STUDY_ROOT, "PATIENT"),
        (PATIENT_STUDY_ONLY, "SERIES"),
        (PATIENT_ROOT, ""),
        (PATIENT_ROOT, "STUDIES"),
        (PATIENT_ROOT, "study"),
    ],
)
def test_levels_outside_the_model_are_refused(model: InformationModel, level: str) -> None:
    with pytest.raises(InvalidRequest, match=r"PATIENT|STUDY"):
        level_of(identifier(level), model)


def test_no_level_element_at_all() -> None:
    with pytest.raises(InvalidRequest, match="no Query/Retrieve Level"):
        level_of(Identifier(), STUDY_ROOT)


def test_what_a_query_needs_above_its_level() -> None:
    whole = identifier("IMAGE", patient="P1", study="1.2", series="1.2.3")
    assert require_keys_above(whole, PATIENT_ROOT, Level.IMAGE) == {
        Level.PATIENT: "P1",
        Level.STUDY: "1.2",
        Level.SERIES: "1.2.3",
    }
    assert require_keys_above(whole, STUDY_ROOT, Level.STUDY) == {}
    assert require_keys_above(identifier("PATIENT"), PATIENT_ROOT, Level.PATIENT) == {}


@pytest.mark.parametrize(
    ("model", "found", "complaint"),
    [
        (PATIENT_ROOT, identifier("SERIES"), "Study Instance UID missing"),
        (PATIENT_ROOT, identifier("STUDY", patient="P*"), "no wildcard"),
        (STUDY_ROOT, identifier("SERIES"), "Study Instance UID missing"),
        (STUDY_ROOT, identifier("SERIES", study=("1.2", "1.3")), "single value"),
        (STUDY_ROOT, identifier("SERIES", study="1.2.*"), "no UID"),
        (STUDY_ROOT, identifier("IMAGE", study="1.2"), "Series Instance UID missing"),
        (STUDY_ROOT, identifier("IMAGE", study="../1", series="1"), "no UID"),
    ],
)
def test_a_query_without_its_upper_keys_is_refused(model: InformationModel, found: Identifier, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as refused:
        require_keys_above(found, model, level_of(found, model))
    assert len(str(refused.value)) <= 64, "fits an Error Comment"


def test_a_retrieve_takes_a_uid_list_at_its_level_only() -> None:
    found = identifier("SERIES", study="1.2", series=("1.2.3", "1.2.4", "1.2.3"), image="9.9")
    assert retrieve_keys(found, STUDY_ROOT, Level.SERIES) == {Level.STUDY: ("1.2",), Level.SERIES: ("1.2.3", "1.2.4")}


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (STUDY_ROOT, identifier("STUDY")),
        (STUDY_ROOT, identifier("STUDY", study="1.2*")),
        (STUDY_ROOT, identifier("IMAGE", image="1.2.3.4")),
        (PATIENT_ROOT, identifier("PATIENT", patient=("A", "B"))),
        (PATIENT_ROOT, identifier("PATIENT", patient="*A*")),
        (PATIENT_ROOT, identifier("STUDY")),
        (PATIENT_ROOT, identifier("SERIES", series="1.2.3")),
    ],
)
def test_a_retrieve_without_its_keys_is_refused(model: InformationModel, found: Identifier) -> None:
    with pytest.raises(InvalidRequest):
        retrieve_keys(found, model, level_of(found, model))


@pytest.mark.parametrize("patient", [{}, {"patient": ()}])
def test_a_study_uid_is_enough_without_its_patient(patient: dict[str, tuple[str, ...]]) -> None:
    study = identifier("STUDY", study="1.2", **patient)
    assert require_keys_above(study, PATIENT_ROOT, Level.STUDY) == {}
    assert retrieve_keys(study, PATIENT_ROOT, Level.STUDY) == {Level.STUDY: ("1.2",)}
    series = identifier("SERIES", study="1.2", series="1.2.3", **patient)
    assert retrieve_keys(series, PATIENT_ROOT, Level.SERIES) == {Level.STUDY: ("1.2",), Level.SERIES: ("1.2.3",)}


def test_each_service_has_its_three_sop_classes() -> None:
    for models, suffix in ((FIND_MODELS, ".1"), (MOVE_MODELS, ".2"), (GET_MODELS, ".3")):
        assert [uid for uid in models if uid.startswith("1.2.840.10008.5.1.4.1.2.") and uid.endswith(suffix)] == [
            *models
        ]
        assert len(models) == 3

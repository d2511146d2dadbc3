"""Attributes that an operator makes searchable while the archive runs, in old and new instances."""

from __future__ import annotations

import pytest

from pacs.attributes import Attributes, attribute_named
from pacs.errors import InvalidRequest
from pacs.model import Level, Match, Query
from tests.contract.searchable_attributes import (
    CALIBRATED,
    COMMENTS,
    KVP,
    PRIVATE,
    PROCEDURE,
    READING,
    REQUESTS,
    SERVICE,
    find,
    send,
    work,
)
from tests.ingest.small_archive import Place


def test_old_and_new_instances_are_found(place: Place, attributes: Attributes) -> None:
    send(place, 1, KVP="120")
    send(place, 2, KVP="80.0")
    assert place.index.unsupported_keys(Query(Level.STUDY, (Match((KVP,), ("80",)),))) == {KVP}
    assert attributes.add("KVP")
    assert not attributes.add("(0018,0060)")
    query = Query(Level.STUDY, (Match((KVP,), ("80",)),))
    assert place.index.unsupported_keys(query) == frozenset()
    assert place.index.incomplete_keys(query) == {KVP}
    assert [(one.done, one.of) for one in attributes.progress()] == [(0, 2)]
    work(attributes)
    assert place.index.incomplete_keys(query) == frozenset()
    assert find(place, Level.STUDY, (KVP, "80")) == ["1.2.2"]
    send(place, 3, KVP="80")
    assert place.index.incomplete_keys(query) == {KVP}
    work(attributes)
    assert find(place, Level.STUDY, (KVP, "80")) == ["1.2.2", "1.2.3"]
    assert find(place, Level.STUDY, (KVP, "70")) == []
    assert find(place, Level.STUDY, (KVP, "80"), hospital="other") == []


@pytest.mark.parametrize("kept_at", [Level.STUDY, Level.SERIES, Level.IMAGE])
@pytest.mark.parametrize("few", [True, False])
def test_any_level_is_found_by_a_value_of_any_level(
    place: Place, attributes: Attributes, kept_at: Level, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs.index.searchable_conditions._FEW", 1000 if few else 0)
    attributes.add("RequestingService", kept_at)
    send(place, 1, study=1, series="1.2.1.1", RequestingService="Cardiology", PatientID="P1")
    send(place, 2, study=1, series="1.2.1.1", RequestingService="Cardiology", PatientID="P1")
    send(place, 3, study=1, series="1.2.1.3", RequestingService="Radiology", PatientID="P1")
    send(place, 4, study=4, RequestingService="Radiology", PatientID="P4")
    work(attributes)
    key = (SERVICE, "Card*")
    assert find(place, Level.PATIENT, key) == ["P1"]
    assert find(place, Level.STUDY, key) == ["1.2.1"]
    all_series, all_images = ["1.2.1.1", "1.2.1.3"], ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert find(place, Level.SERIES, key) == (all_series if kept_at is Level.STUDY else all_series[:1])
    assert find(place, Level.IMAGE, key) == (all_images if kept_at is Level.STUDY else all_images[:2])
    assert find(place, Level.STUDY, key, (0x00100020, "P4")) == []
    query = Query(Level.STUDY, (Match((SERVICE,), ("*logy",)),), limit=1, offset=1)
    assert len(list(place.index.search("default", query))) == 1


def test_kept_attributes_are_found_by_an_index(place: Place, attributes: Attributes) -> None:
    """With values beside, all is found as without, before and after they are looked at."""
    long = "z" * 300 + "TAIL"
    assert attributes.add("NameOfPhysiciansReadingStudy")
    assert attributes.add("PatientComments", Level.IMAGE)
    send(place, 1, NameOfPhysiciansReadingStudy="Kim^A", PatientComments=long)
    send(place, 2, NameOfPhysiciansReadingStudy="Lee^B", PatientComments="short")
    for _ in range(2):
        assert find(place, Level.STUDY, (READING, "kim*")) == ["1.2.1"]
        assert find(place, Level.SERIES, (READING, "kim*")) == ["1.2.1.1"]
        assert find(place, Level.STUDY, (READING, "kmi"), is_fuzzy=True) == ["1.2.1"]
        assert find(place, Level.STUDY, (READING, "park*")) == []
        assert find(place, Level.STUDY, (COMMENTS, "*TAIL")) == find(place, Level.STUDY, (COMMENTS, long)) == ["1.2.1"]
        assert place.index.incomplete_keys(Query(Level.STUDY, (Match((READING,), ("kim*",)),))) == frozenset()
        work(attributes)


def test_an_attribute_is_shown_where_it_is_asked_for(place: Place, attributes: Attributes) -> None:
    attributes.add("KVP")
    send(place, 1, KVP="120")
    work(attributes)
    for level in (Level.SERIES, Level.IMAGE):
        for include in (frozenset({KVP}), None):
            (answer,) = place.index.search("default", Query(level, include=include))
            assert answer["00180060"] == {"vr": "DS", "Value": [120]}
        assert place.index.answered_fields({KVP, CALIBRATED}, level) == {KVP}
    (answer,) = place.index.search("default", Query(Level.STUDY, include=frozenset({KVP})))
    assert "00180060" not in answer
    assert place.index.answered_fields({KVP}, Level.STUDY) == frozenset()


def test_an_answer_shows_the_value(place: Place, attributes: Attributes) -> None:
    attributes.add("KVP")
    send(place, 1, KVP="120")
    work(attributes)
    (series,) = place.index.search("default", Query(Level.SERIES, (Match((KVP,), ("120",)),), include=frozenset()))
    assert series["00180060"] == {"vr": "DS", "Value": [120]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KVP", ((KVP,), "")),
        ("00180060", ((KVP,), "")),
        ("(0018,0060)", ((KVP,), "")),
        (PRIVATE, ((0x00430010,), "GEMS_PARM_01")),
        ("GEMS_PARM_01,(0043,1010)", ((0x00430010,), "GEMS_PARM_01")),
        ("RequestAttributesSequence.RequestedProcedureID", ((REQUESTS, PROCEDURE), "")),
        ("00400275.00401001", ((REQUESTS, PROCEDURE), "")),
    ],
)
def test_an_operator_names_attributes_in_many_ways(text: str, expected: tuple[tuple[int, ...], str]) -> None:
    assert attribute_named(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nonsense",
        "00431010",
        '"X",(0044,xx10)',
        "PixelData",
        "(0018,9999)",
        "RequestAttributesSequence",
        "KVP.KVP",
        "A.B.C.D.E",
    ],
)
def test_what_is_no_attribute_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        attribute_named(text)


def test_what_is_kept_anyway_is_refused(attributes: Attributes) -> None:
    with pytest.raises(InvalidRequest, match="anyway"):
        attributes.add("PatientName")

"""How values of attributes that were made searchable match: as those of their VR, within their sequence."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from pacs.attributes import Attributes
from pacs.errors import InvalidRequest
from pacs.model import Level, Match, Query
from tests.contract.searchable_attributes import (
    CALIBRATED,
    NURSE,
    PRIVATE,
    PROCEDURE,
    REQUESTS,
    STEP,
    find,
    send,
    work,
)
from tests.ingest.small_archive import Place


def test_dates_and_names_match_as_others_do(place: Place, attributes: Attributes) -> None:
    attributes.add("DateOfLastCalibration")
    attributes.add("ScheduledPerformingPhysicianName")
    send(
        place,
        1,
        SpecificCharacterSet="ISO_IR 100",
        DateOfLastCalibration=["20240101", "20250101"],
        ScheduledPerformingPhysicianName="Müller^Ann",
    )
    send(place, 2, DateOfLastCalibration="20230101", ScheduledPerformingPhysicianName="Lee^Bo")
    work(attributes)
    assert find(place, Level.STUDY, (CALIBRATED, "20240601-")) == ["1.2.1"]
    assert find(place, Level.STUDY, (CALIBRATED, "-20240601")) == ["1.2.1", "1.2.2"]
    assert find(place, Level.STUDY, (NURSE, "MULLER*")) == ["1.2.1"]
    assert find(place, Level.STUDY, (NURSE, "*ee^b*")) == ["1.2.2"]


def test_private_attributes_are_those_of_their_creator(place: Place, attributes: Attributes) -> None:
    attributes.add(PRIVATE)
    send(place, 1, private="A1")
    send(place, 2, private="A1", block=0x22)
    send(place, 3, private="A1", creator="SOMEBODY ELSE")
    work(attributes)
    assert find(place, Level.STUDY, (0x00431010, "A1")) == ["1.2.1", "1.2.2"]
    assert find(place, Level.STUDY, (0x00430010, "GEMS_PARM_01"), (0x00431010, "A*")) == ["1.2.1", "1.2.2"]
    named = Query(Level.STUDY, (Match((0x00430010,), ("GEMS_PARM_01",)), Match((0x00431010,), ("A1",))))
    assert place.index.unsupported_keys(named) == frozenset()
    other = Query(Level.STUDY, (Match((0x00430010,), ("SOMEBODY ELSE",)), Match((0x00431010,), ("A1",))))
    assert place.index.unsupported_keys(other) == {0x00431010}


def test_private_values_match_as_those_of_their_vr(place: Place, attributes: Attributes) -> None:
    for element in (0x10, 0x11):
        attributes.add(f'"GEMS_PARM_01",(0043,xx{element:02X})')
    send(place, 1, private="Kim^Private", vr="PN")
    send(place, 2, private="Lee^Private", vr="PN")
    work(attributes)
    assert find(place, Level.STUDY, (0x00431010, "Kim^Private")) == ["1.2.1"]
    assert find(place, Level.STUDY, (0x00431010, "LEE*")) == ["1.2.2"]


@pytest.mark.parametrize(
    ("vr", "value", "key"),
    [("DS", "1.5", "1.50"), ("DS", "1.50", "1.5"), ("IS", "7", "07"), ("DA", "20240115", "20240101-20240201")],
)
def test_private_numbers_and_dates(place: Place, attributes: Attributes, vr: str, value: str, key: str) -> None:
    attributes.add(PRIVATE)
    send(place, 1, private=value, vr=vr)
    send(place, 2)
    work(attributes)
    assert find(place, Level.STUDY, (0x00431010, key)) == ["1.2.1"]
    with pytest.raises(InvalidRequest):
        find(place, Level.STUDY, (0x00431010, "neither"))


def test_groups_of_different_names_are_no_name(place: Place, attributes: Attributes) -> None:
    attributes.add("ScheduledPerformingPhysicianName")
    for number, value in enumerate(("Kim^A=金^甲", "Kim^A=金^乙", "Kim^A", "金^甲", "Lee^B=李^乙=리^비"), 1):
        send(place, number, SpecificCharacterSet="ISO_IR 192", ScheduledPerformingPhysicianName=value)
    work(attributes)
    for key, expected in {
        "Kim^A=金^甲": [1],
        "kim^a": [1, 2, 3],
        "kim^a=": [1, 2, 3],
        "=金^甲": [1],
        "金^甲": [1, 4],
        "?^甲": [1, 4],
        "*=金*": [1, 2],
        "k*乙": [],
        "k*=*乙": [2],
        "=李^乙=리*": [5],
        "==리^비": [5],
        "lee*==리*": [5],
        "lee*==金*": [],
    }.items():
        assert find(place, Level.STUDY, (NURSE, key)) == [f"1.2.{number}" for number in expected], key


def test_fuzzy_names(place: Place, attributes: Attributes) -> None:
    attributes.add("ScheduledPerformingPhysicianName")
    for number, value in enumerate(("Schmidt^Anna", "Kim^Minsu=金^民秀", "Lee^Bo"), 1):
        send(place, number, SpecificCharacterSet="ISO_IR 192", ScheduledPerformingPhysicianName=value)
    work(attributes)
    for key, expected in {"smith": [1], "anna schmit": [1], "kim min su": [2], "金": [2], "nobody": []}.items():
        found = find(place, Level.STUDY, (NURSE, key), is_fuzzy=True)
        assert found == [f"1.2.{number}" for number in expected], key
    query = Query(Level.STUDY, (Match((NURSE,), ("smith",)),), is_fuzzy=True)
    assert place.index.unsupported_keys(query) == frozenset()


@pytest.mark.parametrize("kept_at", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_empty_values(place: Place, attributes: Attributes, kept_at: Level) -> None:
    attributes.add("DateOfLastCalibration", kept_at)
    send(place, 1, DateOfLastCalibration="20240101", PatientID="P1")
    send(place, 2, PatientID="P2")
    send(place, 3, DateOfLastCalibration="", PatientID="P3")
    work(attributes)
    for level, uids in {
        Level.PATIENT: ["P2", "P3"],
        Level.STUDY: ["1.2.2", "1.2.3"],
        Level.SERIES: ["1.2.2.1", "1.2.3.1"],
        Level.IMAGE: ["1.2.3.2", "1.2.3.3"],
    }.items():
        assert find(place, level, (CALIBRATED, '""'), finds_empty=True) == uids


def test_all_of_several_values(place: Place, attributes: Attributes) -> None:
    attributes.add("ImagePathFilterTypeStackCodeSequence.CodeValue")
    attributes.add("NamesOfIntendedRecipientsOfResults")
    send(place, 1, NamesOfIntendedRecipientsOfResults=["Kim^A", "Lee^B"])
    send(place, 2, NamesOfIntendedRecipientsOfResults=["Kim^A", "Park^C"])
    work(attributes)
    query = Query(Level.STUDY, (Match((0x00401010,), ("kim*", "lee^b")),), needs_all_values=True)
    assert [one["0020000D"]["Value"] for one in place.index.search("default", query)] == [["1.2.1"]]


def _request(step: str, procedure: str) -> Dataset:
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = step, procedure
    return item


def test_members_of_sequences(place: Place, attributes: Attributes) -> None:
    """Of a kept sequence the index leads to rows, and the rows say the rest; also of what is not looked at yet."""
    paths = ("RequestAttributesSequence.ScheduledProcedureStepID", "RequestAttributesSequence.RequestedProcedureID")
    for number in (1, 2):
        send(place, number, RequestAttributesSequence=[_request(f"S{number}", "R1"), _request("S9", f"R{number}")])
    assert all(attributes.add(path) for path in paths)
    assert [one.attribute.level for one in attributes.progress()] == [Level.SERIES] * 2

    def check() -> None:
        procedure, step = (REQUESTS, PROCEDURE), (REQUESTS, STEP)
        assert find(place, Level.SERIES, (procedure, "R2")) == ["1.2.2.1"]
        assert find(place, Level.SERIES, (procedure, "R*")) == ["1.2.1.1", "1.2.2.1"]
        assert find(place, Level.SERIES, (procedure, "R1"), (step, "S2")) == ["1.2.2.1"]
        assert find(place, Level.SERIES, (procedure, "R2"), (step, "S2")) == [], "in different items"
        assert find(place, Level.SERIES, (procedure, "R7")) == []

    check()
    work(attributes)
    check()
    send(place, 3, RequestAttributesSequence=[_request("S3", "R3")])
    assert find(place, Level.SERIES, ((REQUESTS, PROCEDURE), "R3")) == ["1.2.3.1"], "before it is looked at"


def test_members_of_sequences_that_are_not_kept(place: Place, attributes: Attributes) -> None:
    attributes.add("DeidentificationMethodCodeSequence.CodeValue")
    for number, code in ((1, "113100"), (2, "113101")):
        item = Dataset()
        item.CodeValue = code
        send(place, number, DeidentificationMethodCodeSequence=[item])
    work(attributes)
    assert find(place, Level.STUDY, ((0x00120064, 0x00080100), "113101")) == ["1.2.2"]
    query = Query(Level.SERIES, (Match((0x00120064, 0x00080100), ("113101",)),), include=frozenset())
    assert place.index.unsupported_keys(query) == frozenset()
    (answer,) = place.index.search("default", query)
    assert answer["00120064"]["Value"][0]["00080100"]["Value"] == ["113101"]

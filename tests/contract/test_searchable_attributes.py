"""Attributes that an operator makes searchable while the archive runs, in old and new instances."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.filewriter import dcmwrite
from sqlalchemy import create_engine, text

from pacs.attributes import Attributes, attribute_named
from pacs.errors import InvalidRequest
from pacs.index import Index, stale_values
from pacs.ingest import Ingest
from pacs.model import Deletion, Level, Match, Query
from pacs.settings import IngestSettings
from pacs.storage.segments import SegmentStore
from tests.ingest.small_archive import Place, encoded

KVP, CALIBRATED, SERVICE, NURSE = 0x00180060, 0x00181200, 0x00321033, 0x00400006
REQUESTS, STEP, PROCEDURE, REFERRING, COMMENTS = 0x00400275, 0x00400009, 0x00401001, 0x00080090, 0x00104000
PRIVATE = '"GEMS_PARM_01",(0043,xx10)'


@pytest.fixture
def place(index: Index, tmp_path: Path) -> Iterator[Place]:
    store = SegmentStore(tmp_path / "objects")
    made = Place(store, index, Ingest(store, index, IngestSettings()))
    yield made
    made.ingest.close()
    store.close()


@pytest.fixture
def attributes(place: Place) -> Attributes:
    return Attributes(place.index, place.store)


def _send(
    place: Place, number: int, *, block: int = 0x10, creator: str = "GEMS_PARM_01", vr: str = "SH", **values: Any
) -> None:
    private = values.pop("private", None)
    study = values.pop("study", number)
    content = encoded(
        number, StudyInstanceUID=f"1.2.{study}", SeriesInstanceUID=values.pop("series", f"1.2.{number}.1"), **values
    )
    if private is not None:
        data_set = dcmread(BytesIO(content), force=True)
        data_set.add_new(0x00430000 | block, "LO", creator)
        data_set.add_new(0x00430010 | block << 8, vr, private)
        written = BytesIO()
        dcmwrite(written, data_set, implicit_vr=False, little_endian=True, enforce_file_format=False)
        content = written.getvalue()
    place.send(content)


def _work(attributes: Attributes) -> None:
    """Until all is looked at. PostgreSQL itself opens transactions (autovacuum), which the work waits for."""
    deadline = time.monotonic() + 20
    while attributes.work_once() or any(
        one.done < one.of and not one.attribute.is_removed for one in attributes.progress()
    ):
        assert time.monotonic() < deadline, attributes.progress()


def _find(
    place: Place, level: Level, *keys: tuple[int | tuple[int, ...], str], hospital: str = "default", **ways: Any
) -> list[str]:
    tag = {Level.PATIENT: "00100020", Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}[level]
    matches = (Match(key if isinstance(key, tuple) else (key,), (value,)) for key, value in keys)
    query = Query(level, tuple(matches), **ways)
    return sorted(answer[tag]["Value"][0] for answer in place.index.search(hospital, query))


def test_old_and_new_instances_are_found(place: Place, attributes: Attributes) -> None:
    _send(place, 1, KVP="120")
    _send(place, 2, KVP="80.0")
    assert place.index.unsupported_keys(Query(Level.STUDY, (Match((KVP,), ("80",)),))) == {KVP}
    assert attributes.add("KVP")
    assert not attributes.add("(0018,0060)")
    query = Query(Level.STUDY, (Match((KVP,), ("80",)),))
    assert place.index.unsupported_keys(query) == frozenset()
    assert place.index.incomplete_keys(query) == {KVP}
    assert [(one.done, one.of) for one in attributes.progress()] == [(0, 2)]
    _work(attributes)
    assert place.index.incomplete_keys(query) == frozenset()
    assert _find(place, Level.STUDY, (KVP, "80")) == ["1.2.2"]
    _send(place, 3, KVP="80")
    assert place.index.incomplete_keys(query) == {KVP}
    _work(attributes)
    assert _find(place, Level.STUDY, (KVP, "80")) == ["1.2.2", "1.2.3"]
    assert _find(place, Level.STUDY, (KVP, "70")) == []
    assert _find(place, Level.STUDY, (KVP, "80"), hospital="other") == []


@pytest.mark.parametrize("kept_at", [Level.STUDY, Level.SERIES, Level.IMAGE])
@pytest.mark.parametrize("few", [True, False])
def test_any_level_is_found_by_a_value_of_any_level(
    place: Place, attributes: Attributes, kept_at: Level, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs.index.searchable_conditions._FEW", 1000 if few else 0)
    attributes.add("RequestingService", kept_at)
    _send(place, 1, study=1, series="1.2.1.1", RequestingService="Cardiology", PatientID="P1")
    _send(place, 2, study=1, series="1.2.1.1", RequestingService="Cardiology", PatientID="P1")
    _send(place, 3, study=1, series="1.2.1.3", RequestingService="Radiology", PatientID="P1")
    _send(place, 4, study=4, RequestingService="Radiology", PatientID="P4")
    _work(attributes)
    key = (SERVICE, "Card*")
    assert _find(place, Level.PATIENT, key) == ["P1"]
    assert _find(place, Level.STUDY, key) == ["1.2.1"]
    all_series, all_images = ["1.2.1.1", "1.2.1.3"], ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert _find(place, Level.SERIES, key) == (all_series if kept_at is Level.STUDY else all_series[:1])
    assert _find(place, Level.IMAGE, key) == (all_images if kept_at is Level.STUDY else all_images[:2])
    assert _find(place, Level.STUDY, key, (0x00100020, "P4")) == []
    query = Query(Level.STUDY, (Match((SERVICE,), ("*logy",)),), limit=1, offset=1)
    assert len(list(place.index.search("default", query))) == 1


def test_dates_and_names_match_as_others_do(place: Place, attributes: Attributes) -> None:
    attributes.add("DateOfLastCalibration")
    attributes.add("ScheduledPerformingPhysicianName")
    _send(
        place,
        1,
        SpecificCharacterSet="ISO_IR 100",
        DateOfLastCalibration=["20240101", "20250101"],
        ScheduledPerformingPhysicianName="Müller^Ann",
    )
    _send(place, 2, DateOfLastCalibration="20230101", ScheduledPerformingPhysicianName="Lee^Bo")
    _work(attributes)
    assert _find(place, Level.STUDY, (CALIBRATED, "20240601-")) == ["1.2.1"]
    assert _find(place, Level.STUDY, (CALIBRATED, "-20240601")) == ["1.2.1", "1.2.2"]
    assert _find(place, Level.STUDY, (NURSE, "MULLER*")) == ["1.2.1"]
    assert _find(place, Level.STUDY, (NURSE, "*ee^b*")) == ["1.2.2"]


def test_private_attributes_are_those_of_their_creator(place: Place, attributes: Attributes) -> None:
    attributes.add(PRIVATE)
    _send(place, 1, private="A1")
    _send(place, 2, private="A1", block=0x22)
    _send(place, 3, private="A1", creator="SOMEBODY ELSE")
    _work(attributes)
    assert _find(place, Level.STUDY, (0x00431010, "A1")) == ["1.2.1", "1.2.2"]
    assert _find(place, Level.STUDY, (0x00430010, "GEMS_PARM_01"), (0x00431010, "A*")) == ["1.2.1", "1.2.2"]
    named = Query(Level.STUDY, (Match((0x00430010,), ("GEMS_PARM_01",)), Match((0x00431010,), ("A1",))))
    assert place.index.unsupported_keys(named) == frozenset()
    other = Query(Level.STUDY, (Match((0x00430010,), ("SOMEBODY ELSE",)), Match((0x00431010,), ("A1",))))
    assert place.index.unsupported_keys(other) == {0x00431010}


def test_private_values_match_as_those_of_their_vr(place: Place, attributes: Attributes) -> None:
    for element in (0x10, 0x11):
        attributes.add(f'"GEMS_PARM_01",(0043,xx{element:02X})')
    _send(place, 1, private="Kim^Private", vr="PN")
    _send(place, 2, private="Lee^Private", vr="PN")
    _work(attributes)
    assert _find(place, Level.STUDY, (0x00431010, "Kim^Private")) == ["1.2.1"]
    assert _find(place, Level.STUDY, (0x00431010, "LEE*")) == ["1.2.2"]


@pytest.mark.parametrize(
    ("vr", "value", "key"),
    [("DS", "1.5", "1.50"), ("DS", "1.50", "1.5"), ("IS", "7", "07"), ("DA", "20240115", "20240101-20240201")],
)
def test_private_numbers_and_dates(place: Place, attributes: Attributes, vr: str, value: str, key: str) -> None:
    attributes.add(PRIVATE)
    _send(place, 1, private=value, vr=vr)
    _send(place, 2)
    _work(attributes)
    assert _find(place, Level.STUDY, (0x00431010, key)) == ["1.2.1"]
    with pytest.raises(InvalidRequest):
        _find(place, Level.STUDY, (0x00431010, "neither"))


def test_groups_of_different_names_are_no_name(place: Place, attributes: Attributes) -> None:
    attributes.add("ScheduledPerformingPhysicianName")
    for number, value in enumerate(("Kim^A=金^甲", "Kim^A=金^乙", "Kim^A", "金^甲", "Lee^B=李^乙=리^비"), 1):
        _send(place, number, SpecificCharacterSet="ISO_IR 192", ScheduledPerformingPhysicianName=value)
    _work(attributes)
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
        assert _find(place, Level.STUDY, (NURSE, key)) == [f"1.2.{number}" for number in expected], key


def test_fuzzy_names(place: Place, attributes: Attributes) -> None:
    attributes.add("ScheduledPerformingPhysicianName")
    for number, value in enumerate(("Schmidt^Anna", "Kim^Minsu=金^民秀", "Lee^Bo"), 1):
        _send(place, number, SpecificCharacterSet="ISO_IR 192", ScheduledPerformingPhysicianName=value)
    _work(attributes)
    for key, expected in {"smith": [1], "anna schmit": [1], "kim min su": [2], "金": [2], "nobody": []}.items():
        found = _find(place, Level.STUDY, (NURSE, key), is_fuzzy=True)
        assert found == [f"1.2.{number}" for number in expected], key
    query = Query(Level.STUDY, (Match((NURSE,), ("smith",)),), is_fuzzy=True)
    assert place.index.unsupported_keys(query) == frozenset()


@pytest.mark.parametrize("kept_at", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_empty_values(place: Place, attributes: Attributes, kept_at: Level) -> None:
    attributes.add("DateOfLastCalibration", kept_at)
    _send(place, 1, DateOfLastCalibration="20240101", PatientID="P1")
    _send(place, 2, PatientID="P2")
    _send(place, 3, DateOfLastCalibration="", PatientID="P3")
    _work(attributes)
    for level, uids in {
        Level.PATIENT: ["P2", "P3"],
        Level.STUDY: ["1.2.2", "1.2.3"],
        Level.SERIES: ["1.2.2.1", "1.2.3.1"],
        Level.IMAGE: ["1.2.3.2", "1.2.3.3"],
    }.items():
        assert _find(place, level, (CALIBRATED, '""'), finds_empty=True) == uids


def test_all_of_several_values(place: Place, attributes: Attributes) -> None:
    attributes.add("ImagePathFilterTypeStackCodeSequence.CodeValue")
    attributes.add("NamesOfIntendedRecipientsOfResults")
    _send(place, 1, NamesOfIntendedRecipientsOfResults=["Kim^A", "Lee^B"])
    _send(place, 2, NamesOfIntendedRecipientsOfResults=["Kim^A", "Park^C"])
    _work(attributes)
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
        _send(place, number, RequestAttributesSequence=[_request(f"S{number}", "R1"), _request("S9", f"R{number}")])
    assert all(attributes.add(path) for path in paths)
    assert [one.attribute.level for one in attributes.progress()] == [Level.SERIES] * 2

    def check() -> None:
        procedure, step = (REQUESTS, PROCEDURE), (REQUESTS, STEP)
        assert _find(place, Level.SERIES, (procedure, "R2")) == ["1.2.2.1"]
        assert _find(place, Level.SERIES, (procedure, "R*")) == ["1.2.1.1", "1.2.2.1"]
        assert _find(place, Level.SERIES, (procedure, "R1"), (step, "S2")) == ["1.2.2.1"]
        assert _find(place, Level.SERIES, (procedure, "R2"), (step, "S2")) == [], "in different items"
        assert _find(place, Level.SERIES, (procedure, "R7")) == []

    check()
    _work(attributes)
    check()
    _send(place, 3, RequestAttributesSequence=[_request("S3", "R3")])
    assert _find(place, Level.SERIES, ((REQUESTS, PROCEDURE), "R3")) == ["1.2.3.1"], "before it is looked at"


def test_members_of_sequences_that_are_not_kept(place: Place, attributes: Attributes) -> None:
    attributes.add("DeidentificationMethodCodeSequence.CodeValue")
    for number, code in ((1, "113100"), (2, "113101")):
        item = Dataset()
        item.CodeValue = code
        _send(place, number, DeidentificationMethodCodeSequence=[item])
    _work(attributes)
    assert _find(place, Level.STUDY, ((0x00120064, 0x00080100), "113101")) == ["1.2.2"]
    query = Query(Level.SERIES, (Match((0x00120064, 0x00080100), ("113101",)),), include=frozenset())
    assert place.index.unsupported_keys(query) == frozenset()
    (answer,) = place.index.search("default", query)
    assert answer["00120064"]["Value"][0]["00080100"]["Value"] == ["113101"]


def test_kept_attributes_are_found_by_an_index(place: Place, attributes: Attributes) -> None:
    """With values beside, all is found as without, before and after they are looked at."""
    long = "z" * 300 + "TAIL"
    assert attributes.add("ReferringPhysicianName")
    assert attributes.add("PatientComments", Level.IMAGE)
    _send(place, 1, ReferringPhysicianName="Kim^A", PatientComments=long)
    _send(place, 2, ReferringPhysicianName="Lee^B", PatientComments="short")
    for _ in range(2):
        assert _find(place, Level.STUDY, (REFERRING, "kim*")) == ["1.2.1"]
        assert _find(place, Level.SERIES, (REFERRING, "kim*")) == ["1.2.1.1"]
        assert _find(place, Level.STUDY, (REFERRING, "kmi"), is_fuzzy=True) == ["1.2.1"]
        assert _find(place, Level.STUDY, (REFERRING, "park*")) == []
        assert (
            _find(place, Level.STUDY, (COMMENTS, "*TAIL")) == _find(place, Level.STUDY, (COMMENTS, long)) == ["1.2.1"]
        )
        assert place.index.incomplete_keys(Query(Level.STUDY, (Match((REFERRING,), ("kim*",)),))) == frozenset()
        _work(attributes)


def test_an_attribute_is_shown_where_it_is_asked_for(place: Place, attributes: Attributes) -> None:
    attributes.add("KVP")
    _send(place, 1, KVP="120")
    _work(attributes)
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
    _send(place, 1, KVP="120")
    _work(attributes)
    (series,) = place.index.search("default", Query(Level.SERIES, (Match((KVP,), ("120",)),), include=frozenset()))
    assert series["00180060"] == {"vr": "DS", "Value": [120]}


def _delete(place: Place, *uids: str) -> Deletion:
    at = datetime.now(UTC)
    deletion = Deletion(secrets.token_hex(16), "default", uids[0], *(*uids, None, None)[1:3], "x", "me", "here", at, at)
    return place.index.trash.put(deletion, lambda *_: None)


@pytest.mark.parametrize("level", [Level.SERIES, Level.STUDY])
def test_values_of_what_is_deleted_go_and_come_back_with_it(place: Place, attributes: Attributes, level: Level) -> None:
    attributes.add("KVP", level)
    for number, value in ((1, "120"), (2, "80"), (3, "120")):
        _send(place, number, study=7, series="1.2.7.1", KVP=value)
    _work(attributes)
    deletion = _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
    assert _find(place, Level.STUDY, (KVP, "80")) == [], "nothing of it is found from then on"
    (one,) = place.index.searchable.known()
    assert place.index.searchable.incomplete([one]) == [one], "who asks meanwhile is told"
    _work(attributes)
    assert place.index.searchable.incomplete([one]) == []
    assert _find(place, Level.STUDY, (KVP, "80")) == []
    assert _find(place, Level.STUDY, (KVP, "120")) == ["1.2.7"]
    place.index.trash.restore("default", deletion.name, lambda *_: None)
    _work(attributes)
    assert _find(place, Level.STUDY, (KVP, "80")) == _find(place, Level.STUDY, (KVP, "120")) == ["1.2.7"]


def test_control_otherwise_a_deleted_value_stays(
    place: Place, attributes: Attributes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale_values, "note", lambda *_: None)
    attributes.add("KVP")
    for number, value in ((1, "120"), (2, "80")):
        _send(place, number, study=7, series="1.2.7.1", KVP=value)
    _work(attributes)
    _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
    _work(attributes)
    assert _find(place, Level.STUDY, (KVP, "80")) == ["1.2.7"]


def test_a_study_loses_the_values_of_a_series_that_is_deleted(place: Place, attributes: Attributes) -> None:
    attributes.add("KVP", Level.STUDY)
    _send(place, 1, study=7, series="1.2.7.1", KVP="120")
    _send(place, 2, study=7, series="1.2.7.2", KVP="80")
    _work(attributes)
    deletion = _delete(place, "1.2.7", "1.2.7.2")
    _work(attributes)
    assert (_find(place, Level.STUDY, (KVP, "80")), _find(place, Level.STUDY, (KVP, "120"))) == ([], ["1.2.7"])
    _send(place, 3, study=7, series="1.2.7.2", KVP="90")  # the same series, anew
    place.index.trash.restore("default", deletion.name, lambda *_: None)
    _work(attributes)
    assert _find(place, Level.STUDY, (KVP, "80")) == _find(place, Level.STUDY, (KVP, "90")) == ["1.2.7"]


def test_what_is_in_the_trash_gives_no_values_to_what_stayed(place: Place, attributes: Attributes) -> None:
    for number, value in ((1, "120"), (2, "80")):
        _send(place, number, study=7, series="1.2.7.1", KVP=value)
    deletion = _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
    attributes.add("KVP")
    _work(attributes)
    assert (_find(place, Level.STUDY, (KVP, "80")), _find(place, Level.STUDY, (KVP, "120"))) == ([], ["1.2.7"])
    place.index.trash.restore("default", deletion.name, lambda *_: None)
    _work(attributes)
    assert _find(place, Level.STUDY, (KVP, "80")) == ["1.2.7"]


def test_who_reads_while_more_is_deleted_reads_again(
    place: Place, attributes: Attributes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes.add("KVP")
    for number, value in ((1, "120"), (2, "80"), (3, "90")):
        _send(place, number, study=7, series="1.2.7.1", KVP=value)
    _work(attributes)
    _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
    values = Attributes._values

    def meanwhile(self: Attributes, *given: Any) -> Any:
        monkeypatch.undo()
        _delete(place, "1.2.7", "1.2.7.1", "1.2.3.3")
        return values(self, *given)

    monkeypatch.setattr(Attributes, "_values", meanwhile)
    _work(attributes)
    found = [_find(place, Level.STUDY, (KVP, value)) for value in ("80", "90", "120")]
    assert found == [[], [], ["1.2.7"]]


def test_what_was_deleted_while_it_was_looked_at_leaves_no_value(
    place: Place, attributes: Attributes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attributes.add("KVP")
    for number, value in ((1, "120"), (2, "80")):
        _send(place, number, study=7, series="1.2.7.1", KVP=value)
    values = Attributes._values

    def meanwhile(self: Attributes, *given: Any) -> Any:
        monkeypatch.undo()
        _delete(place, "1.2.7", "1.2.7.1", "1.2.3.2")
        while (again := place.index.searchable.next_stale()) is not None:  # another process is quicker
            one, stale, instances = again
            place.index.searchable.renew(one, stale, [(each, values(self, one, each)) for each in instances])
        return values(self, *given)

    monkeypatch.setattr(Attributes, "_values", meanwhile)
    _work(attributes)
    assert (_find(place, Level.STUDY, (KVP, "80")), _find(place, Level.STUDY, (KVP, "120"))) == ([], ["1.2.7"])


def test_removed_is_ignored_at_once_and_dropped(place: Place, attributes: Attributes) -> None:
    attributes.add("KVP")
    _send(place, 1, KVP="120")
    _work(attributes)
    assert attributes.remove("KVP")
    query = Query(Level.STUDY, (Match((KVP,), ("120",)),))
    assert place.index.unsupported_keys(query) == {KVP}
    with pytest.raises(InvalidRequest, match="still being removed"):
        attributes.add("KVP")
    _work(attributes)
    assert attributes.progress() == []
    assert not attributes.remove("KVP")
    attributes.add("KVP")
    _work(attributes)
    assert _find(place, Level.STUDY, (KVP, "120")) == ["1.2.1"]


def test_work_that_was_cut_off_goes_on(place: Place, attributes: Attributes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacs.attributes._AT_ONCE", 2)
    for number in range(1, 6):
        _send(place, number, KVP="120")
    attributes.add("KVP")
    assert attributes.work_once()
    with monkeypatch.context() as broken:
        broken.setattr(Attributes, "_values", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            attributes.work_once()
    again = Attributes(place.index, place.store)
    assert [(one.done, one.of) for one in again.progress()] == [(2, 5)]
    _work(again)
    assert len(_find(place, Level.STUDY, (KVP, "120"))) == 5


def test_rows_that_an_open_transaction_may_still_fill_are_waited_for(
    place: Place, attributes: Attributes, url: str
) -> None:
    """On PostgreSQL a row has its number before it is committed; SQLite has one writer, and waits for nobody."""
    attributes.add("DateOfLastCalibration")
    engine = create_engine(url)
    is_postgresql = engine.dialect.name == "postgresql"
    with engine.connect() as other:
        if is_postgresql:
            other.execute(text("SELECT pg_current_xact_id()"))
        _send(place, 1, DateOfLastCalibration="20240101")
        while attributes.work_once():
            pass
        found = _find(place, Level.STUDY, (CALIBRATED, "20240101"))
        assert found == ([] if is_postgresql else ["1.2.1"])
    engine.dispose()
    _work(attributes)
    assert _find(place, Level.STUDY, (CALIBRATED, "20240101")) == ["1.2.1"]


def test_another_process_notices(
    place: Place, attributes: Attributes, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs.index.searchable._NOTICED_AFTER_S", 0.0)
    other = Index.open(url)
    query = Query(Level.STUDY, (Match((KVP,), ("120",)),))
    assert other.unsupported_keys(query) == {KVP}
    attributes.add("KVP")
    assert other.unsupported_keys(query) == frozenset()
    other.close()


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


def test_attributes_of_an_older_version_stay(place: Place, attributes: Attributes, url: str) -> None:
    """Names and private values were kept in another form, so they are read again."""
    for each in ("KVP", "ScheduledPerformingPhysicianName", PRIVATE):
        attributes.add(each)
    name = {"SpecificCharacterSet": "ISO_IR 192", "ScheduledPerformingPhysicianName": "Kim^A=金^甲"}
    _send(place, 1, KVP="120", private="1.5", vr="DS", **name)
    _work(attributes)
    engine = create_engine(url)
    with engine.begin() as connection:
        old = "id, tag, private_creator, level, done_until, is_removed"
        connection.execute(text(f"CREATE TABLE former AS SELECT {old} FROM searchable_attributes"))
        connection.execute(text("DROP TABLE searchable_attributes"))
        connection.execute(text("ALTER TABLE former RENAME TO searchable_attributes"))
        connection.execute(text("UPDATE attribute_values SET value = 'former' || value WHERE attribute > 1"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0011'"))
    engine.dispose()
    place.index.migrate()
    assert [one.done for one in attributes.progress()] == [1, 0, 0]
    assert attributes.add("DateOfLastCalibration"), "with a number of its own"
    _work(attributes)
    assert _find(place, Level.STUDY, (KVP, "120")) == ["1.2.1"]
    assert _find(place, Level.STUDY, (NURSE, "kim^a=金^甲")) == ["1.2.1"]
    assert _find(place, Level.STUDY, (0x00431010, "1.50")) == ["1.2.1"]
    assert _find(place, Level.STUDY, (NURSE, "former*")) == []

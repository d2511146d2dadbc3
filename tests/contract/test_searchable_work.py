"""The work of looking instances through for searchable attributes: cut off, beside others, removed, migrated."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from pacs.attributes import Attributes
from pacs.errors import InvalidRequest
from pacs.index import Index
from pacs.model import Level, Match, Query
from tests.contract.searchable_attributes import (
    CALIBRATED,
    KVP,
    NURSE,
    PRIVATE,
    find,
    send,
    work,
)
from tests.ingest.small_archive import Place


def test_removed_is_ignored_at_once_and_dropped(place: Place, attributes: Attributes) -> None:
    attributes.add("KVP")
    send(place, 1, KVP="120")
    work(attributes)
    assert attributes.remove("KVP")
    query = Query(Level.STUDY, (Match((KVP,), ("120",)),))
    assert place.index.unsupported_keys(query) == {KVP}
    with pytest.raises(InvalidRequest, match="still being removed"):
        attributes.add("KVP")
    work(attributes)
    assert attributes.progress() == []
    assert not attributes.remove("KVP")
    attributes.add("KVP")
    work(attributes)
    assert find(place, Level.STUDY, (KVP, "120")) == ["1.2.1"]


def test_work_that_was_cut_off_goes_on(place: Place, attributes: Attributes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacs.attributes._AT_ONCE", 2)
    for number in range(1, 6):
        send(place, number, KVP="120")
    attributes.add("KVP")
    assert attributes.work_once()
    with monkeypatch.context() as broken:
        broken.setattr(Attributes, "_values", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            attributes.work_once()
    again = Attributes(place.index, place.store)
    assert [(one.done, one.of) for one in again.progress()] == [(2, 5)]
    work(again)
    assert len(find(place, Level.STUDY, (KVP, "120"))) == 5


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
        send(place, 1, DateOfLastCalibration="20240101")
        while attributes.work_once():
            pass
        found = find(place, Level.STUDY, (CALIBRATED, "20240101"))
        assert found == ([] if is_postgresql else ["1.2.1"])
    engine.dispose()
    work(attributes)
    assert find(place, Level.STUDY, (CALIBRATED, "20240101")) == ["1.2.1"]


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


def test_attributes_of_an_older_version_stay(place: Place, attributes: Attributes, url: str) -> None:
    """Names and private values were kept in another form, so they are read again."""
    for each in ("KVP", "ScheduledPerformingPhysicianName", PRIVATE):
        attributes.add(each)
    name = {"SpecificCharacterSet": "ISO_IR 192", "ScheduledPerformingPhysicianName": "Kim^A=金^甲"}
    send(place, 1, KVP="120", private="1.5", vr="DS", **name)
    work(attributes)
    engine = create_engine(url)
    with engine.begin() as connection:
        old = "id, tag, private_creator, level, done_until, is_removed"
        connection.execute(text(f"CREATE TABLE former AS SELECT {old} FROM searchable_attributes"))
        connection.execute(text("DROP TABLE searchable_attributes"))
        connection.execute(text("ALTER TABLE former RENAME TO searchable_attributes"))
        connection.execute(text("UPDATE attribute_values SET value = 'former' || value WHERE attribute > 1"))
        connection.execute(text("DROP TABLE study_modalities"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0011'"))
    engine.dispose()
    place.index.migrate()
    assert [one.done for one in attributes.progress()] == [1, 0, 0]
    assert attributes.add("DateOfLastCalibration"), "with a number of its own"
    work(attributes)
    assert find(place, Level.STUDY, (KVP, "120")) == ["1.2.1"]
    assert find(place, Level.STUDY, (NURSE, "kim^a=金^甲")) == ["1.2.1"]
    assert find(place, Level.STUDY, (0x00431010, "1.50")) == ["1.2.1"]
    assert find(place, Level.STUDY, (NURSE, "former*")) == []

"""Out of sight, back as it was, or gone: what is deleted, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import bindparam, event, insert, update

from pacs.errors import IndexUnavailable, NotFound, Retained
from pacs.index import Index
from pacs.index.deletion_rows import columns_of
from pacs.index.tables import deletions, instances
from pacs.index.trash_hospital import trash_of
from pacs.model import DeletionState, Level, NewInstance, Query, Succession
from tests.contract.deleted import Notes, deletion, filled, rows_of, seen, study
from tests.index.new_instances import new_instance

CASES = [
    ("the only study of a patient", "1.3", None, None),
    ("one study of several", "1.1", None, None),
    ("a series", "1.1", "1.1.2", None),
    ("an instance", "1.1", "1.1.1", "1.1.1.2"),
    ("the only instance of a study", "1.4", "1.4.1", "1.4.1.1"),
    ("the only instance of a series", "1.5", "1.5.2", "1.5.2.1"),
]


@pytest.mark.parametrize(("_what", "study_uid", "series_uid", "sop"), CASES, ids=[case[0] for case in CASES])
def test_it_is_gone_from_all_answers_and_back_as_it_was(
    index: Index, notes: Notes, _what: str, study_uid: str, series_uid: str | None, sop: str | None
) -> None:
    filled(index)
    before, rows = seen(index), rows_of(index)
    done = index.trash.put(deletion(study_uid, series_uid, sop), notes)
    after = seen(index)
    assert after != before
    left = [one for one in (row.key for row in before["rows"]) if not _is_below(one, study_uid, series_uid, sop)]
    assert [row.key for row in after["rows"]] == left
    assert done.instances == len(before["rows"]) - len(left)
    assert notes.last[done.name][0] == done and len(notes.last[done.name][1]) == done.instances
    assert index.series_to_settle(-1.0) == [one for one in index.series_to_settle(-1.0) if one.hospital == "default"]
    held = index.trash.holding("default", study_uid, series_uid, sop)
    assert held is not None and held.name == done.name
    assert index.trash.holding("other", study_uid, series_uid, sop) is None
    count, now = index.trash.restore("default", done.name, notes)
    assert (count, now.state, now.instances) == (done.instances, DeletionState.RESTORED, 0)
    assert seen(index) == before
    assert rows_of(index) == rows
    assert index.trash.holding("default", study_uid, series_uid, sop) is None


def _is_below(key: Any, study_uid: str, series_uid: str | None, sop: str | None) -> bool:
    return (
        key.study_instance_uid == study_uid
        and series_uid in (None, key.series_instance_uid)
        and sop in (None, key.sop_instance_uid)
    )


def test_a_part_of_it_comes_back(index: Index, notes: Notes) -> None:
    filled(index)
    before = seen(index)
    done = index.trash.put(deletion("1.1"), notes)
    count, now = index.trash.restore("default", done.name, notes, series_uid="1.1.2", sop="1.1.2.1")
    assert (count, now.state, now.instances) == (1, DeletionState.IN_TRASH, 5)
    assert [row.key.sop_instance_uid for row in index.instances("default", study_instance_uid="1.1")] == ["1.1.2.1"]
    assert "1.1.2.1" not in {place.sop_instance_uid for place in notes.last[done.name][1]}
    assert index.trash.holding("default", "1.1", "1.1.2", "1.1.2.2") is not None
    assert index.trash.holding("default", "1.1", "1.1.2", "1.1.2.1") is None
    count, now = index.trash.restore("default", done.name, notes, series_uid="1.1.1")
    assert (count, now.instances) == (3, 2)
    with pytest.raises(NotFound):
        index.trash.restore("default", done.name, notes, series_uid="1.1.1")
    index.trash.restore("default", done.name, notes)
    assert seen(index) == before
    with pytest.raises(Retained):
        index.trash.restore("default", done.name, notes)


def test_sent_again_it_is_stored_anew_and_stays(index: Index, notes: Notes) -> None:
    index.add(study(1))
    done = index.trash.put(deletion("1.1"), notes)
    again = replace(study(1)[0], digest="ff" * 32, location=replace(study(1)[0].location, segment="later"))
    assert [result.added for result in index.add([again])] == [True]
    assert index.existing("default", again.key.sop_instance_uid).digest == "ff" * 32
    count, now = index.trash.restore("default", done.name, notes)
    assert (count, now.state, now.instances) == (5, DeletionState.IN_TRASH, 1)
    rows = index.instances("default", study_instance_uid="1.1")
    assert len(rows) == 6 and rows[0].digest == "ff" * 32
    assert index.contents.series("default", "1.1")[0].instances == 3
    # Twice in the trash: each by itself.
    second = index.trash.put(deletion("1.1", "1.1.1", again.key.sop_instance_uid), notes)
    count, _ = index.trash.restore("default", done.name, notes)
    assert count == 1 and index.existing("default", again.key.sop_instance_uid).digest == study(1)[0].digest
    assert index.trash.one("default", second.name).instances == 1


def test_a_study_that_came_anew_takes_the_old_one_in(index: Index, notes: Notes) -> None:
    index.add([*study(1), *study(2)])
    first = index.trash.put(deletion("1.1", "1.1.1", "1.1.1.1"), notes)
    second = index.trash.put(deletion("1.1", "1.1.1"), notes)
    third = index.trash.put(deletion("1.1"), notes)
    other = index.trash.put(deletion("1.2"), notes)
    index.add([new_instance("1.1", "1.1.1", "1.1.1.9", segment="later")])
    for done in (first, second, third):
        index.trash.restore("default", done.name, notes)
    assert len(index.instances("default", study_instance_uid="1.1")) == 7
    (answer,) = index.search("default", Query(Level.STUDY, include=None))
    assert (answer["00201206"]["Value"], answer["00201208"]["Value"]) == ([2], [7])
    assert sorted(answer["00080061"]["Value"]) == ["CT", "MR"]
    assert rows_of(index)["series"] == 4 and rows_of(index)["studies"] == 2
    index.trash.restore("default", other.name, notes)  # the patient, too, had come anew
    assert rows_of(index)["patients"] == 1 and index.holdings("default").instances == 13


def test_versions_go_and_come_with_their_instance(index: Index, notes: Notes) -> None:
    first = new_instance(segment="one")
    index.add([first])
    newer = replace(
        new_instance(segment="two", content="x"),
        succession=Succession((first.digest,)),
        received_at_us=2_000_000_000_000_000,
    )
    index.add([newer])
    before = seen(index)
    assert len(before["versions"][0]) == 1
    done = index.trash.put(deletion("1.1"), notes)
    assert {place.segment for place in notes.last[done.name][1]} == {"one", "two"}
    assert index.versions("default", first.key.sop_instance_uid) == []
    assert not index.is_version_kept("default", first.key.sop_instance_uid, first.digest, first.transfer_syntax_uid)
    index.trash.restore("default", done.name, notes)
    assert seen(index) == before
    done = index.trash.put(deletion("1.1"), notes)
    index.trash.begin_erasing(done, notes)
    index.trash.erased(done)
    assert rows_of(index) == dict.fromkeys(rows_of(index), 0)


def _deleted_one_by_one(index: Index, count: int) -> list[NewInstance]:
    """Instances of one series, each in the trash by a deletion of its own; the rows as `Trash.put` makes them."""
    kept = study(7, series=1, images=count)
    index.add(kept)
    made = [deletion("1.7", "1.7.1", one.key.sop_instance_uid) for one in kept]
    with index._engine.begin() as connection:
        connection.execute(insert(deletions), [{**columns_of(one), "instances": 1, "words": ""} for one in made])
        connection.execute(
            update(instances)
            .where(instances.c.sop_instance_uid == bindparam("uid"))
            .values(hospital=bindparam("trash")),
            [{"uid": one.sop_instance_uid, "trash": trash_of(one.name, "default")} for one in made],
        )
    return kept


def test_what_is_asked_of_the_trash_does_not_grow_with_it(index: Index) -> None:
    """One statement each: a viewer that asks for every image of a series may meet thousands of deletions."""
    few, many = 20, 2000
    kept = _deleted_one_by_one(index, many)
    asked: list[str] = []
    event.listen(index._engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    for one in kept[:: many // few]:
        key = one.key
        found = index.trash.holding("default", "1.7", "1.7.1", key.sop_instance_uid)
        assert found is not None and found.sop_instance_uid == key.sop_instance_uid
        assert index.trash.holding("default", "1.7", "1.7.2", key.sop_instance_uid) is None
        assert index.trash.holding("default", "1.7", "1.7.1", "9.9") is None
        assert index.trash.erased_with("default", "1.7", "1.7.1", key.sop_instance_uid) is None
    selects = [statement for statement in asked if statement.startswith("SELECT")]
    assert len(selects) == 4 * few


def test_what_cannot_be_noted_was_not_deleted(index: Index) -> None:
    filled(index)
    before = seen(index)

    def full(*_: object) -> None:
        raise IndexUnavailable("no room")

    def stay(_: datetime) -> None:
        raise Retained("too young")

    with pytest.raises(IndexUnavailable):
        index.trash.put(deletion("1.1"), full)
    with pytest.raises(Retained):
        index.trash.put(deletion("1.1"), Notes(), stay)
    with pytest.raises(NotFound):
        index.trash.put(deletion("1.1", "1.2.1"), Notes())
    with pytest.raises(NotFound):
        index.trash.put(deletion("1.1", hospital="other"), Notes())
    assert seen(index) == before and index.trash.all(None) == []

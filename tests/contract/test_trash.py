"""Out of sight, back as it was, or gone: what is deleted, on both databases."""

from __future__ import annotations

import os
import random
import secrets
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import bindparam, event, insert, select, text, update

from pacs.errors import IndexUnavailable, NotFound, Retained
from pacs.index import Index
from pacs.index.engine import open_engine
from pacs.index.tables import deletions, instances, metadata, study_days, study_months
from pacs.index.trash import _columns
from pacs.index.trash_hospital import trash_of
from pacs.index.trash_rows import Place
from pacs.model import Deletion, DeletionState, Level, Match, NewInstance, Query, Succession
from tests.contract.conftest import NewUrl
from tests.index.new_instances import CT, MR, attributes, name, new_instance

NAME = 0x00100010
EACH = 300 if os.environ.get("PACS_SOAK") else 20
"""Instances of each thread that stores while others delete."""


def deletion(study: str, series: str | None = None, sop: str | None = None, **values: Any) -> Deletion:
    at = datetime.now(UTC)
    made = Deletion(secrets.token_hex(16), "default", study, series, sop, "wrong patient", "me", "here", at, at)
    return replace(made, **({"erase_at": at + timedelta(days=30)} | values))


class Notes:
    """What was told before commits, as the store would keep it."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[Deletion, list[Place]]] = {}

    def __call__(self, told: Deletion, places: Sequence[Place]) -> None:
        self.last[told.name] = (told, list(places))


@pytest.fixture
def notes() -> Notes:
    return Notes()


def study(
    number: int, *, series: int = 2, images: int = 3, patient: str = "P1", date: str = "20240131"
) -> list[NewInstance]:
    return [
        new_instance(
            f"1.{number}",
            f"1.{number}.{s}",
            f"1.{number}.{s}.{i}",
            sop_class=CT if s % 2 else MR,
            segment=f"segment{number}",
            offset=1000 * (10 * s + i),
            length=900,
            in_patient=attributes(PatientID=patient, PatientName=name(f"Kim^{patient}")),
            in_study=attributes(StudyDate=date, AccessionNumber=f"A{number}"),
            in_series=attributes(Modality="CT" if s % 2 else "MR", SeriesNumber=s),
            in_instance=attributes(InstanceNumber=i),
        )
        for s in range(1, series + 1)
        for i in range(1, images + 1)
    ]


def seen(index: Index, *, exact: bool = True) -> dict[str, Any]:
    """All that anybody of the hospital can see of it, by every way of asking."""

    def found(level: Level, *matches: Match, **more: Any) -> list[Any]:
        return list(index.search("default", Query(level, matches, **more)))

    answers: dict[str, Any] = {level: found(level) for level in Level}
    answers["by part of a name"] = found(Level.STUDY, Match((NAME,), ("*im*",)))
    answers["by part of a patient's name"] = found(Level.PATIENT, Match((NAME,), ("*im*",)))
    answers["by modality"] = found(Level.STUDY, Match((0x00080061,), ("MR",)))
    answers["by SOP class"] = found(Level.STUDY, Match((0x00080062,), (MR,)))
    answers["by a lower key"] = found(Level.STUDY, Match((0x00080060,), ("MR",)))
    holdings = index.holdings("default")
    everywhere = index.holdings()
    answers["holdings"] = [replace(each, last_stored_at=None, segments=0) for each in (holdings, everywhere)]
    instances = index.instances(
        "default", study_instance_uid=[answer["0020000D"]["Value"][0] for answer in answers[Level.STUDY]] or "0"
    )
    answers["rows"] = [replace(row, stored_at=None) for row in instances] if not exact else instances
    answers["contents"] = [
        (
            row.series_instance_uid,
            row.instances,
            row.stored_bytes,
            index.contents.instances("default", row.row).instances,
        )
        for answer in answers[Level.STUDY]
        for row in index.contents.series("default", answer["0020000D"]["Value"][0])
    ]
    answers["versions"] = [index.versions("default", row.key.sop_instance_uid) for row in instances] if exact else []
    with index._engine.connect() as connection:
        for table in (study_days, study_months):
            rows = connection.execute(select(table).where(table.c.hospital == "default", table.c.studies != 0))
            answers[table.name] = sorted(map(tuple, rows))
    if not exact:
        answers[Level.STUDY] = [unordered(answer) for answer in answers[Level.STUDY]]
        for way in ("by part of a name", "by modality", "by SOP class", "by a lower key", Level.SERIES, Level.IMAGE):
            answers[way] = [unordered(answer) for answer in answers[way]]
    return answers


def unordered(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        tag: {**value, "Value": sorted(value["Value"])} if tag in ("00080061", "00080062") else value
        for tag, value in answer.items()
    }


def rows_of(index: Index) -> dict[str, int]:
    """How many rows each table has."""
    with index._engine.connect() as connection:
        counts = {}
        for table in ("patients", "studies", "series", "instances", "versions", "attribute_values"):
            counts[table] = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
        return counts


CASES = [
    ("the only study of a patient", "1.3", None, None),
    ("one study of several", "1.1", None, None),
    ("a series", "1.1", "1.1.2", None),
    ("an instance", "1.1", "1.1.1", "1.1.1.2"),
    ("the only instance of a study", "1.4", "1.4.1", "1.4.1.1"),
    ("the only instance of a series", "1.5", "1.5.2", "1.5.2.1"),
]


def filled(index: Index) -> None:
    index.add(
        [*study(1), *study(2, date="20240201"), *study(3, patient="P3"), *study(4, series=1, images=1, patient="P4")]
    )
    # Modalities and SOP classes in another order than any rule would give them.
    index.add(list(study(5, images=1, date=""))[::-1][:1])
    index.add(study(5, images=1, date=""))


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


def test_what_is_left_is_as_if_the_rest_had_never_come(new_url: NewUrl, notes: Notes) -> None:
    """Random deletions, restorings and late arrivals, beside an index to which only the rest was sent."""
    chance = random.Random(14)
    everything = [
        one for number in range(1, 6) for one in study(number, patient=f"P{number % 2}", date=f"2024010{number}")
    ]
    for _ in range(2):
        with closing(Index.open(new_url())) as index, closing(Index.open(new_url())) as other:
            index.migrate()
            other.migrate()
            index.add(everything)
            deleted: list[str] = []
            for _ in range(12):
                one = chance.choice(everything).key
                depth = chance.randrange(4)
                if depth < 3:
                    asked = deletion(
                        one.study_instance_uid,
                        one.series_instance_uid if depth > 0 else None,
                        one.sop_instance_uid if depth > 1 else None,
                    )
                    with suppress(NotFound):
                        deleted.append(index.trash.put(asked, notes).name)
                elif deleted:
                    chosen = chance.choice(deleted)
                    deleted.remove(chosen)
                    index.trash.restore("default", chosen, notes)
            live = {
                row.key
                for number in range(1, 6)
                for row in index.instances("default", study_instance_uid=f"1.{number}")
            }
            if live:
                other.add([one for one in everything if one.key in live])
            assert _without_rows(seen(index, exact=False)) == _without_rows(seen(other, exact=False))
            # All of it comes back in any order, and nothing else is left behind.
            for chosen in chance.sample(deleted, len(deleted)):
                index.trash.restore("default", chosen, notes)
            assert len(live) + sum(1 for one in everything if one.key not in live) == rows_of(index)["instances"]
            assert rows_of(index)["patients"] == 2 and rows_of(index)["studies"] == 5 and rows_of(index)["series"] == 10


def _without_rows(answers: dict[str, Any]) -> dict[str, Any]:
    """Patients, and what is not asked for by study, stand in the order in which they came, which differs."""
    return {way: sorted(map(str, answer)) for way, answer in answers.items()}


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


def test_erased_it_leaves_no_row_and_no_gram(index: Index, notes: Notes) -> None:
    filled(index)
    index.trash.put(deletion("1.2"), notes)
    whole = rows_of(index)
    done = index.trash.put(deletion("1.3"), notes)
    part = index.trash.put(deletion("1.1", "1.1.1", "1.1.1.1"), notes)
    before = seen(index)
    for one in (done, part):
        begun = index.trash.begin_erasing(one, notes)
        assert begun is not None and begun.state is DeletionState.ERASING
        with pytest.raises(Retained):
            index.trash.restore("default", one.name, notes)
        index.trash.erased(begun)
        with pytest.raises(Retained):
            index.trash.restore("default", one.name, notes)
    assert seen(index) == before
    now = rows_of(index)
    assert now["instances"] == whole["instances"] - 7 and now["studies"] == whole["studies"] - 1
    assert now["patients"] == whole["patients"] - 1
    engine = open_engine(index._engine.url.render_as_string(hide_password=False))
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            assert connection.execute(text("SELECT count(*) FROM study_grams")).scalar() == now["studies"]
        else:
            connection.execute(text("INSERT INTO study_grams(study_grams) VALUES ('integrity-check')"))
    engine.dispose()
    assert [one.state for one in index.trash.all("default", states=list(DeletionState))].count(
        DeletionState.ERASED
    ) == 2
    # The same study sent again is new, also where its row's number is used again.
    index.add(study(3, patient="P3"))
    assert len(index.instances("default", study_instance_uid="1.3")) == 6


def _deleted_one_by_one(index: Index, count: int) -> list[NewInstance]:
    """Instances of one series, each in the trash by a deletion of its own; the rows as `Trash.put` makes them."""
    kept = study(7, series=1, images=count)
    index.add(kept)
    made = [deletion("1.7", "1.7.1", one.key.sop_instance_uid) for one in kept]
    with index._engine.begin() as connection:
        connection.execute(insert(deletions), [{**_columns(one), "instances": 1, "words": ""} for one in made])
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


def test_only_what_is_due_is_erased(index: Index, notes: Notes) -> None:
    filled(index)
    now = datetime.now(UTC)
    late = index.trash.put(deletion("1.1", erase_at=now + timedelta(days=2)), notes)
    soon = index.trash.put(deletion("1.2", erase_at=now + timedelta(days=1)), notes)
    assert index.trash.due(now) is None
    assert index.trash.due(now + timedelta(days=3)).name == soon.name
    hastened = index.trash.hasten("default", late.name, now, notes)
    assert hastened.erase_at <= now and notes.last[late.name][0] == hastened
    assert index.trash.due(now).name == late.name
    index.trash.begin_erasing(soon, notes)
    assert index.trash.due(now).name == soon.name  # what was begun comes first
    index.trash.erased(soon)
    assert index.trash.begin_erasing(soon, notes) is None
    with pytest.raises(Retained):
        index.trash.hasten("default", soon.name, now, notes)


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


@pytest.mark.parametrize("last", list(DeletionState))
def test_the_index_follows_the_notes(index: Index, notes: Notes, last: DeletionState) -> None:
    """Whatever it knew: nothing of the deletion, that it is in the trash, or that it was restored."""
    for number, knows in enumerate(("nothing", "in-trash", "restored", "part"), start=1):
        index.add(study(number))
        whole = seen(index)
        done = index.trash.put(deletion(f"1.{number}", f"1.{number}.1"), notes)
        places, without = notes.last[done.name][1], seen(index)
        if knows in ("nothing", "restored"):
            index.trash.restore("default", done.name, notes)
        elif knows == "part":
            index.trash.restore("default", done.name, notes, sop=f"1.{number}.1.2")
        if knows == "nothing":
            with index._engine.begin() as connection:
                connection.execute(metadata.tables["deletions"].delete())
        is_there = knows in ("nothing", "restored")
        for _ in range(2):  # again is the same
            index.trash.adopt(replace(done, state=last), places)
            assert index.trash.one("default", done.name).state is last
            if last is DeletionState.RESTORED or (last is DeletionState.ERASED and is_there):
                assert seen(index) == whole
            elif not (last is DeletionState.ERASED and knows == "part"):
                assert seen(index) == without


def test_two_who_delete_the_same(index: Index, notes: Notes) -> None:
    index.add([*study(1), *study(2)])
    outcomes: list[str] = []

    def work() -> None:
        try:
            index.trash.put(deletion("1.1"), notes)
            outcomes.append("deleted")
        except NotFound:
            outcomes.append("not found")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["deleted", "not found", "not found", "not found"]
    assert index.holdings("default").instances == 6


def test_arrivals_while_it_is_deleted_restored_and_erased(index: Index, notes: Notes) -> None:
    """Every instance that was added and not deleted since is found, and all counters are those of the rows."""
    stopped = threading.Event()
    problems: list[BaseException] = []
    added: list[str] = []

    def arrive(number: int) -> None:
        try:
            for i in range(EACH):
                one = new_instance(
                    "1.1",
                    f"1.1.{i % 3}",
                    f"1.1.{number}.{i}",
                    segment=f"s{number}",
                    offset=1000 * i,
                    in_series=attributes(Modality="CT"),
                )
                (result,) = index.add([one])
                assert result.added
                added.append(one.key.sop_instance_uid)
        except BaseException as problem:  # noqa: BLE001 -- told by the test
            problems.append(problem)

    def change() -> None:
        chance = random.Random(1)
        try:
            while not stopped.is_set():
                names = [one.name for one in index.trash.all("default", states=[DeletionState.IN_TRASH])]
                try:
                    if names and chance.random() < 0.5:
                        index.trash.restore("default", chance.choice(names), notes)
                    else:
                        index.trash.put(
                            deletion("1.1", f"1.1.{chance.randrange(3)}" if chance.random() < 0.5 else None), notes
                        )
                except (NotFound, Retained):
                    pass
        except BaseException as problem:  # noqa: BLE001
            problems.append(problem)

    arriving = [threading.Thread(target=arrive, args=(number,)) for number in range(3)]
    changing = [threading.Thread(target=change) for _ in range(2)]
    for thread in (*arriving, *changing):
        thread.start()
    for thread in arriving:
        thread.join()
    stopped.set()
    for thread in changing:
        thread.join()
    assert problems == []
    for one in index.trash.all("default", states=[DeletionState.IN_TRASH]):
        index.trash.restore("default", one.name, notes)
    rows = index.instances("default", study_instance_uid="1.1")
    assert sorted(row.key.sop_instance_uid for row in rows) == sorted(added) and len(added) == 3 * EACH
    (answer,) = index.search("default", Query(Level.STUDY))
    assert (answer["00201206"]["Value"], answer["00201208"]["Value"]) == ([3], [3 * EACH])
    assert sum(row.instances for row in index.contents.series("default", "1.1")) == 3 * EACH
    (patient,) = index.search("default", Query(Level.PATIENT))
    assert [patient[tag]["Value"] for tag in ("00201200", "00201202", "00201204")] == [[1], [3], [3 * EACH]]
    assert rows_of(index)["studies"] == rows_of(index)["patients"] == 1 and rows_of(index)["series"] == 3
    with index._engine.connect() as connection:
        assert [row.studies for row in connection.execute(select(study_days))] == [1]

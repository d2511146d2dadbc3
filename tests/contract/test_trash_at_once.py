"""Deletions in any order, late arrivals, and several who delete, restore and store at once."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from sqlalchemy import select

from pacs.errors import IndexUnavailable, NotFound, Retained
from pacs.index import Index
from pacs.index.tables import study_days
from pacs.model import DeletionState, Level, NewInstance, Query
from tests.contract.conftest import NewUrl
from tests.contract.deleted import Notes, deletion, rows_of, seen, study
from tests.index.new_instances import attributes, new_instance

EACH = 300 if os.environ.get("PACS_SOAK") else 20
"""Instances of each thread that stores while others delete."""


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


def _run(arriving: list[threading.Thread], changing: list[threading.Thread], stopped: threading.Event) -> None:
    """All at once; who changes goes on until all have arrived."""
    for thread in (*arriving, *changing):
        thread.start()
    for thread in arriving:
        thread.join()
    stopped.set()
    for thread in changing:
        thread.join()


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


def test_arrivals_while_it_is_deleted_restored_and_erased(
    index: Index, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    """Every instance that was added and not deleted since is found, all counters are those of the rows, and none waits
    for another in a circle, which the database ends after a second by refusing one."""
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
    _run(arriving, changing, stopped)
    assert problems == []
    assert [record.getMessage() for record in caplog.records if "refused" in record.getMessage()] == []
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


def test_several_studies_of_a_patient_at_once(index: Index, caplog: pytest.LogCaptureFixture) -> None:
    """Batches with images of several studies, while these are deleted, restored and erased: nobody is refused."""
    stopped = threading.Event()
    problems: list[BaseException] = []

    def images(chance: random.Random, thread: int, number: int) -> Iterator[NewInstance]:
        for at in range(chance.randrange(1, 6)):
            study, series = chance.randrange(4), chance.randrange(3)
            yield new_instance(
                f"1.{study}",
                f"1.{study}.{series}",
                f"2.{thread}.{number}.{at}",
                segment=f"s{thread}",
                offset=1000 * (10 * number + at),
                in_patient=attributes(PatientID=f"P{study % 2}"),
                in_study=attributes(StudyDate=f"2024010{study % 2 + 1}"),
                in_series=attributes(Modality=chance.choice(("CT", "MR"))),
            )

    def arrive(thread: int) -> None:
        chance = random.Random(thread)
        try:
            for number in range(EACH):
                assert all(result.added for result in index.add(list(images(chance, thread, number))))
        except BaseException as problem:  # noqa: BLE001 -- told by the test
            problems.append(problem)

    def change(thread: int) -> None:
        chance, notes = random.Random(thread), Notes()
        while not stopped.is_set():
            with suppress(NotFound, Retained):
                try:
                    there = index.trash.all("default", states=[DeletionState.IN_TRASH])
                    what = chance.random()
                    if there and what < 0.4:
                        index.trash.restore("default", chance.choice(there).name, notes)
                    elif there and what < 0.5:
                        begun = index.trash.begin_erasing(chance.choice(there), notes)
                        if begun is not None:
                            index.trash.erased(begun)
                    else:
                        study, series = chance.randrange(4), chance.randrange(3)
                        wanted = f"1.{study}.{series}" if chance.random() < 0.5 else None
                        index.trash.put(deletion(f"1.{study}", wanted), notes)
                except IndexUnavailable as problem:
                    problems.append(problem)

    arriving = [threading.Thread(target=arrive, args=(number,)) for number in range(3)]
    changing = [threading.Thread(target=change, args=(number,)) for number in range(3)]
    _run(arriving, changing, stopped)
    assert problems == []
    assert [record.getMessage() for record in caplog.records if "refused" in record.getMessage()] == []
    for number in range(4):
        rows = index.instances("default", study_instance_uid=f"1.{number}")
        assert sum(row.instances for row in index.contents.series("default", f"1.{number}")) == len(rows)

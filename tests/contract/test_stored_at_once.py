"""Several who store at once, beside who deletes, and who keeps values: nobody waits for another in a circle, which the
database would end after a second by refusing one, and nothing is lost."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, func, select, text, update

from pacs.index import Index, gram_tables, study_locks, study_modalities
from pacs.index.engine import writing
from pacs.index.kept_connections import KeptConnections
from pacs.index.tables import attribute_values, patients
from pacs.index.trash_rows import Place
from pacs.model import Deletion, InstanceKey, Level, NewInstance, Succession
from tests.contract.conftest import NewUrl
from tests.contract.deleted import Notes, deletion, study
from tests.index.new_instances import attributes, new_instance

EACH = 400 if os.environ.get("PACS_SOAK") else 25
"""Batches of each thread that stores."""
_ROWS = 0x00280010
_SHORT_S = 0.5
"""Longer than anything here takes that waits for nobody."""
_ON_POSTGRESQL = pytest.mark.parametrize(
    "new_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


class Together:
    """Runs several at once and tells what any of them raised."""

    def __init__(self) -> None:
        self.problems: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[..., Any], *arguments: Any) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as problem:  # noqa: BLE001 -- told by the test
                self.problems.append(problem)

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()
        return thread

    def end(self) -> None:
        for thread in self._threads:
            thread.join(60)
        assert self.problems == [] and not any(thread.is_alive() for thread in self._threads)


@pytest.fixture
def others(url: str, index: Index) -> Iterator[list[Index]]:
    """The same index, as three other processes would open it."""
    opened = [Index.open(url) for _ in range(3)]
    yield opened
    for one in opened:
        one.close()


@contextmanager
def nobody_refused(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if "refused" in record.getMessage()] == []


def _meeting(monkeypatch: pytest.MonkeyPatch, level: Level) -> None:
    """The first two who make a row of this level wait for each other, if they can, before they go on."""
    barrier, write = threading.Barrier(2), gram_tables.write

    def write_and_meet(driver: Any, of: Level, hospital: str, rows: Sequence[Any]) -> None:
        write(driver, of, hospital, rows)
        if of is level:
            with suppress(threading.BrokenBarrierError):
                barrier.wait(_SHORT_S)

    monkeypatch.setattr(gram_tables, "write", write_and_meet)


def _of_patient(study_uid: str, patient: str, sop: str) -> NewInstance:
    return new_instance(study_uid, f"{study_uid}.1", sop, in_patient=attributes(PatientID=patient))


def test_new_patients_in_another_order_than_their_studies(
    index: Index, others: list[Index], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _meeting(monkeypatch, Level.PATIENT)
    together = Together()
    with nobody_refused(caplog):
        together.start(others[0].add, [_of_patient("1.1", "P1", "3.1"), _of_patient("1.4", "P2", "3.4")])
        together.start(others[1].add, [_of_patient("1.2", "P2", "3.2"), _of_patient("1.3", "P1", "3.3")])
        together.end()
    assert index.holdings("default").instances == 4


def test_a_new_study_that_two_send_of_different_patients(
    index: Index, others: list[Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patient of whom the other was first is not left behind without a study."""
    _meeting(monkeypatch, Level.PATIENT)
    together = Together()
    together.start(others[0].add, [_of_patient("1.1", "P1", "3.1")])
    together.start(others[1].add, [_of_patient("1.1", "P2", "3.2")])
    together.end()
    with index._engine.connect() as connection:
        found = connection.execute(select(patients.c.studies, patients.c.instances)).all()
    assert [tuple(row) for row in found] == [(1, 2)]


class Pause:
    """Stops one thread behind its first call of a function."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        self._thread: threading.Thread | None = None
        self._is_there, self.go_on = threading.Event(), threading.Event()
        function = getattr(module, name)

        def stopping(*arguments: Any) -> Any:
            result = function(*arguments)
            if threading.current_thread() is self._thread:
                self._is_there.set()
                self.go_on.wait(10)
            return result

        monkeypatch.setattr(module, name, stopping)

    def start(self, together: Together, work: Callable[..., Any], *arguments: Any) -> None:
        """Returns when the work has come to the call."""

        def run() -> None:
            self._thread = threading.current_thread()
            work(*arguments)

        together.start(run)
        assert self._is_there.wait(10)


@_ON_POSTGRESQL
def test_a_patient_who_is_restored_while_he_is_sent_anew(
    index: Index, others: list[Index], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index.add([_of_patient("1.1", "P1", "3.1")])
    deleted = index.trash.put(deletion("1.1"), Notes())
    together, pause = Together(), Pause(monkeypatch, gram_tables, "write")
    with nobody_refused(caplog):
        pause.start(together, others[0].add, [_of_patient("1.2", "P1", "3.2")])
        together.start(others[1].trash.restore, "default", deleted.name, Notes()).join(_SHORT_S)
        pause.go_on.set()
        together.end()
    with index._engine.connect() as connection:
        found = connection.execute(select(patients.c.studies, patients.c.instances)).all()
    assert [tuple(row) for row in found] == [(2, 2)]


@_ON_POSTGRESQL
def test_values_of_rows_that_come_later_than_higher_ones(
    index: Index, others: list[Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who began first gets the higher row, and ends first: what the other has written is not looked past."""
    index.searchable.add((_ROWS,), "", Level.IMAGE)
    first = Pause(monkeypatch, gram_tables, "write")
    second = Pause(monkeypatch, study_modalities, "write")
    together = Together()
    first.start(together, others[0].add, [_of_patient("1.1", "P1", "3.1")])
    later = new_instance("1.2", "1.2.1", "3.2", segment="s2", offset=2000, in_patient=attributes(PatientID="P2"))
    second.start(together, others[1].add, [later])
    first.go_on.set()
    for _ in range(2000):
        if index.existing("default", "3.1") is not None:
            break
        threading.Event().wait(0.005)
    _keep_all(index)
    second.go_on.set()
    together.end()
    _keep_all(index)
    _keep_all(index)
    assert _rows_of_study(index, Level.IMAGE) == ["0", "2000"]


def _digest(sop: str, content: str) -> str:
    return hashlib.sha256(f"{sop}{content}".encode()).hexdigest()


def _arrivals(chance: random.Random, thread: int, number: int) -> list[NewInstance]:
    """Some new instances and some that replace one, of both hospitals and several studies in any order."""
    found = []
    for at in range(chance.randrange(1, 7)):
        in_study, in_series, content = chance.randrange(4), chance.randrange(2), str(chance.randrange(3))
        replaces = chance.random() < 0.4
        sop = f"3.{in_study}.{in_series}.{chance.randrange(5)}" if replaces else f"2.{thread}.{number}.{at}"
        new = new_instance(
            f"1.{in_study}",
            f"1.{in_study}.{in_series}",
            sop,
            hospital=chance.choice(("default", "other")),
            content=content,
            segment=f"s{chance.randrange(3)}",
            offset=1000 * (100 * (100 * number + thread) + at),
            in_patient=attributes(PatientID=f"P{3 - in_study % 3}"),
            in_study=attributes(StudyDate=f"2024010{in_study % 2 + 1}"),
        )
        if replaces:
            before = _digest(sop, str(chance.randrange(3)))
            succession = Succession((before,)) if before != new.digest else Succession(is_original=True)
            new = replace(new, succession=succession, received_at_us=1_700_000_000_000_000 + 1000 * number + thread)
        found.append(new)
    return found


_BYTES_OF_SERIES = text(
    "SELECT s.stored_bytes, s.instances, (SELECT count(*) FROM instances i WHERE i.series_row = s.id),"
    " (SELECT sum(i.length) FROM instances i WHERE i.series_row = s.id) + (SELECT coalesce(sum(v.length), 0) FROM"
    " versions v JOIN instances i ON i.hospital = v.hospital AND i.sop_instance_uid = v.sop_instance_uid WHERE"
    " i.series_row = s.id AND v.superseded_at_us > 0 AND v.segment_row IS NOT NULL) FROM series s"
)


def test_batches_in_which_some_replace_others(
    index: Index, others: list[Index], caplog: pytest.LogCaptureFixture
) -> None:
    def arrive(thread: int) -> None:
        chance = random.Random(thread)
        for number in range(EACH):
            others[thread].add(_arrivals(chance, thread, number))

    there = [
        replace(_of_patient(f"1.{each}", f"P{3 - each % 3}", ""), key=InstanceKey(hospital, f"1.{each}", series, sop))
        for hospital in ("default", "other")
        for each in range(4)
        for series in (f"1.{each}.0", f"1.{each}.1")
        for sop in (f"3{series[1:]}.{number}" for number in range(5))
    ]
    index.add(there)
    together = Together()
    with nobody_refused(caplog):
        for thread in range(3):
            together.start(arrive, thread)
        together.end()
    with index._engine.connect() as connection:
        for stored_bytes, instances, rows, of_rows in connection.execute(_BYTES_OF_SERIES):
            assert (stored_bytes, instances) == (of_rows, rows)


def _rows_of_study(index: Index, level: Level) -> list[str]:
    """The values of Rows that are kept."""
    wanted = select(attribute_values.c.value).where(
        attribute_values.c.attribute.in_(
            [one.id for one in index.searchable.all() if (one.tag, one.level) == (_ROWS, level)]
        )
    )
    with index._engine.connect() as connection:
        return sorted(connection.execute(wanted.where(attribute_values.c.hospital == "default")).scalars())


def _keep_all(index: Index) -> None:
    """As the background work does, with the place of an instance as its number of rows."""
    searchable = index.searchable
    while again := searchable.next_stale():
        one, stale, looked = again
        searchable.renew(one, stale, [(each, _made_up(each.location.offset)) for each in looked])
    while (behind := searchable.next_unlooked(100)) is not None and behind[1]:
        searchable.keep(behind[0], behind[1], [(each, _made_up(each.location.offset)) for each in behind[1]])


def _made_up(rows: int) -> dict[str, Any]:
    return {f"{_ROWS:08X}": {"vr": "US", "Value": [rows]}}


def test_an_attribute_that_is_made_searchable_while_a_series_is_deleted(index: Index, others: list[Index]) -> None:
    """Who keeps its values sees what is left, also of what leaves in that moment."""
    first, second = study(1, series=2, images=1)
    index.searchable.add((_ROWS + 1,), "", Level.STUDY)
    index.add([first])
    _keep_all(others[0])
    index.add([second])
    if index._engine.dialect.name == "postgresql":
        with writing(index._engine, "write") as connection:  # beside whom it looks which rows may still come
            connection.execute(update(patients).values(studies=patients.c.studies))
            with writing(index._engine, "write meanwhile") as other:
                other.execute(select(func.pg_current_xact_id()))
            others[0].searchable.next_unlooked(100)
    notes, together = Notes(), Together()

    def make_searchable() -> None:
        others[0].searchable.add((_ROWS,), "", Level.STUDY)
        _keep_all(others[0])

    def told(changed: Deletion, places: Sequence[Place]) -> None:
        notes(changed, places)
        together.start(make_searchable).join(_SHORT_S)

    index.trash.put(deletion("1.1", "1.1.1"), told)
    together.end()
    _keep_all(index)
    assert _rows_of_study(index, Level.STUDY) == ["21000"]


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_values_of_an_instance_that_was_replaced(index: Index, level: Level) -> None:
    """They go with the bytes that had them; until the new ones are read, searches say that they may miss something."""
    index.searchable.add((_ROWS,), "", level)
    first = new_instance(offset=1000)
    index.add([first, new_instance(sop="1.1.1.2", offset=2000)])
    _keep_all(index)
    assert _rows_of_study(index, level) == ["1000", "2000"]
    searchable = index.searchable.all()
    assert index.searchable.incomplete(searchable) == []
    second = new_instance(offset=3000, content="again")
    succession = Succession((first.digest,))
    assert index.add([replace(second, succession=succession, received_at_us=1 << 60)])[0].added
    assert index.searchable.incomplete(searchable) == searchable
    _keep_all(index)
    assert _rows_of_study(index, level) == ["2000", "3000"]
    assert index.searchable.incomplete(searchable) == []


@_ON_POSTGRESQL
def test_values_of_many_while_others_store_all_the_time(index: Index) -> None:
    """What nobody can still write below is known once: the rest of it needs no moment in which nobody stores."""
    index.searchable.add((_ROWS,), "", Level.IMAGE)
    index.add(study(1, images=5))
    number = select(func.pg_current_xact_id())
    with writing(index._engine, "write") as connection:
        connection.execute(number)
        with writing(index._engine, "write, too") as other:
            other.execute(number)
        assert index.searchable.next_unlooked(3) is None
    with writing(index._engine, "write") as connection:
        connection.execute(number)
        for done in range(0, 10, 2):
            found = index.searchable.next_unlooked(2)
            assert found is not None and [each.row for each in found[1]] == [done + 1, done + 2]
            index.searchable.keep(*found, [(each, {}) for each in found[1]])


def test_values_that_were_read_before_the_instance_was_replaced(index: Index) -> None:
    """Two do the background work: one has read the old bytes, then the other reads the new ones and writes first."""
    index.searchable.add((_ROWS,), "", Level.IMAGE)
    first = new_instance(offset=1000)
    index.add([first])
    behind = index.searchable.next_unlooked(100)
    assert behind is not None
    again = replace(new_instance(offset=3000, content="again"), succession=Succession((first.digest,)))
    index.add([replace(again, received_at_us=1 << 60)])
    stale = index.searchable.next_stale()
    assert stale is not None
    index.searchable.renew(stale[0], stale[1], [(each, _made_up(each.location.offset)) for each in stale[2]])
    index.searchable.keep(behind[0], behind[1], [(each, _made_up(each.location.offset)) for each in behind[1]])
    assert _rows_of_study(index, Level.IMAGE) == ["3000"]


def test_values_that_were_read_anew_before_the_instance_was_replaced_again(index: Index) -> None:
    """Two do the background work: the other has done it and there is more to do, when the first comes to write."""
    index.searchable.add((_ROWS,), "", Level.IMAGE)
    version = new_instance(offset=1000)
    index.add([version])
    _keep_all(index)

    def replace_it(offset: int) -> None:
        nonlocal version
        again = replace(new_instance(offset=offset, content=f"{offset}"), received_at_us=(1 << 60) + offset)
        index.add([replace(again, succession=Succession((version.digest,)))])
        version = again

    replace_it(2000)
    stale = index.searchable.next_stale()
    assert stale is not None
    _keep_all(index)
    replace_it(3000)
    index.searchable.renew(stale[0], stale[1], [(each, _made_up(each.location.offset)) for each in stale[2]])
    _keep_all(index)
    assert _rows_of_study(index, Level.IMAGE) == ["3000"]


@_ON_POSTGRESQL
def test_a_transaction_has_its_number_before_its_rows_have_theirs(index: Index) -> None:
    """Else a row could get its number, and who keeps values look past it, before anybody sees that somebody writes."""
    with closing(KeptConnections(index._engine, most=0)) as kept, kept.writing("look") as driver:
        number = select(func.pg_current_xact_id_if_assigned())
        assert driver.rows(number, {}) == [(None,)]
        study_locks.share(driver, [new_instance().key])
        assert driver.rows(number, {}) != [(None,)]


def test_restoring_many_images_takes_as_many_statements_as_of_few(index: Index) -> None:
    """Who stores in the study waits as long."""
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    def counted(work: Callable[..., Any], *arguments: Any) -> int:
        statements.clear()
        work(*arguments)
        return len(statements)

    def to_and_fro(number: int) -> list[int]:
        notes, first, second = Notes(), deletion(f"1.{number}"), deletion(f"1.{number}")
        return [
            counted(index.trash.put, first, notes),
            counted(index.trash.restore, "default", first.name, notes),
            counted(index.trash.put, second, notes),
            counted(index.trash.erased, second),
        ]

    event.listen(index._engine, "before_cursor_execute", count)
    index.add([*study(1, images=2), *study(2, images=200, patient="P2")])
    assert to_and_fro(2) == to_and_fro(1)


def test_many_studies_in_one_batch(new_url: NewUrl) -> None:
    with closing(Index.open(new_url())) as index:
        index.migrate()
        batch = [_of_patient(f"1.{number}", f"P{number % 100}", f"3.{number}") for number in range(256)]
        assert all(result.added for result in index.add(batch))
        assert index.holdings("default").instances == 256

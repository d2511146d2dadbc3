"""What was deleted and can be restored: rows out of everybody's sight, until they are dropped.

A transaction here is told to the notes beside the segments before it is committed. Those say what holds: after a crash,
or when the index is made anew, it is brought to what they say (`adopt`).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, exists, func, insert, select, tuple_, update

from pacs.errors import IndexUnavailable, NotFound, Retained
from pacs.index import read, study_locks, trash_rows
from pacs.index.deletion_rows import columns_of, deletion_of, microseconds
from pacs.index.engine import reading, writing
from pacs.index.row_values import moment
from pacs.index.tables import deletions, instances, segments, series, studies
from pacs.index.trash_hospital import trash_of, trash_of_each
from pacs.index.trash_rows import InstanceRow, Place
from pacs.model import Deletion, DeletionState, StoredInstance

T = TypeVar("T")
Told = Callable[[Deletion, Sequence[Place]], None]
"""Makes durable, before the commit, what a deletion is now, and the files it names."""
Changing = Callable[[list[tuple[str, str]]], AbstractContextManager[None]]
"""Around a change of these (hospital, study)."""

_ATTEMPTS = 10
_RACES = frozenset({"23505", "40P01", "40001"})
_OPEN = (DeletionState.IN_TRASH, DeletionState.ERASING)


class Trash:
    """The deletions of one index. Threads may share it. Every method raises `pacs.errors.IndexUnavailable`."""

    def __init__(self, engine: Engine, write_lock: threading.Lock | None, changing: Changing) -> None:
        self._engine = engine
        self._write_lock = write_lock or nullcontext()
        self._changing = changing

    # -- looking

    def all(
        self, hospital: str | None, *, states: Sequence[DeletionState] = _OPEN, limit: int = 1000, offset: int = 0
    ) -> list[Deletion]:
        """Deletions, the newest first."""
        statement = select(deletions).where(deletions.c.state.in_([state.value for state in states]))
        if hospital is not None:
            statement = statement.where(deletions.c.hospital == hospital)
        statement = statement.order_by(deletions.c.deleted_at_us.desc(), deletions.c.id.desc())
        with reading(self._engine, "list the trash") as connection:
            return [deletion_of(row) for row in connection.execute(statement.limit(limit).offset(offset))]

    def states(self) -> dict[tuple[str, str], DeletionState]:
        """The state of every deletion, by hospital and name."""
        with reading(self._engine, "look into the trash") as connection:
            found = connection.execute(select(deletions.c.hospital, deletions.c.name, deletions.c.state))
            return {(hospital, name): DeletionState(state) for hospital, name, state in found}

    def one(self, hospital: str, name: str) -> Deletion:
        """Raises: NotFound."""
        with reading(self._engine, "look into the trash") as connection:
            row = _row_of(connection, hospital, name)
        if row is None:
            raise NotFound(f"there is no deletion {name[:40]!r}; list them to see what there is")
        return deletion_of(row)

    def holding(self, hospital: str, study: str, series_uid: str | None, sop: str | None) -> Deletion | None:
        """The latest deletion that has something of these UIDs in the trash."""
        here = instances.c.hospital == trash_of_each(deletions.c.name, deletions.c.hospital)
        below = exists().where(here, series.c.id == instances.c.series_row)
        chosen = select(deletions).where(
            deletions.c.hospital == hospital,
            deletions.c.study_instance_uid == study,
            deletions.c.state == DeletionState.IN_TRASH.value,
        )
        # Of thousands of deletions of one instance each, only its own is looked into.
        if series_uid is not None:
            chosen = chosen.where(deletions.c.series_instance_uid.in_(("", series_uid)))
            below = below.where(series.c.series_instance_uid == series_uid)
        if sop is not None:
            chosen = chosen.where(deletions.c.sop_instance_uid.in_(("", sop)))
            below = below.where(instances.c.sop_instance_uid == sop)
        newest_first = (deletions.c.deleted_at_us.desc(), deletions.c.id.desc())
        with reading(self._engine, "look into the trash") as connection:
            row = connection.execute(chosen.where(below).order_by(*newest_first).limit(1)).one_or_none()
        return None if row is None else deletion_of(row)

    def erased_with(self, hospital: str, study: str, series_uid: str | None, sop: str | None) -> Deletion | None:
        """The latest deletion that named this study, series or instance, or what it was in, and of which nothing is
        left, or soon nothing will be."""
        within = [("", ""), *([(series_uid, "")] if series_uid else []), *([(series_uid, sop)] if sop else [])]
        named = tuple_(deletions.c.series_instance_uid, deletions.c.sop_instance_uid)
        chosen = (
            select(deletions)
            .where(
                deletions.c.hospital == hospital,
                deletions.c.study_instance_uid == study,
                deletions.c.state.in_((DeletionState.ERASING.value, DeletionState.ERASED.value)),
                named.in_(within),
            )
            .order_by(deletions.c.deleted_at_us.desc(), deletions.c.id.desc())
            .limit(1)
        )
        with reading(self._engine, "look for what was erased") as connection:
            row = connection.execute(chosen).one_or_none()
        return None if row is None else deletion_of(row)

    def newest_stored_at(self, hospital: str, study: str, series_uid: str | None, sop: str | None) -> datetime | None:
        """When the last of the live instances below these UIDs was stored; None when there is none."""
        with reading(self._engine, "look up instances") as connection:
            newest = connection.execute(_below(hospital, study, series_uid, sop)).scalar()
        return None if newest is None else moment(int(newest))

    # -- changing

    def put(self, deletion: Deletion, told: Told, check: Callable[[datetime], None] = lambda _: None) -> Deletion:
        """Move what is live below the deletion's UIDs into the trash, with `told` before the commit.

        `check` is given when the last of it was stored, and raises when it must stay.

        Raises:
            NotFound: there is nothing of these UIDs.
            What `check` and `told` raise: nothing was changed.
        """
        hospital, study = deletion.hospital, deletion.study_instance_uid

        def work(connection: Connection) -> Deletion:
            rows = trash_rows.locked_live(
                connection, hospital, study, deletion.series_instance_uid, deletion.sop_instance_uid
            )
            if not rows:
                raise NotFound(f"nothing is kept of {_lowest(deletion)}")
            newest = connection.execute(
                _below(hospital, study, deletion.series_instance_uid, deletion.sop_instance_uid)
            ).scalar_one()
            check(moment(int(newest)))
            places = trash_rows.places(connection, hospital, rows)
            # After all that it names was stored, whatever the clock says.
            at = max(deletion.deleted_at, moment(int(newest)) + timedelta(milliseconds=1))
            done = replace(
                deletion, deleted_at=at, instances=len(rows), stored_bytes=sum(place.length for place in places)
            )
            words = trash_rows.take(connection, hospital, trash_of(done.name, hospital), rows)
            connection.execute(insert(deletions).values(**columns_of(done), words=words))
            told(done, places)
            return done

        return self._write("delete", [(hospital, study)], work)

    def restore(
        self, hospital: str, name: str, told: Told, *, series_uid: str | None = None, sop: str | None = None
    ) -> tuple[int, Deletion]:
        """Give back what a deletion has in the trash, or the series or instance of it; how many instances came back,
        and the deletion as it is now. What was sent again since stays in the trash.

        Raises:
            NotFound: there is no such deletion, or nothing of these UIDs in it.
            Retained: it is being erased, or was.
        """
        study = self.one(hospital, name).study_instance_uid

        def work(connection: Connection) -> tuple[int, Deletion]:
            row = _row_of(connection, hospital, name, hold=True)
            if row is None:
                raise NotFound(f"there is no deletion {name[:40]!r}")
            if row.state != DeletionState.IN_TRASH.value:
                raise Retained(f"deletion {name} is {row.state}; it cannot be restored")
            rows = _in_trash(connection, hospital, name, series_uid, sop)
            if not rows:
                raise NotFound(f"nothing of {sop or series_uid or study} is in deletion {name}")
            back = trash_rows.give_back(connection, hospital, trash_of(name, hospital), rows, row.words)
            return len(back), self._changed(connection, row, told)

        return self._write("restore", [(hospital, study)], work)

    def begin_erasing(self, deletion: Deletion, told: Told) -> Deletion | None:
        """From now on it cannot be restored. None when it was restored meanwhile, or somebody else erases it."""

        def work(connection: Connection) -> Deletion | None:
            row = _row_of(connection, deletion.hospital, deletion.name, hold=True)
            if row is None or row.state not in {state.value for state in _OPEN}:
                return None
            return self._changed(connection, row, told, DeletionState.ERASING)

        return self._write("begin to erase", [], work)

    def erased(self, deletion: Deletion) -> None:
        """Drop its rows: its bytes are gone. Told to the notes before."""

        def work(connection: Connection) -> None:
            study_locks.hold(connection, deletion.hospital, deletion.study_instance_uid)
            row = _row_of(connection, deletion.hospital, deletion.name, hold=True)
            if row is not None:
                trash_rows.drop(connection, trash_of(deletion.name, deletion.hospital))
                statement = update(deletions).where(deletions.c.id == row.id)
                connection.execute(statement.values(state=DeletionState.ERASED.value, words=""))

        self._write("drop what was erased", [], work)

    def hasten(self, hospital: str, name: str, erase_at: datetime, told: Told) -> Deletion:
        """Have it erased at another time. Raises: NotFound, Retained."""

        def work(connection: Connection) -> Deletion:
            row = _row_of(connection, hospital, name, hold=True)
            if row is None:
                raise NotFound(f"there is no deletion {name[:40]!r}; list them to see what there is")
            if row.state != DeletionState.IN_TRASH.value:
                raise Retained(f"deletion {name} is {row.state} already")
            values = {"erase_at_us": microseconds(erase_at)}
            connection.execute(update(deletions).where(deletions.c.id == row.id).values(**values))
            return self._changed(connection, _row_of(connection, hospital, name), told)

        return self._write("change when to erase", [], work)

    def due(self, now: datetime) -> Deletion | None:
        """The deletion that is to be erased first, when its time has come; one that was begun before all others."""
        with reading(self._engine, "look for what is to be erased") as connection:
            for state, before in ((DeletionState.ERASING, 1 << 62), (DeletionState.IN_TRASH, microseconds(now))):
                chosen = select(deletions).where(deletions.c.state == state.value, deletions.c.erase_at_us <= before)
                row = connection.execute(chosen.order_by(deletions.c.erase_at_us).limit(1)).one_or_none()
                if row is not None:
                    return deletion_of(row)
        return None

    def adopt(self, deletion: Deletion, places: Sequence[Place], is_current: Callable[[], bool] = lambda: True) -> None:
        """Bring the index to what a note says, whatever it knew of this deletion, if it still says so. Rows for records
        that lack one are not made here."""
        hospital, study = deletion.hospital, deletion.study_instance_uid
        trash = trash_of(deletion.name, hospital)

        def work(connection: Connection) -> None:
            if not is_current():
                return
            row = _row_of(connection, hospital, deletion.name, hold=True)
            words = "" if row is None else row.words
            if deletion.state in _OPEN:
                named = _rows_at(connection, hospital, places)
                words = trash_rows.take(connection, hospital, trash, named) if named else words
            inside = _in_trash(connection, hospital, deletion.name, None, None)
            kept = set() if deletion.state is DeletionState.RESTORED else {place.sop_instance_uid for place in places}
            returned = [one for one in inside if one.sop_instance_uid not in kept]
            if returned and deletion.state is not DeletionState.ERASED:
                trash_rows.give_back(connection, hospital, trash, returned, words)
            if deletion.state is DeletionState.ERASED:
                trash_rows.drop(connection, trash)
            values = {**columns_of(deletion), "words": words}
            if row is None:
                connection.execute(insert(deletions).values(**values))
            else:
                connection.execute(update(deletions).where(deletions.c.id == row.id).values(**values))

        self._write("follow a note of a deletion", [(hospital, study)], work)

    def places(self, deletion: Deletion) -> list[Place]:
        """The files it has in the trash."""
        with reading(self._engine, "look into the trash") as connection:
            rows = _in_trash(connection, deletion.hospital, deletion.name, None, None)
            return trash_rows.places(connection, trash_of(deletion.name, deletion.hospital), rows)

    def instances(self, deletion: Deletion) -> list[StoredInstance]:
        """What it has in the trash; their hospital is none that anybody belongs to."""
        with reading(self._engine, "look into the trash") as connection:
            return read.many(connection, trash_of(deletion.name, deletion.hospital), read.Choice())

    # -- inside

    def _changed(self, connection: Connection, row: Any, told: Told, state: DeletionState | None = None) -> Deletion:
        """Count what a deletion has left, note its state, and tell."""
        rows = _in_trash(connection, row.hospital, row.name, None, None)
        places = trash_rows.places(connection, trash_of(row.name, row.hospital), rows)
        state = state or (DeletionState.IN_TRASH if rows else DeletionState.RESTORED)
        changed = replace(
            deletion_of(row), state=state, instances=len(rows), stored_bytes=sum(place.length for place in places)
        )
        connection.execute(update(deletions).where(deletions.c.id == row.id).values(**columns_of(changed)))
        told(changed, places)
        return changed

    def _write(self, doing: str, concerned: list[tuple[str, str]], work: Callable[[Connection], T]) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._changing(concerned), self._transaction(doing) as connection:
                    for hospital, study in concerned:
                        study_locks.hold(connection, hospital, study)
                    return work(connection)
            except IndexUnavailable as error:
                cause = getattr(error.__cause__, "orig", None) or error.__cause__
                if attempt == _ATTEMPTS or getattr(cause, "sqlstate", None) not in _RACES:
                    raise
            # Who lost a race with those who store would lose the next one as well.
            time.sleep(random.uniform(0, 0.01 * attempt))  # noqa: S311 -- it need not be secret
        raise AssertionError("unreachable")

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[Connection]:
        with self._write_lock, writing(self._engine, doing) as connection:
            # Restoring what another is deleting would wait in circles; nobody deletes so often.
            study_locks.one_at_a_time(connection)
            yield connection


def _row_of(connection: Connection, hospital: str, name: str, *, hold: bool = False) -> Any:
    statement = select(deletions).where(deletions.c.hospital == hospital, deletions.c.name == name)
    return connection.execute(statement.with_for_update() if hold else statement).one_or_none()


def _below(hospital: str, study: str, series_uid: str | None, sop: str | None) -> Any:
    statement = (
        select(func.max(instances.c.stored_at_us))
        .join(series, series.c.id == instances.c.series_row)
        .join(studies, studies.c.id == series.c.study_row)
        .where(
            instances.c.hospital == hospital,
            series.c.hospital == hospital,
            studies.c.hospital == hospital,
            studies.c.study_instance_uid == study,
        )
    )
    if series_uid is not None:
        statement = statement.where(series.c.series_instance_uid == series_uid)
    return statement if sop is None else statement.where(instances.c.sop_instance_uid == sop)


def _in_trash(
    connection: Connection, hospital: str, name: str, series_uid: str | None, sop: str | None
) -> list[InstanceRow]:
    statement = (
        select(instances.c.id, instances.c.series_row, instances.c.sop_instance_uid, instances.c.length)
        .join(series, series.c.id == instances.c.series_row)
        .where(instances.c.hospital == trash_of(name, hospital))
        .order_by(instances.c.id)
    )
    if series_uid is not None:
        statement = statement.where(series.c.series_instance_uid == series_uid)
    if sop is not None:
        statement = statement.where(instances.c.sop_instance_uid == sop)
    return [InstanceRow(*row) for row in connection.execute(statement)]


def _rows_at(connection: Connection, hospital: str, places: Sequence[Place]) -> list[InstanceRow]:
    """The live instances whose served version lies at one of these places."""
    wanted = {(place.segment, place.offset) for place in places}
    uids = sorted({place.sop_instance_uid for place in places})
    found: list[InstanceRow] = []
    for start in range(0, len(uids), 1000):
        rows = connection.execute(
            select(
                instances.c.id,
                instances.c.series_row,
                instances.c.sop_instance_uid,
                instances.c.length,
                segments.c.name,
                instances.c.offset,
            )
            .join(segments, segments.c.id == instances.c.segment_row)
            .where(instances.c.hospital == hospital, instances.c.sop_instance_uid.in_(uids[start : start + 1000]))
            .order_by(instances.c.id)
        )
        found += [InstanceRow(*row[:4]) for row in rows if (row[4], row[5]) in wanted]
    return found


def _lowest(deletion: Deletion) -> str:
    return deletion.sop_instance_uid or deletion.series_instance_uid or deletion.study_instance_uid

"""Rows of workitems: state, claims, and the reports that they make, in one transaction each.

Whoever changes a workitem holds its row (or, on SQLite, the database) from reading to writing, so of two who claim it
one finds it claimed. The events of a change are written with it: a crash leaves both or neither.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, insert, select, text, update

from pacs.errors import Conflict
from pacs.index import workitem_values
from pacs.index.allowance import Allowance
from pacs.index.criteria import Criterion
from pacs.index.engine import reading, writing
from pacs.index.normal_form import word
from pacs.index.page_marks import PageMarks
from pacs.index.subscriptions import Event, GlobalSubscription, Subscriptions
from pacs.index.tables import workitem_subscriptions as subscriptions
from pacs.index.tables import workitems as table
from pacs.model import DicomJson

_column = table.c
DELETED: Final = "DELETED"
"""State of a row that only remembers that its UID was used."""
_PAGE: Final = 500
_ONE_AFTER_THE_OTHER: Final = text("SELECT pg_advisory_xact_lock(7405001)")
"""Any number that nothing else here uses."""
_PATIENT_ID, _WORKLIST_LABEL = "00100020", "00741202"


@dataclass(frozen=True, slots=True)
class KeptWorkitem:
    """One workitem as it is kept."""

    row: int
    workitem_uid: str
    state: str
    transaction_uid: str
    attributes: DicomJson


@dataclass(frozen=True, slots=True)
class ChangedWorkitem:
    """What a workitem becomes, and what is told of it."""

    state: str
    transaction_uid: str
    attributes: DicomJson
    events: Sequence[Event] = ()


class Workitems:
    """The tables of one index. Every method raises `pacs.errors.IndexUnavailable` as `pacs.index.Index` does."""

    def __init__(
        self,
        engine: Engine,
        write_lock: threading.Lock | None,
        clock: Callable[[], float] = time.time,
        marks: PageMarks | None = None,
    ) -> None:
        self.marks = marks or PageMarks(engine)
        """Where pages of searches ended; the key of a mark is the row of a workitem."""
        self._engine = engine
        self._is_shared = engine.dialect.name != "sqlite"
        self._turn: AbstractContextManager[Any] = contextlib.nullcontext() if write_lock is None else write_lock
        self._clock = clock
        self.subscriptions = Subscriptions(engine, self._writing, self._now)
        """Who is told of them, and what waits to be told."""

    # -- one workitem

    def create(
        self,
        hospital: str,
        workitem_uid: str,
        state: str,
        attributes: DicomJson,
        events: Sequence[Event],
        is_asked_for: Callable[[GlobalSubscription], bool],
    ) -> None:
        """Write a new workitem, subscribe to it who asked for such ones, and tell them.

        Raises:
            Conflict: the UID is or was in use.
        """
        values = self._values(ChangedWorkitem(state, "", attributes))
        with self._writing("keep a workitem") as connection:
            found = select(_column.id).where(_is(hospital, workitem_uid))
            if connection.execute(found).first() is not None:
                raise Conflict(f"a workitem with the UID {workitem_uid} exists already, or existed before")
            new = insert(table).values(hospital=hospital, workitem_uid=workitem_uid, **values).returning(_column.id)
            row = int(connection.execute(new).scalar_one())
            workitem_values.write(connection, hospital, row, attributes)
            self.subscriptions.follow_new(connection, hospital, row, is_asked_for)
            self.subscriptions.tell(connection, hospital, row, workitem_uid, events)

    def get(self, hospital: str, workitem_uid: str) -> KeptWorkitem | None:
        """The workitem, also when only `DELETED` is left of it; None when there never was one."""
        with reading(self._engine, "look up a workitem") as connection:
            row = connection.execute(select(table).where(_is(hospital, workitem_uid))).one_or_none()
        return None if row is None else _kept(row)

    def change(
        self,
        hospital: str,
        workitem_uid: str,
        decide: Callable[[KeptWorkitem | None, bool], ChangedWorkitem | None],
    ) -> None:
        """Read it, let `decide` say what it becomes, and write that: nobody else changes it in between.

        `decide` is told whether anybody is subscribed to it. What it raises is raised here, and then, or when it gives
        None, nothing is changed.
        """
        with self._writing("change a workitem") as connection:
            row = connection.execute(select(table).where(_is(hospital, workitem_uid)).with_for_update()).one_or_none()
            is_watched = row is not None and self.subscriptions.is_watched(connection, hospital, row.id)
            changed = decide(None if row is None else _kept(row), is_watched)
            if changed is None or row is None:
                return
            connection.execute(update(table).where(_column.id == row.id).values(**self._values(changed)))
            workitem_values.write(connection, hospital, row.id, changed.attributes)
            self.subscriptions.tell(connection, hospital, row.id, workitem_uid, changed.events)

    # -- many

    def search(
        self,
        hospital: str,
        equal: Mapping[str, Sequence[str]],
        allowance: Allowance,
        *,
        keys: Sequence[tuple[int, Criterion]] = (),
        after: int = 0,
    ) -> Iterator[KeptWorkitem]:
        """Workitems in the order in which they were created, behind the row `after`.

        `equal` names columns (``state``, ``patient_id``, ``worklist_label``, ``workitem_uid``) and the values of which
        one is wanted. None that meets `keys` is missed; others may be given, too.

        Raises:
            TooBroad: the allowance is spent (also while iterating).
        """
        wanted: list[ColumnElement[bool]] = [_column[name].in_(values) for name, values in equal.items()]
        wanted += workitem_values.conditions(hospital, keys, self._engine.dialect.name)
        page = (
            select(table)
            .where(_column.hospital == hospital, _column.state != DELETED, *wanted)
            .order_by(_column.id)
            .limit(_PAGE)
        )
        while True:
            with allowance.reading(self._engine) as connection:
                rows = connection.execute(page.where(_column.id > after)).all()
            with allowance.spending():
                kept = [_kept(row) for row in rows]
            yield from kept
            if len(rows) < _PAGE:
                return
            allowance.check()
            after = rows[-1].id

    def subscribe_to_all(
        self,
        wanted: GlobalSubscription,
        is_asked_for: Callable[[KeptWorkitem], bool],
        initial: Callable[[KeptWorkitem], Iterable[Event]],
    ) -> None:
        """Subscribe to what is there, as far as it is asked for, and to what will be. One that is subscribed to by
        itself stays as it is (PS3.4 CC.2.3.1).

        What comes while the present ones are gone through is subscribed to as a new one. Done again after a crash, it
        goes on.
        """
        with self._writing("keep a subscription") as connection:
            self.subscriptions.keep_global(connection, wanted)
        after = 0
        while True:
            with self._writing("keep subscriptions") as connection:
                rows = connection.execute(
                    select(table)
                    .where(_column.hospital == wanted.hospital, _column.id > after, _column.state != DELETED)
                    .order_by(_column.id)
                    .limit(_PAGE)
                ).all()
                for kept in (_kept(row) for row in rows):
                    if is_asked_for(kept):
                        self.subscriptions.follow(connection, wanted, kept.row, kept.workitem_uid, initial(kept))
            if len(rows) < _PAGE:
                return
            after = rows[-1].id

    def subscribe(
        self,
        hospital: str,
        subscriber: str,
        workitem_uid: str,
        *,
        is_locking: bool,
        initial: Callable[[KeptWorkitem], Iterable[Event]],
    ) -> KeptWorkitem | None:
        """Subscribe to one workitem, which is given; None when there is none (then nothing is kept)."""
        with self._writing("keep a subscription") as connection:
            row = connection.execute(select(table).where(_is(hospital, workitem_uid))).one_or_none()
            kept = None if row is None else _kept(row)
            if kept is not None and kept.state != DELETED:
                self.subscriptions.keep_own(connection, hospital, subscriber, kept.row, is_locking=is_locking)
                self.subscriptions.tell_one(connection, hospital, subscriber, workitem_uid, initial(kept))
            return kept

    # -- ending

    def delete_ended(self, final_states: Sequence[str], before_s: float, *, limit: int = 500) -> int:
        """Delete workitems that ended before `before_s`, but none that a deletion lock holds; returns how many.

        Their UIDs stay known.
        """
        locks = select(subscriptions.c.workitem_row).where(
            subscriptions.c.workitem_row == _column.id, subscriptions.c.is_locking
        )
        old = and_(_column.state.in_(final_states), _column.changed_at_us < int(before_s * 1_000_000), ~locks.exists())
        chosen = select(_column.id).where(old).order_by(_column.id).limit(limit)
        with reading(self._engine, "look for ended workitems") as connection:
            if connection.execute(chosen.limit(1)).first() is None:
                return 0
        with self._writing("delete ended workitems") as connection:
            rows = list(connection.execute(chosen).scalars())
            connection.execute(delete(subscriptions).where(subscriptions.c.workitem_row.in_(rows)))
            gone = ChangedWorkitem(DELETED, "", {})
            connection.execute(update(table).where(_column.id.in_(rows)).values(**self._values(gone)))
            workitem_values.forget(connection, rows)
            return len(rows)

    def count(self, hospital: str) -> int:
        """How many a hospital has."""
        with reading(self._engine, "count workitems") as connection:
            counted = select(func.count()).where(_column.hospital == hospital, _column.state != DELETED)
            return int(connection.execute(counted).scalar_one())

    def _values(self, changed: ChangedWorkitem) -> dict[str, Any]:
        return {
            "state": changed.state,
            "transaction_uid": changed.transaction_uid,
            "worklist_label": _word_of(changed.attributes, _WORKLIST_LABEL),
            "patient_id": _word_of(changed.attributes, _PATIENT_ID),
            "changed_at_us": self._now(),
            "attributes": json.dumps(changed.attributes, ensure_ascii=False, separators=(",", ":")),
        }

    @contextlib.contextmanager
    def _writing(self, doing: str) -> Iterator[Connection]:
        with self._turn, writing(self._engine, doing) as connection:
            if self._is_shared:
                # Events become visible in the order of their numbers, and two transactions never wait for each other.
                connection.execute(_ONE_AFTER_THE_OTHER)
            yield connection

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


def _is(hospital: str, workitem_uid: str) -> ColumnElement[bool]:
    return and_(_column.hospital == hospital, _column.workitem_uid == workitem_uid)


def _kept(row: Any) -> KeptWorkitem:
    return KeptWorkitem(row.id, row.workitem_uid, row.state, row.transaction_uid, json.loads(row.attributes))


def _word_of(attributes: DicomJson, key: str) -> str:
    values = attributes.get(key, {}).get("Value") or [None]
    return word(values[0]) if values[0] is not None else ""

"""Rows of who is told of which workitem, and of what they are still to be told.

An event is a row for each subscriber until its delivery is certain: it outlives every process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, insert, literal, select, union, update

from pacs.index.engine import reading
from pacs.index.tables import global_subscriptions as global_table
from pacs.index.tables import workitem_events as events_table
from pacs.index.tables import workitem_subscriptions as own_table
from pacs.index.tables import workitems
from pacs.model import DicomJson

_global, _own, _event = global_table.c, own_table.c, events_table.c


@dataclass(frozen=True, slots=True)
class Event:
    """What is to be told of a workitem."""

    event_type: int
    attributes: DicomJson


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that one subscriber is still to be told."""

    number: int
    """Rises with every event; never used again."""
    workitem_uid: str
    event: Event
    made_at_us: int


@dataclass(frozen=True, slots=True)
class GlobalSubscription:
    """Somebody wants to be subscribed to new workitems."""

    hospital: str
    subscriber: str
    kind: str
    """The well-known UID that it was asked of."""
    is_locking: bool
    keys: str
    """What a workitem must match, in the words of whoever asks; empty: all."""


class Subscriptions:
    """Of one index; `pacs.index.workitems.Workitems` makes it and gives it its transactions."""

    def __init__(
        self,
        engine: Engine,
        writing: Callable[[str], AbstractContextManager[Connection]],
        now: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._writing = writing
        self._now = now

    # -- subscribing, inside a transaction of `Workitems`

    def follow_new(
        self,
        connection: Connection,
        hospital: str,
        workitem_row: int,
        is_asked_for: Callable[[GlobalSubscription], bool],
    ) -> None:
        """Subscribe to a new workitem whoever has a global subscription that asks for it."""
        rows = connection.execute(
            select(global_table).where(_global.hospital == hospital, ~_global.is_suspended).order_by(_global.kind)
        ).all()
        found: dict[str, GlobalSubscription] = {}
        for one in (
            GlobalSubscription(row.hospital, row.subscriber, row.kind, row.is_locking, row.keys) for row in rows
        ):
            if is_asked_for(one) and not (one.subscriber in found and found[one.subscriber].is_locking):
                found[one.subscriber] = one
        if found:
            connection.execute(insert(own_table), [_own_values(one, workitem_row) for one in found.values()])

    def follow(
        self,
        connection: Connection,
        wanted: GlobalSubscription,
        workitem_row: int,
        workitem_uid: str,
        initial: Iterable[Event],
    ) -> None:
        """Subscribe to one that was there before a global subscription; not where the subscriber has it already, but
        a lock is added to what an earlier global subscription made."""
        has_it = and_(
            _own.hospital == wanted.hospital,
            _own.workitem_row == workitem_row,
            _own.subscriber == wanted.subscriber,
        )
        found = connection.execute(select(_own.kind, _own.is_locking).where(has_it)).one_or_none()
        if found is None:
            connection.execute(insert(own_table).values(**_own_values(wanted, workitem_row)))
        elif found.kind:
            connection.execute(update(own_table).where(has_it).values(kind=wanted.kind, is_locking=wanted.is_locking))
        self.tell_one(connection, wanted.hospital, wanted.subscriber, workitem_uid, initial)

    def keep_global(self, connection: Connection, wanted: GlobalSubscription) -> None:
        """Write a global subscription down, in place of one of the same kind."""
        connection.execute(delete(global_table).where(self._is_global(wanted.hospital, wanted.subscriber, wanted.kind)))
        connection.execute(
            insert(global_table).values(
                hospital=wanted.hospital,
                subscriber=wanted.subscriber,
                kind=wanted.kind,
                is_locking=wanted.is_locking,
                is_suspended=False,
                keys=wanted.keys,
            )
        )

    def keep_own(
        self, connection: Connection, hospital: str, subscriber: str, workitem_row: int, *, is_locking: bool
    ) -> None:
        """Subscribe to one workitem by itself, whatever there was before."""
        is_this = and_(_own.hospital == hospital, _own.workitem_row == workitem_row, _own.subscriber == subscriber)
        connection.execute(delete(own_table).where(is_this))
        values = {"hospital": hospital, "subscriber": subscriber, "workitem_row": workitem_row}
        connection.execute(insert(own_table).values(kind="", is_locking=is_locking, **values))

    @staticmethod
    def is_watched(connection: Connection, hospital: str, workitem_row: int) -> bool:
        """Whether anybody is told of it."""
        watching = select(_own.subscriber).where(_own.hospital == hospital, _own.workitem_row == workitem_row)
        return connection.execute(watching.limit(1)).first() is not None

    # -- telling, inside a transaction of `Workitems`

    def tell(
        self, connection: Connection, hospital: str, workitem_row: int, workitem_uid: str, events: Sequence[Event]
    ) -> None:
        """Queue events for everybody who is subscribed to the workitem."""
        for event in events:
            followers = select(
                literal(hospital),
                _own.subscriber,
                literal(workitem_uid),
                literal(int(event.event_type)),
                literal(_packed(event.attributes)),
                literal(self._now()),
            ).where(_own.hospital == hospital, _own.workitem_row == workitem_row)
            names = ["hospital", "subscriber", "workitem_uid", "event_type", "attributes", "made_at_us"]
            connection.execute(insert(events_table).from_select(names, followers))

    def tell_one(
        self, connection: Connection, hospital: str, subscriber: str, workitem_uid: str, events: Iterable[Event]
    ) -> None:
        """Queue events for one subscriber."""
        for event in events:
            connection.execute(
                insert(events_table).values(
                    hospital=hospital,
                    subscriber=subscriber,
                    workitem_uid=workitem_uid,
                    event_type=int(event.event_type),
                    attributes=_packed(event.attributes),
                    made_at_us=self._now(),
                )
            )

    def tell_everybody(self, workitem_uid: str, event: Event) -> int:
        """Queue one event for each subscriber of every hospital; returns how many there are."""
        everybody = union(select(_global.hospital, _global.subscriber), select(_own.hospital, _own.subscriber))
        with self._writing("tell all subscribers") as connection:
            found = connection.execute(everybody).all()
            for one in found:
                self.tell_one(connection, one.hospital, one.subscriber, workitem_uid, [event])
        return len(found)

    # -- ending

    def unsubscribe(self, hospital: str, subscriber: str, workitem_uid: str) -> bool:
        """End the subscription to one workitem; False when there was none."""
        row = select(workitems.c.id).where(workitems.c.hospital == hospital, workitems.c.workitem_uid == workitem_uid)
        with self._writing("end a subscription") as connection:
            ended = connection.execute(
                delete(own_table).where(
                    _own.hospital == hospital,
                    _own.subscriber == subscriber,
                    _own.workitem_row.in_(row),
                )
            )
            return int(ended.rowcount) > 0

    def unsubscribe_from_all(self, hospital: str, subscriber: str, kind: str, *, every_kind: bool) -> bool:
        """End a global subscription and those to workitems that it made, or, with `every_kind`, all that the
        subscriber has; False when there was nothing."""
        own = and_(_own.hospital == hospital, _own.subscriber == subscriber)
        globally = and_(_global.hospital == hospital, _global.subscriber == subscriber)
        if not every_kind:
            own, globally = and_(own, _own.kind == kind), and_(globally, _global.kind == kind)
        with self._writing("end subscriptions") as connection:
            ended = connection.execute(delete(own_table).where(own)).rowcount
            return int(connection.execute(delete(global_table).where(globally)).rowcount) + int(ended) > 0

    def suspend(self, hospital: str, subscriber: str, kind: str) -> bool:
        """New workitems are no longer subscribed to; False when there is no such global subscription."""
        with self._writing("suspend a subscription") as connection:
            suspended = connection.execute(
                update(global_table)
                .where(self._is_global(hospital, subscriber, kind), ~_global.is_suspended)
                .values(is_suspended=True)
            )
            return int(suspended.rowcount) > 0

    def subscribers(self, hospital: str) -> set[str]:
        """Who has subscriptions in a hospital."""
        everybody = union(
            select(_global.subscriber).where(_global.hospital == hospital),
            select(_own.subscriber).where(_own.hospital == hospital),
        )
        with reading(self._engine, "look for subscribers") as connection:
            return set(connection.execute(everybody).scalars())

    # -- delivery

    def waiting(self, hospital: str, subscriber: str, after: int, limit: int) -> list[WaitingEvent]:
        """What a subscriber is still to be told, after event number `after`, in order."""
        with reading(self._engine, "look for events") as connection:
            rows = connection.execute(
                select(events_table)
                .where(_event.hospital == hospital, _event.subscriber == subscriber, _event.id > after)
                .order_by(_event.id)
                .limit(limit)
            ).all()
        return [
            WaitingEvent(row.id, row.workitem_uid, Event(row.event_type, json.loads(row.attributes)), row.made_at_us)
            for row in rows
        ]

    def newest(self) -> int:
        """The number of the newest event that waits for anybody; 0 when none does."""
        with reading(self._engine, "look for events") as connection:
            return _newest(connection)

    def news(self, after: int) -> tuple[int, set[tuple[str, str]]]:
        """The number of the newest event after `after`, and hospital and subscriber of whom those are for."""
        with reading(self._engine, "look for events") as connection:
            newest = _newest(connection)
            if newest <= after:  # the usual case is one look at the end of the table
                return after, set()
            since = select(_event.hospital, _event.subscriber).where(_event.id > after, _event.id <= newest)
            return newest, {(row.hospital, row.subscriber) for row in connection.execute(since)}

    def delivered(self, hospital: str, subscriber: str, number: int) -> None:
        """Forget the events of a subscriber up to this one: it knows them."""
        with self._writing("note the delivery of events") as connection:
            connection.execute(
                delete(events_table).where(
                    _event.hospital == hospital, _event.subscriber == subscriber, _event.id <= number
                )
            )

    def forget(self, made_before_s: float, most: int) -> int:
        """Drop what has waited too long, and the oldest of who has more than `most` waiting; returns how many."""
        too_old = _event.made_at_us < int(made_before_s * 1_000_000)
        crowded = (
            select(_event.hospital, _event.subscriber)
            .group_by(_event.hospital, _event.subscriber)
            .having(func.count() > most)
        )
        with reading(self._engine, "look for old events") as connection:
            is_old = connection.execute(select(_event.id).where(too_old).limit(1)).first() is not None
            full = connection.execute(crowded).all()
        dropped = 0
        if is_old:
            with self._writing("drop old events") as connection:
                dropped += int(connection.execute(delete(events_table).where(too_old)).rowcount)
        for one in full:
            own = and_(_event.hospital == one.hospital, _event.subscriber == one.subscriber)
            with self._writing("drop events") as connection:
                last = select(_event.id).where(own).order_by(_event.id.desc()).offset(most).limit(1)
                number = connection.execute(last).scalar_one_or_none()
                if number is not None:
                    dropped += int(connection.execute(delete(events_table).where(own, _event.id <= number)).rowcount)
        return dropped

    @staticmethod
    def _is_global(hospital: str, subscriber: str, kind: str) -> Any:
        return and_(_global.hospital == hospital, _global.subscriber == subscriber, _global.kind == kind)


def _own_values(wanted: GlobalSubscription, workitem_row: int) -> dict[str, Any]:
    return {
        "hospital": wanted.hospital,
        "workitem_row": workitem_row,
        "subscriber": wanted.subscriber,
        "kind": wanted.kind,
        "is_locking": wanted.is_locking,
    }


def _newest(connection: Connection) -> int:
    return int(connection.execute(select(func.max(_event.id))).scalar_one() or 0)


def _packed(attributes: DicomJson) -> str:
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":"))

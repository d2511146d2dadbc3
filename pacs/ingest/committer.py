"""Group commit: one sync makes all waiting records durable, then one transaction adds their rows.

There is no thread for it. Who finds nobody at work commits what waits, its own record first, and hands over to one of
those that came meanwhile: a lone sender pays for no switch of threads, and of many each works for the others in turn.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from pacs import log
from pacs.errors import IndexUnavailable, PacsError, StorageError
from pacs.index import Index
from pacs.index.add import AddResult, Existing
from pacs.ingest.description import Description
from pacs.model import Location
from pacs.storage.segment_writer import NewRecord
from pacs.storage.segments import SegmentStore

_MAX_BATCH = 256
"""Rows of one transaction; far more than wait at once on one machine."""
_MAX_FAILURES = 3
"""Rows tried one by one that fail before the index itself is taken to be at fault."""


class Answer:
    """What one sender waits for, given once by one thread; a `concurrent.futures.Future` costs ten times as much."""

    __slots__ = ("_given", "_problem", "_result")

    def __init__(self) -> None:
        self._given = threading.Lock()
        self._given.acquire()
        self._result: AddResult | None = None
        self._problem: BaseException | None = None

    @property
    def is_given(self) -> bool:
        return self._result is not None or self._problem is not None

    def give(self, result: AddResult) -> None:
        self._result = result
        self._given.release()

    def fail(self, problem: BaseException) -> None:
        self._problem = problem
        self._given.release()

    def hand_over(self) -> None:
        """Instead of an answer: it is this sender's turn to commit."""
        self._given.release()

    def wait(self) -> AddResult | None:
        """Wait for the answer, None when it is the sender's turn to commit; raises what `fail` was given."""
        self._given.acquire()
        if self._problem is not None:
            raise self._problem
        return self._result


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """One instance whose sender waits."""

    description: Description
    record: NewRecord | None
    """To be appended; None when it is durable at `location` already."""
    location: Location | None = None
    answer: Answer = field(default_factory=Answer)

    @property
    def hospital(self) -> str:
        return self.description.key.hospital


class Committer:
    """The order is the promise: bytes durable, then rows durable, then the sender learns of it."""

    def __init__(self, store: SegmentStore, index: Index) -> None:
        self._store = store
        self._index = index
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: list[Pending] = []
        self._is_at_work = False
        self._is_closing = False

    def commit(self, pending: Pending) -> AddResult:
        """Wait until `pending` is durable and has its row, or another's row was first.

        Raises:
            StorageError: not stored; nothing may be acknowledged.
        """
        with self._lock:
            if self._is_closing:
                raise StorageError("the archive is stopping; send again when it is back")
            self._waiting.append(pending)
            is_our_turn = not self._is_at_work
            self._is_at_work = True
        if is_our_turn:
            self._commit_waiting()
        while True:
            result = pending.answer.wait()
            if result is not None:
                return result
            self._commit_waiting()

    def close(self) -> None:
        """Finish what waits, then take nothing more."""
        with self._lock:
            self._is_closing = True
            while self._is_at_work:
                self._changed.wait()

    def _commit_waiting(self) -> None:
        """Commit a batch, then hand over; every one of the batch has its answer, or none of it was ours."""
        with self._lock:
            batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
        try:
            self._commit(batch)
        except BaseException as problem:  # noqa: BLE001 -- whoever waits must learn of it, whatever it is
            if not isinstance(problem, PacsError):
                log.failure("commit failed", problem, instances=len(batch))
            for pending in batch:
                if not pending.answer.is_given:
                    pending.answer.fail(_as_storage_error(problem))
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting[0].answer.hand_over()
                else:
                    self._is_at_work = False
                    if self._is_closing:
                        self._changed.notify_all()

    def _commit(self, batch: list[Pending]) -> None:
        placed: list[tuple[Pending, Location]] = []
        for pending, place in self._make_durable(batch):
            if isinstance(place, StorageError):
                pending.answer.fail(place)
            else:
                placed.append((pending, place))
        if not placed:
            return
        try:
            self._add_rows(placed)
        except Exception as problem:
            if len(placed) == 1:
                raise
            log.event("batch refused by the index; its instances are tried one by one", error=problem)
            self._add_one_by_one(placed)

    def _add_one_by_one(self, placed: Sequence[tuple[Pending, Location]]) -> None:
        failures = 0
        for pending, location in placed:
            if pending.answer.is_given:
                continue
            try:
                self._add_rows([(pending, location)])
            except Exception as problem:  # noqa: BLE001 -- only this sender is concerned
                pending.answer.fail(_as_storage_error(problem))
                failures += 1
            if failures >= _MAX_FAILURES:
                raise IndexUnavailable("the index takes no rows; send again later")

    def _add_rows(self, placed: Sequence[tuple[Pending, Location]]) -> None:
        results = self._index.add([pending.description.at(location) for pending, location in placed])
        for (pending, location), result in zip(placed, results, strict=True):
            if result.existing is not None and self._is_ours(result.existing, location):
                result = AddResult(added=True)  # noqa: PLW2901
            if result.existing is not None and pending.record is not None:
                self._store.disown(location)
            pending.answer.give(result)

    def _is_ours(self, existing: Existing, location: Location) -> bool:
        """Whether the row that was first is our own, from a transaction that seemed to fail and did not."""
        key = existing.key
        found = self._index.instance(
            key.hospital, key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid
        )
        return found is not None and found.location == location

    def _make_durable(self, batch: Sequence[Pending]) -> list[tuple[Pending, Location | StorageError]]:
        placed: list[tuple[Pending, Location | StorageError]] = []
        for hospital, group in groupby(sorted(batch, key=lambda pending: pending.hospital), lambda p: p.hospital):
            records: list[NewRecord] = []
            senders: list[Pending] = []
            for pending in group:
                if pending.location is not None:
                    placed.append((pending, pending.location))
                elif pending.record is not None:
                    senders.append(pending)
                    records.append(pending.record)
            if records:
                placed += zip(senders, self._store.keep(hospital, records), strict=True)
        return placed


def _as_storage_error(problem: BaseException) -> StorageError:
    if isinstance(problem, StorageError):
        return problem
    wrapped = StorageError("storing failed inside the archive; its log says why")
    wrapped.__cause__ = problem
    return wrapped

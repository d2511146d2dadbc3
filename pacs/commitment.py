"""Storage commitment: who asks, for which instances -> each one's stored bytes read -> the result (PS3.4 Annex J)."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pacs import log
from pacs.errors import InvalidRequest, NotFound, StoredBytesDamaged, TooLarge
from pacs.index import Index
from pacs.index.commitments import ClaimedCommitment, State
from pacs.model import CommitmentKey, Principal, ReferencedInstance, StoredInstance, checked_uid, is_uid
from pacs.settings import CommitmentSettings
from pacs.storage.segments import SegmentStore

_LEASE_S = 30.0
"""How long a claim outlives a process that was killed; renewed while it lives."""
_TELLING_LEASE_S = 150.0
"""Connecting, negotiating and waiting for one answer may take 10 + 30 + 60 s."""
_AT_ONCE = 200
"""Rows fetched together."""


class FailureReason(IntEnum):
    """(0008,1197), PS3.3 C.14.1.1: why one instance is not committed to."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one transaction, to be told to its requester by whoever holds it."""

    claimed: ClaimedCommitment

    @property
    def key(self) -> CommitmentKey:
        return self.claimed.key

    @property
    def committed(self) -> list[ReferencedInstance]:
        """Instances whose bytes were read and are those that were stored."""
        failures = self.claimed.failures
        return [one for number, one in enumerate(self.claimed.references) if number not in failures]

    @property
    def failed(self) -> list[tuple[ReferencedInstance, int]]:
        """The others, each with its Failure Reason."""
        references = self.claimed.references
        return [(references[number], reason) for number, reason in self.claimed.failures.items()]


class _Interrupted(Exception):
    """The check has to end before its result is known."""


class Commitment:
    """Thread-safe; processes share the work by claiming rows.

    A request is durable when `ask` returns. It is verified and its result told whatever process is killed meanwhile;
    at the worst the result is told twice.
    """

    def __init__(
        self,
        index: Index,
        store: SegmentStore,
        settings: CommitmentSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._index = index
        self._rows = index.commitments
        self._store = store
        self._settings = settings
        self._clock = clock

    @property
    def max_references(self) -> int:
        """Instances that one request may name."""
        return self._settings.max_references

    # -- asking

    def ask(
        self, principal: Principal, requester: str, transaction_uid: str, references: Sequence[ReferencedInstance]
    ) -> CommitmentKey:
        """Take a request, durably. Instances are looked for in the principal's hospital alone; of one whose UIDs can be
        none the result says so.

        Args:
            requester: AE title that the result goes to.

        Raises:
            InvalidIdentity: the Transaction UID cannot be one.
            InvalidRequest: no instance is named.
            TooLarge: more than `max_references` are.
            Conflict: the Transaction UID is in use for other instances; the same request again is taken.
            Busy: too many of this requester's transactions are open.
            StorageError: it could not be made durable.
        """
        if not references:
            raise InvalidRequest("the request names no instance in (0008,1199) Referenced SOP Sequence")
        if len(references) > self._settings.max_references:
            raise TooLarge(f"more than {self._settings.max_references} instances (commitment.max_references)")
        key = CommitmentKey(principal.hospital, requester, checked_uid(transaction_uid, "Transaction UID"))
        is_new = self._rows.ask(key, references, max_open=self._settings.max_open_per_peer)
        log.event("storage commitment requested", **_names(key), instances=len(references), is_new=is_new)
        return key

    # -- verifying

    def resume(self) -> int:
        """Take up at once what a killed process had in hand; for the background process, when it starts."""
        return self._rows.free_claims()

    def verify_next(self, is_stopping: Callable[[], bool] = lambda: False) -> bool:
        """Read the instances of the request that waits longest and write the result down; False when none waits.

        A check that `is_stopping` interrupts is begun again by whoever comes next.

        Raises:
            StorageError: the index failed; the request is taken up again.
        """
        claimed = self._rows.claim(State.REQUESTED, _LEASE_S)
        if claimed is None:
            return False
        watch = _Watch(lambda: self._rows.renew(claimed, _LEASE_S), is_stopping)
        started = time.monotonic()
        try:
            failures = self._failures(claimed, watch)
        except _Interrupted:
            self._rows.give_back(claimed)
            return False
        if self._rows.verified(claimed, failures, wait_s=self._settings.same_association_s):
            log.event(
                "storage commitment verified",
                **_names(claimed.key),
                instances=len(claimed.references),
                failed=len(failures),
                seconds=round(time.monotonic() - started, 3),
            )
        return True

    def _failures(self, claimed: ClaimedCommitment, watch: _Watch) -> dict[int, int]:
        failures: dict[int, int] = {}
        seen: dict[ReferencedInstance, FailureReason | None] = {}
        hospital = claimed.key.hospital
        for batch in _batches(enumerate(claimed.references)):
            uids = sorted({one.sop_instance_uid for _, one in batch if is_uid(one.sop_instance_uid)})
            found = {
                instance.key.sop_instance_uid: instance
                for instance in self._index.instances(hospital, sop_instance_uid=uids)
            }
            for number, one in batch:
                if one not in seen:
                    seen[one] = self._reason(one, found.get(one.sop_instance_uid), watch)
                reason = seen[one]
                if reason is not None:
                    failures[number] = int(reason)
        return failures

    def _reason(self, asked: ReferencedInstance, kept: StoredInstance | None, watch: _Watch) -> FailureReason | None:
        """Why there is no commitment to `asked`; None when its bytes are there and right."""
        watch.look()
        if kept is None:
            return FailureReason.NO_SUCH_OBJECT_INSTANCE
        if kept.sop_class_uid != asked.sop_class_uid:
            return FailureReason.CLASS_INSTANCE_CONFLICT
        digest = hashlib.sha256()
        try:
            for piece in self._store.pieces(kept.location, kept.location.data_set_offset):
                digest.update(piece)
                watch.look()
            if digest.hexdigest() != kept.digest:
                raise StoredBytesDamaged("what was read is not what was stored")
        except (NotFound, StoredBytesDamaged) as problem:
            log.failure(
                "stored instance is damaged",
                problem,
                sop_instance_uid=asked.sop_instance_uid,
                segment=kept.location.segment,
                offset=kept.location.offset,
            )
            return FailureReason.PROCESSING_FAILURE
        return None

    # -- telling

    def is_open(self, key: CommitmentKey) -> bool:
        """Whether the requester is still to be told."""
        return self._rows.state(key) in (State.REQUESTED, State.VERIFIED)

    def result(self, key: CommitmentKey) -> Report | None:
        """The result of one transaction, when it is known and nobody else is telling it."""
        claimed = self._rows.claim_result(key, _TELLING_LEASE_S)
        return None if claimed is None else Report(claimed)

    def next_report(self, *, of: CommitmentKey | None = None) -> Report | None:
        """A result that is due; `of`: one for the same hospital and requester. None when none is due."""
        claimed = self._rows.claim(State.VERIFIED, _TELLING_LEASE_S, of=of)
        return None if claimed is None else Report(claimed)

    def told(self, report: Report) -> None:
        """The requester has answered that it knows."""
        if not self._rows.finish(report.claimed, State.REPORTED, keep_s=self._settings.keep_s):
            return  # the answer took so long that somebody else tells it again
        log.event(
            "storage commitment reported",
            **_names(report.key),
            committed=len(report.committed),
            failed=len(report.failed),
            attempts=report.claimed.attempts + 1,
        )

    def not_told(self, report: Report, why: str, *, is_reachable: bool = True) -> None:
        """The requester could not be told: it is tried again after a pause, or given up when its time is over.

        One that is not reachable at all is left alone with its other results, too, for the same pause.
        """
        claimed, settings = report.claimed, self._settings
        pause_s = min(settings.longest_pause_s, settings.first_pause_s * 2.0 ** min(claimed.attempts, 32))
        if self._clock() + pause_s > claimed.requested_at_s + settings.give_up_after_s:
            self._rows.finish(claimed, State.GIVEN_UP, keep_s=settings.keep_s)
            log.warning("storage commitment given up", **_names(report.key), why=why, attempts=claimed.attempts + 1)
            return
        self._rows.postpone(claimed, pause_s)
        if not is_reachable:
            self._rows.postpone_others(claimed, pause_s)
        log.warning(
            "storage commitment not reported",
            **_names(report.key),
            why=why,
            attempts=claimed.attempts + 1,
            next_try_s=round(pause_s),
        )

    def give_back(self, report: Report) -> None:
        """Nobody was asked to listen yet; the result is due at once for whoever comes next."""
        self._rows.give_back(report.claimed)

    def association_ended(self, key: CommitmentKey) -> None:
        """The association that the request came on is over: its result need not wait for it."""
        self._rows.association_ended(key)

    def forget(self) -> int:
        """Delete transactions that were finished `keep_s` ago; returns how many."""
        return self._rows.forget()


class _Watch:
    """Keeps a claim alive while one check runs, and ends the check when it must end."""

    def __init__(self, renew: Callable[[], bool], is_stopping: Callable[[], bool]) -> None:
        self._renew = renew
        self._is_stopping = is_stopping
        self._next = time.monotonic() + _LEASE_S / 3

    def look(self) -> None:
        """Raises `_Interrupted`."""
        if self._is_stopping():
            raise _Interrupted
        if time.monotonic() >= self._next:
            if not self._renew():
                raise _Interrupted
            self._next = time.monotonic() + _LEASE_S / 3


def _batches(
    numbered: Iterator[tuple[int, ReferencedInstance]],
) -> Iterator[Sequence[tuple[int, ReferencedInstance]]]:
    while batch := list(itertools.islice(numbered, _AT_ONCE)):
        yield batch


def _names(key: CommitmentKey) -> dict[str, Any]:
    return {"transaction_uid": key.transaction_uid, "calling_ae_title": key.requester, "hospital": key.hospital}

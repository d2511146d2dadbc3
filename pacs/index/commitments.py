"""Rows of storage commitment transactions: state, not messages, so that a crash loses none.

A transaction goes from `REQUESTED` by `VERIFIED` to `REPORTED` or `GIVEN_UP`. Whoever works on one claims it for a
while; when he does not come back, the claim ends by itself and another takes the work up.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, delete, func, insert, select, update

from pacs.errors import Busy, Conflict, IndexUnavailable
from pacs.index.engine import reading, writing
from pacs.index.tables import commitments as table
from pacs.model import CommitmentKey, ReferencedInstance

_column = table.c


class State(StrEnum):
    """How far a transaction has got."""

    REQUESTED = "requested"
    """Asked for and durable; the instances are still to be read."""
    VERIFIED = "verified"
    """The result is known; the requester is still to be told."""
    REPORTED = "reported"
    GIVEN_UP = "given up"
    """The requester could not be told in the time that is set."""


_OPEN = (State.REQUESTED, State.VERIFIED)
_FINISHED = (State.REPORTED, State.GIVEN_UP)


@dataclass(frozen=True, slots=True)
class ClaimedCommitment:
    """A transaction that its holder alone works on, until the claim ends."""

    key: CommitmentKey
    references: tuple[ReferencedInstance, ...]
    failures: Mapping[int, int]
    """Failure Reason (0008,1197) by position in `references`; empty until it is verified."""
    attempts: int
    """How often it has been tried to tell the requester."""
    requested_at_s: float
    row: int
    claim: str


class Commitments:
    """The table of one index. Every method raises `pacs.errors.IndexUnavailable` as `pacs.index.Index` does.

    `clock` gives seconds since 1970; processes that share a database should agree to within some seconds.
    """

    def __init__(
        self, engine: Engine, write_lock: threading.Lock | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._is_shared = engine.dialect.name != "sqlite"
        self._turn: AbstractContextManager[Any] = contextlib.nullcontext() if write_lock is None else write_lock
        self._clock = clock

    # -- asking

    def ask(self, key: CommitmentKey, references: Sequence[ReferencedInstance], *, max_open: int) -> bool:
        """Write a transaction down, durable on return; it is due to be verified at once.

        The same request again is no fault, because its requester may not have seen the answer: one that is still open
        stays as it is, a finished one is verified and reported again. Returns whether there was none before.

        Raises:
            Conflict: the requester used the Transaction UID for other instances.
            Busy: the requester has `max_open` transactions open.
        """
        text = _text(references)
        values = {
            "state": State.REQUESTED,
            "claim": "",
            "due_at_us": self._now(),
            "requested_at_us": self._now(),
            "attempts": 0,
            "is_association_open": True,
            "digest": hashlib.sha256("\n".join(sorted(text.split("\n"))).encode()).digest(),
            "references": zlib.compress(text.encode()),
            "failures": b"",
        }
        try:
            return self._ask(key, values, max_open)
        except IndexUnavailable as error:
            if not _is_unique_violation(error.__cause__):
                raise
            return self._ask(key, values, max_open)  # another connection was quicker with the same request

    def _ask(self, key: CommitmentKey, values: dict[str, Any], max_open: int) -> bool:
        with self._writing("keep a storage commitment request") as connection:
            found = connection.execute(
                select(_column.id, _column.state, _column.digest).where(_is(key)).with_for_update()
            ).one_or_none()
            if found is not None and bytes(found.digest) != values["digest"]:
                raise Conflict(f"Transaction UID {key.transaction_uid} is in use for other instances")
            if found is not None and found.state in _OPEN:
                connection.execute(update(table).where(_column.id == found.id).values(is_association_open=True))
                return False
            if self._open(connection, key) >= max_open:
                raise Busy(f"{key.requester} has {max_open} storage commitments open (commitment.max_open_per_peer)")
            if found is not None:
                connection.execute(update(table).where(_column.id == found.id).values(**values))
                return False
            connection.execute(
                insert(table).values(
                    hospital=key.hospital, requester=key.requester, transaction_uid=key.transaction_uid, **values
                )
            )
            return True

    @staticmethod
    def _open(connection: Connection, key: CommitmentKey) -> int:
        counted = select(func.count()).where(
            _column.hospital == key.hospital, _column.requester == key.requester, _column.state.in_(_OPEN)
        )
        return int(connection.execute(counted).scalar_one())

    def association_ended(self, key: CommitmentKey) -> None:
        """The association it was asked on is over: a result that waits for it need not wait any more."""
        waits = and_(_column.state == State.VERIFIED, _column.claim == "", _column.attempts == 0)
        with self._writing("note the end of an association") as connection:
            connection.execute(
                update(table)
                .where(_is(key), _column.state.in_(_OPEN))
                .values(is_association_open=False, due_at_us=case((waits, self._now()), else_=_column.due_at_us))
            )

    # -- claiming

    def claim(self, state: State, lease_s: float, *, of: CommitmentKey | None = None) -> ClaimedCommitment | None:
        """The transaction in `state` that is due longest, for `lease_s` seconds; None when none is.

        `of` limits the choice to those of the same hospital and requester.
        """
        due = and_(_column.state == state, _column.due_at_us <= self._now())
        if of is not None:
            due = and_(due, _column.hospital == of.hospital, _column.requester == of.requester)
        return self._claim(due, lease_s)

    def claim_result(self, key: CommitmentKey, lease_s: float) -> ClaimedCommitment | None:
        """This transaction, when its result is known and nobody is telling the requester; due or not."""
        return self._claim(and_(_is(key), _column.state == State.VERIFIED, _column.claim == ""), lease_s)

    def state(self, key: CommitmentKey) -> State | None:
        """How far a transaction has got; None when there is none."""
        with reading(self._engine, "look up a storage commitment") as connection:
            found = connection.execute(select(_column.state).where(_is(key))).scalar_one_or_none()
        return None if found is None else State(found)

    def _claim(self, chosen: ColumnElement[bool], lease_s: float) -> ClaimedCommitment | None:
        first = select(_column.id).where(chosen).order_by(_column.due_at_us, _column.id).limit(1)
        with reading(self._engine, "look for storage commitments") as connection:
            if connection.execute(first).first() is None:  # the usual case takes no lock
                return None
        claim = uuid.uuid4().hex
        with self._writing("claim a storage commitment") as connection:
            row = connection.execute(
                select(table)
                .where(chosen)
                .order_by(_column.due_at_us, _column.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if row is None:
                return None
            connection.execute(
                update(table)
                .where(_column.id == row.id)
                .values(claim=claim, due_at_us=self._now() + _microseconds(lease_s))
            )
        return ClaimedCommitment(
            key=CommitmentKey(row.hospital, row.requester, row.transaction_uid),
            references=_references(row.references),
            failures=_failures(row.failures),
            attempts=row.attempts,
            requested_at_s=row.requested_at_us / 1_000_000,
            row=row.id,
            claim=claim,
        )

    def free_claims(self) -> int:
        """End the claims of processes that are dead, before any new one is made; returns how many.

        On a database that several machines share nobody knows who is dead: there each claim ends when its time is over.
        """
        if self._is_shared:
            return 0
        held = and_(_column.claim != "", _column.state.in_(_OPEN))
        with self._writing("free the claims of dead processes") as connection:
            freed = connection.execute(update(table).where(held).values(claim="", due_at_us=self._now()))
            return int(freed.rowcount)

    # -- what is done with a claim: each returns False, and changes nothing, when the claim has passed to another

    def renew(self, claimed: ClaimedCommitment, lease_s: float) -> bool:
        """Keep the claim for another `lease_s` seconds."""
        return self._change(claimed, due_at_us=self._now() + _microseconds(lease_s))

    def give_back(self, claimed: ClaimedCommitment) -> bool:
        """End the claim with nothing done; the transaction is due at once."""
        return self._change(claimed, claim="", due_at_us=self._now())

    def verified(self, claimed: ClaimedCommitment, failures: Mapping[int, int], *, wait_s: float) -> bool:
        """Write the result down. It is due to be told at once, or after `wait_s` while the association is open."""
        now = self._now()
        due = case((_column.is_association_open, now + _microseconds(wait_s)), else_=now)
        lines = "\n".join(f"{number} {reason}" for number, reason in failures.items())
        packed = zlib.compress(lines.encode()) if failures else b""
        return self._change(claimed, state=State.VERIFIED, failures=packed, claim="", due_at_us=due)

    def postpone(self, claimed: ClaimedCommitment, pause_s: float) -> bool:
        """The requester could not be told: try again after `pause_s`."""
        due = self._now() + _microseconds(pause_s)
        return self._change(claimed, claim="", due_at_us=due, attempts=claimed.attempts + 1)

    def postpone_others(self, claimed: ClaimedCommitment, pause_s: float) -> None:
        """Nor can the same requester be told of its other transactions before `pause_s` have passed."""
        until = self._now() + _microseconds(pause_s)
        key = claimed.key
        with self._writing("postpone storage commitments") as connection:
            connection.execute(
                update(table)
                .where(
                    _column.hospital == key.hospital,
                    _column.requester == key.requester,
                    _column.state == State.VERIFIED,
                    _column.claim == "",
                    _column.due_at_us < until,
                )
                .values(due_at_us=until)
            )

    def finish(self, claimed: ClaimedCommitment, state: State, *, keep_s: float) -> bool:
        """The requester was told, or is given up. That it was asked is known for another `keep_s`."""
        due = self._now() + _microseconds(keep_s)
        return self._change(claimed, state=state, claim="", due_at_us=due, references=b"", failures=b"")

    def forget(self) -> int:
        """Delete finished transactions whose time has come; returns how many."""
        old = and_(_column.state.in_(_FINISHED), _column.due_at_us <= self._now())
        with reading(self._engine, "look for old storage commitments") as connection:
            if connection.execute(select(_column.id).where(old).limit(1)).first() is None:
                return 0
        with self._writing("forget old storage commitments") as connection:
            return int(connection.execute(delete(table).where(old)).rowcount)

    def _change(self, claimed: ClaimedCommitment, **values: Any) -> bool:
        with self._writing("note what became of a storage commitment") as connection:
            changed = connection.execute(
                update(table).where(_column.id == claimed.row, _column.claim == claimed.claim).values(**values)
            )
            return changed.rowcount > 0

    @contextlib.contextmanager
    def _writing(self, doing: str) -> Iterator[Connection]:
        with self._turn, writing(self._engine, doing) as connection:
            yield connection

    def _now(self) -> int:
        return _microseconds(self._clock())


def _is(key: CommitmentKey) -> ColumnElement[bool]:
    return and_(
        _column.hospital == key.hospital,
        _column.requester == key.requester,
        _column.transaction_uid == key.transaction_uid,
    )


def _is_unique_violation(error: BaseException | None) -> bool:
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None) == "23505"


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)


def _text(references: Sequence[ReferencedInstance]) -> str:
    # What can be no UID is told back as it came, so it is kept; of one that can be, nothing is quoted.
    return "\n".join(f"{quote(one.sop_class_uid)} {quote(one.sop_instance_uid)}" for one in references)


def _references(packed: bytes) -> tuple[ReferencedInstance, ...]:
    if not packed:
        return ()
    pairs = (line.partition(" ") for line in zlib.decompress(packed).decode().split("\n"))
    return tuple(ReferencedInstance(unquote(sop_class), unquote(sop_instance)) for sop_class, _, sop_instance in pairs)


def _failures(packed: bytes) -> dict[int, int]:
    if not packed:
        return {}
    pairs = (line.partition(" ") for line in zlib.decompress(packed).decode().split("\n"))
    return {int(number): int(reason) for number, _, reason in pairs}

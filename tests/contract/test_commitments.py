"""Rows of storage commitment: durable, claimed by one at a time, taken up again when a claimant does not come back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pacs.errors import Busy, Conflict
from pacs.index import Index
from pacs.index.commitments import Commitments, State
from pacs.index.engine import open_engine
from pacs.model import CommitmentKey, ReferencedInstance

KEY = CommitmentKey("default", "MODALITY", "1.2.3")
REFERENCES = [ReferencedInstance("1.2.840.10008.5.1.4.1.1.2", f"1.2.{number}") for number in range(5)]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rows(index: Index, url: str, clock: Clock) -> Iterator[Commitments]:
    """As another process sees the table, with a clock that the test turns."""
    engine = open_engine(url)
    yield Commitments(engine, threading.Lock() if engine.dialect.name == "sqlite" else None, clock)
    engine.dispose()


def ask(rows: Commitments, key: CommitmentKey = KEY, references: list[ReferencedInstance] = REFERENCES) -> bool:
    return rows.ask(key, references, max_open=10)


def verified(rows: Commitments, key: CommitmentKey = KEY, failures: dict[int, int] | None = None) -> None:
    ask(rows, key)
    claimed = rows.claim(State.REQUESTED, 30)
    assert claimed is not None
    assert rows.verified(claimed, failures or {}, wait_s=5)


def test_from_request_to_report(rows: Commitments, clock: Clock) -> None:
    assert ask(rows)
    assert rows.state(KEY) == State.REQUESTED
    claimed = rows.claim(State.REQUESTED, 30)
    assert claimed is not None
    assert (claimed.key, list(claimed.references), claimed.requested_at_s) == (KEY, REFERENCES, clock.now_s)
    assert rows.verified(claimed, {1: 0x0112, 3: 0x0110}, wait_s=5)
    assert rows.claim(State.VERIFIED, 30) is None, "it waits for the association it was asked on"
    clock.now_s += 5
    told = rows.claim(State.VERIFIED, 30)
    assert told is not None
    assert (list(told.references), told.failures, told.attempts) == (REFERENCES, {1: 0x0112, 3: 0x0110}, 0)
    assert rows.finish(told, State.REPORTED, keep_s=100)
    assert rows.state(KEY) == State.REPORTED
    assert rows.claim(State.VERIFIED, 30) is None
    assert rows.forget() == 0
    clock.now_s += 100
    assert rows.forget() == 1
    assert rows.state(KEY) is None


def test_the_association_it_was_asked_on_may_take_the_result_at_once(rows: Commitments) -> None:
    verified(rows)
    claimed = rows.claim_result(KEY, 30)
    assert claimed is not None
    assert rows.claim_result(KEY, 30) is None, "one at a time"
    assert rows.give_back(claimed)
    assert rows.claim_result(KEY, 30) is not None


def test_the_end_of_the_association_makes_the_result_due(rows: Commitments) -> None:
    verified(rows)
    rows.association_ended(KEY)
    assert rows.claim(State.VERIFIED, 30) is not None


def test_a_result_does_not_wait_for_an_association_that_is_over(rows: Commitments) -> None:
    ask(rows)
    rows.association_ended(KEY)
    claimed = rows.claim(State.REQUESTED, 30)
    assert claimed is not None
    rows.verified(claimed, {}, wait_s=5)
    assert rows.claim(State.VERIFIED, 30) is not None


def test_a_claim_of_one_that_does_not_come_back_ends(rows: Commitments, clock: Clock) -> None:
    ask(rows)
    lost = rows.claim(State.REQUESTED, 30)
    assert lost is not None
    assert rows.claim(State.REQUESTED, 30) is None
    clock.now_s += 20
    assert rows.renew(lost, 30)
    clock.now_s += 20
    assert rows.claim(State.REQUESTED, 30) is None
    clock.now_s += 10
    assert rows.claim(State.REQUESTED, 30) is not None
    assert not rows.renew(lost, 30), "it is another's now"
    assert not rows.verified(lost, {}, wait_s=0)
    assert rows.state(KEY) == State.REQUESTED


def test_the_same_request_again_changes_nothing_while_it_is_open(rows: Commitments) -> None:
    assert ask(rows)
    assert not ask(rows, references=REFERENCES[::-1])
    claimed = rows.claim(State.REQUESTED, 30)
    assert claimed is not None
    assert list(claimed.references) == REFERENCES


def test_the_same_request_again_is_done_again_when_it_is_finished(rows: Commitments) -> None:
    verified(rows)
    claimed = rows.claim_result(KEY, 30)
    assert claimed is not None
    rows.finish(claimed, State.GIVEN_UP, keep_s=100)
    assert not ask(rows)
    again = rows.claim(State.REQUESTED, 30)
    assert again is not None
    assert list(again.references) == REFERENCES


def test_what_is_no_uid_is_kept_as_it_came(rows: Commitments) -> None:
    odd = [ReferencedInstance("1.2\n1.3 1.4", "a b"), ReferencedInstance("%31\\2", "\0é"), *REFERENCES]
    ask(rows, references=odd)
    claimed = rows.claim(State.REQUESTED, 30)
    assert claimed is not None
    assert list(claimed.references) == odd
    with pytest.raises(Conflict):
        ask(rows, references=[ReferencedInstance("1.2", "a"), *odd[1:]])


def test_a_transaction_uid_is_not_used_twice(rows: Commitments) -> None:
    ask(rows)
    with pytest.raises(Conflict, match=r"1\.2\.3"):
        ask(rows, references=REFERENCES[:2])
    # Nobody learns of another's transactions.
    assert ask(rows, CommitmentKey("default", "OTHER", "1.2.3"), REFERENCES[:2])
    assert ask(rows, CommitmentKey("other hospital", "MODALITY", "1.2.3"), REFERENCES[:2])


def test_open_transactions_of_one_requester_are_limited(rows: Commitments) -> None:
    for number in range(10):
        ask(rows, CommitmentKey("default", "MODALITY", f"1.{number}"))
    with pytest.raises(Busy, match=r"commitment\.max_open_per_peer"):
        ask(rows)
    assert not ask(rows, CommitmentKey("default", "MODALITY", "1.3")), "a repetition is no further one"
    assert ask(rows, CommitmentKey("default", "OTHER", "1.2"))


def test_pauses(rows: Commitments, clock: Clock) -> None:
    others = [CommitmentKey("default", "MODALITY", "1.4"), CommitmentKey("default", "OTHER", "1.5")]
    for key in (KEY, *others):
        verified(rows, key)
    clock.now_s += 5
    claimed = rows.claim(State.VERIFIED, 30)
    assert claimed is not None
    assert claimed.key == KEY
    rows.postpone(claimed, 60)
    rows.postpone_others(claimed, 60)
    elsewhere = rows.claim(State.VERIFIED, 300)
    assert elsewhere is not None
    assert elsewhere.key == others[1]
    assert rows.claim(State.VERIFIED, 30) is None
    rows.association_ended(KEY)
    assert rows.claim(State.VERIFIED, 30) is None, "its requester was not reachable a moment ago"
    clock.now_s += 60
    first = rows.claim(State.VERIFIED, 30)
    assert first is not None
    assert (first.key, first.attempts) == (KEY, 1)
    second = rows.claim(State.VERIFIED, 30, of=KEY)
    assert second is not None
    assert (second.key, second.attempts) == (others[0], 0)


def test_two_claimants_never_get_the_same(rows: Commitments) -> None:
    keys = [CommitmentKey("default", "MODALITY", f"1.{number}") for number in range(10)]
    for key in keys:
        ask(rows, key)
    got: list[CommitmentKey] = []

    def work() -> None:
        while claimed := rows.claim(State.REQUESTED, 30):
            got.append(claimed.key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(key.transaction_uid for key in got) == sorted(key.transaction_uid for key in keys)


def test_the_same_request_on_two_connections_at_once_is_kept_once(rows: Commitments) -> None:
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(rows))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [False] * 5 + [True]


def test_a_new_start_frees_the_claims_of_the_dead_where_only_one_machine_works(rows: Commitments, url: str) -> None:
    ask(rows)
    assert rows.claim(State.REQUESTED, 30) is not None
    is_alone = url.startswith("sqlite")
    assert rows.free_claims() == is_alone
    assert (rows.claim(State.REQUESTED, 30) is not None) == is_alone

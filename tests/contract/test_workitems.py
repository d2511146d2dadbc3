"""Rows of workitems, subscriptions and events: what both databases promise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pacs.errors import Conflict
from pacs.index import Index
from pacs.index.allowance import Allowance
from pacs.index.subscriptions import Event, GlobalSubscription
from pacs.index.workitems import ChangedWorkitem, KeptWorkitem
from pacs.model import DicomJson

HOSPITAL = "default"
GLOBAL = "1.2.840.10008.5.1.4.34.5"
STATE_REPORT = Event(1, {"00741000": {"vr": "CS", "Value": ["SCHEDULED"]}})


@pytest.fixture
def other(index: Index, url: str) -> Iterator[Index]:
    """The same database, as another process has it."""
    opened = Index.open(url)
    yield opened
    opened.close()


def attributes(patient_id: str = "P1", label: str = "Chest") -> DicomJson:
    return {"00100020": {"vr": "LO", "Value": [patient_id]}, "00741202": {"vr": "LO", "Value": [label]}}


def create(index: Index, uid: str, hospital: str = HOSPITAL, patient_id: str = "P1") -> None:
    index.workitems.create(
        hospital, uid, "SCHEDULED", attributes(patient_id), [STATE_REPORT], lambda one: one.keys in ("", patient_id)
    )


def everything(index: Index, hospital: str = HOSPITAL, **equal: str) -> list[str]:
    found = index.workitems.search(hospital, {name: (value,) for name, value in equal.items()}, Allowance())
    return [kept.workitem_uid for kept in found]


def waiting(index: Index, subscriber: str, after: int = 0, hospital: str = HOSPITAL) -> list[tuple[int, str]]:
    found = index.workitems.subscriptions.waiting(hospital, subscriber, after, 100)
    return [(one.number, one.workitem_uid) for one in found]


def subscribe_to_all(index: Index, subscriber: str, keys: str = "", hospital: str = HOSPITAL) -> None:
    wanted = GlobalSubscription(hospital, subscriber, GLOBAL, False, keys)
    index.workitems.subscribe_to_all(
        wanted, lambda kept: keys in ("", kept.attributes["00100020"]["Value"][0]), lambda kept: ()
    )


def test_what_is_written_is_read(index: Index) -> None:
    create(index, "1.1")
    kept = index.workitems.get(HOSPITAL, "1.1")
    assert kept is not None
    assert (kept.workitem_uid, kept.state, kept.transaction_uid, kept.attributes) == (
        "1.1",
        "SCHEDULED",
        "",
        attributes(),
    )
    assert index.workitems.get(HOSPITAL, "1.2") is None
    assert index.workitems.get("other", "1.1") is None


def test_a_uid_is_used_once_in_each_hospital(index: Index) -> None:
    create(index, "1.1")
    with pytest.raises(Conflict):
        create(index, "1.1")
    create(index, "1.1", "other")
    assert everything(index) == ["1.1"]


def test_searches_find_by_columns_and_in_order(index: Index) -> None:
    for number in range(5):
        create(index, f"1.{number}", patient_id=f"P{number % 2}")
    create(index, "1.9", "other")
    index.workitems.change(HOSPITAL, "1.2", lambda kept, _: ChangedWorkitem("IN PROGRESS", "9.9", attributes("P0")))
    assert everything(index) == [f"1.{number}" for number in range(5)]
    assert everything(index, patient_id="P0") == ["1.0", "1.2", "1.4"]
    assert everything(index, patient_id="P0", state="SCHEDULED") == ["1.0", "1.4"]
    assert everything(index, worklist_label="Chest", workitem_uid="1.3") == ["1.3"]


def test_a_search_reads_page_by_page(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacs.index.workitems._PAGE", 2)
    for number in range(5):
        create(index, f"1.{number}")
    assert everything(index) == [f"1.{number}" for number in range(5)]


def test_what_the_decision_raises_leaves_everything_as_it_was(index: Index) -> None:
    create(index, "1.1")
    subscribe_to_all(index, "WATCH")

    def refuse(_kept: KeptWorkitem | None, _is_watched: bool) -> ChangedWorkitem:
        raise Conflict("no")

    with pytest.raises(Conflict):
        index.workitems.change(HOSPITAL, "1.1", refuse)
    index.workitems.change(HOSPITAL, "1.1", lambda kept, is_watched: None)
    kept = index.workitems.get(HOSPITAL, "1.1")
    assert kept is not None
    assert kept.attributes == attributes()
    assert waiting(index, "WATCH") == []


class TestTwoWhoClaimAtOnce:
    ROUNDS = 12

    def winners(self, indexes: tuple[Index, Index], claim: Callable[[Index, str, str], None]) -> list[int]:
        """How many of two claims at the same moment succeeded, for each round."""
        counts = []
        with ThreadPoolExecutor(2) as pool:
            for number in range(self.ROUNDS):
                uid, start = f"1.{number}", threading.Barrier(2)
                create(indexes[0], uid)

                def attempt(index: Index, uid: str = uid, start: threading.Barrier = start) -> bool:
                    start.wait(20)
                    try:
                        claim(index, uid, f"9.{id(index)}")
                    except Conflict:
                        return False
                    return True

                counts.append(sum(pool.map(attempt, indexes)))
        return counts

    def test_exactly_one_wins(self, index: Index, other: Index) -> None:
        def claim(index: Index, uid: str, transaction: str) -> None:
            index.workitems.change(HOSPITAL, uid, lambda kept, _: claimed(kept, transaction))

        assert self.winners((index, other), claim) == [1] * self.ROUNDS

    def test_reading_before_writing_would_let_both_win(self, index: Index, other: Index) -> None:
        """The control: the decision is taken on what was read in a transaction of its own."""
        both_have_read = threading.Barrier(2)

        def claim(index: Index, uid: str, transaction: str) -> None:
            found = index.workitems.get(HOSPITAL, uid)
            both_have_read.wait(20)
            index.workitems.change(HOSPITAL, uid, lambda kept, _: claimed(found, transaction))

        assert self.winners((index, other), claim) == [2] * self.ROUNDS


def claimed(kept: KeptWorkitem | None, transaction: str) -> ChangedWorkitem:
    if kept is None or kept.state != "SCHEDULED":
        raise Conflict("taken")
    return ChangedWorkitem("IN PROGRESS", transaction, kept.attributes, [STATE_REPORT])


class TestEvents:
    def test_each_subscriber_has_its_own_in_order(self, index: Index) -> None:
        subscribe_to_all(index, "A")
        subscribe_to_all(index, "B", keys="P2")
        subscribe_to_all(index, "A", hospital="other")
        create(index, "1.1")
        create(index, "1.2", patient_id="P2")
        assert [uid for _, uid in waiting(index, "A")] == ["1.1", "1.2"]
        assert [uid for _, uid in waiting(index, "B")] == ["1.2"]
        assert waiting(index, "A", hospital="other") == []
        (first, _), (second, _) = waiting(index, "A")
        assert [number for number, _ in waiting(index, "A", after=first)] == [second]
        index.workitems.subscriptions.delivered(HOSPITAL, "A", first)
        assert [number for number, _ in waiting(index, "A")] == [second]
        assert len(waiting(index, "B")) == 1

    def test_a_number_is_never_used_again(self, index: Index) -> None:
        subscribe_to_all(index, "A")
        create(index, "1.1")
        ((number, _),) = waiting(index, "A")
        index.workitems.subscriptions.delivered(HOSPITAL, "A", number)
        create(index, "1.2")
        ((later, _),) = waiting(index, "A")
        assert later > number

    def test_news_names_who_is_told(self, index: Index) -> None:
        subscribe_to_all(index, "A")
        subscribe_to_all(index, "B", keys="P2")
        assert index.workitems.subscriptions.news(0) == (0, set())
        create(index, "1.1")
        newest, told = index.workitems.subscriptions.news(0)
        assert told == {(HOSPITAL, "A")}
        assert index.workitems.subscriptions.newest() == newest
        assert index.workitems.subscriptions.news(newest) == (newest, set())

    def test_they_become_visible_in_the_order_of_their_numbers(self, index: Index, other: Index) -> None:
        """Otherwise a reader that has seen number 8 would never look for 7, which was committed later."""
        subscribe_to_all(index, "A")
        is_done = threading.Event()
        seen: list[int] = []

        def write(which: Index, start: int) -> None:
            for number in range(start, start + 25):
                create(which, f"1.{number}")

        def read() -> None:
            while True:
                is_last = is_done.is_set()
                seen.extend(number for number, _ in waiting(index, "A", after=seen[-1] if seen else 0))
                if is_last:
                    return

        with ThreadPoolExecutor(3) as pool:
            reader = pool.submit(read)
            writers = [pool.submit(write, index, 100), pool.submit(write, other, 200)]
            for writer in writers:
                writer.result(60)
            is_done.set()
            reader.result(60)
        assert len(seen) == 50
        assert seen == sorted(seen)

    def test_ended_workitems_are_deleted_but_their_uids_stay(self, index: Index) -> None:
        for uid in ("1.1", "1.2"):
            create(index, uid)
            index.workitems.change(HOSPITAL, uid, lambda kept, _: ChangedWorkitem("CANCELED", "", attributes()))
        index.workitems.subscribe(HOSPITAL, "LOCK", "1.2", is_locking=True, initial=lambda kept: ())
        assert index.workitems.delete_ended(["CANCELED"], 1) == 0
        assert index.workitems.delete_ended(["CANCELED"], 1e11) == 1
        assert everything(index) == ["1.2"]
        assert index.workitems.count(HOSPITAL) == 1
        with pytest.raises(Conflict):
            create(index, "1.1")
        assert index.workitems.subscriptions.unsubscribe(HOSPITAL, "LOCK", "1.2")
        assert index.workitems.delete_ended(["CANCELED"], 1e11) == 1

    def test_what_nobody_fetches_is_dropped(self, index: Index) -> None:
        subscribe_to_all(index, "A")
        subscribe_to_all(index, "B", keys="P2")
        for number in range(5):
            create(index, f"1.{number}")
        create(index, "1.9", patient_id="P2")
        assert index.workitems.subscriptions.forget(0, 2) == 4
        assert [uid for _, uid in waiting(index, "A")] == ["1.4", "1.9"]
        assert [uid for _, uid in waiting(index, "B")] == ["1.9"]
        assert index.workitems.subscriptions.forget(1e11, 2) == 3


class TestSubscriptions:
    def test_the_present_and_the_coming_ones(self, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pacs.index.workitems._PAGE", 2)
        for number in range(5):
            create(index, f"1.{number}")
        wanted = GlobalSubscription(HOSPITAL, "A", GLOBAL, True, "")
        for _ in range(2):  # again, as after a crash in the middle
            index.workitems.subscribe_to_all(wanted, lambda kept: True, lambda kept: [STATE_REPORT])
        assert [uid for _, uid in waiting(index, "A")] == [f"1.{number}" for number in range(5)] * 2
        assert index.workitems.subscriptions.subscribers(HOSPITAL) == {"A"}
        assert index.workitems.subscriptions.suspend(HOSPITAL, "A", GLOBAL)
        assert not index.workitems.subscriptions.suspend(HOSPITAL, "A", GLOBAL)
        create(index, "1.9")
        assert len(waiting(index, "A")) == 10
        assert index.workitems.subscriptions.unsubscribe_from_all(HOSPITAL, "A", GLOBAL, every_kind=True)
        assert not index.workitems.subscriptions.unsubscribe_from_all(HOSPITAL, "A", GLOBAL, every_kind=True)
        assert index.workitems.subscriptions.subscribers(HOSPITAL) == set()

    def test_everybody_is_told(self, index: Index) -> None:
        create(index, "1.1")
        subscribe_to_all(index, "A")
        subscribe_to_all(index, "A", hospital="other")
        index.workitems.subscribe(HOSPITAL, "B", "1.1", is_locking=False, initial=lambda kept: ())
        assert index.workitems.subscriptions.tell_everybody(GLOBAL, STATE_REPORT) == 3
        assert [waiting(index, name)[-1][1] for name in ("A", "B")] == [GLOBAL, GLOBAL]

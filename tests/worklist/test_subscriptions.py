"""What subscribers of the worklist are told, and what is forgotten, on SQLite."""

from __future__ import annotations

import pytest

from pacs.dicomweb.search_parameters import filter_query, plain_query
from pacs.errors import Busy, Conflict, InvalidRequest, NotFound
from pacs.worklist.refusals import (
    DeletedWorkitem,
)
from pacs.worklist.reports import FILTERED_GLOBAL_SUBSCRIPTION, GLOBAL_SUBSCRIPTION
from tests.worklist.bench import THEM, US, Bench
from tests.worklist.workitems import claim, code, data_set, new_uid, performed, to_state, workitem


class TestSubscriptions:
    def test_one_workitem_from_creation_on(self, bench: Bench) -> None:
        uid = bench.create()
        bench.worklist.subscribe(US, uid, "WATCH", is_locking=False)
        assert bench.heard("WATCH") == [(1, "SCHEDULED")]
        transaction = new_uid()
        bench.worklist.change_state(US, uid, claim(transaction))
        bench.worklist.update(US, uid, transaction, data_set(InputReadinessState=["UNAVAILABLE"]))
        bench.worklist.update(US, uid, transaction, data_set(ScheduledStationNameCodeSequence=[code("CT1")]))
        progress = data_set(ProcedureStepProgress=["50"], ProcedureStepProgressDescription=["half"])
        bench.worklist.update(US, uid, transaction, data_set(ProcedureStepProgressInformationSequence=[progress]))
        bench.worklist.update(US, uid, transaction, data_set(CommentsOnTheScheduledProcedureStep=["not told"]))
        assert bench.heard("WATCH") == [(1, "IN PROGRESS"), (1, "IN PROGRESS"), (5, ""), (3, "")]
        bench.worklist.unsubscribe(US, uid, "WATCH")
        bench.worklist.update(US, uid, transaction, performed())
        bench.worklist.change_state(US, uid, to_state("COMPLETED", transaction))
        assert bench.heard("WATCH") == []
        with pytest.raises(NotFound):
            bench.worklist.unsubscribe(US, uid, "WATCH")

    def test_the_whole_worklist(self, bench: Bench) -> None:
        old = bench.create()
        bench.worklist.subscribe(US, GLOBAL_SUBSCRIPTION, "ALL", is_locking=False)
        assert bench.heard("ALL") == [], "only who locks is told of what is there"
        bench.create(ScheduledStationNameCodeSequence=[code("CT1")])
        bench.worklist.change_state(US, old, claim(new_uid()))
        assert bench.heard("ALL") == [(1, "SCHEDULED"), (5, ""), (1, "IN PROGRESS")]
        bench.worklist.suspend(US, GLOBAL_SUBSCRIPTION, "ALL")
        bench.create()
        bench.worklist.request_cancel(US, bench_uid(bench), {})
        assert bench.heard("ALL") == [(1, "IN PROGRESS"), (1, "CANCELED")]
        with pytest.raises(NotFound):
            bench.worklist.suspend(US, GLOBAL_SUBSCRIPTION, "ALL")
        bench.worklist.unsubscribe(US, GLOBAL_SUBSCRIPTION, "ALL")
        with pytest.raises(NotFound):
            bench.worklist.unsubscribe(US, GLOBAL_SUBSCRIPTION, "ALL")

    def test_a_lock_is_told_of_all_that_is_there(self, bench: Bench) -> None:
        bench.create()
        bench.claimed()
        bench.worklist.subscribe(US, GLOBAL_SUBSCRIPTION, "ALL", is_locking=True)
        assert bench.heard("ALL") == [(1, "SCHEDULED"), (1, "IN PROGRESS")]

    def test_a_filter(self, bench: Bench) -> None:
        mine = bench.create(WorklistLabel=["Mine"])
        query = filter_query("WorklistLabel=Mine,ProcedureStepState=SCHEDULED")
        bench.worklist.subscribe(US, FILTERED_GLOBAL_SUBSCRIPTION, "SOME", is_locking=True, query=query)
        bench.create(WorklistLabel=["Other"])
        bench.create(WorklistLabel=["Mine"])
        bench.worklist.change_state(US, mine, claim(new_uid()))
        assert bench.heard("SOME") == [(1, "SCHEDULED"), (1, "SCHEDULED"), (1, "IN PROGRESS")]
        bench.worklist.unsubscribe(US, FILTERED_GLOBAL_SUBSCRIPTION, "SOME")
        bench.create(WorklistLabel=["Mine"])
        assert bench.heard("SOME") == []

    def test_what_was_asked_for_by_itself_outlives_a_filter(self, bench: Bench) -> None:
        uid = bench.create(WorklistLabel=["Mine"])
        bench.worklist.subscribe(US, uid, "SOME", is_locking=True)
        query = filter_query("WorklistLabel=Mine")
        bench.worklist.subscribe(US, FILTERED_GLOBAL_SUBSCRIPTION, "SOME", is_locking=False, query=query)
        bench.worklist.unsubscribe(US, FILTERED_GLOBAL_SUBSCRIPTION, "SOME")
        bench.heard("SOME")
        bench.worklist.request_cancel(US, uid, {})
        assert bench.heard("SOME") == [(1, "IN PROGRESS"), (1, "CANCELED")]

    def test_hospitals_never_hear_of_each_other(self, bench: Bench) -> None:
        bench.worklist.subscribe(THEM, GLOBAL_SUBSCRIPTION, "ALL", is_locking=True)
        bench.create()
        assert bench.heard("ALL", THEM.hospital) == []
        assert bench.heard("ALL") == []

    def test_what_cannot_be_subscribed_to(self, bench: Bench) -> None:
        with pytest.raises(NotFound):
            bench.worklist.subscribe(US, new_uid(), "A", is_locking=False)
        for aet in ("", " ", "A\\B", "seventeen letters", "é", "A\n"):
            with pytest.raises(InvalidRequest):
                bench.worklist.subscribe(US, GLOBAL_SUBSCRIPTION, aet, is_locking=False)
        with pytest.raises(InvalidRequest):
            bench.worklist.subscribe(US, FILTERED_GLOBAL_SUBSCRIPTION, "A", is_locking=False)
        with pytest.raises(InvalidRequest):
            bench.worklist.subscribe(US, GLOBAL_SUBSCRIPTION, "A", is_locking=False, query=filter_query("PatientID=1"))
        with pytest.raises(InvalidRequest):
            bench.worklist.suspend(US, bench.create(), "A")

    def test_there_is_an_end_to_subscribers(self, bench: Bench) -> None:
        for aet in ("A", "B", "C"):
            bench.worklist.subscribe(US, GLOBAL_SUBSCRIPTION, aet, is_locking=False)
        bench.worklist.subscribe(US, bench.create(), "A", is_locking=False)
        with pytest.raises(Busy):
            bench.worklist.subscribe(US, GLOBAL_SUBSCRIPTION, "D", is_locking=False)

    def test_a_restart_is_told_to_all(self, bench: Bench) -> None:
        bench.worklist.subscribe(US, GLOBAL_SUBSCRIPTION, "A", is_locking=False)
        bench.worklist.announce_restart()
        ((_, report),) = bench.worklist.waiting(US.hospital, "A", 0, 10)
        assert report["00001002"]["Value"] == [4]
        assert report["00741242"]["Value"] == ["RESTARTED"]


class TestForgetting:
    def test_ended_workitems_go_when_nobody_locks_them(self, bench: Bench) -> None:
        scheduled, ended, locked = bench.create(), bench.create(), bench.create()
        bench.worklist.subscribe(US, locked, "LOCK", is_locking=True)
        bench.worklist.subscribe(US, ended, "LOCK", is_locking=False)
        for uid in (ended, locked):
            bench.worklist.request_cancel(US, uid, {})
        bench.now += 99
        bench.worklist.forget()
        assert bench.state(ended) == "CANCELED"
        bench.now += 2
        bench.worklist.forget()
        with pytest.raises(DeletedWorkitem):
            bench.worklist.retrieve(US, ended)
        assert bench.state(locked) == "CANCELED"
        assert bench.state(scheduled) == "SCHEDULED"
        bench.worklist.unsubscribe(US, locked, "LOCK")
        bench.worklist.forget()
        for refused in (
            lambda: bench.worklist.retrieve(US, locked),
            lambda: bench.worklist.update(US, locked, "", {}),
            lambda: bench.worklist.change_state(US, locked, claim("1.2")),
            lambda: bench.worklist.request_cancel(US, locked, {}),
            lambda: bench.worklist.subscribe(US, locked, "LOCK", is_locking=False),
        ):
            with pytest.raises(DeletedWorkitem):
                refused()
        with pytest.raises(Conflict):
            bench.worklist.create(US, locked, workitem())
        assert len(list(bench.worklist.search(US, plain_query(b"")))) == 1

    def test_events_wait_only_so_long_and_so_many(self, bench: Bench) -> None:
        uid = bench.create()
        bench.worklist.subscribe(US, GLOBAL_SUBSCRIPTION, "GONE", is_locking=False)
        for state in ("UNAVAILABLE", "READY") * 4:
            bench.worklist.update(US, uid, "", data_set(InputReadinessState=[state]))
        bench.worklist.forget()
        waiting = bench.worklist.waiting(US.hospital, "GONE", 0, 100)
        assert [one["00404041"]["Value"][0] for _, one in waiting] == ["READY", *("UNAVAILABLE", "READY") * 2]
        bench.now += 1001
        bench.worklist.forget()
        assert bench.heard("GONE") == []


def bench_uid(bench: Bench) -> str:
    """The first workitem that is SCHEDULED."""
    answer = next(bench.worklist.search(US, plain_query(b"ProcedureStepState=SCHEDULED")))
    uid: str = answer["00080018"]["Value"][0]
    return uid

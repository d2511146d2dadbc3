"""The worklist service, on SQLite: each operation of PS3.4 Annex CC and what its subscribers are told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacs.dicomweb.search_parameters import filter_query, plain_query
from pacs.errors import Busy, Conflict, InvalidIdentity, InvalidRequest, MalformedDataSet, NotFound, PacsError
from pacs.index import Index
from pacs.model import Principal
from pacs.settings import WorklistSettings
from pacs.worklist.refusals import (
    DeletedWorkitem,
    NobodyListens,
    NoLongerChanged,
    NotClaimed,
    TransactionUidIncorrect,
    TransactionUidMissing,
    WrongState,
)
from pacs.worklist.reports import FILTERED_GLOBAL_SUBSCRIPTION, GLOBAL_SUBSCRIPTION
from pacs.worklist.service import Worklist
from tests.worklist.workitems import claim, code, data_set, new_uid, performed, reason, to_state, workitem

US = Principal("anonymous")
THEM = Principal("anonymous", "other")
STATE = "00741000"


class Bench:
    """A worklist, and what its subscribers heard."""

    def __init__(self, index: Index) -> None:
        self.now = 1_700_000_000.0
        self.index = index
        index.workitems._clock = lambda: self.now
        settings = WorklistSettings(max_subscribers=3, keep_ended_s=100, max_waiting_events=5, keep_events_s=1000)
        self.worklist = Worklist(index, settings, clock=lambda: self.now)

    def create(self, **values: Any) -> str:
        return self.worklist.create(US, new_uid(), workitem(**values)).workitem_uid

    def claimed(self, **values: Any) -> tuple[str, str]:
        uid, transaction = self.create(**values), new_uid()
        self.worklist.change_state(US, uid, claim(transaction))
        return uid, transaction

    def state(self, uid: str) -> str:
        value: str = self.worklist.retrieve(US, uid)[STATE]["Value"][0]
        return value

    def heard(self, subscriber: str, hospital: str = US.hospital) -> list[tuple[int, str]]:
        """Event type and state (or "") of everything that waits, which is then delivered."""
        found = self.worklist.waiting(hospital, subscriber, 0, 1000)
        if found:
            self.worklist.delivered(hospital, subscriber, found[-1][0])
        return [(one["00001002"]["Value"][0], one.get(STATE, {}).get("Value", [""])[0]) for _, one in found]


@pytest.fixture(scope="module")
def empty_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated index, to be copied: that is quicker than migrating."""
    file = tmp_path_factory.mktemp("empty") / "index.sqlite"
    index = Index.open(f"sqlite:///{file}")
    index.migrate()
    index.close()
    return file


@pytest.fixture
def bench(empty_index: Path, tmp_path: Path) -> Iterator[Bench]:
    file = tmp_path / "index.sqlite"
    shutil.copyfile(empty_index, file)
    index = Index.open(f"sqlite:///{file}")
    yield Bench(index)
    index.close()


class TestCreate:
    def test_what_was_created_is_retrieved_with_what_the_archive_adds(self, bench: Bench) -> None:
        uid = new_uid()
        created = bench.worklist.create(US, uid, workitem())
        assert (created.workitem_uid, created.is_modified) == (uid, False)
        kept = bench.worklist.retrieve(US, uid)
        assert kept["00080016"]["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]
        assert kept["00080018"]["Value"] == [uid]
        assert kept["00404010"]["Value"] == ["20231114221320.000000+0000"]
        assert {key: kept[key] for key in workitem()} == workitem()

    def test_the_uid_may_stand_in_it(self, bench: Bench) -> None:
        uid = new_uid()
        assert bench.worklist.create(US, None, workitem(SOPInstanceUID=[uid])).workitem_uid == uid

    def test_a_missing_label_is_filled_in_and_told(self, bench: Bench) -> None:
        created = bench.worklist.create(US, new_uid(), workitem(WorklistLabel=[]))
        assert created.is_modified
        assert bench.worklist.retrieve(US, created.workitem_uid)["00741202"]["Value"] == ["Worklist"]

    @pytest.mark.parametrize(
        ("values", "word"),
        [
            ({"ProcedureStepLabel": None}, "ProcedureStepLabel is missing"),
            ({"ProcedureStepLabel": []}, "ProcedureStepLabel has no value"),
            ({"AdmissionID": None}, "AdmissionID is missing"),
            ({"ProcedureStepState": ["IN PROGRESS"]}, "must be SCHEDULED"),
            ({"ScheduledProcedureStepPriority": ["SOON"]}, "none of HIGH"),
            ({"TransactionUID": ["1.2.3"]}, "TransactionUID must be empty"),
            ({"ProcedureStepProgressInformationSequence": [{}]}, "must be empty"),
            ({"ScheduledHumanPerformersSequence": [{}]}, "in ScheduledHumanPerformersSequence: HumanPerformerCode"),
            ({"ProcedureStepLabel": ["a", "b"]}, "more than one value"),
            ({"SOPClassUID": ["1.2.3"]}, "SOPClassUID must be"),
            ({"SOPInstanceUID": ["1.2.3"]}, "beside it"),
        ],
    )
    def test_what_the_table_forbids_is_refused_with_its_name(
        self, bench: Bench, values: dict[str, Any], word: str
    ) -> None:
        with pytest.raises(InvalidRequest, match=word):
            bench.worklist.create(US, new_uid(), workitem(**values))

    def test_all_problems_are_told_at_once(self, bench: Bench) -> None:
        with pytest.raises(InvalidRequest) as problem:
            bench.worklist.create(US, new_uid(), {})
        assert str(problem.value).count("is missing") == 26

    def test_the_wrong_vr_is_refused(self, bench: Bench) -> None:
        with pytest.raises(InvalidRequest, match="PatientID has VR SH"):
            bench.worklist.create(US, new_uid(), workitem() | {"00100020": {"vr": "SH", "Value": ["P1"]}})

    @pytest.mark.parametrize("uid", [None, "", "../1", "1.2.x"])
    def test_it_needs_a_uid(self, bench: Bench, uid: str | None) -> None:
        with pytest.raises(InvalidIdentity):
            bench.worklist.create(US, uid, workitem())

    def test_a_uid_is_used_once_in_each_hospital(self, bench: Bench) -> None:
        uid = bench.create()
        with pytest.raises(Conflict):
            bench.worklist.create(US, uid, workitem())
        bench.worklist.create(THEM, uid, workitem(PatientID=["theirs"]))
        assert bench.worklist.retrieve(US, uid)["00100020"]["Value"] == ["P1"]

    def test_bulk_data_is_refused(self, bench: Bench) -> None:
        with pytest.raises(MalformedDataSet, match="bulk data"):
            bench.worklist.create(US, new_uid(), workitem() | {"00420011": {"vr": "OB", "BulkDataURI": "http://x"}})


class TestStates:
    def test_from_scheduled_to_completed(self, bench: Bench) -> None:
        uid, transaction = bench.claimed()
        bench.worklist.update(US, uid, transaction, performed())
        assert bench.worklist.change_state(US, uid, to_state("COMPLETED", transaction)) is None
        assert bench.state(uid) == "COMPLETED"
        assert bench.worklist.change_state(US, uid, to_state("COMPLETED", transaction)) == "COMPLETED"

    def test_its_owner_cancels(self, bench: Bench) -> None:
        uid, transaction = bench.claimed()
        bench.worklist.update(US, uid, transaction, reason())
        bench.worklist.change_state(US, uid, to_state("CANCELED", transaction))
        (item,) = bench.worklist.retrieve(US, uid)["00741002"]["Value"]
        assert item["00404052"]["Value"] == ["20231114221320.000000+0000"]

    def test_the_transaction_uid_is_never_told(self, bench: Bench) -> None:
        uid, transaction = bench.claimed()
        bench.worklist.update(US, uid, transaction, data_set(CommentsOnTheScheduledProcedureStep=["x"]))
        told = repr(bench.worklist.retrieve(US, uid)) + repr(
            list(bench.worklist.search(US, plain_query(b"includefield=all")))
        )
        with pytest.raises(PacsError) as problem:
            bench.worklist.change_state(US, uid, claim(new_uid()))
        assert transaction not in told + str(problem.value)

    @pytest.mark.parametrize("state", ["COMPLETED", "CANCELED"])
    def test_a_final_state_needs_its_attributes(self, bench: Bench, state: str) -> None:
        uid, transaction = bench.claimed()
        with pytest.raises(WrongState, match=r"Performed|DiscontinuationReason"):
            bench.worklist.change_state(US, uid, to_state(state, transaction))
        assert bench.state(uid) == "IN PROGRESS"

    @pytest.mark.parametrize("missing", ["00404028", "00404050", "00404019", "00404051", "00404033"])
    def test_each_attribute_of_what_was_performed_is_needed(self, bench: Bench, missing: str) -> None:
        uid, transaction = bench.claimed()
        changes = performed()
        del changes["00741216"]["Value"][0][missing]
        if missing == "00404033":  # 2/2 in an item of an update
            with pytest.raises(InvalidRequest):
                bench.worklist.update(US, uid, transaction, changes)
            return
        bench.worklist.update(US, uid, transaction, changes)
        with pytest.raises(WrongState):
            bench.worklist.change_state(US, uid, to_state("COMPLETED", transaction))

    def test_unknown_words_and_uids(self, bench: Bench) -> None:
        uid = bench.create()
        for request in (data_set(TransactionUID=["1.2"]), to_state("DONE", "1.2"), {}):
            with pytest.raises(InvalidRequest):
                bench.worklist.change_state(US, uid, request)
        with pytest.raises(InvalidIdentity):
            bench.worklist.change_state(US, uid, to_state("IN PROGRESS", "no uid"))
        with pytest.raises(NotFound):
            bench.worklist.change_state(US, new_uid(), claim("1.2"))
        with pytest.raises(NotFound):
            bench.worklist.change_state(THEM, uid, claim("1.2"))


class TestUpdate:
    def test_a_scheduled_one_without_a_claim(self, bench: Bench) -> None:
        uid = bench.create()
        bench.now += 60
        bench.worklist.update(US, uid, "", data_set(ScheduledProcedureStepPriority=["HIGH"]))
        kept = bench.worklist.retrieve(US, uid)
        assert kept["00741200"]["Value"] == ["HIGH"]
        assert kept["00404010"]["Value"] == ["20231114221420.000000+0000"]
        assert kept["00741204"] == workitem()["00741204"]

    def test_a_scheduled_one_with_a_transaction_uid(self, bench: Bench) -> None:
        with pytest.raises(NotClaimed):
            bench.worklist.update(US, bench.create(), "1.2.3", {})

    def test_a_claimed_one_needs_the_claim(self, bench: Bench) -> None:
        uid, transaction = bench.claimed()
        with pytest.raises(TransactionUidMissing):
            bench.worklist.update(US, uid, "", {})
        with pytest.raises(TransactionUidIncorrect):
            bench.worklist.update(US, uid, "1.2.3", {})
        bench.worklist.update(US, uid, "", data_set(TransactionUID=[transaction]))
        with pytest.raises(InvalidRequest):
            bench.worklist.update(US, uid, "1.2.3", data_set(TransactionUID=[transaction]))

    @pytest.mark.parametrize(
        "changes",
        [
            {"ProcedureStepState": ["COMPLETED"]},
            {"PatientName": [{"Alphabetic": "LEE"}]},
            {"PatientID": ["P2"]},
            {"ReferencedRequestSequence": []},
            {"ProcedureStepLabel": []},
            {"SOPInstanceUID": ["1.2.3"]},
            {"ProcedureStepProgressInformationSequence": [data_set(ProcedureStepCommunicationsURISequence=[{}])]},
        ],
    )
    def test_what_may_not_be_set_changes_nothing(self, bench: Bench, changes: dict[str, Any]) -> None:
        uid, transaction = bench.claimed()
        before = bench.worklist.retrieve(US, uid)
        with pytest.raises(InvalidRequest):
            bench.worklist.update(US, uid, transaction, data_set(WorklistLabel=["other"], **changes))
        assert bench.worklist.retrieve(US, uid) == before

    def test_an_ended_one_stays(self, bench: Bench) -> None:
        uid = bench.create()
        bench.worklist.request_cancel(US, uid, {})
        with pytest.raises(NoLongerChanged):
            bench.worklist.update(US, uid, "", {})


class TestCancel:
    def test_a_scheduled_one_is_cancelled_at_once(self, bench: Bench) -> None:
        uid = bench.create()
        bench.worklist.subscribe(US, uid, "WATCH", is_locking=False)
        bench.heard("WATCH")
        assert not bench.worklist.request_cancel(US, uid, data_set(ReasonForCancellation=["twice asked for"]))
        assert bench.state(uid) == "CANCELED"
        (item,) = bench.worklist.retrieve(US, uid)["00741002"]["Value"]
        assert item["00741238"]["Value"] == ["twice asked for"]
        assert item["0074100E"]["Value"][0]["00080100"]["Value"] == ["110513"]
        assert item["00404052"]["Value"]
        assert bench.heard("WATCH") == [(1, "IN PROGRESS"), (1, "CANCELED")]
        assert bench.worklist.request_cancel(US, uid, {})

    def test_the_owner_of_a_claimed_one_is_told_and_decides(self, bench: Bench) -> None:
        uid, _ = bench.claimed()
        with pytest.raises(NobodyListens):
            bench.worklist.request_cancel(US, uid, {})
        bench.worklist.subscribe(US, uid, "OWNER", is_locking=False)
        bench.heard("OWNER")
        bench.worklist.request_cancel(US, uid, data_set(ContactDisplayName=["Dr. Lee"]))
        ((_, report),) = bench.worklist.waiting(US.hospital, "OWNER", 0, 10)
        assert report["00001002"]["Value"] == [2]
        assert report["00741236"]["Value"] == ["ANONYMOUS"]
        assert report["0074100C"]["Value"] == ["Dr. Lee"]
        assert bench.state(uid) == "IN PROGRESS"

    def test_a_completed_one_is_not(self, bench: Bench) -> None:
        uid, transaction = bench.claimed()
        bench.worklist.update(US, uid, transaction, performed())
        bench.worklist.change_state(US, uid, to_state("COMPLETED", transaction))
        with pytest.raises(WrongState):
            bench.worklist.request_cancel(US, uid, {})


class TestSearch:
    def found(self, bench: Bench, text: str, principal: Principal = US) -> list[str]:
        answers = bench.worklist.search(principal, plain_query(text.encode()))
        return [one["00080018"]["Value"][0] for one in answers]

    def test_matching_is_that_of_qido(self, bench: Bench) -> None:
        one = bench.create(PatientID=["A1"], ScheduledStationNameCodeSequence=[code("CT1")])
        two = bench.create(PatientID=["B2"], ScheduledProcedureStepStartDateTime=["20270101"])
        three, _ = bench.claimed(PatientID=["B3"], PatientName=[{"Alphabetic": "Gildong^Hong"}])
        assert self.found(bench, "") == [one, two, three]
        assert self.found(bench, "PatientID=B*") == [two, three]
        assert self.found(bench, "00100020=A1") == [one]
        assert self.found(bench, "ProcedureStepState=IN%20PROGRESS") == [three]
        assert self.found(bench, "ProcedureStepState=SCHEDULED,COMPLETED") == [one, two]
        assert self.found(bench, "ScheduledProcedureStepStartDateTime=2027-") == [two]
        assert self.found(bench, "ScheduledStationNameCodeSequence.CodeValue=CT1") == [one]
        assert self.found(bench, f"SOPInstanceUID={one},{three}") == [one, three]
        assert self.found(bench, "PatientName=hong&fuzzymatching=true") == [three]
        assert self.found(bench, "PatientName=gildong^hong") == [three]
        assert self.found(bench, "WorklistLabel=Chest&PatientID=A1") == [one]
        assert self.found(bench, "WorklistLabel=Nothing") == []
        assert self.found(bench, "", THEM) == []

    def test_more_than_a_page(self, bench: Bench) -> None:
        bench.index.workitems._now = lambda: 1  # type: ignore[method-assign]
        uids = [bench.create() for _ in range(12)]
        assert self.found(bench, "") == uids

    def test_answers_have_return_keys_and_what_is_asked_for(self, bench: Bench) -> None:
        bench.create(AdmissionID=["A9"], ExpectedCompletionDateTime=["20270101"])
        (plain,) = bench.worklist.search(US, plain_query(b""))
        assert plain["00380010"]["Value"] == ["A9"]
        assert plain["00404034"] == {"vr": "SQ"}, "Return Key Type 2: there, if only empty"
        assert "00404011" not in plain
        assert "00741216" not in plain
        (more,) = bench.worklist.search(US, plain_query(b"includefield=ExpectedCompletionDateTime"))
        assert more["00404011"]["Value"] == ["20270101"]
        (everything,) = bench.worklist.search(US, plain_query(b"includefield=all"))
        assert "00741216" in everything

    def test_of_a_sequence_the_items_that_match_are_told(self, bench: Bench) -> None:
        bench.create(ScheduledStationNameCodeSequence=[code("CT1"), code("CT2")])
        for query, stations in ((b"ScheduledStationNameCodeSequence.CodeValue=CT2", ["CT2"]), (b"", ["CT1", "CT2"])):
            for found in (
                next(bench.worklist.search(US, plain_query(query))),
                *bench.worklist.page(US, plain_query(query), 5)[0],
            ):
                assert [item["00080100"]["Value"][0] for item in found["00404025"]["Value"]] == stations

    def test_the_transaction_uid_cannot_be_asked_for(self, bench: Bench) -> None:
        _, transaction = bench.claimed()
        assert len(self.found(bench, f"TransactionUID={transaction}")) == 1
        assert len(self.found(bench, "TransactionUID=1.2.3")) == 1, "as if it were not asked at all"

    def test_keys_that_cannot_be_understood(self, bench: Bench) -> None:
        for text in ("PatientBirthDate=tomorrow", "Nonsense=1", "SOPInstanceUID=1.2*"):
            with pytest.raises(InvalidRequest):
                self.found(bench, text)


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

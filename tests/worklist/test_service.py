"""The worklist service, on SQLite: each operation of PS3.4 Annex CC on one workitem."""

from __future__ import annotations

from typing import Any

import pytest

from pacs.dicomweb.search_parameters import plain_query
from pacs.errors import Conflict, InvalidIdentity, InvalidRequest, MalformedDataSet, NotFound, PacsError
from pacs.worklist.refusals import (
    NobodyListens,
    NoLongerChanged,
    NotClaimed,
    TransactionUidIncorrect,
    TransactionUidMissing,
    WrongState,
)
from tests.worklist.bench import THEM, US, Bench
from tests.worklist.workitems import claim, data_set, new_uid, performed, reason, to_state, workitem


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

    def test_what_need_not_come_may_come_empty(self, bench: Bench) -> None:
        """As other systems send templates of all attributes (PS3.5 §7.4.5: type 3); an update may not empty them."""
        uid = new_uid()
        bench.worklist.create(US, uid, workitem(ExpectedCompletionDateTime=[], SOPClassUID=[]))
        kept = bench.worklist.retrieve(US, uid)
        assert kept["00080016"]["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]
        assert "Value" not in kept["00404011"]
        with pytest.raises(InvalidRequest, match="ExpectedCompletionDateTime has no value"):
            bench.worklist.update(US, uid, "", {"00404011": {"vr": "DT"}})

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

"""Searching the worklist, on SQLite."""

from __future__ import annotations

import pytest

from pacs.dicomweb.search_parameters import plain_query
from pacs.errors import InvalidRequest
from pacs.model import Principal
from tests.worklist.bench import THEM, US, Bench
from tests.worklist.workitems import code


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

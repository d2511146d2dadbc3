"""Searches for workitems find by values what looking at each workitem would find, and look at few."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from pacs.dicomweb.search_parameters import plain_query
from pacs.errors import TooBroad
from pacs.index import Index, workitem_values, workitems
from pacs.index.allowance import Allowance
from pacs.model import Principal, Query
from pacs.worklist import matching
from pacs.worklist.service import Worklist
from tests.worklist.workitems import code, data_set, workitem

US = Principal("anonymous")
LONG = "phase" * 60
"""More than the table of values keeps of a text."""


@pytest.fixture
def worklist(index: Index) -> Worklist:
    made = Worklist(index)
    for number in range(48):
        made.create(US, f"1.2.{number}", varied(number))
    return made


def varied(number: int) -> Any:
    request = data_set(AccessionNumber=[f"A{number % 5}"], RequestedProcedureID=[f" R{number % 4} "])
    request |= data_set(StudyInstanceUID=[f"1.9.{number}"], RequestedProcedureDescription=["Chest"])
    request |= data_set(IssuerOfAccessionNumberSequence=[], RequestedProcedureCodeSequence=[])
    request |= data_set(OrderPlacerIdentifierSequence=[], OrderFillerIdentifierSequence=[])
    return workitem(
        PatientID=[f"P{number % 7}"],
        PatientName=[{"Alphabetic": f"M\xfcller{number % 3}^Su", "Ideographic": "\uae40^\uc218"}],
        ScheduledStationNameCodeSequence=[code(f"CT{number % 4}"), code(f"MR{number % 3}")],
        ScheduledProcedureStepStartDateTime=[
            f"2026112{number % 9}0{number % 10}3000" + ("+0900" if number % 2 else "")
        ],
        InputReadinessState=[("READY", "INCOMPLETE", "UNAVAILABLE")[number % 3]],
        WorklistLabel=[f"List {number % 2}"],
        ReferencedRequestSequence=[request],
        PatientBirthDate=[f"19{50 + number % 40}0101"],
        CommentsOnTheScheduledProcedureStep=[LONG + "TAIL" * (number % 2) if number % 11 == 0 else "short"],
        AdmissionID=[] if number % 6 else ["ADM"],
    )


QUERIES = [
    "InputReadinessState=READY",
    "InputReadinessState=R*&WorklistLabel=List 1",
    "ScheduledStationNameCodeSequence.CodeValue=CT2",
    "ScheduledStationNameCodeSequence.CodeValue=CT2&ScheduledStationNameCodeSequence.CodingSchemeDesignator=99TEST",
    "ScheduledStationNameCodeSequence.CodeValue=?R1",
    "ScheduledProcedureStepStartDateTime=20261122-20261124",
    "ScheduledProcedureStepStartDateTime=20261122-20261124&TimezoneOffsetFromUTC=+0900",
    "ScheduledProcedureStepStartDateTime=202611220230-&TimezoneOffsetFromUTC=-1200",
    "ScheduledProcedureStepStartDateTime=-2026112405",
    "PatientName=muller1*",
    "PatientName=M\xdcLLER2^su",
    "PatientName=*\uc218",
    "PatientName=muler&fuzzymatching=true",
    "PatientBirthDate=19600101-19650101",
    "ReferencedRequestSequence.AccessionNumber=A3",
    "ReferencedRequestSequence.RequestedProcedureID=R1",
    "ReferencedRequestSequence.StudyInstanceUID=1.9.4,1.9.5",
    "CommentsOnTheScheduledProcedureStep=" + LONG,
    "CommentsOnTheScheduledProcedureStep=phase*",
    "CommentsOnTheScheduledProcedureStep=*phaseTAIL",
    "CommentsOnTheScheduledProcedureStep=*phase?AIL",
    'AdmissionID=""&emptyvaluematching=true',
    "AdmissionID=ADM&PatientID=P0",
    "ProcedureStepState=SCHEDULED&SOPInstanceUID=1.2.3,1.2.4",
    "PatientID=P1\\P2&multiplevaluematching=true",
    "StudyInstanceUID=1.9.4",
    "ScheduledProcedureStepPriority=MEDIUM",
]


def asked(text: str) -> Query:
    return plain_query(text.replace("+", "%2B").encode())


def brute(worklist: Worklist, query: Query) -> list[str]:
    keys = matching.keys_of(query)
    everything = worklist._rows.search(US.hospital, {}, Allowance())
    return [kept.workitem_uid for kept in everything if matching.matches(kept.attributes, keys)]


def found(worklist: Worklist, query: Query) -> list[str]:
    return [one["00080018"]["Value"][0] for one in worklist.search(US, query)]


def test_nothing_is_missed_and_nothing_else_found(worklist: Worklist) -> None:
    some = 0
    for text_ in QUERIES:
        query = asked(text_)
        expected = brute(worklist, query)
        assert found(worklist, query) == expected, text_
        some += bool(expected)
    assert some > 18, "most of the queries find something"


def test_values_follow_changes_and_go_with_the_workitem(worklist: Worklist, url: str) -> None:
    worklist.update(US, "1.2.5", "", data_set(InputReadinessState=["READY"], ProcedureStepLabel=["Anew"]))
    for text_ in ("InputReadinessState=READY", "InputReadinessState=UNAVAILABLE", "ProcedureStepLabel=Anew"):
        assert found(worklist, asked(text_)) == brute(worklist, asked(text_))
    assert found(worklist, asked("ProcedureStepLabel=Anew")) == ["1.2.5"]
    worklist._rows.delete_ended(["SCHEDULED"], 1e12)
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM workitem_values")).scalar() == 0
    engine.dispose()


def test_a_key_leads_to_the_workitems_without_reading_the_others(
    worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    kept = workitems._kept

    def counted(row: Any) -> Any:
        read.append(row.workitem_uid)
        return kept(row)

    monkeypatch.setattr(workitems, "_kept", counted)
    for text_ in (
        "ScheduledStationNameCodeSequence.CodeValue=CT2",
        "ScheduledProcedureStepStartDateTime=2026112203",
        "PatientName=muller1*",
        "InputReadinessState=READY",
    ):
        read.clear()
        assert read == found(worklist, asked(text_)), "each that is read is an answer"


def test_one_with_very_many_values_is_found_too(worklist: Worklist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workitem_values, "_MOST", 20)
    worklist.create(US, "1.3", workitem(AdmissionID=["MANY"]))
    assert found(worklist, asked("AdmissionID=MANY")) == ["1.3"]
    assert found(worklist, asked("AdmissionID=MANY&PatientID=nobody")) == []


def test_they_are_made_of_the_rows_where_they_are_missing(worklist: Worklist, index: Index, url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE workitem_values"))
    engine.dispose()
    index.migrate()
    for text_ in QUERIES[:6]:
        assert found(worklist, asked(text_)) == brute(worklist, asked(text_))


class TestPages:
    def test_each_is_given_once_while_more_come_and_go(self, worklist: Worklist) -> None:
        query = "InputReadinessState=READY&limit=5"
        expected, given = brute(worklist, asked("InputReadinessState=READY")), []
        for offset in itertools.count(0, 5):
            results, has_more = worklist.page(US, asked(f"{query}&offset={offset}"), 5)
            given += [one["00080018"]["Value"][0] for one in results]
            if not has_more:
                break
            # One that was given stops to match: others would move up.
            worklist.update(US, given[-1], "", data_set(InputReadinessState=["INCOMPLETE"]))
        assert given == expected

    def test_what_took_too_long_goes_on_where_it_ended(
        self, worklist: Worklist, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        search, begun = worklist._rows.search, []

        def slow(*given: Any, **more: Any) -> Iterator[workitems.KeptWorkitem]:
            begun.append(more["after"])
            yield from itertools.islice(search(*given, **more), 20)
            raise TooBroad("the search was ended")

        monkeypatch.setattr(worklist._rows, "search", slow)
        query = "PatientName=muller&fuzzymatching=true"  # no value tells
        first, has_more = worklist.page(US, asked(query), 1000)
        assert (len(first), has_more) == (20, True)
        second, has_more = worklist.page(US, asked(f"{query}&offset=20"), 1000)
        assert (len(second), has_more) == (20, True)
        assert begun[1] > begun[0]
        assert [one["00080018"]["Value"][0] for one in first + second] == [f"1.2.{number}" for number in range(40)]

    def test_of_nothing_that_was_found_in_time_there_is_no_page(
        self, worklist: Worklist, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def slow(*_given: Any, **_more: Any) -> Iterator[workitems.KeptWorkitem]:
            raise TooBroad("the search was ended")
            yield

        monkeypatch.setattr(worklist._rows, "search", slow)
        with pytest.raises(TooBroad):
            worklist.page(US, asked("PatientID=P1"), 10)

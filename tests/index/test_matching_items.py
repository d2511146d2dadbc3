"""Items of sequences that an answer has."""

from __future__ import annotations

import pytest

from pacs.index.keys import criteria
from pacs.index.matching_items import asked_sequences, with_matching_items
from pacs.model import Level, Match, Query
from tests.index.new_instances import attributes

_ANSWER = attributes(
    RequestAttributesSequence=[
        attributes(
            ScheduledProcedureStepID="S1",
            ScheduledProtocolCodeSequence=[attributes(CodeValue="A"), attributes(CodeValue="B")],
        ),
        attributes(ScheduledProcedureStepID="S2", ScheduledProtocolCodeSequence=[attributes(CodeValue="A")]),
    ],
    ProcedureCodeSequence=[attributes(CodeValue="C")],
    PatientID="P",
)
_STEP, _CODE = (0x00400275, 0x00400009), (0x00400275, 0x00400008, 0x00080100)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, [("S1", "AB"), ("S2", "A")]),
        ({_STEP: "S2"}, [("S2", "A")]),
        ({_STEP: "*"}, [("S1", "AB"), ("S2", "A")]),
        ({_CODE: "A"}, [("S1", "A"), ("S2", "A")]),
        ({_CODE: "B"}, [("S1", "B")]),
        ({_CODE: "A", _STEP: "S1"}, [("S1", "A")]),
        ({_CODE: "B", _STEP: "S2"}, []),
    ],
)
def test_items_that_match_at_every_depth(keys: dict[tuple[int, ...], str], expected: list[tuple[str, str]]) -> None:
    query = Query(Level.SERIES, tuple(Match(path, (value,)) for path, value in keys.items()))
    found = with_matching_items(_ANSWER, asked_sequences(criteria(query)))
    shown = [
        (item["00400009"]["Value"][0], "".join(code["00080100"]["Value"][0] for code in item["00400008"]["Value"]))
        for item in found["00400275"]["Value"]
    ]
    assert shown == expected
    assert {key: value for key, value in found.items() if key != "00400275"} == {
        key: value for key, value in _ANSWER.items() if key != "00400275"
    }
    assert len(_ANSWER["00400275"]["Value"]) == 2, "what was given is not changed"

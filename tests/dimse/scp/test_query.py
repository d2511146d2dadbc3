"""C-FIND from identifier to responses, with a search that answers what it is told to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset

from pacs.dimse.messages.command_builders import c_echo_rq, c_find_rq
from pacs.dimse.scp.query import QueryService
from pacs.dimse.scp.service import PresentationContext
from pacs.errors import InvalidRequest, MalformedDataSet
from pacs.model import DicomJson, Level, Match, Principal, Query
from tests.dimse.scp.fake_exchange import EXPLICIT, IMPLICIT, FakeExchange, decoded, encoded

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
STUDIES: list[DicomJson] = [
    {
        "00080020": {"vr": "DA", "Value": ["20260102"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": ["CT"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        "00100020": {"vr": "LO", "Value": [f"P{number}"]},
        "0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]},
        "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S"]}, "00401001": {"vr": "SH"}}]},
    }
    for number in range(3)
]


class FakeSearch:
    def __init__(self, found: list[DicomJson]) -> None:
        self.found = found
        self.asked: list[Query] = []

    def find(self, principal: Principal, query: Query) -> Iterator[DicomJson]:
        self.asked.append(query)
        return iter(self.found)

    max_results = 10
    searchable: frozenset[int] = frozenset()
    incomplete: frozenset[int] = frozenset()

    def searchable_keys(self, query: Query) -> frozenset[int]:
        return self.searchable

    def incomplete_keys(self, query: Query) -> frozenset[int]:
        return self.incomplete


def exchange(query: Dataset | bytes, *, syntax: str = IMPLICIT, model: str = STUDY_ROOT) -> FakeExchange:
    data_set = query if isinstance(query, bytes) else encoded(query, syntax)
    return FakeExchange(c_find_rq(1, model), data_set, PresentationContext(1, model, syntax))


def study_query(**keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = ""
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_one_pending_response_per_match_then_success(syntax: str) -> None:
    search = FakeSearch(STUDIES)
    asked = exchange(study_query(PatientName="DOE*", PatientID="", PatientBirthDate=""), syntax=syntax)
    QueryService(search).serve(asked)  # type: ignore[arg-type]
    assert asked.statuses == [0xFF00, 0xFF00, 0xFF00, 0x0000]
    assert not asked.final.has_data_set
    answers = [decoded(data_set, syntax) for _, data_set in asked.responses[:-1]]
    assert [answer.PatientID for answer in answers] == ["P0", "P1", "P2"]
    first = answers[0]
    assert first.QueryRetrieveLevel == "STUDY"
    assert first.RetrieveAETitle == "PACS"
    assert first["PatientBirthDate"].value == "", "a key that is supported but unknown comes back empty"
    assert "StudyDate" not in first, "what was not asked for is not told"
    assert search.asked[0].level is Level.STUDY
    assert Match((0x00100010,), ("DOE*",)) in search.asked[0].matches


def test_nothing_found_is_success_alone() -> None:
    asked = exchange(study_query())
    QueryService(FakeSearch([])).serve(asked)  # type: ignore[arg-type]
    assert asked.statuses == [0x0000]


@pytest.mark.parametrize("is_incomplete", [True, False])
def test_keys_made_searchable_are_answered_and_warned_of_until_all_is_indexed(is_incomplete: bool) -> None:
    search = FakeSearch([{**STUDIES[0], "00180010": {"vr": "LO", "Value": ["X"]}}])
    search.searchable = frozenset({0x00180010})
    search.incomplete = search.searchable if is_incomplete else frozenset()
    asked = exchange(study_query(ContrastBolusAgent="X", PatientID=""))
    QueryService(search).serve(asked)  # type: ignore[arg-type]
    assert asked.statuses == [0xFF01 if is_incomplete else 0xFF00, 0x0000]
    assert decoded(asked.responses[0][1]).ContrastBolusAgent == "X"


def test_keys_not_supported_are_left_out_and_warned_of() -> None:
    asked = exchange(study_query(ContrastBolusAgent="X", PatientID=""))
    QueryService(FakeSearch(STUDIES[:1])).serve(asked)  # type: ignore[arg-type]
    assert asked.statuses == [0xFF01, 0x0000]
    answer = decoded(asked.responses[0][1])
    assert "ContrastBolusAgent" not in answer
    assert answer.PatientID == "P0"


def test_keys_of_lower_levels_are_looked_for_but_not_told() -> None:
    search = FakeSearch(STUDIES[:1])
    asked = exchange(study_query(Modality="CT"))
    QueryService(search).serve(asked)  # type: ignore[arg-type]
    assert Match((0x00080060,), ("CT",)) in search.asked[0].matches
    assert asked.statuses == [0xFF01, 0x0000]


def test_cancel_ends_with_its_status() -> None:
    asked = exchange(study_query())
    asked.cancel_after = 2
    QueryService(FakeSearch(STUDIES)).serve(asked)  # type: ignore[arg-type]
    assert asked.statuses == [0xFF00, 0xFF00, 0xFE00]
    assert not asked.final.has_data_set


def test_a_sequence_key_gets_its_items_cut_to_what_was_asked() -> None:
    query = study_query()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = "1.2.0"
    item = Dataset()
    item.ScheduledProcedureStepID = ""
    query.RequestAttributesSequence = [item]
    search = FakeSearch(STUDIES[:1])
    asked = exchange(query)
    QueryService(search).serve(asked)  # type: ignore[arg-type]
    assert Match((0x00400275, 0x00400009)) in search.asked[0].matches
    assert [[*found.keys()] for found in decoded(asked.responses[0][1]).RequestAttributesSequence] == [[0x00400009]]


def test_availability_when_asked() -> None:
    asked = exchange(study_query(InstanceAvailability=""))
    QueryService(FakeSearch(STUDIES[:1])).serve(asked)  # type: ignore[arg-type]
    assert decoded(asked.responses[0][1]).InstanceAvailability == "ONLINE"
    assert asked.statuses[0] == 0xFF00


WEB = "https://images.hospital.example/dicomweb"


@pytest.mark.parametrize(
    ("level", "found", "url"),
    [
        ("STUDY", {"0020000D": "1.2.3"}, f"{WEB}/studies/1.2.3"),
        (
            "IMAGE",
            {"0020000D": "1.2", "0020000E": "1.3", "00080018": "1.4"},
            f"{WEB}/studies/1.2/series/1.3/instances/1.4",
        ),
    ],
)
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_the_retrieve_url_of_who_knows_where_dicomweb_is(
    level: str, found: dict[str, str], url: str, syntax: str
) -> None:
    search = FakeSearch([{tag: {"vr": "UI", "Value": [uid]} for tag, uid in found.items()}])
    query = study_query(SeriesInstanceUID="1.3", RetrieveURL="http*")
    query.StudyInstanceUID = "1.2"
    query.QueryRetrieveLevel = level
    asked = exchange(query, syntax=syntax)
    QueryService(search, WEB).serve(asked)  # type: ignore[arg-type]
    assert decoded(asked.responses[0][1], syntax).RetrieveURL == url
    assert not any(match.path == (0x00081190,) for match in search.asked[0].matches)  # it is told, not looked for
    del query.RetrieveURL
    asked = exchange(query, syntax=syntax)
    QueryService(search, WEB).serve(asked)  # type: ignore[arg-type]
    assert "RetrieveURL" not in decoded(asked.responses[0][1], syntax)


def test_a_patient_has_no_retrieve_url() -> None:
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID, query.RetrieveURL = "PATIENT", "P0", ""
    asked = exchange(query, model="1.2.840.10008.5.1.4.1.2.1.1")
    QueryService(FakeSearch([{"00100020": {"vr": "LO", "Value": ["P0"]}}]), WEB).serve(asked)  # type: ignore[arg-type]
    assert decoded(asked.responses[0][1]).RetrieveURL in ("", None)
    assert asked.statuses == [0xFF00, 0x0000]


def test_nobody_is_told_a_retrieve_url_that_is_not_known() -> None:
    asked = exchange(study_query(RetrieveURL=""))
    QueryService(FakeSearch(STUDIES[:1])).serve(asked)  # type: ignore[arg-type]
    assert "RetrieveURL" not in decoded(asked.responses[0][1])
    assert asked.statuses == [0xFF01, 0x0000]


def test_the_time_zone_of_the_request_is_nothing_to_look_for() -> None:
    search = FakeSearch([])
    QueryService(search).serve(exchange(study_query(TimezoneOffsetFromUTC="+0900")))  # type: ignore[arg-type]
    assert Match((0x00080201,)) in search.asked[0].matches


def test_the_answer_is_in_the_character_set_of_the_request() -> None:
    query = study_query(PatientName="")
    query.SpecificCharacterSet = ["", "ISO 2022 IR 149"]
    korean: DicomJson = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Hong", "Ideographic": "洪", "Phonetic": "홍"}]}
    }
    asked = exchange(query)
    QueryService(FakeSearch([korean])).serve(asked)  # type: ignore[arg-type]
    answer = decoded(asked.responses[0][1])
    assert answer.SpecificCharacterSet == ["", "ISO 2022 IR 149"]
    assert answer.PatientName == "Hong=洪=홍"


@pytest.mark.parametrize("query", [b"", encoded(Dataset()), encoded(study_query(QueryRetrieveLevel="PATIENT"))])
def test_no_level_of_the_model_is_refused(query: bytes) -> None:
    asked = exchange(query)
    with pytest.raises(InvalidRequest):
        QueryService(FakeSearch(STUDIES)).serve(asked)  # type: ignore[arg-type]
    assert asked.responses == []


def test_torn_bytes_are_refused() -> None:
    with pytest.raises(MalformedDataSet):
        QueryService(FakeSearch([])).serve(exchange(encoded(study_query())[:-3]))  # type: ignore[arg-type]


def test_another_operation_on_this_sop_class() -> None:
    asked = exchange(study_query())
    asked.command = c_echo_rq(1)
    QueryService(FakeSearch(STUDIES)).serve(asked)  # type: ignore[arg-type]
    assert asked.statuses == [0x0211]


def test_more_than_may_be_answered_ends_with_its_status_and_what_to_do() -> None:
    search = FakeSearch(STUDIES)
    search.max_results = 2
    asked = exchange(study_query())
    QueryService(search).serve(asked)  # type: ignore[arg-type]
    assert asked.statuses == [0xFF00, 0xFF00, 0xA700]
    assert asked.final.error_comment == "more than 2 match: ask by ranges of dates, or more keys"
    search.max_results = 3
    asked = exchange(study_query())
    QueryService(search).serve(asked)  # type: ignore[arg-type]
    assert asked.statuses == [0xFF00, 0xFF00, 0xFF00, 0x0000]


def test_instance_availability_is_looked_for_and_told() -> None:
    search = FakeSearch(STUDIES[:1])
    asked = exchange(study_query(InstanceAvailability="ONLINE"))
    QueryService(search).serve(asked)  # type: ignore[arg-type]
    assert Match((0x00080056,), ("ONLINE",)) in search.asked[0].matches
    assert asked.statuses == [0xFF00, 0x0000]
    assert decoded(asked.responses[0][1]).InstanceAvailability == "ONLINE"

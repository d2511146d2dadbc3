"""QIDO-RS query strings as queries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.dicomweb.resources import ResourceKey
from pacs.dicomweb.search_parameters import DEFAULT_TAGS, asked_fields, attribute_path, study_query
from pacs.errors import InvalidRequest
from pacs.model import Level, Match


def matches(query_string: bytes) -> tuple[Match, ...]:
    return study_query(query_string, Level.STUDY).matches


@pytest.mark.parametrize(
    ("query_string", "expected"),
    [
        (b"", ()),
        (b"PatientID=1", (Match((0x00100020,), ("1",)),)),
        (b"00100020=1", (Match((0x00100020,), ("1",)),)),
        (b"PatientName=*kim%5esu*", (Match((0x00100010,), ("*kim^su*",)),)),
        (b"PatientName=KIM%2C+SU", (Match((0x00100010,), ("KIM, SU",)),)),
        (b"PatientName=%EA%B9%80", (Match((0x00100010,), ("김",)),)),
        (b"PatientID=", (Match((0x00100020,)),)),
        (b"_=1700000000000&PatientID=1&_t", (Match((0x00100020,), ("1",)),)),
        (b"StudyInstanceUID=1.2,1.3", (Match((0x0020000D,), ("1.2", "1.3")),)),
        (b"StudyInstanceUID=1.2%2C1.3", (Match((0x0020000D,), ("1.2", "1.3")),)),
        (b"StudyInstanceUID=1.2%5C1.3", (Match((0x0020000D,), ("1.2", "1.3")),)),
        (b"ModalitiesInStudy=CT,MR", (Match((0x00080061,), ("CT", "MR")),)),
        (b"ModalitiesInStudy=CT&ModalitiesInStudy=MR", (Match((0x00080061,), ("CT", "MR")),)),
        (b"0020000D=1.2&StudyInstanceUID=1.3,1.4", (Match((0x0020000D,), ("1.2", "1.3", "1.4")),)),
        (b"PatientName=a*&PatientName=*b", (Match((0x00100010,), ("a*",)), Match((0x00100010,), ("*b",)))),
        (b"StudyDate=20200101-20201231", (Match((0x00080020,), ("20200101-20201231",)),)),
        (
            b"RequestAttributesSequence.RequestedProcedureID=7",
            (Match((0x00400275, 0x00401001), ("7",)),),
        ),
        (b"00400275.00401001=7", (Match((0x00400275, 0x00401001), ("7",)),)),
        (b"00091001=x%5Cy", (Match((0x00091001,), ("x\\y",)),)),
        (b"accept=application/dicom%2Bjson", ()),
    ],
)
def test_matching_keys(query_string: bytes, expected: tuple[Match, ...]) -> None:
    assert matches(query_string) == expected


def test_paging_and_fuzzy() -> None:
    query = study_query(b"limit=25&offset=50&fuzzymatching=TRUE", Level.STUDY)
    assert (query.limit, query.offset, query.is_fuzzy) == (25, 50, True)


def test_a_limit_beyond_all_limits_is_the_most_there_may_be() -> None:
    """Clients that want everything ask for the largest number that they have."""
    for number in (2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1):
        assert study_query(b"limit=%d" % number, Level.STUDY).limit == 1_000_000_000
    with pytest.raises(InvalidRequest, match="limit"):
        study_query(b"limit=" + b"9" * 100, Level.STUDY)


def test_ways_of_matching() -> None:
    query = study_query(b"", Level.STUDY)
    assert query.combines_date_and_time
    assert not (query.is_fuzzy or query.finds_empty or query.needs_all_values or query.timezone_offset)
    assert study_query(b"emptyvaluematching=true", Level.STUDY).finds_empty
    assert study_query(b"multiplevaluematching=true", Level.STUDY).needs_all_values
    for written in (b"TimezoneOffsetFromUTC=%2B0900", b"TimezoneOffsetFromUTC=+0900", b"00080201=+0900"):
        assert study_query(written, Level.STUDY).timezone_offset == "+0900"
    assert study_query(b"TimezoneOffsetFromUTC=-0330", Level.STUDY).timezone_offset == "-0330"


def test_text_may_come_as_it_is() -> None:
    assert matches("PatientName=김*".encode()) == (Match((0x00100010,), ("김*",)),)
    assert matches("PatientName=M\u00fcller".encode()) == (Match((0x00100010,), ("M\u00fcller",)),)
    assert matches(b"PatientName=a%26b%3Dc=d") == (Match((0x00100010,), ("a&b=c=d",)),)
    assert matches(b"&&PatientID=1&") == (Match((0x00100020,), ("1",)),)


@pytest.mark.parametrize(
    ("query_string", "named"),
    [
        (b"limit=1&limit=2", "limit"),
        (b"fuzzymatching=true&fuzzymatching=false", "fuzzymatching"),
        (b"emptyvaluematching=1", "emptyvaluematching"),
        (b"includefield=PatientName,Patient Name", "includefield: 'Patient Name'"),
        (b"includefield=PatientName,0010001", "includefield: '0010001'"),
        (b"00080201=%2B0900&TimezoneOffsetFromUTC=%2B0100", "TimezoneOffsetFromUTC"),
        (b"PatientID=1&PatientName=%ED%A0%80", "PatientName"),
        (b"PatientName=%C3", "PatientName"),
        (b"%FF=1", "UTF-8"),
        (b"PatientName=a%00b", "PatientName"),
        (b"PatientName=a%1Bb", "PatientName"),
    ],
)
def test_a_wrong_parameter_is_named(query_string: bytes, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        study_query(query_string, Level.STUDY)


def test_includefield_inside_sequences() -> None:
    step, request, codes = (0x00400275, 0x00400009), (0x00400275, 0x00401001), (0x00081032, 0x00080100)
    query = study_query(
        b"includefield=RequestAttributesSequence.ScheduledProcedureStepID,00081032.00080100", Level.STUDY
    )
    assert query.include_members == {step, codes}
    assert query.include == DEFAULT_TAGS[Level.STUDY] | {0x00400275, 0x00081032}
    both = study_query(b"includefield=00400275.00400009&00400275.00401001=R1", Level.STUDY)
    assert both.include_members == {step, request}, "what was matched is shown, too"
    assert study_query(b"includefield=00400275,00400275.00400009", Level.STUDY).include_members == set()
    assert study_query(b"includefield=all,00400275.00400009", Level.STUDY).include_members == set()
    deep = (b"includefield=00400275.00400008", b"includefield=00400275.00400008.00080100")
    assert study_query(b"&".join(deep), Level.STUDY).include_members == {(0x00400275, 0x00400008)}
    assert study_query(b"includefield=00400275.00400009", Level.SERIES).include_members == set(), "there by default"


def test_fields_that_are_asked_for_are_told_apart_from_those_nobody_knows() -> None:
    assert asked_fields(b"PatientID=1") == (frozenset(), ())
    query_string = b"includefield=PatientName,Newer,00400275.00400009&includefield=Newer,OtherPatientIDs.Unknown,all"
    assert asked_fields(query_string) == ({0x00100010, 0x00400275}, ("Newer", "OtherPatientIDs.Unknown"))
    assert study_query(b"includefield=Newer", Level.STUDY).include == DEFAULT_TAGS[Level.STUDY]


def test_includefield() -> None:
    assert study_query(b"", Level.STUDY).include == DEFAULT_TAGS[Level.STUDY]
    query = study_query(b"includefield=00081030%2C00080060&includefield=Rows", Level.STUDY)
    assert query.include == DEFAULT_TAGS[Level.STUDY] | {0x00081030, 0x00080060, 0x00280010}
    assert study_query(b"includefield=all", Level.STUDY).include is None
    assert study_query(b"includefield=", Level.STUDY).include == DEFAULT_TAGS[Level.STUDY]


def test_parents_become_keys_and_spare_their_attributes() -> None:
    query = study_query(b"Modality=CT", Level.IMAGE, ResourceKey("1.2", "1.3"))
    assert query.matches == (
        Match((0x00080060,), ("CT",)),
        Match((0x0020000D,), ("1.2",)),
        Match((0x0020000E,), ("1.3",)),
    )
    assert query.include == DEFAULT_TAGS[Level.IMAGE]
    everywhere = study_query(b"", Level.IMAGE).include
    assert everywhere == DEFAULT_TAGS[Level.IMAGE] | DEFAULT_TAGS[Level.SERIES] | DEFAULT_TAGS[Level.STUDY]


@pytest.mark.parametrize(
    ("query_string", "named"),
    [
        (b"PatientNmae=x", "PatientNmae"),
        (b"StudyInstanceUID=,", "StudyInstanceUID"),
        (b"limit=-1", "limit"),
        (b"limit=ten", "limit"),
        (b"offset=99999999999", "offset"),
        (b"fuzzymatching=maybe", "fuzzymatching"),
        (b"includefield=No'thing", "No'thing"),
        (b"PatientID=a%00b", "PatientID"),
        (b"PatientID=%ff", "UTF-8"),
        (b"PatientID=\xff", "UTF-8"),
        (b"a=1&" * 600, "500"),
        (b"." * 40 + b"=1", "deeper"),
        (b"=1", "neither"),
    ],
)
def test_what_cannot_be_understood_is_named(query_string: bytes, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        study_query(query_string, Level.STUDY)


_PARAMETERS = (b"PatientID=%2C", b"PatientName=*", b"limit=1", b"offset=2", b"includefield=all", b"fuzzymatching=true")
_PARAMETERS += (
    b"00400275.00400009=1",
    b"accept=x",
    b"",
    b"=",
    b"PatientID",
    b"%00=1",
    b"PatientID=%ff",
    b"PatientID=a\\b",
)


@given(st.binary(max_size=100) | st.lists(st.sampled_from(_PARAMETERS), max_size=5).map(b"&".join))
def test_any_query_string_gives_a_query_or_an_invalid_request(query_string: bytes) -> None:
    try:
        query = study_query(b"PatientID=7&" + query_string, Level.IMAGE)
    except InvalidRequest as refused:
        assert 0 < len(str(refused)) < 500
        return
    assert query.level is Level.IMAGE
    assert query.matches[0] == Match((0x00100020,), ("7",)), "whatever follows, what was asked for is not lost"
    assert query.include is None or query.include >= DEFAULT_TAGS[Level.IMAGE]
    assert all(1 <= len(match.path) <= 8 for match in query.matches)
    assert not any("\0" in value for match in query.matches for value in match.values)


def test_attribute_paths() -> None:
    assert attribute_path("PatientID") == attribute_path("00100020") == (0x00100020,)


def test_a_uid_in_the_query_does_not_widen_that_of_the_url() -> None:
    query = study_query(b"StudyInstanceUID=1.3", Level.SERIES, ResourceKey("1.2"))
    assert query.matches == (Match((0x0020000D,), ("1.3",)), Match((0x0020000D,), ("1.2",)))


def test_an_unescaped_plus_before_an_offset_from_utc_is_one() -> None:
    def asked(value: str) -> tuple[str, ...]:
        return study_query(f"AcquisitionDateTime={value}".encode(), Level.IMAGE).matches[0].values

    assert asked("20240310143000+0000") == asked("20240310143000%2B0000") == ("20240310143000+0000",)
    both = "20240310143000.5+0900-20240311000000+0900"
    assert asked(both) == (both,)
    assert asked("2024031014+0900-") == ("2024031014+0900-",)
    assert asked("20240310+1200") == ("20240310 1200",), "as somebody may write a date and a time"
    assert study_query(b"StudyDescription=2024031014+0900", Level.IMAGE).matches[0].values == ("2024031014 0900",)

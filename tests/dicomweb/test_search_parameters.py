"""QIDO-RS query strings as queries."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.dicomweb.resources import ResourceKey
from pacs.dicomweb.search_parameters import DEFAULT_TAGS, attribute_path, study_query
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
        (b"limit=-1", "limit"),
        (b"limit=ten", "limit"),
        (b"offset=99999999999", "offset"),
        (b"fuzzymatching=maybe", "fuzzymatching"),
        (b"includefield=Nothing", "Nothing"),
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


@given(st.binary(max_size=100))
def test_any_query_string_gives_a_query_or_an_invalid_request(query_string: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        study_query(query_string, Level.IMAGE)


def test_attribute_paths() -> None:
    assert attribute_path("PatientID") == attribute_path("00100020") == (0x00100020,)


def test_a_uid_in_the_query_does_not_widen_that_of_the_url() -> None:
    query = study_query(b"StudyInstanceUID=1.3", Level.SERIES, ResourceKey("1.2"))
    assert query.matches == (Match((0x0020000D,), ("1.3",)), Match((0x0020000D,), ("1.2",)))

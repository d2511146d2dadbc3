"""What C-FIND agrees to beyond the baseline, and what it then does."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from pacs.dimse.messages.command_builders import c_find_rq
from pacs.dimse.scp.query import QueryService
from pacs.dimse.scp.query_extensions import QueryExtensions, accepted_extensions, query_extensions
from pacs.dimse.scp.service import PresentationContext
from pacs.errors import InvalidRequest
from pacs.model import Match, Query
from tests.dimse.scp.fake_exchange import IMPLICIT, FakeExchange, decoded, encoded
from tests.dimse.scp.test_query import STUDIES, FakeSearch, study_query

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (b"", b""),
        (b"\1", b"\1"),
        (b"\0", b"\0"),
        (b"\1\1\1", b"\1\1\1"),
        (b"\0\1\0\1", b"\0\1\0\1"),
        (b"\1\1\1\1\1\1\1", b"\1\1\1\1\0\1\1"),
        (b"\1\1\1\1\1\1\1\1\1", b"\1\1\1\1\0\1\1"),
        (b"\2\xff", b"\0\0"),
    ],
)
def test_each_field_is_accepted_or_turned_down(asked: bytes, answered: bytes) -> None:
    assert accepted_extensions(asked) == answered


@given(st.binary(max_size=12))
def test_nothing_is_agreed_that_was_not_asked(asked: bytes) -> None:
    agreed = accepted_extensions(asked)
    assert len(agreed) <= len(asked)
    assert all(one == 0 or other == 1 for one, other in zip(agreed, asked, strict=False))
    assert all(isinstance(getattr(query_extensions(agreed), field.name), bool) for field in fields(QueryExtensions))


def ask(query: Dataset, agreed: bytes, *, model: str = PATIENT_ROOT) -> tuple[FakeExchange, Query]:
    search = FakeSearch(STUDIES[:1])
    context = PresentationContext(1, model, IMPLICIT, extended=agreed)
    exchange = FakeExchange(c_find_rq(1, model), encoded(query), context)
    QueryService(search).serve(exchange)  # type: ignore[arg-type]
    return exchange, search.asked[0]


def test_each_byte_is_its_own_way_of_matching() -> None:
    baseline = ask(study_query(), b"")[1]
    assert not any(
        (baseline.is_fuzzy, baseline.combines_date_and_time, baseline.finds_empty, baseline.needs_all_values)
    )
    assert ask(study_query(), b"\0\1")[1].combines_date_and_time
    assert ask(study_query(), b"\0\0\1")[1].is_fuzzy
    assert ask(study_query(), b"\0\0\0\0\0\1")[1].finds_empty
    assert ask(study_query(), b"\0\0\0\0\0\0\1")[1].needs_all_values


def test_a_relational_query_needs_no_unique_keys_above() -> None:
    query = study_query(PatientName="DOE*")
    query.QueryRetrieveLevel = "IMAGE"
    del query.StudyInstanceUID
    exchange, asked = ask(query, b"\1")
    assert exchange.statuses == [0xFF00, 0x0000]
    assert asked.matches == (Match((0x00100010,), ("DOE*",)),)
    for agreed in (b"", b"\0", b"\0\1\1\1"):
        with pytest.raises(InvalidRequest, match="missing at level IMAGE"):
            ask(query, agreed)


def test_the_zone_of_the_request_is_that_of_its_times() -> None:
    assert ask(study_query(TimezoneOffsetFromUTC="+0900"), b"")[1].timezone_offset == "+0900"
    assert ask(study_query(TimezoneOffsetFromUTC=""), b"")[1].timezone_offset == ""


def test_with_time_zones_agreed_an_answer_tells_its_own() -> None:
    study = {**STUDIES[0], "00080201": {"vr": "SH", "Value": ["+0100"]}}
    for agreed, told in ((b"\0\0\0\1", "+0100"), (b"", None)):
        context = PresentationContext(1, PATIENT_ROOT, IMPLICIT, extended=agreed)
        exchange = FakeExchange(c_find_rq(1, PATIENT_ROOT), encoded(study_query()), context)
        search = FakeSearch([study])
        QueryService(search).serve(exchange)  # type: ignore[arg-type]
        assert decoded(exchange.responses[0][1]).get("TimezoneOffsetFromUTC") == told
        assert search.asked[0].include == (frozenset({0x00080201}) if told else frozenset())

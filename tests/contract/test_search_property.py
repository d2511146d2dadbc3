"""What SQL answers equals what a plain reading of PS3.4 C.2.2.2 in Python answers, on made-up archives."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag

from pacs.errors import InvalidRequest
from pacs.index import Index
from pacs.model import Level, Match, Query
from tests.contract.made_up_archives import ANY_KEY, DAYS, INSTANCES, KEY, LEVELS, TIMES, archive_of, is_reachable
from tests.contract.plain_matcher import expected
from tests.index.new_instances import attributes, new_instance

_hospitals = itertools.count()


@given(
    drawn=INSTANCES,
    level=st.sampled_from([Level.STUDY, Level.SERIES, Level.IMAGE]),
    keys=st.lists(KEY, max_size=3),
    limit=st.one_of(st.none(), st.integers(0, 4)),
    offset=st.integers(0, 2),
    ways=st.fixed_dictionaries(
        {
            "is_fuzzy": st.booleans(),
            "combines_date_and_time": st.booleans(),
            "finds_empty": st.booleans(),
            "needs_all_values": st.booleans(),
            "timezone_offset": st.sampled_from(["", "", "+0900", "-0500"]),
        }
    ),
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_sql_answers_as_a_plain_matcher_does(
    index: Index,
    drawn: list[Any],
    level: Level,
    keys: list[Match],
    limit: int | None,
    offset: int,
    ways: dict[str, Any],
) -> None:
    hospital = f"h{next(_hospitals)}"  # an archive of its own, in the same database
    # In a batch, rows are written in order of their UIDs.
    batches = [
        sorted(archive_of(hospital, part), key=lambda new: new.key.sop_instance_uid) for part in (drawn[:3], drawn[3:])
    ]
    for batch in batches:
        index.add(batch)
    archive = batches[0] + batches[1]
    # Two quotation marks are no date and no number when they do not ask for an empty value.
    keys = [key for key in keys if is_reachable(level, key) and (ways["finds_empty"] or '""' not in key.values)]
    query = Query(level, tuple(keys), limit=limit, offset=offset, **ways)
    tag = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}[level]
    found = [answer[tag]["Value"][0] for answer in index.search(hospital, query)]
    assert found == expected(archive, query)


@given(
    day=DAYS,
    time=TIMES,
    is_combined=st.booleans(),
    timezone_offset=st.sampled_from(["", "+0900", "-0500"]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_date_and_time_in_every_zone(
    index: Index, day: str, time: str, is_combined: bool, timezone_offset: str
) -> None:
    dates, times = (
        (None, "20240101", "2024.01.02", "20231231", "never"),
        (None, "0900", "10:15", "101530.5", "2359", "-"),
    )
    archive = [
        new_instance(
            f"{number}",
            f"{number}.1",
            f"{number}.1.1",
            in_study=attributes(
                **{
                    keyword: value
                    for keyword, value in zip(("StudyDate", "StudyTime", "TimezoneOffsetFromUTC"), values, strict=True)
                    if value
                }
            ),
        )
        for number, values in enumerate(itertools.product(dates, times, (None, "+0900", "-0500", "Seoul")))
    ]
    archive.sort(key=lambda new: new.key.sop_instance_uid)
    if index.existing("default", "1.1.1") is None:
        index.add(archive)
    keys = (Match((0x00080020,), (day,)), Match((0x00080030,), (time,)))
    query = Query(Level.STUDY, keys, combines_date_and_time=is_combined, timezone_offset=timezone_offset)
    found = [answer["0020000D"]["Value"][0] for answer in index.search("default", query)]
    assert sorted(found) == sorted(expected(archive, query))


@given(level=st.sampled_from(LEVELS), keys=st.lists(ANY_KEY, max_size=2), is_fuzzy=st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_is_answered_or_refused_by_name(
    index: Index, level: Level, keys: list[Match], is_fuzzy: bool
) -> None:
    index.add([new_instance()])
    try:
        list(index.search("default", Query(level, tuple(keys), is_fuzzy=is_fuzzy)))
    except InvalidRequest as refused:
        assert any((keyword_for_tag(key.tag) or "?") in str(refused) for key in keys)

"""Versions of one instance: the rows are those that the records ask for, whatever their order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pacs.index import Index
from pacs.model import Level, NewInstance, Query, Succession, Superseded
from tests.index.new_instances import MR, attributes, new_instance

_START_US = 1_700_000_000_000_000


def record(
    content: str, at: int, *before: NewInstance, is_original: bool = False, is_plain: bool = False, **place: str
) -> NewInstance:
    """A record of one SOP Instance UID, received at minute `at`, that names those `before` it."""
    made = new_instance(
        content=content, segment=f"segment-{content}", in_instance=attributes(Rows=at, InstanceNumber=at), **place
    )
    succession = None if is_plain else Succession(tuple(each.digest for each in before), is_original)
    return replace(made, succession=succession, received_at_us=_START_US + at * 60_000_000)


def state(index: Index) -> tuple[object, ...]:
    """All that is told of the instance."""
    row = index.instance("default", "1.1", "1.1.1", "1.1.1.1")
    earlier = index.versions("default", "1.1.1.1")
    holdings = index.holdings()
    return (
        row and (row.digest, row.location, row.attributes, row.stored_at),
        [(each.digest, each.location, each.reason, each.received_at) for each in earlier],
        (holdings.patients, holdings.studies, holdings.series, holdings.instances, holdings.stored_bytes),
    )


FIRST = record("first", 1, is_plain=True)
SECOND = record("second", 2, FIRST)
THIRD = record("third", 3, SECOND)
ORIGINAL = record("original", 4, is_original=True)
COERCED = record("coerced", 5, SECOND, ORIGINAL)


def test_a_plain_instance_has_no_earlier_versions(index: Index) -> None:
    index.add([FIRST])
    assert index.versions("default", "1.1.1.1") == []


def test_the_newest_is_served_and_searched_and_the_others_stay(index: Index) -> None:
    for new in (FIRST, SECOND, THIRD):
        assert index.add([new])[0].added
    row = index.instance("default", "1.1", "1.1.1", "1.1.1.1")
    assert row is not None
    assert (row.digest, row.location, row.attributes["00280010"]["Value"]) == (THIRD.digest, THIRD.location, [3])
    earlier = index.versions("default", "1.1.1.1")
    assert [(each.digest, each.location) for each in earlier] == [
        (FIRST.digest, FIRST.location),
        (SECOND.digest, SECOND.location),
    ]
    assert {each.reason for each in earlier} == {Superseded.REPLACED}
    assert [each.superseded_at.minute - each.received_at.minute for each in earlier] == [1, 1]
    (found,) = index.search("default", Query(Level.IMAGE))
    assert found["00280010"]["Value"] == [3]


def test_counters_count_one_instance_and_all_bytes(index: Index) -> None:
    for new in (FIRST, SECOND, ORIGINAL, COERCED):
        index.add([new])
    holdings = index.holdings()
    assert (holdings.patients, holdings.studies, holdings.series, holdings.instances) == (1, 1, 1, 1)
    assert holdings.stored_bytes == 4 * FIRST.location.length
    (study,) = index.search("default", Query(Level.STUDY))
    assert (study["00201208"]["Value"], study["00201206"]["Value"]) == ([1], [1])


@pytest.mark.parametrize("together", [False, True])
def test_the_order_of_adding_decides_nothing(new_url: Callable[[], str], together: bool) -> None:
    records = (FIRST, SECOND, ORIGINAL, COERCED)
    orders = list(itertools.permutations(records))
    expected = None
    for order in [orders[0], orders[-1], orders[7], orders[14]]:
        index = Index.open(new_url())
        index.migrate()
        if together:
            index.add(order)
        else:
            for new in order:
                index.add([new])
        found = state(index)
        index.close()
        if expected is None:
            expected = found
            assert found[0] is not None
            assert found[0][0] == COERCED.digest
            assert [each[0] for each in found[1]] == [FIRST.digest, SECOND.digest, ORIGINAL.digest]
        assert found == expected


def test_the_same_records_again_change_nothing(index: Index) -> None:
    records = (FIRST, SECOND, ORIGINAL, COERCED)
    index.add(records)
    before = state(index)
    again = index.add(records)
    assert state(index) == before
    # A transaction that seemed to fail and did not: the bytes that rows point to are never disowned.
    assert [result.added for result in again] == [False, True, True, False]
    elsewhere = replace(SECOND, location=replace(SECOND.location, segment="elsewhere"))
    assert not index.add([elsewhere])[0].added
    assert state(index) == before


def test_an_original_alone_is_no_instance(index: Index) -> None:
    index.add([ORIGINAL])
    assert index.instance("default", "1.1", "1.1.1", "1.1.1.1") is None
    assert index.holdings().instances == 0
    assert index.segment_end("default", ORIGINAL.location.segment) == ORIGINAL.location.length


def test_a_version_whose_bytes_are_lost_is_told(index: Index) -> None:
    index.add([SECOND])
    (lost,) = index.versions("default", "1.1.1.1")
    assert (lost.digest, lost.location) == (FIRST.digest, None)
    index.add([replace(FIRST, succession=None)])
    (found,) = index.versions("default", "1.1.1.1")
    assert found.location == FIRST.location


@pytest.mark.parametrize("place", [{"study": "1.9"}, {"series": "1.1.9"}, {"sop_class": MR}])
def test_another_place_or_kind_never_takes_over(index: Index, place: dict[str, str]) -> None:
    index.add([FIRST])
    before = state(index)
    (result,) = index.add([record("other", 2, FIRST, **place)])
    assert result.existing is not None
    assert result.existing.digest == FIRST.digest
    assert state(index) == before


def test_without_a_succession_the_first_stays(index: Index) -> None:
    index.add([FIRST])
    before = state(index)
    (result,) = index.add([record("other", 2, is_plain=True)])
    assert not result.added
    assert state(index) == before


def test_a_replaced_instance_has_its_series_settled_again(index: Index) -> None:
    index.add([FIRST])
    (unsettled,) = index.series_to_settle(-10)
    assert index.mark_settled(unsettled)
    assert index.series_to_settle(-10) == []
    index.add([SECOND])
    assert len(index.series_to_settle(-10)) == 1


def test_hospitals_have_versions_of_their_own(index: Index) -> None:
    index.add([FIRST, SECOND, record("third", 3, is_plain=True, hospital="other")])
    assert len(index.versions("default", "1.1.1.1")) == 1
    assert index.versions("other", "1.1.1.1") == []


def test_processes_that_store_versions_at_once_lose_none(index: Index, url: str) -> None:
    index.add([FIRST])
    several = [
        [record(f"{process}.{number}", 2 + 3 * number + process, FIRST) for number in range(6)] for process in range(3)
    ]

    def store(records: list[NewInstance]) -> None:
        own = Index.open(url)
        try:
            for new in records:
                assert own.add([new])[0].added
        finally:
            own.close()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(store, records) for records in several]:
            done.result(60)
    stored = sorted([FIRST, *itertools.chain(*several)], key=lambda new: new.received_at_us)
    row = index.instance("default", "1.1", "1.1.1", "1.1.1.1")
    assert row is not None
    assert row.digest == stored[-1].digest
    assert {row.digest, *(each.digest for each in index.versions("default", "1.1.1.1"))} == {
        new.digest for new in stored
    }
    holdings = index.holdings()
    assert (holdings.instances, holdings.stored_bytes) == (1, len(stored) * FIRST.location.length)

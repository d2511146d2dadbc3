"""Paging with `offset`: no study twice, none missed while others arrive, and far pages are those of the whole list."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from pacs.index import Index, page_marks, pages
from pacs.index.engine import open_engine
from pacs.index.page_marks import Mark, PageMarks
from pacs.model import Deletion, Level, Match, NewInstance, Query
from tests.index.new_instances import attributes, name, new_instance

_STUDY = "0020000D"
_numbers = itertools.count(1)


def _study(day: str, time: str = "", family: str = "Kim", hospital: str = "default") -> NewInstance:
    number = next(_numbers)
    return new_instance(
        f"1.{number}",
        f"1.{number}.1",
        f"1.{number}.1.1",
        hospital=hospital,
        in_patient=attributes(PatientID=f"P{number}", PatientName=name(f"{family}^{number}")),
        in_study=attributes(StudyDate=day, StudyTime=time, StudyDescription=f"about {number}"),
        in_series=attributes(Modality="CT", BodyPartExamined="CHEST"),
    )


QUESTIONS: dict[str, tuple[Match, ...]] = {
    "the list": (),
    "dates": (Match((0x00080020,), ("20200101-20991231",)),),
    "part of a name": (Match((0x00100010,), ("*ki*",)),),
    "more of a name": (Match((0x00100010,), ("*kim*",)),),
    "beginning of a description": (Match((0x00081030,), ("about*",)),),
    "list of another attribute": (Match((0x00080061,), ("C*",)),),
}


def _page(index: Index, matches: tuple[Match, ...], offset: int, size: int, reader: str = "R") -> list[str]:
    """As a door does: it asks for one more, to know whether there are more."""
    query = Query(Level.STUDY, matches, limit=size + 1, offset=offset)
    found = itertools.islice(index.search("default", query, reader=reader), size + 1)
    return [answer[_STUDY]["Value"][0] for answer in found][:size]


def _walk(index: Index, matches: tuple[Match, ...], size: int, reader: Callable[[], str]) -> list[str]:
    """All pages, while newer, older and equal studies arrive after each."""
    seen: list[str] = []
    while page := _page(index, matches, len(seen), size, reader()):
        seen += page
        index.add(
            [_study("20260101", "1000"), _study("20260102"), _study("20230101", "11"), _study("20240101", "1200")]
        )
        if len(seen) > 400:
            break
    return seen


@pytest.mark.parametrize("question", QUESTIONS)
def test_paging_while_studies_arrive_shows_each_once(index: Index, question: str) -> None:
    there = [_study(f"202401{day:02}", f"{hour:02}00") for day in range(1, 11) for hour in range(6)]
    index.add([*there, _study("20240102", family="Lee"), _study("20240103", hospital="other")])
    seen = _walk(index, QUESTIONS[question], 7, lambda: "R")
    assert len(seen) == len(set(seen))
    assert {new.key.study_instance_uid for new in there} <= set(seen)


def test_without_marks_a_study_would_be_seen_twice(index: Index) -> None:
    """The control: a reader who is never recognised."""
    index.add([_study(f"202401{day:02}") for day in range(1, 31)])
    readers = itertools.count()
    seen = _walk(index, (), 7, lambda: str(next(readers)))
    assert len(seen) > len(set(seen))


def test_the_first_page_begins_afresh(index: Index) -> None:
    index.add([_study("20240101"), _study("20240102"), _study("20240103")])
    first = _page(index, (), 0, 2)
    index.add([_study("20240104")])
    newest, second = _page(index, (), 0, 2)
    assert second == first[0]
    assert newest not in first
    assert _page(index, (), 2, 2)[0] == first[1]


def _ten(index: Index) -> list[str]:
    there = [_study(f"202401{day:02}") for day in range(10, 0, -1)]
    index.add(there)
    return [new.key.study_instance_uid for new in there]


def _going_on(index: Index, first: list[str]) -> set[str]:
    """What somebody sees in all who has seen the first page."""
    seen = list(first)
    while page := _page(index, (), len(seen), 3):
        seen += page
        assert len(seen) < 30
    return set(seen)


def _deletion(study: str) -> Deletion:
    at = datetime.now(UTC)
    return Deletion(secrets.token_hex(16), "default", study, None, None, "wrong patient", "me", "here", at, at)


@pytest.mark.parametrize("size", [3, 2])
@pytest.mark.parametrize("question", ["the list", "list of another attribute"])
def test_another_client_of_the_same_name_disturbs_nobody(index: Index, question: str, size: int) -> None:
    """It begins the same list, or a shorter one, after studies arrived."""
    matches, there = QUESTIONS[question], _ten(index)
    seen = _page(index, matches, 0, 3, "N at A")
    index.add([_study("20260101"), _study("20260102")])
    other = _page(index, matches, 0, size, "N at B" if size == 3 else "N at A")
    while page := _page(index, matches, len(seen), 3, "N at A"):
        seen += page
        more = _page(index, matches, len(other), size, "N at B" if size == 3 else "N at A")
        other += more
    assert seen == there
    assert other[2:] == there[: len(other) - 2]


def test_clients_that_cannot_be_told_apart_miss_nothing(index: Index) -> None:
    """Whoever asks for the next page, and whether studies came or went in between."""
    there = _ten(index)
    first = _page(index, (), 0, 3)
    index.add([_study("20260101")])
    other = _page(index, (), 0, 3)
    assert set(there) <= _going_on(index, first)
    assert set(there) <= _going_on(index, other)


def test_a_client_that_began_before_a_deletion_misses_nothing(index: Index) -> None:
    there = _ten(index)
    first = _page(index, (), 0, 3)
    index.trash.put(_deletion(there[0]), lambda told, places: None)
    other = _page(index, (), 0, 3)
    assert other == there[1:4]
    assert set(there[1:]) <= _going_on(index, first)
    assert set(there[1:]) <= _going_on(index, other)


@pytest.fixture(scope="module")
def thousands(new_url: Callable[[], str]) -> Iterator[tuple[Index, list[str]]]:
    """Studies of few days, many of one second and some without a date; and their list, read without pages."""
    index = Index.open(new_url())
    index.migrate()
    days = ["20240101", "20240102", "20240103", "", "18880101", "21000101"]
    times = ["10", "100000.5", "100000.25", "1000", ""]
    for _ in range(6):
        index.add([_study(days[n % 6], times[n % 5]) for n in range(100)])
    index.add([_study("20240102", hospital="other") for _ in range(50)])
    yield index, [answer[_STUDY]["Value"][0] for answer in index.search("default", Query(Level.STUDY))]
    index.close()


@pytest.mark.parametrize("question", ["the list", "more of a name", "list of another attribute"])
@pytest.mark.parametrize("offset", [0, 1, 99, 250, 431, 599, 600, 1000])
def test_any_page_is_a_piece_of_the_list(
    thousands: tuple[Index, list[str]], question: str, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_FAR", 20)
    index, everything = thousands
    assert len(everything) == 600
    reader = f"{question} {offset}"
    assert _page(index, QUESTIONS[question], offset, 10, reader) == everything[offset : offset + 10]


def test_a_far_page_of_some_days_is_a_piece_of_their_list(
    thousands: tuple[Index, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_FAR", 20)
    index, everything = thousands
    some = (Match((0x00080020,), ("20240102-20240103",)),)
    found = [answer[_STUDY]["Value"][0] for answer in index.search("default", Query(Level.STUDY, some))]
    assert found == [uid for uid in everything if uid in set(found)]
    assert len(found) == 204
    assert _page(index, some, 150, 10, "days") == found[150:160]
    assert _page(index, some, 204, 10, "days") == []


def test_too_many_studies_of_one_second_are_found_in_order_all_the_same(
    thousands: tuple[Index, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_MOST_TIES", 3)
    index, everything = thousands
    found = index.search("default", Query(Level.STUDY, QUESTIONS["more of a name"], limit=300))
    assert [answer[_STUDY]["Value"][0] for answer in found] == everything[:300]


@pytest.mark.parametrize("level", [Level.PATIENT, Level.SERIES, Level.IMAGE])
def test_other_levels_are_paged_alike(thousands: tuple[Index, list[str]], level: Level) -> None:
    index, _ = thousands
    tag = {Level.PATIENT: "00100020", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}[level]
    matches = (Match((0x00100010,), ("*kim*",)),)
    whole = [answer[tag]["Value"][0] for answer in index.search("default", Query(level, matches))]
    assert len(whole) == 600
    paged: list[str] = []
    while len(paged) < len(whole):
        query = Query(level, matches, limit=151, offset=len(paged))
        page = [answer[tag]["Value"][0] for answer in index.search("default", query, reader="R")][:150]
        assert page
        paged += page
    assert paged == whole


@pytest.fixture
def marks(url: str) -> Iterator[PageMarks]:
    index = Index.open(url)
    index.migrate()
    engine = open_engine(url)
    opened = PageMarks(engine)
    yield opened
    opened.close()
    engine.dispose()
    index.close()


def test_of_several_ends_of_a_page_the_one_before_most_rows_is_taken(marks: PageMarks) -> None:
    for row in (5, 7, 6):
        marks.note(b"question", {10: ("20240101", "", row), 20: ("20230101", "", row)})
    assert marks.nearest(b"question", 15, is_descending=True) == Mark(10, ("20240101", "", 7))
    assert marks.nearest(b"question", 20) == Mark(20, ("20230101", "", 5))
    assert marks.nearest(b"question", 9) is None
    assert marks.nearest(b"other", 10) is None


def test_a_mark_that_was_gone_on_from_makes_room(marks: PageMarks) -> None:
    """Or a search that is cut short again and again would begin at the same row each time."""
    marks.note(b"question", {3: (10,)})
    marks.note(b"question", {3: (20,)}, instead=Mark(3, (10,)))
    assert marks.nearest(b"question", 3) == Mark(3, (20,))


def test_marks_are_bounded(marks: PageMarks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_marks, "_CLEANED_EVERY", 10)
    monkeypatch.setattr(page_marks, "_MOST", 15)
    for number in range(40):
        marks.note(f"{number}".encode(), {1: (number,)})
    assert [number for number in range(40) if marks.nearest(f"{number}".encode(), 1)] == list(range(25, 40))

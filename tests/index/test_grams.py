"""Whatever matches has the grams that are asked for, and few are asked for."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacs.index import grams, normal_form
from pacs.index.criteria import Criterion, Names
from pacs.index.keys import criteria
from pacs.index.row_values import patient_columns, study_columns
from pacs.model import Level, Match, Query
from tests.index.new_instances import attributes, name

_NAME, _ID, _DESCRIPTION, _PHYSICIAN, _STUDY_ID = 0x00100010, 0x00100020, 0x00081030, 0x00080090, 0x00200010
_LETTERS = "abB1^ *?가민\u0301é\x02\x03"


def _asked(tag: int, *values: str, needs_all: bool = False) -> tuple[Criterion, tuple[grams.Alternatives, ...]]:
    query = Query(Level.STUDY, (Match((tag,), values),), needs_all_values=needs_all)
    ((_, criterion),) = criteria(query)
    return criterion, grams.asked("h", tag, criterion)


def _stored(
    patient_name: tuple[str, str, str] = ("", "", ""), patient_id: str = "", description: str = ""
) -> frozenset[int]:
    patient = attributes(PatientID=patient_id, PatientName=name(*patient_name))
    study = study_columns(attributes(StudyDescription=description, StudyID=description))
    physicians = [normal_form.name_group(group) for group in patient_name if group]
    return grams.of_values("h", patient_columns(patient) | study, physicians)


def test_what_is_remembered_takes_little_memory() -> None:
    """Whoever sends values that no VR allows, each another one, has them counted anew: 48 KB would be kept of each."""
    grams._numbers.cache_clear()
    for number in range(20):
        assert len(_stored(description=chr(0xAC00 + number) * 256)) > 2
    assert grams._numbers.cache_info().currsize == 0
    assert _stored(description="Chest PA") and grams._numbers.cache_info().currsize == 2


def _has(stored: frozenset[int], asked: tuple[grams.Alternatives, ...]) -> bool:
    return all(any(one <= stored for one in several.sets) for several in asked)


@st.composite
def _value_and_pattern(draw: st.DrawFn) -> tuple[str, str]:
    """A value and what it was asked by: parts of it are left open, at any place."""
    value = draw(st.text(_LETTERS, min_size=1, max_size=9))
    pattern = list(value)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(pattern)))
        count = draw(st.integers(0, 2))
        pattern[at : at + count] = draw(st.sampled_from(["*", "?" * len(pattern[at : at + count])]))
    return value, "".join(pattern)


@given(_value_and_pattern(), st.integers(0, 2), st.booleans())
@example(("a*b", "a*b"), 0, False)
@example(("김^민수", "김^민수^"), 2, False)
@example(("a\x03b", "*\x03*"), 0, True)
def test_what_matches_has_the_grams(pair: tuple[str, str], group: int, needs_all: bool) -> None:
    value, pattern = pair
    if not pattern.strip("*?^ =") or "=" in pattern:
        return
    groups = ["", "", ""]
    groups[group] = value
    data_set = attributes(
        PatientID=value,
        PatientName=name(*groups),
        StudyDescription=value,
        StudyID=value,
        ReferringPhysicianName=name(*groups),
    )
    stored = _stored((groups[0], groups[1], groups[2]), value, value)
    for tag in (_NAME, _ID, _DESCRIPTION, _PHYSICIAN, _STUDY_ID):
        criterion, asked = _asked(tag, pattern, needs_all=needs_all)
        if criterion.holds(data_set, tag):
            assert _has(stored, asked), hex(tag)


@pytest.mark.parametrize(
    ("tag", "value", "count", "is_rare"),
    [
        (_NAME, "Kim^Minsu=金^敏洙=김^민수", 3, True),
        (_NAME, "Kim^Minsu", 1, True),
        (_NAME, "=金^敏洙", 1, True),
        (_NAME, "*민수*", 1, False),
        (_NAME, "*健*", 1, False),
        (_NAME, "*minsu*", 3, False),
        (_NAME, "kim*su", 3, False),
        (_NAME, "*a very long piece of a name*", 6, False),
        (_ID, "*234*", 1, False),
        (_ID, "*23456*", 2, False),
        (_DESCRIPTION, "Brain MRI with enhance", 1, False),
        (_PHYSICIAN, "Lee^Sunhee", 1, False),
        (_PHYSICIAN, "*sunhee*", 4, False),
        (_STUDY_ID, "1", 1, False),
    ],
)
def test_few_are_looked_up(tag: int, value: str, count: int, is_rare: bool) -> None:
    _, (asked,) = _asked(tag, value)
    assert [len(one) for one in asked.sets] == [count]
    assert asked.is_rare is is_rare


def test_a_name_that_has_all_parts_of_another_is_not_looked_at() -> None:
    _, asked = _asked(_NAME, "kim^kim^kim")
    assert _has(_stored(("Kim^Kim^Kim", "", "")), asked)
    assert not _has(_stored(("Kim^Kim^Kim^Kim", "", "")), asked)


def test_of_several_values_one_is_enough_unless_all_are_needed() -> None:
    stored = _stored(("Kim^Minsu", "", ""))
    _, one = _asked(_NAME, "kim*", "lee*")
    assert _has(stored, one)
    assert not one[0].is_rare
    all_of_two = Names(((("kim*",),), (("lee*",),)), needs_all=True)
    assert not _has(stored, grams.asked("h", _NAME, all_of_two))
    _, mixed = _asked(_NAME, "kim^minsu", "*lee*")
    assert not mixed[0].is_rare, "a part of a name is not"


@given(st.dates().map(lambda day: f"{day:%Y%m%d}"), st.integers(1, 1 << 20))
@example("19000101", 1)
@example("19000102", 1)
@example("99991231", 1)
def test_a_study_lies_in_its_month_and_year(day: str, row: int) -> None:
    place = grams.study_place(day, "101500.000000", row)
    month = grams.month_of(place)
    if not month:
        assert place == row or place < grams.begin_of("1900")
        assert not grams.of_place("h", place)
        return
    for days in (month, month[:4]):
        assert grams.of_days("h", days) in grams.of_place("h", place)
        assert grams.begin_of(days) <= place
        assert grams.month_of(grams.begin_of(days))[: len(days)] == days

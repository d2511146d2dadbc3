"""Which attribute has a column at which level, and a criterion on it as SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydicom.datadict import keyword_for_tag
from sqlalchemy import BigInteger, Column, ColumnElement, Select, Table, and_, false, func, or_, select

from pacs.errors import InvalidRequest
from pacs.index import fuzzy, wildcard
from pacs.index.criteria import Criterion, Empty, FuzzyNames, Names, Numbers, Ranges, Uids, Words
from pacs.index.moments import TIME_OF, Moments, Range, day_after
from pacs.index.normal_form import MAX_WORD, integer
from pacs.index.tables import NO_NUMBER, instances, patients, series, studies
from pacs.model import Level

LEVELS = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE)
TABLES: dict[Level, Table] = {
    Level.PATIENT: patients,
    Level.STUDY: studies,
    Level.SERIES: series,
    Level.IMAGE: instances,
}
ROW_ABOVE = {Level.STUDY: "patient_row", Level.SERIES: "study_row", Level.IMAGE: "series_row"}
"""The column that points to the row of the level above."""
Condition = ColumnElement[bool]
_UNREAD = {"frame_table", "digest"}
"""The look-up columns of an instance are not read for a search."""
ROWS: dict[Level, Select[Any]] = {
    level: select(*(column for column in table.c if column.name not in _UNREAD)) for level, table in TABLES.items()
}
# Newest study first, for a list without end; below, by number. Each order is an index from its hospital on.
ORDER: dict[Level, tuple[tuple[ColumnElement[Any], ...], bool]] = {
    Level.PATIENT: ((patients.c.id,), True),
    Level.STUDY: ((studies.c.study_date, studies.c.study_time, studies.c.id), True),
    Level.SERIES: ((series.c.study_row, series.c.series_number, series.c.id), False),
    Level.IMAGE: ((instances.c.series_row, instances.c.instance_number, instances.c.id), False),
}


@dataclass(frozen=True, slots=True)
class Said:
    """A criterion in SQL; never narrower than the criterion."""

    condition: Condition
    is_whole: bool = True
    """It says all of the criterion; otherwise rows that pass have still to be looked at."""
    is_key: bool = False
    """An index on the column leads to few rows."""


_LAST_CHARACTER = "\U0010ffff"

PATIENT_NAME = 0x00100010
_PATIENT_COLUMNS = {
    PATIENT_NAME: "patient_name",
    0x00100020: "patient_id",
    0x00100021: "issuer_of_patient_id",
    0x00100030: "patient_birth_date",
    0x00100040: "patient_sex",
}
COLUMNS: dict[Level, dict[int, str]] = {
    Level.PATIENT: {**_PATIENT_COLUMNS, 0x00201200: "studies", 0x00201202: "series", 0x00201204: "instances"},
    Level.STUDY: {
        0x0020000D: "study_instance_uid",
        0x00080020: "study_date",
        0x00080030: "study_time",
        0x00080050: "accession_number",
        0x00080061: "modalities_in_study",
        0x00080062: "sop_classes_in_study",
        0x00081030: "study_description",
        0x00200010: "study_id",
        0x00201206: "series",
        0x00201208: "instances",
    },
    Level.SERIES: {
        0x0020000E: "series_instance_uid",
        0x00080060: "modality",
        0x0008103E: "series_description",
        0x00200011: "series_number",
        0x00201209: "instances",
    },
    Level.IMAGE: {
        0x00080018: "sop_instance_uid",
        0x00080016: "sop_class_uid",
        0x00200013: "instance_number",
    },
}
_NAME_OF = {tag: name for columns in COLUMNS.values() for tag, name in columns.items()}
_DAYS_AND_TIMES = frozenset({"study_date", "study_time", "patient_birth_date"})
_ZONE_DAYS = 2
"""Days that one moment's dates in two time zones can be apart, and one more."""
_LISTS = frozenset({"modalities_in_study", "sop_classes_in_study"})
_KEYS = frozenset({"study_instance_uid", "series_instance_uid", "sop_instance_uid", "patient_id", "accession_number"})
_SIDE_BY_SIDE = 25
_MOST_WORDS = 100
"""Words of fuzzy names of which SQL says what they may be like; each is some 40 patterns, and SQLite takes 32,766."""
_KEY_PREFIX = 2
"""A pattern is a key from so many characters before its first wild card on."""


def level_of(tag: int) -> Level | None:
    """The level whose table has a column for the attribute."""
    return next((level for level in LEVELS if tag in COLUMNS[level]), None)


def condition(tag: int, criterion: Criterion, at: Level, dialect: str) -> Said | None:
    """`criterion` in SQL for a search at level `at`; None when no column there helps."""
    level = level_of(tag)
    if level is None or LEVELS.index(level) > LEVELS.index(at):
        return None
    column = column_of(tag, level, at)
    return _on_column(column.table, column.name, criterion, dialect)


def column_of(tag: int, level: Level, at: Level) -> Column[Any]:
    """Where a search at level `at` finds an attribute of `level`, which is that level or one above it."""
    # Below the patient, the patient's attributes are those that the study names.
    table = studies if level is Level.PATIENT and at is not Level.PATIENT else TABLES[level]
    return table.c[COLUMNS[level][tag]]


def is_key(column: Column[Any]) -> bool:
    """Whether an index leads from one of its values to few rows."""
    return column.name in _KEYS


def condition_below(hospital: str, criteria: list[tuple[int, Criterion]], at: Level, dialect: str) -> Said:
    """That one path of rows below level `at` satisfies all of these keys of lower levels.

    Raises:
        InvalidRequest: a key has no form in SQL.
    """
    found: list[Said] = []
    lowest = at
    for tag, criterion in criteria:
        level = level_of(tag)
        said = _on_column(TABLES[level], COLUMNS[level][tag], criterion, dialect) if level else None
        # Of a lower level, a number or date that is none counts as empty.
        if level is None or said is None or not (said.is_whole or isinstance(criterion, Empty)):
            raise InvalidRequest(
                f"{keyword_for_tag(tag)} cannot be matched so when the level searched is {at}: ask at its own"
            )
        found.append(said)
        lowest = max(lowest, level, key=LEVELS.index)
    below = LEVELS[LEVELS.index(at) + 1 : LEVELS.index(lowest) + 1]
    top = TABLES[below[0]]
    links = [TABLES[lower].c[ROW_ABOVE[lower]] == TABLES[upper].c.id for upper, lower in pairwise(below)]
    rows = select(top.c[ROW_ABOVE[below[0]]]).select_from(*(TABLES[level] for level in below))
    same_hospital = [TABLES[level].c.hospital == hospital for level in below]
    rows = rows.where(*same_hospital, *links, *(said.condition for said in found))
    if any(said.is_key for said in found):
        # The few rows below are found first, then those above them.
        return Said(TABLES[at].c.id.in_(rows), is_key=True)
    # Each row above is asked in its turn.
    rows = rows.where(top.c[ROW_ABOVE[below[0]]] == TABLES[at].c.id)
    return Said(rows.correlate(TABLES[at]).exists())


def _on_column(table: Table, name: str, criterion: Criterion, dialect: str) -> Said | None:
    column = table.c[name]
    match criterion:
        case Empty():
            return _is_empty(table, name)
        case Moments():
            return _in_moments(table, criterion)
        case Words(patterns) if name in _LISTS:
            if any(wildcard.has_wildcard(pattern) or "\\" in pattern for pattern in patterns):
                return None
            several = and_ if criterion.needs_all else or_
            return Said(several(*(_in_list(column, pattern) for pattern in patterns)))
        case Uids(values) if name in _LISTS:
            return Said(any_of([_in_list(column, value) for value in values]))
        case Uids(values):
            return Said(column.in_(values), is_key=is_key(column))
        case Words(patterns):
            if criterion.needs_all:
                return None  # of an attribute with several values a column holds the first
            leads_to_few = is_key(column) and all(map(_is_selective, patterns))
            # What is longer than a column keeps is looked at whole.
            is_whole = all(wildcard.has_wildcard(pattern) or len(pattern) < MAX_WORD for pattern in patterns)
            cut = tuple(map(as_kept, patterns))
            return Said(_any_pattern(column, cut, dialect), is_whole=is_whole, is_key=leads_to_few)
        case Ranges(_, ranges):
            return Said(or_(*(in_range(column, first, last) for first, last in ranges)))
        case Numbers(values):
            numbers = [integer(value) for value in values if value == value.to_integral_value()]
            small = [number for number in numbers if number is not None]
            return Said(column.in_(small))
        case Names() | FuzzyNames():
            return _on_name(table, criterion, dialect)
    return None


def _is_selective(pattern: str) -> bool:
    return not wildcard.has_wildcard(pattern) or len(wildcard.literal_prefix(pattern)) >= _KEY_PREFIX


def _on_name(table: Table, criterion: Names | FuzzyNames, dialect: str) -> Said | None:
    groups = [table.c.patient_name, table.c.patient_name_ideographic, table.c.patient_name_phonetic]

    def any_group(pattern: str) -> Condition:
        return or_(*(_like(group, pattern, dialect) for group in groups))

    if isinstance(criterion, FuzzyNames):
        if sum(map(len, criterion.choices)) > _MOST_WORDS:
            return None
        said = {asked: is_likely(groups, asked, dialect) for choice in criterion.choices for asked in choice}
        return Said(or_(*(and_(*(said[asked] for asked in choice)) for choice in criterion.choices)), is_whole=False)
    patterns: list[Condition] = []
    for pattern in criterion.patterns:
        if len(pattern) == 1:
            patterns += [any_group(part) for part in pattern[0]]
            continue
        asked = ((group, parts) for group, parts in zip(groups, pattern, strict=False) if parts)
        patterns.append(and_(*(or_(*(_like(group, part, dialect) for part in parts)) for group, parts in asked)))
    return Said(and_(*patterns) if criterion.needs_all else any_of(patterns))


def is_likely(groups: Sequence[Column[Any]], asked: str, dialect: str) -> Condition:
    """That a group may have a word which is close to `asked`; `pacs.index.fuzzy` has the last word."""
    likely = [_like(group, pattern, dialect) for group in groups for pattern in fuzzy.likely(asked)]
    if spellings := fuzzy.likely_sound(asked):
        if dialect == "postgresql":
            sound = ".*".join(f"[{letters}]" for letters in spellings)
            likely += [group.op("~", is_comparison=True)(sound) for group in groups]
        else:
            sound = "*".join(("", *(f"[{letters}]" for letters in spellings), ""))
            likely += [group.op("GLOB", is_comparison=True)(sound) for group in groups]
    return or_(*likely)


def _is_empty(table: Table, name: str) -> Said:
    if name in _LISTS:
        return Said(false())  # a study has at least one series
    if name == "patient_name":
        groups = (table.c.patient_name, table.c.patient_name_ideographic, table.c.patient_name_phonetic)
        return Said(and_(*(group == "" for group in groups)))
    column = table.c[name]
    if name in _DAYS_AND_TIMES:
        return Said(column == "", is_whole=False)  # also where a value is none
    if isinstance(column.type, BigInteger):
        return Said(column == NO_NUMBER, is_whole=False)
    return Said(column == "")


def _in_moments(table: Table, criterion: Moments) -> Said | None:
    """On the columns of date and time; in another time zone, the days around those asked for."""
    day = table.c.get(_NAME_OF.get(criterion.date_tag, ""))
    time = table.c.get(_NAME_OF.get(TIME_OF[criterion.date_tag], ""))
    if day is None or time is None:
        return None
    if criterion.offset is not None:
        if not criterion.dates:
            return None
        around: list[Range] = [
            (first and day_after(first, -_ZONE_DAYS), last and day_after(last, _ZONE_DAYS))
            for first, last in criterion.dates
        ]
        return Said(or_(*(in_range(day, first, last) for first, last in around)), is_whole=False)
    if not criterion.is_combined:
        return None
    ((first_day, last_day),), ((first_time, last_time),) = criterion.dates, criterion.times
    conditions = [in_range(day, first_day, last_day)]
    if first_day and first_time:
        conditions.append(or_(day > first_day, time >= first_time, time == ""))
    if last_day and last_time:
        conditions.append(or_(day < last_day, time <= last_time))  # no time is "", the least
    return Said(and_(*conditions))


def _in_list(column: ColumnElement[str], value: str) -> Condition:
    return func.replace(column, f"\\{value}\\", "") != column


def _any_pattern(column: ColumnElement[str], patterns: tuple[str, ...], dialect: str) -> Condition:
    whole = [pattern for pattern in patterns if not wildcard.has_wildcard(pattern)]
    conditions: list[Condition] = [column.in_(whole)] if whole else []
    conditions += [_like(column, pattern, dialect) for pattern in patterns if wildcard.has_wildcard(pattern)]
    return or_(*conditions)


def any_of(conditions: Sequence[Condition]) -> Condition:
    """One of them, as a tree of little depth: SQLite refuses an expression of more than 1,000 levels."""
    if len(conditions) <= _SIDE_BY_SIDE:
        return or_(*conditions)
    half = len(conditions) // 2
    # Not `or_`, which makes one row of those within.
    return any_of(conditions[:half]).bool_op("OR")(any_of(conditions[half:]))


def _like(column: ColumnElement[str], pattern: str, dialect: str) -> Condition:
    if not wildcard.has_wildcard(pattern):
        return column == pattern
    if dialect == "postgresql":
        likeness: Callable[[Any], Condition] = lambda text: column.like(wildcard.as_like(text), escape="\\")  # noqa: E731
    else:
        likeness = lambda text: column.op("GLOB", is_comparison=True)(wildcard.as_glob(text))  # noqa: E731
    prefix = wildcard.literal_prefix(pattern)
    if not prefix:
        return likeness(pattern)
    # The bounds let any index on the column serve the beginning of the pattern.
    return and_(column >= prefix, column < prefix + _LAST_CHARACTER, likeness(pattern))


def as_kept(pattern: str) -> str:
    """What a column that keeps the beginning of a text is asked, so that no row is missed that has it whole."""
    return pattern if wildcard.has_wildcard(pattern) else pattern[:MAX_WORD]


def on_text(column: ColumnElement[str], pattern: str, dialect: str) -> Condition:
    """That the text is covered by the pattern."""
    return _like(column, pattern, dialect)


def in_range(column: ColumnElement[str], first: str | None, last: str | None) -> Condition:
    if first is not None and first == last:
        return column == first
    conditions = [column >= (first or "0")]  # a missing value is "" and lies before every other
    if last is not None:
        conditions.append(column <= last)
    return and_(*conditions)

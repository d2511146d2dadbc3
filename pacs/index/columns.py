"""Which attribute has a column at which level, and a criterion on it as SQL."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from pydicom.datadict import keyword_for_tag
from sqlalchemy import ColumnElement, Table, and_, exists, false, func, or_, select

from pacs.errors import InvalidRequest
from pacs.index import wildcard
from pacs.index.criteria import Criterion, FuzzyNames, Names, Numbers, Ranges, Uids, Words
from pacs.index.normal_form import integer
from pacs.index.tables import instances, patients, series, studies
from pacs.model import Level

LEVELS = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE)
TABLES: dict[Level, Table] = {
    Level.PATIENT: patients,
    Level.STUDY: studies,
    Level.SERIES: series,
    Level.IMAGE: instances,
}
Condition = ColumnElement[bool]
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
    Level.PATIENT: _PATIENT_COLUMNS,
    Level.STUDY: {
        0x0020000D: "study_instance_uid",
        0x00080020: "study_date",
        0x00080030: "study_time",
        0x00080050: "accession_number",
        0x00080061: "modalities_in_study",
        0x00080062: "sop_classes_in_study",
        0x00081030: "study_description",
        0x00200010: "study_id",
    },
    Level.SERIES: {
        0x0020000E: "series_instance_uid",
        0x00080060: "modality",
        0x0008103E: "series_description",
        0x00200011: "series_number",
    },
    Level.IMAGE: {
        0x00080018: "sop_instance_uid",
        0x00080016: "sop_class_uid",
        0x00200013: "instance_number",
    },
}
_LISTS = frozenset({"modalities_in_study", "sop_classes_in_study"})


def level_of(tag: int) -> Level | None:
    """The level whose table has a column for the attribute."""
    return next((level for level in LEVELS if tag in COLUMNS[level]), None)


def condition(tag: int, criterion: Criterion, at: Level, dialect: str) -> tuple[Condition, bool] | None:
    """`criterion` in SQL for a search at level `at`, and whether it says all; None when no column there helps.

    What the SQL says is never narrower than the criterion.
    """
    level = level_of(tag)
    if level is None or LEVELS.index(level) > LEVELS.index(at):
        return None
    # Below the patient, the patient's attributes are those that the study names.
    table = studies if level is Level.PATIENT and at is not Level.PATIENT else TABLES[level]
    return _on_column(table, COLUMNS[level][tag], criterion, dialect)


def condition_below(criteria: list[tuple[int, Criterion]], at: Level, dialect: str) -> Condition:
    """That one path of rows below level `at` satisfies all of these keys of lower levels.

    Raises:
        InvalidRequest: a key has no form in SQL.
    """
    found: list[Condition] = []
    lowest = at
    for tag, criterion in criteria:
        level = level_of(tag)
        part = _on_column(TABLES[level], COLUMNS[level][tag], criterion, dialect) if level else None
        if level is None or part is None:
            raise InvalidRequest(f"{keyword_for_tag(tag)} takes no wild card when the level searched is {at}")
        found.append(part[0])
        lowest = max(lowest, level, key=LEVELS.index)
    links = [
        TABLES[lower].c[_UP[lower]] == TABLES[upper].c.id
        for upper, lower in pairwise(LEVELS)
        if LEVELS.index(at) < LEVELS.index(lower) <= LEVELS.index(lowest)
    ]
    below = [TABLES[level] for level in LEVELS[LEVELS.index(at) + 1 : LEVELS.index(lowest) + 1]]
    same_hospital = [table.c.hospital == TABLES[at].c.hospital for table in below]
    return exists(select(1).select_from(*below).where(*links, *same_hospital, *found).correlate(TABLES[at]))


_UP = {Level.STUDY: "patient_row", Level.SERIES: "study_row", Level.IMAGE: "series_row"}


def _on_column(table: Table, name: str, criterion: Criterion, dialect: str) -> tuple[Condition, bool] | None:
    column = table.c[name]
    match criterion:
        case Words(patterns) if name in _LISTS:
            if any(wildcard.has_wildcard(pattern) or "\\" in pattern for pattern in patterns):
                return None
            return or_(*(_in_list(column, pattern) for pattern in patterns)), True
        case Uids(values) if name in _LISTS:
            return or_(*(_in_list(column, value) for value in values)), True
        case Uids(values):
            return column.in_(values), True
        case Words(patterns):
            return _any_pattern(column, patterns, dialect), True
        case Ranges(_, ranges):
            return or_(*(_in_range(column, first, last) for first, last in ranges)), True
        case Numbers(values):
            numbers = [integer(value) for value in values if value == value.to_integral_value()]
            in_range = [number for number in numbers if number is not None]
            return (column.in_(in_range) if in_range else false()), True
        case Names() | FuzzyNames():
            return _on_name(table, criterion, dialect)
    return None


def _on_name(table: Table, criterion: Names | FuzzyNames, dialect: str) -> tuple[Condition, bool]:
    groups = [table.c.patient_name, table.c.patient_name_ideographic, table.c.patient_name_phonetic]

    def any_group(pattern: str) -> Condition:
        return or_(*(_like(group, pattern, dialect) for group in groups))

    if isinstance(criterion, FuzzyNames):
        return or_(*(and_(*(any_group(f"*{part}*") for part in choice)) for choice in criterion.choices)), False
    return or_(
        *(
            any_group(pattern[0])
            if len(pattern) == 1
            else and_(*(_like(group, part, dialect) for group, part in zip(groups, pattern, strict=False) if part))
            for pattern in criterion.patterns
        )
    ), True


def _in_list(column: ColumnElement[str], value: str) -> Condition:
    return func.replace(column, f"\\{value}\\", "") != column


def _any_pattern(column: ColumnElement[str], patterns: tuple[str, ...], dialect: str) -> Condition:
    whole = [pattern for pattern in patterns if not wildcard.has_wildcard(pattern)]
    conditions: list[Condition] = [column.in_(whole)] if whole else []
    conditions += [_like(column, pattern, dialect) for pattern in patterns if wildcard.has_wildcard(pattern)]
    return or_(*conditions)


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


def _in_range(column: ColumnElement[str], first: str | None, last: str | None) -> Condition:
    if first is not None and first == last:
        return column == first
    conditions = [column >= (first or "0")]  # a missing value is "" and lies before every other
    if last is not None:
        conditions.append(column <= last)
    return and_(*conditions)

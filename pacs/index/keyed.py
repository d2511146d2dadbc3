"""Searches by keys alone, as most of those of other systems are: a patient ID, an accession number, UIDs; and the list
of all, of which nothing is asked.

To make such a statement, and to let SQLAlchemy find that it has compiled it, takes several times as long as the
database takes to answer it. So each combination of keys has one statement, which is made and compiled once.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Integer, Select, bindparam, tuple_

from pacs.index.columns import LEVELS, ORDER, ROWS, Condition, column_of, is_key, level_of
from pacs.index.criteria import Criterion, Uids, Words
from pacs.index.driver import Driver
from pacs.index.joins import with_levels_above
from pacs.index.normal_form import MAX_WORD
from pacs.index.wildcard import has_wildcard
from pacs.model import Level

_TEXTS = frozenset({"patient_id", "issuer_of_patient_id", "accession_number", "study_id", "modality"})
_UIDS = frozenset({"study_instance_uid", "series_instance_uid", "sop_instance_uid", "sop_class_uid"})
_LAST = "last_"
_MOST_KEYS = 4
"""So that there are never many statements, whoever asks."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """Keys of one value each, of which one leads to few rows; or none."""

    level: Level
    tags: tuple[int, ...]
    values: Mapping[str, str]
    """By the name of a parameter of the statement."""

    def statement(self) -> Select[Any]:
        """What is asked, in order, without the values."""
        return _statement(self.level, self.tags)

    def read(self, driver: Driver, after: Sequence[Any] | None, size: int) -> list[Any]:
        """The next rows of the level's table in the order of the list, behind the key `after` if there is one."""
        last = {f"{_LAST}{number}": value for number, value in enumerate(after or ())}
        page = _page(self.level, self.tags, goes_on=bool(after))
        return list(map(_ROW[self.level]._make, driver.rows(page, {**self.values, **last, "size": size})))


def keyed(hospital: str, level: Level, asked: Sequence[tuple[int, Criterion]]) -> Keyed | None:
    """`asked` of `level` as keys of one value each, or as nothing; None when it is more, or other."""
    values = {"hospital": hospital}
    leads_to_few = False
    if len(asked) > _MOST_KEYS:
        return None
    for tag, criterion in sorted(asked, key=itemgetter(0)):
        owner = level_of(tag)
        if owner is None or LEVELS.index(owner) > LEVELS.index(level):
            return None
        column = column_of(tag, owner, level)
        match criterion:
            case Uids((value,)) if column.name in _UIDS:
                values[column.name] = value
            case Words((value,), False) if column.name in _TEXTS and len(value) < MAX_WORD and not has_wildcard(value):
                values[column.name] = value
            case _:
                return None
        leads_to_few = leads_to_few or is_key(column)
    if (asked and not leads_to_few) or len(values) <= len(asked):
        return None
    return Keyed(level, tuple(sorted(tag for tag, _ in asked)), values)


def rows_by_number(driver: Driver, level: Level, numbers: Sequence[int]) -> list[Any]:
    """The rows of the level's table with these numbers, in any order."""
    # The last one fills up a list of 1, 2, 4, 8 ..., for each length is a statement of its own.
    filled = list(numbers)
    filled += filled[-1:] * ((1 << (len(filled) - 1).bit_length()) - len(filled))
    return list(map(_ROW[level]._make, driver.rows(_BY_NUMBER[level], {"numbers": filled})))


@cache
def _statement(level: Level, tags: tuple[int, ...]) -> Select[Any]:
    hospital = bindparam("hospital", type_=ROWS[level].selected_columns["hospital"].type)
    rows = ROWS[level].where(ROWS[level].selected_columns["hospital"] == hospital)
    conditions: dict[Level, list[Condition]] = {}
    for tag in tags:
        owner = level_of(tag) or level
        column = column_of(tag, owner, level)
        conditions.setdefault(owner, []).append(column == bindparam(column.name, type_=column.type))
    columns, is_descending = ORDER[level]
    rows = with_levels_above(rows, hospital, level, conditions, in_turn=False)
    return rows.order_by(*(column.desc() if is_descending else column for column in columns))


@cache
def _page(level: Level, tags: tuple[int, ...], *, goes_on: bool) -> Select[Any]:
    page = _statement(level, tags).limit(bindparam("size", type_=Integer))
    if not goes_on:
        return page
    columns, is_descending = ORDER[level]
    last = tuple_(*(bindparam(f"{_LAST}{at}", type_=column.type) for at, column in enumerate(columns)))
    return page.where(tuple_(*columns) < last if is_descending else tuple_(*columns) > last)


_ROW: dict[Level, Any] = {level: namedtuple("Row", rows.selected_columns.keys()) for level, rows in ROWS.items()}
_BY_NUMBER = {
    level: rows.where(rows.selected_columns["id"].in_(bindparam("numbers", expanding=True)))
    for level, rows in ROWS.items()
}

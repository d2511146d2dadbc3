"""The rows of a plan, page by page: from the order's index, or, where a part of a text is asked for, from its grams.

A page goes on after the last row of the one before (keyset); what lies before the first page is skipped over an
index, from the nearest mark, or day by day by the numbers of studies. Nothing is counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, bindparam, text, tuple_

from pacs.index import gram_tables, study_modalities
from pacs.index.allowance import Allowance
from pacs.index.columns import ORDER, ROW_ABOVE, TABLES
from pacs.index.criteria import Criterion
from pacs.index.driver import driver_of
from pacs.index.grams import ROW_BITS, Alternatives, row_of, second_of, study_place
from pacs.index.keyed import Keyed
from pacs.index.page_marks import Mark
from pacs.index.searchable import SearchableAttribute
from pacs.model import Level

Key = tuple[Any, ...]
"""What a row is ordered by."""
Days = tuple[str | None, str | None]

_NEAR, _FAR = 50, 1_000
"""Rows that are skipped sooner than places, or the days, are looked at."""
_MOST_TIES = 5_000
_MOST_PLACES = 4_000
_SKIPPED_AT_ONCE = 2_000
_ABOVE_AT_ONCE = 100
_TRIED = 20
"""Places that are compared where two ways lead to what is wanted."""
_AFTER_ALL_TIMES = "\U0010ffff"
_LAST_ROW = 1 << 62
_LAST_TOLD = "2079"
"""From this date on, all have places of one day."""


@dataclass(frozen=True, slots=True)
class SearchableKey:
    """A key on attributes that an operator made searchable."""

    condition: ColumnElement[bool]
    is_few: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A query, understood."""

    hospital: str
    level: Level
    rows: Select[Any]
    """In order, with all that SQL says of the query."""
    residual: tuple[tuple[int, Criterion], ...]
    """Keys to be matched on the answer's attributes, because SQL does not say all of them."""
    tags: frozenset[str] | None
    limit: int | None
    offset: int
    grams: tuple[Alternatives, ...] = ()
    """By which its rows are found; empty when a key or the order does better."""
    modalities: tuple[int, ...] = ()
    """Numbers of which its studies have one; empty when a key does better."""
    days: Days | None = None
    """Studies of these dates; (None, None) is all."""
    is_list: bool = False
    """Nothing but `days` is asked."""
    is_list_of_modality: bool = False
    """Nothing but `days` and one modality is asked."""
    shown: tuple[tuple[int, SearchableAttribute], ...] = ()
    """Searchable attributes that answers hold, each with the tag by which it was asked for."""
    above: Plan | None = None
    """What is asked of the levels above, as a search of the one above; None when nothing is, or a key does better."""
    asks_itself: bool = False
    """Something is asked of its own level."""
    is_implied: bool = False
    """All that is asked of it follows from what is asked of the level below."""
    keyed: Keyed | None = None
    """All of it, as keys of one value each; where there is no offset, `rows` is then without the values."""


class Pages:
    """Of one search, used by one thread at a time."""

    def __init__(
        self, engine: Engine, plan: Plan, allowance: Allowance, rows_above: Sequence[int] | None = None
    ) -> None:
        """`rows_above`: the rows of the level above, in order, under which all lies; None when it may be anywhere."""
        self._engine = engine
        self._plan = plan
        self._allowance = allowance
        self._rows_above = rows_above
        self._columns, self._is_descending = ORDER[plan.level]
        self._grams = plan.grams
        self._modalities = plan.modalities
        self._is_chosen = not (self._grams and self._modalities)

    @cached_property
    def _keys(self) -> Select[Any]:
        return self._plan.rows.with_only_columns(*self._columns)

    def key_of(self, row: Any) -> Key:
        return tuple(getattr(row, column.key or "") for column in self._columns)

    def read(self, after: Key | None, size: int) -> list[Any]:
        """The next rows; fewer than `size` when there are no more."""
        with self._allowance.reading(self._engine) as connection:
            if self._plan.keyed is None:
                return self._read(connection, self._plan.rows, after, size)
            with driver_of(connection) as driver:
                return self._plan.keyed.read(driver, after, size)

    def read_numbers(self, most: int) -> list[int]:
        """The numbers of its rows, as many as `most` in the order of the list."""
        with self._allowance.reading(self._engine) as connection:
            return [row.id for row in self._read(connection, self._keys, None, most)]

    def studies_of_days(self) -> int:
        """How many studies there are of the plan's days."""
        first, last = self._plan.days or (None, None)
        values = {"hospital": self._plan.hospital, "first": first or "", "last": last or "9"}
        with self._allowance.reading(self._engine) as connection:
            return int(connection.execute(_STUDIES_OF_DAYS, values).scalar_one() or 0)

    def have_rare_modality(self) -> bool:
        """Whether few studies have one of the plan's modalities."""
        with self._allowance.reading(self._engine) as connection:
            return study_modalities.are_few(connection, self._plan.modalities)

    def key_at(self, offset: int, mark: Mark) -> Key | None:
        """The key of the last row before the one at `offset`, which is at least 1; None when there are not so many."""
        at, after = mark
        with self._allowance.reading(self._engine) as connection:
            if self._plan.is_list and offset - at > _FAR:
                day = self._day_at(connection, offset)
                if day is None:
                    return None
                at, after = day
            if self._plan.is_list_of_modality and offset - at > _NEAR:
                found = self._second_at(connection, offset)
                if found is None:
                    return None
                at, after = found or mark
            if offset == at:
                return after
            return self._skipped(connection, after or None, offset - at)

    def _skipped(self, connection: Connection, after: Key | None, count: int) -> Key | None:
        if not self._has_places() and self._rows_above is None:
            found = connection.execute(self._going_on(self._keys, after).offset(count - 1).limit(1)).one_or_none()
            return self.key_of(found) if found else None
        while count > 0:
            size = min(count, _SKIPPED_AT_ONCE)
            page = self._read(connection, self._keys, after, size)
            if len(page) < size:
                return None
            after, count = self.key_of(page[-1]), count - size
            self._allowance.check()
        return after

    def _second_at(self, connection: Connection, offset: int) -> Mark | tuple[()] | None:
        """How many studies are newer than the second in which the last one before `offset` lies, and a key just before
        that second; nothing where places do not tell, None when there are not so many."""
        _, last = self._plan.days or (None, None)
        if last is not None and last >= _LAST_TOLD:
            return ()
        above, below = _places_of(self._plan.days)
        (number,) = self._modalities
        found = study_modalities.at(connection, number, above=above, below=below, offset=offset - 1)
        if found is None:
            return None
        place, before = found
        second = second_of(place)
        if second is None:
            return ()
        return Mark(offset - 1 - before, (second[0], second[1] + _AFTER_ALL_TIMES, _LAST_ROW))

    def _day_at(self, connection: Connection, offset: int) -> tuple[int, Key] | None:
        """How many studies are newer than the day on which `offset` lies, and a key just before that day."""
        first, last = self._plan.days or (None, None)
        values = {"hospital": self._plan.hospital, "first": first or "", "last": last or "9", "offset": offset}
        newer = 0
        if first is None and last is None:
            month = connection.execute(_MONTH_AT, values).one_or_none()
            if month is None:
                return None
            newer = int(month.newer)
            until = f"{month.study_month}99" if month.study_month else ""
            values |= {"first": month.study_month, "last": until, "offset": offset - newer}
        day = connection.execute(_DAY_AT, values).one_or_none()
        if day is None:
            return None
        return newer + int(day.newer), (day.study_date, _AFTER_ALL_TIMES, _LAST_ROW)

    def _read(self, connection: Connection, statement: Select[Any], after: Key | None, size: int) -> list[Any]:
        if self._rows_above is not None:
            return self._found_under(connection, self._rows_above, statement, after, size)
        if self._has_places():
            found = self._found_by_places(connection, statement, after, size)
            if found is not None:
                return found
            self._grams = self._modalities = ()
        return list(connection.execute(self._going_on(statement, after).limit(size)).all())

    def _going_on(self, statement: Select[Any], after: Key | None) -> Select[Any]:
        if not after:
            return statement
        here, last = tuple_(*self._columns), tuple_(*after)
        return statement.where(here < last if self._is_descending else here > last)

    def _found_under(
        self, connection: Connection, rows_above: Sequence[int], statement: Select[Any], after: Key | None, size: int
    ) -> list[Any]:
        """As `_read`, from the rows under those of the level above: the list is in the order of these first."""
        above = TABLES[self._plan.level].c[ROW_ABOVE[self._plan.level]]
        statement = self._going_on(statement, after).where(above.in_(bindparam("above", expanding=True)))
        found: list[Any] = []
        at, at_once = bisect_left(rows_above, after[0]) if after else 0, _ABOVE_AT_ONCE
        while len(found) < size and at < len(rows_above):
            rows = {"above": rows_above[at : at + at_once]}
            found += connection.execute(statement.limit(size - len(found)), rows).all()
            at, at_once = at + at_once, min(4 * at_once, _MOST_PLACES)
            self._allowance.check()
        return found

    def _has_places(self) -> bool:
        return bool(self._grams or self._modalities)

    def _places(self, connection: Connection, *, above: int, below: int, size: int) -> list[int]:
        """At most `size` places from `above` on and less than `below` of rows that may match, greatest first."""
        if not self._is_chosen:
            self._is_chosen = True
            by_grams = self._by_grams(connection, above, below, _TRIED)
            by_modality = study_modalities.newest(connection, self._modalities, above=above, below=below, size=_TRIED)
            if len(by_grams) == _TRIED and (len(by_modality) < _TRIED or by_modality[-1] < by_grams[-1]):
                self._grams = ()  # as many with the modality reach further back, so it selects better
        if self._grams:
            return self._by_grams(connection, above, below, size)
        return study_modalities.newest(connection, self._modalities, above=above, below=below, size=size)

    def _by_grams(self, connection: Connection, above: int, below: int, size: int) -> list[int]:
        bounds = {"above": above, "below": below, "size": size}
        return gram_tables.newest(connection, self._plan.level, self._plan.hospital, self._grams, **bounds)

    def _found_by_places(
        self, connection: Connection, statement: Select[Any], after: Key | None, size: int
    ) -> list[Any] | None:
        """As `_read`; None when too many rows share a place in the list."""
        plan, table = self._plan, TABLES[self._plan.level]
        shift = ROW_BITS if plan.level is Level.STUDY else 0
        above, below = _places_of(plan.days)
        if after:
            place = study_place(after[0], after[1], 0) if plan.level is Level.STUDY else after[0]
            below = min(below, ((place >> shift) + 1) << shift)
        statement = self._going_on(statement, after).where(table.c.id.in_(bindparam("rows", expanding=True)))
        found: list[Any] = []
        at_once = min(size + size // 4, _MOST_PLACES)
        while len(found) < size:
            places = self._places(connection, above=above, below=below, size=at_once)
            are_all = len(places) < at_once
            if not are_all:
                below = places[-1]
                if shift:  # all of one second, for they stand in another order
                    second = below >> shift << shift
                    ties = self._places(connection, above=max(above, second), below=below, size=_MOST_TIES)
                    if len(ties) == _MOST_TIES:
                        return None
                    places += ties
                    below = second
            if places:
                rows = {"rows": [row_of(place) for place in places]}
                found += connection.execute(statement, rows).all()
            if are_all:
                break
            at_once = min(2 * at_once, _MOST_PLACES)
            self._allowance.check()
        return found[:size]


def _places_of(days: Days | None) -> tuple[int, int]:
    first, last = days or (None, None)
    above = study_place(first, "", 0) if first else 0
    below = study_place(last, "235960", (1 << ROW_BITS) - 1) + 1 if last else 1 << 63
    return above, min(below, (1 << 63) - 1)


_DAY_AT = text(
    "SELECT study_date, total - studies AS newer FROM"
    " (SELECT study_date, studies, sum(studies) OVER (ORDER BY study_date DESC) AS total FROM study_days"
    " WHERE hospital = :hospital AND study_date >= :first AND study_date <= :last) AS days"
    " WHERE total > :offset ORDER BY total LIMIT 1"
)
_STUDIES_OF_DAYS = text(
    "SELECT sum(studies) FROM study_days WHERE hospital = :hospital AND study_date >= :first AND study_date <= :last"
)
_MONTH_AT = text(
    "SELECT study_month, total - studies AS newer FROM"
    " (SELECT study_month, studies, sum(studies) OVER (ORDER BY study_month DESC) AS total FROM study_months"
    " WHERE hospital = :hospital) AS months"
    " WHERE total > :offset ORDER BY total LIMIT 1"
)

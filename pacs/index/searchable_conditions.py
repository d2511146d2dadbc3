"""A key on an attribute that an operator made searchable, as SQL."""

from __future__ import annotations

from itertools import pairwise

from sqlalchemy import ColumnElement, Engine, Select, and_, false, or_, select

from pacs.index.columns import LEVELS, ROW_ABOVE, TABLES, on_text
from pacs.index.criteria import Criterion, Names, Numbers, Ranges, Uids, Words
from pacs.index.engine import reading
from pacs.index.searchable import SearchableAttribute, number_text
from pacs.index.tables import attribute_values
from pacs.model import Level

_FEW = 1_000
"""So many values are looked up first, and then the rows; of more, each row is asked in its turn."""


def is_understood(criterion: Criterion) -> bool:
    """Whether values can be matched so; each is a row of its own, so that all of several cannot be asked of one."""
    if isinstance(criterion, (Words, Names)):
        return not criterion.needs_all or len(criterion.patterns) == 1
    return isinstance(criterion, (Uids, Numbers, Ranges))


def condition(
    engine: Engine, hospital: str, attributes: list[SearchableAttribute], criterion: Criterion, at: Level
) -> tuple[ColumnElement[bool], bool]:
    """`criterion` for a search at level `at`, on any of `attributes`, and whether it leads to few rows."""
    found = []
    for attribute in attributes:
        matching = (
            attribute_values.c.hospital == hospital,
            attribute_values.c.attribute == attribute.id,
            _on_value(criterion, engine.dialect.name),
        )
        is_few = _are_few(engine, select(attribute_values.c.row).where(*matching))
        found.append((_in_row(attribute.level, at, hospital, matching, is_few=is_few), is_few))
    return or_(*(said for said, _ in found)), all(is_few for _, is_few in found)


def _on_value(criterion: Criterion, dialect: str) -> ColumnElement[bool]:
    value = attribute_values.c.value
    match criterion:
        case Numbers(numbers):
            return value.in_([text for number in numbers if (text := number_text(number)) is not None])
        case Uids(uids):
            return value.in_(uids)
        case Words(patterns):
            return or_(*(on_text(value, pattern, dialect) for pattern in patterns))
        case Names(patterns):
            # Each group of a name is a value of its own; a key with several groups is found by its first.
            firsts = [next(parts for parts in groups if parts) for groups in patterns]
            return or_(*(on_text(value, part, dialect) for parts in firsts for part in parts))
        case Ranges(_, ranges):
            ends = ((value >= (first or "0"), value <= last if last else None) for first, last in ranges)
            return or_(*(and_(low, high) if high is not None else low for low, high in ends))
    return false()


def _are_few(engine: Engine, rows: Select[tuple[int]]) -> bool:
    with reading(engine, "search") as connection:
        return connection.execute(rows.limit(1).offset(_FEW)).first() is None


def _in_row(
    level: Level, at: Level, hospital: str, matching: tuple[ColumnElement[bool], ...], *, is_few: bool
) -> ColumnElement[bool]:
    """That a row of level `at` has, lies below, or has below it, a row of `level` with such a value."""
    table, place, wanted = TABLES[at], LEVELS.index(at), LEVELS.index(level)
    if wanted <= place:
        # Up from the row: its own number, or that of the row above it, or of the one above that.
        path = LEVELS[wanted : place + 1]
        own = table.c.id if wanted == place else table.c[ROW_ABOVE[at]]
        rows = select(attribute_values.c.row).where(*matching)
        for upper in reversed(path[:-1]):
            if upper == path[-2]:
                continue
            lower = TABLES[LEVELS[LEVELS.index(upper) + 1]]
            rows = select(lower.c.id).where(
                lower.c.hospital == hospital, lower.c[ROW_ABOVE[LEVELS[LEVELS.index(upper) + 1]]].in_(rows)
            )
        if is_few or wanted != place:
            return own.in_(rows)
        return rows.where(attribute_values.c.row == table.c.id).correlate(table).exists()
    below = LEVELS[place + 1 : wanted + 1]
    top, bottom = TABLES[below[0]], TABLES[below[-1]]
    links = [TABLES[lower].c[ROW_ABOVE[lower]] == TABLES[upper].c.id for upper, lower in pairwise(below)]
    above = top.c[ROW_ABOVE[below[0]]]
    rows_below = (
        select(above)
        .select_from(attribute_values, *(TABLES[one] for one in below))
        .where(*matching, bottom.c.id == attribute_values.c.row, *links)
        .where(*(TABLES[one].c.hospital == hospital for one in below))
    )
    if is_few:
        return table.c.id.in_(rows_below)
    return rows_below.where(above == table.c.id).correlate(table).exists()

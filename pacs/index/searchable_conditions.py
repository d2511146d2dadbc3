"""A key on an attribute that an operator made searchable, as SQL."""

from __future__ import annotations

from itertools import pairwise

from sqlalchemy import ColumnElement, Engine, FromClause, Select, SelectBase, and_, false, or_, select, union

from pacs.errors import TooBroad
from pacs.index.columns import LEVELS, ROW_ABOVE, TABLES, any_of, as_kept, in_range, is_likely, on_text
from pacs.index.criteria import Criterion, Empty, FuzzyNames, Names, Numbers, Ranges, Uids, Words
from pacs.index.engine import reading
from pacs.index.searchable import SearchableAttribute, unlooked_rows
from pacs.index.searchable_values import AFTER_MARKS, GROUP_MARKS, name_in, number_text, whole_name
from pacs.index.tables import attribute_values
from pacs.model import Level

_FEW = 1_000
"""So many values are looked up first, and then the rows; of more, each row is asked in its turn."""
_MOST_CLOSE = 10_000
"""Different names that may be like one that is asked for."""
Condition = ColumnElement[bool]
_VALUE = attribute_values.c.value


def condition(
    engine: Engine,
    hospital: str,
    attribute: SearchableAttribute,
    criterion: Criterion,
    at: Level,
    *,
    with_unlooked: bool = False,
) -> tuple[Condition, bool]:
    """`criterion` for a search at level `at`, and whether it leads to few rows.

    `with_unlooked`: also rows whose values are not all kept yet, for who looks at what is found.

    Raises:
        TooBroad: too many names are like the one that is asked for.
    """
    if isinstance(criterion, Empty):
        return _without_values(attribute, at, hospital), False
    several: list[Condition] = []
    is_few = False
    for one in _each(criterion):
        matching = (
            attribute_values.c.hospital == hospital,
            attribute_values.c.attribute == attribute.id,
            _on_value(engine, hospital, attribute, one),
        )
        rows = select(attribute_values.c.row).where(*matching)
        are_few = _are_few(engine, rows)
        unlooked = unlooked_rows(attribute) if with_unlooked else []
        if are_few:
            several.append(_in_rows(attribute, at, hospital, union(rows, *unlooked) if unlooked else rows))
        else:
            asked = _in_turn(attribute, at, hospital, attribute_values.c.row, matching)
            several.append(or_(asked, _in_rows(attribute, at, hospital, union(*unlooked))) if unlooked else asked)
        is_few = is_few or are_few
    return and_(*several), is_few


def _each(criterion: Criterion) -> list[Criterion]:
    """Values of which all are wanted, each by itself: they are rows of their own."""
    if isinstance(criterion, Words) and criterion.needs_all:
        return [Words((pattern,)) for pattern in criterion.patterns]
    if isinstance(criterion, Names) and criterion.needs_all:
        return [Names((pattern,)) for pattern in criterion.patterns]
    return [criterion]


def _on_value(engine: Engine, hospital: str, attribute: SearchableAttribute, criterion: Criterion) -> Condition:
    dialect = engine.dialect.name
    match criterion:
        case Numbers(numbers):
            return _VALUE.in_([text for number in numbers if (text := number_text(number)) is not None])
        case Uids(uids):
            return _VALUE.in_(uids)
        case Words(patterns):
            return or_(*(on_text(_VALUE, as_kept(pattern), dialect) for pattern in patterns))
        case Names(patterns):
            return any_of([_on_name(groups, dialect) for groups in patterns])
        case FuzzyNames():
            return _VALUE.in_(_close(engine, hospital, attribute, criterion))
        case Ranges(_, ranges):
            return or_(*(in_range(_VALUE, first, last) for first, last in ranges))
    return false()


def _on_name(groups: tuple[tuple[str, ...], ...], dialect: str) -> Condition:
    """A pattern of one group covers any group, one of several theirs; see `pacs.index.searchable_values`."""
    if len(groups) == 1:
        return or_(*(_on_group(mark, part, dialect) for mark in GROUP_MARKS for part in groups[0]))
    asked = [(mark, parts) for mark, parts in zip(GROUP_MARKS, groups, strict=False) if parts]
    if len(asked) == 1:
        ((mark, parts),) = asked
        return or_(*(_on_group(mark, part, dialect) for part in parts))
    # Each group for itself, the others open: the marks between them are in no pattern.
    return and_(
        *(or_(*(_on_whole(place, part, dialect) for part in parts)) for place, parts in enumerate(groups) if parts)
    )


def _on_whole(place: int, pattern: str, dialect: str) -> Condition:
    groups = ["*"] * len(GROUP_MARKS)
    groups[place] = pattern
    return on_text(_VALUE, whole_name(groups), dialect)


def _on_group(mark: str, pattern: str, dialect: str) -> Condition:
    said = on_text(_VALUE, mark + pattern, dialect)
    return said if mark else and_(_VALUE >= AFTER_MARKS, said)


def _close(engine: Engine, hospital: str, attribute: SearchableAttribute, criterion: FuzzyNames) -> list[str]:
    """The kept names that are close, of those that the database thinks may be."""
    dialect = engine.dialect.name
    likely = [and_(*(is_likely([_VALUE], asked, dialect) for asked in choice)) for choice in criterion.choices]
    rows = select(_VALUE).where(
        attribute_values.c.hospital == hospital, attribute_values.c.attribute == attribute.id, any_of(likely)
    )
    with reading(engine, "search") as connection:
        values = connection.execute(rows.distinct().limit(_MOST_CLOSE)).scalars().all()
    if len(values) == _MOST_CLOSE:
        raise TooBroad(
            f"{attribute.name}: too many names are like that; give more of it, or search without fuzzymatching"
        )
    return [
        value
        for value in values
        if criterion.holds({f"{attribute.tag:08X}": {"Value": [name_in(value)]}}, attribute.tag)
    ]


def _are_few(engine: Engine, rows: Select[tuple[int]]) -> bool:
    with reading(engine, "search") as connection:
        return connection.execute(rows.limit(1).offset(_FEW)).first() is None


def _in_rows(attribute: SearchableAttribute, at: Level, hospital: str, found: SelectBase) -> Condition:
    """That a row of level `at` is, lies below, or has below it, one of these rows of the attribute's level."""
    table, place, wanted = TABLES[at], LEVELS.index(at), LEVELS.index(attribute.level)
    if wanted > place:
        rows = found.subquery()
        above, links = _below(at, attribute.level, hospital, rows.c[0])
        return table.c.id.in_(select(above).select_from(rows).where(*links))
    if wanted == place:
        return table.c.id.in_(found)
    # Up from the row: the number of the row above it, or of the one above that.
    for lower in LEVELS[wanted + 1 : place]:
        found = select(TABLES[lower].c.id).where(
            TABLES[lower].c.hospital == hospital, TABLES[lower].c[ROW_ABOVE[lower]].in_(found)
        )
    return table.c[ROW_ABOVE[at]].in_(found)


def _in_turn(
    attribute: SearchableAttribute, at: Level, hospital: str, row: ColumnElement[int], matching: tuple[Condition, ...]
) -> Condition:
    """As `_in_rows`, of the rows `row` with `matching`: each row of level `at` is asked in its turn."""
    table, place, wanted = TABLES[at], LEVELS.index(at), LEVELS.index(attribute.level)
    if wanted == place:
        return select(row).where(*matching, row == table.c.id).correlate(table).exists()
    if wanted < place:
        return _in_rows(attribute, at, hospital, select(row).where(*matching))
    above, links = _below(at, attribute.level, hospital, row)
    return select(above).where(*matching, *links, above == table.c.id).correlate(table).exists()


def _below(
    at: Level, level: Level, hospital: str, row: ColumnElement[int]
) -> tuple[ColumnElement[int], list[Condition]]:
    """The column that names the row of level `at` above the row `row` of `level`, and what joins them."""
    below = LEVELS[LEVELS.index(at) + 1 : LEVELS.index(level) + 1]
    links: list[Condition] = [
        TABLES[lower].c[ROW_ABOVE[lower]] == TABLES[upper].c.id for upper, lower in pairwise(below)
    ]
    links += [TABLES[one].c.hospital == hospital for one in below]
    return TABLES[below[0]].c[ROW_ABOVE[below[0]]], [TABLES[level].c.id == row, *links]


def _without_values(attribute: SearchableAttribute, at: Level, hospital: str) -> Condition:
    """That a row of level `at` is, lies below, or has below it, a row of the attribute's level without a value."""
    table, place, wanted = TABLES[at], LEVELS.index(at), LEVELS.index(attribute.level)

    def none_of(row: ColumnElement[int], *outer: FromClause) -> Condition:
        values = select(attribute_values.c.row).where(
            attribute_values.c.attribute == attribute.id, attribute_values.c.row == row
        )
        return ~values.correlate(*outer).exists()

    if wanted == place:
        return none_of(table.c.id, table)
    if wanted == place - 1:
        return none_of(table.c[ROW_ABOVE[at]], table)
    if wanted < place:  # of an instance, the study
        between = TABLES[LEVELS[place - 1]]
        own = none_of(between.c[ROW_ABOVE[LEVELS[place - 1]]], between)
        return select(between.c.id).where(between.c.id == table.c[ROW_ABOVE[at]], own).correlate(table).exists()
    bottom = TABLES[attribute.level]
    above, links = _below(at, attribute.level, hospital, bottom.c.id)
    return select(above).where(*links[1:], above == table.c.id, none_of(bottom.c.id, bottom)).correlate(table).exists()

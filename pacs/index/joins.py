"""Conditions on the rows above those that are looked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

from sqlalchemy import BindParameter, Select, select

from pacs.index.columns import LEVELS, ROW_ABOVE, TABLES, Condition
from pacs.model import Level


def with_levels_above(
    rows: Select[Any],
    hospital: str | BindParameter[str],
    level: Level,
    conditions: Mapping[Level, Sequence[Condition]],
    *,
    in_turn: bool,
) -> Select[Any]:
    """`rows` of `level` with conditions on it and on the levels above; `in_turn`: see `_asked_in_turn`."""
    higher: dict[Level, list[Condition]] = {}
    for one, some in conditions.items():
        # Below the patient, the patient's attributes are those that the study's row has.
        of_level = one if level is Level.PATIENT else max(one, Level.STUDY, key=LEVELS.index)
        if of_level is level:
            rows = rows.where(*some)
        else:
            higher.setdefault(of_level, []).extend(some)
    if not higher:
        return rows
    return (_asked_in_turn if in_turn else _joined)(rows, hospital, level, higher)


def _joined(
    rows: Select[Any], hospital: str | BindParameter[str], level: Level, conditions: Mapping[Level, Sequence[Condition]]
) -> Select[Any]:
    """`rows` with the tables above up to the one that a condition names; no more, for a join that chooses nothing
    costs SQLite a scan of what is joined."""
    for upper, lower in _links(level, conditions):
        above, below = TABLES[upper], TABLES[lower]
        rows = rows.join(above, above.c.id == below.c[ROW_ABOVE[lower]]).where(above.c.hospital == hospital)
    return rows.where(*chain.from_iterable(conditions.values()))


def _asked_in_turn(
    rows: Select[Any], hospital: str | BindParameter[str], level: Level, conditions: Mapping[Level, Sequence[Condition]]
) -> Select[Any]:
    """As `_joined`, the rows above each row in its turn: before a join SQLite reads all that could be joined, into a
    Bloom filter, however few rows are wanted."""
    links = _links(level, conditions)
    joined = [TABLES[upper].c.id == TABLES[lower].c[ROW_ABOVE[lower]] for upper, lower in links]
    same_hospital = [TABLES[upper].c.hospital == hospital for upper, _ in links]
    above = select(TABLES[links[0][0]].c.id).where(*joined, *same_hospital, *chain.from_iterable(conditions.values()))
    return rows.where(above.correlate(TABLES[level]).exists())


def _links(level: Level, named: Iterable[Level]) -> list[tuple[Level, Level]]:
    """Each level above with the one below it, from `level` up to the highest that is named."""
    highest = min(map(LEVELS.index, named))
    return [
        (upper, lower)
        for upper, lower in reversed(list(pairwise(LEVELS)))
        if highest <= LEVELS.index(upper) < LEVELS.index(level)
    ]

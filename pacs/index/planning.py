"""What a query asks, in SQL as far as columns hold it, and how its rows are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, false

from pacs.index import gram_tables, grams, results
from pacs.index.columns import LEVELS, ORDER, ROWS, TABLES, Condition, condition, condition_below, level_of
from pacs.index.criteria import Criterion, FuzzyNames, Ranges, Uids, Words, satisfies
from pacs.index.grams import of_modality
from pacs.index.joins import with_levels_above
from pacs.index.keyed import keyed
from pacs.index.keys import criteria
from pacs.index.normal_form import MAX_WORD
from pacs.index.pages import Days, Plan, SearchableKey
from pacs.index.searchable import SearchableAttribute
from pacs.index.wildcard import has_wildcard
from pacs.model import Level, Query

_STUDY_DATE = 0x00080020
_MODALITIES, _SOP_CLASSES = 0x00080061, 0x00080062
_LISTED_IN_STUDY = {0x00080060: _MODALITIES, 0x00080016: _SOP_CLASSES}
"""Modality, SOP Class UID -> the list of them in the study's row."""


def is_supported(tag: int, level: Level) -> bool:
    """Whether a search of this level looks at the attribute, in columns or in what is kept of it."""
    if tag in results.PATIENT_COUNTERS and level is not Level.PATIENT:
        return False  # at study level and below, they are not at hand
    if level_of(tag) is not None:
        return True
    upto = LEVELS[: LEVELS.index(level) + 1]
    return any(tag in results.ANSWERED[above] for above in upto)


def plan(
    hospital: str,
    query: Query,
    dialect: str,
    searchable_keys: Sequence[SearchableKey] = (),
    shown: Sequence[tuple[int, SearchableAttribute]] = (),
) -> Plan:
    """`query` in SQL. Raises: InvalidRequest, a key cannot be understood."""
    # Others are as if they had no value (PS3.4 C.4.1.2.2.1, PS3.18 §8.3.4.1); `unsupported_keys` tells.
    asked = [(tag, criterion) for tag, criterion in criteria(query) if is_supported(tag, query.level)]
    found = keyed(hospital, query.level, asked) if not searchable_keys else None
    if found is None or query.offset:
        made = _plan(hospital, query, asked, dialect, searchable_keys, shown)
        return replace(made, keyed=found) if found else made
    return Plan(
        hospital=hospital,
        level=query.level,
        rows=found.statement(),
        residual=(),
        tags=_tags(query),
        limit=query.limit,
        offset=0,
        shown=tuple(shown),
        keyed=found,
    )


def _plan(
    hospital: str,
    query: Query,
    asked: Sequence[tuple[int, Criterion]],
    dialect: str,
    searchable_keys: Sequence[SearchableKey] = (),
    shown: Sequence[tuple[int, SearchableAttribute]] = (),
) -> Plan:
    rows = _rows_of(hospital, query.level)
    residual: list[tuple[int, Criterion]] = []
    below: list[tuple[int, Criterion]] = []
    found_by: list[grams.Alternatives] = []
    days: Days = (None, None)
    is_keyed, is_list, lists_modalities = False, query.level is Level.STUDY, 0
    conditions: dict[Level, list[Condition]] = {}
    for tag, criterion in (*asked, *(_implied(asked) if query.level is Level.STUDY else ())):
        if tag == results.INSTANCE_AVAILABILITY:
            if not satisfies(results.whole_answer(), tag, criterion):
                rows = rows.where(false())  # what is answered at all is at hand
            continue
        level = level_of(tag)
        if level is not None and LEVELS.index(level) > LEVELS.index(query.level):
            below.append((tag, criterion))
            continue
        by_grams = grams.asked(hospital, tag, criterion) if query.level in gram_tables.TABLES else ()
        found_by += by_grams
        # Grams lead to names that are close more surely than all the patterns that one may have.
        is_found = bool(by_grams) and isinstance(criterion, FuzzyNames)
        said = None if is_found else condition(tag, criterion, query.level, dialect)
        if said is not None:
            conditions.setdefault(level or query.level, []).append(said.condition)
        if said is None or not said.is_whole:
            residual.append((tag, criterion))
        is_keyed = is_keyed or (said is not None and said.is_key)
        if days == (None, None) and tag == _STUDY_DATE and isinstance(criterion, Ranges) and len(criterion.ranges) == 1:
            days = criterion.ranges[0]
        elif tag == _MODALITIES and isinstance(criterion, Words) and len(set(criterion.patterns)) == 1:
            lists_modalities += 1
        else:
            is_list = False
    for key in searchable_keys:
        rows = rows.where(key.condition)
        is_keyed, is_list = is_keyed or key.is_few, False
    if below:
        said = condition_below(hospital, below, query.level, dialect)
        rows = rows.where(said.condition)
        is_keyed = is_keyed or said.is_key
        is_list = False
    rows = with_levels_above(rows, hospital, query.level, conditions, in_turn=dialect == "sqlite" and not is_keyed)
    columns, is_descending = ORDER[query.level]
    by_modality = () if is_keyed or query.level is not Level.STUDY else _modalities(hospital, asked)
    return Plan(
        hospital=hospital,
        level=query.level,
        rows=rows.order_by(*(column.desc() if is_descending else column for column in columns)),
        residual=tuple(residual),
        tags=_tags(query),
        limit=query.limit,
        offset=query.offset,
        grams=() if is_keyed else tuple(found_by),
        modalities=by_modality,
        days=days if query.level is Level.STUDY else None,
        is_list=is_list and not lists_modalities,
        is_list_of_modality=is_list and lists_modalities == len(by_modality) == 1,
        shown=tuple(shown),
        above=None if is_keyed else _plan_above(hospital, query.level, asked, dialect),
        # A study's row has what it says of its patient.
        asks_itself=query.level is Level.STUDY or any(_level_that_keeps(tag) is query.level for tag, _ in asked),
    )


def _tags(query: Query) -> frozenset[str] | None:
    return results.chosen_tags(query.include, frozenset(match.path[0] for match in query.matches))


def _modalities(hospital: str, asked: Sequence[tuple[int, Criterion]]) -> tuple[int, ...]:
    """Numbers of modalities of which every study that matches has one; none when that cannot be said."""
    for tag, criterion in (*asked, *_implied(asked)):
        if tag == _MODALITIES and isinstance(criterion, Words) and not any(map(_is_open, criterion.patterns)):
            wanted = criterion.patterns[:1] if criterion.needs_all else criterion.patterns
            return tuple(sorted({of_modality(hospital, modality) for modality in wanted}))
    return ()


def _is_open(pattern: str) -> bool:
    """Whether it is more, or other, than one word of a list, which has the beginning of a longer one."""
    return has_wildcard(pattern) or "\\" in pattern or len(pattern) > MAX_WORD


def _plan_above(hospital: str, level: Level, asked: Sequence[tuple[int, Criterion]], dialect: str) -> Plan | None:
    """What is asked of the levels above, as a search there; None when nothing is."""
    if level not in (Level.SERIES, Level.IMAGE):
        return None
    upper = LEVELS[LEVELS.index(level) - 1]
    in_study = [one for one in _implied(asked) if one[0] == (_SOP_CLASSES if level is Level.IMAGE else _MODALITIES)]
    keys = [
        (tag, criterion)
        for tag, criterion in asked
        if tag != results.INSTANCE_AVAILABILITY and LEVELS.index(_level_that_keeps(tag)) <= LEVELS.index(upper)
    ]
    if not keys and not in_study:
        return None
    return replace(_plan(hospital, Query(upper), [*keys, *in_study], dialect), is_implied=not keys)


def _implied(asked: Sequence[tuple[int, Criterion]]) -> list[tuple[int, Criterion]]:
    """What a study has in which a series or instance meets a key: its lists say so, and are sooner read."""
    return [
        (_LISTED_IN_STUDY[tag], criterion)
        for tag, criterion in asked
        if tag in _LISTED_IN_STUDY
        and (
            isinstance(criterion, Uids) or (isinstance(criterion, Words) and not any(map(_is_open, criterion.patterns)))
        )
    ]


def _level_that_keeps(tag: int) -> Level:
    """The level of which an attribute that can be asked for is."""
    return level_of(tag) or next(level for level in LEVELS if tag in results.ANSWERED[level])


def _rows_of(hospital: str, level: Level) -> Select[Any]:
    return ROWS[level].where(TABLES[level].c.hospital == hospital)

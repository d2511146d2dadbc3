"""A query as SQL, and its answers.

Keys with a column are matched by the database; the others on each row's kept attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Engine, Select, bindparam, false, select

from pacs.index import gram_tables, grams, results, searchable_conditions
from pacs.index.allowance import Allowance
from pacs.index.columns import LEVELS, ROW_ABOVE, TABLES, condition, condition_below, level_of
from pacs.index.criteria import Criterion, FuzzyNames, Ranges, satisfies
from pacs.index.keys import criteria
from pacs.index.page_marks import Mark, PageMarks, question_of
from pacs.index.pages import ORDER, Days, Key, Pages, Plan, SearchableKey
from pacs.index.searchable import Searchable, SearchableAttribute
from pacs.index.searchable_conditions import is_understood
from pacs.index.tables import series, studies
from pacs.model import DicomJson, Level, Query

_STUDY_DATE = 0x00080020
_FIRST_PAGE = 100
_NEXT_PAGE = 500

_STUDIES_BY_ROW = select(studies).where(studies.c.id.in_(bindparam("rows", expanding=True)))
_SERIES_BY_ROW = select(series).where(series.c.id.in_(bindparam("rows", expanding=True)))


def search(
    engine: Engine,
    hospital: str,
    query: Query,
    *,
    marks: PageMarks,
    searchable: Searchable,
    reader: str,
    allowance: Allowance,
) -> Iterator[DicomJson]:
    """See `pacs.index.Index.search`."""
    planned = plan(hospital, query, engine.dialect.name, _searchable_keys(engine, hospital, query, searchable))
    question = question_of(hospital, reader, query) if query.limit is not None else None
    return _answers(engine, planned, marks, question, allowance, searchable)


def unsupported_keys(query: Query, searchable: Searchable) -> frozenset[int]:
    """See `pacs.index.Index.unsupported_keys`."""
    return frozenset(
        tag
        for tag, criterion in criteria(query)
        if not _is_supported(tag, query.level) and not _is_creator(tag, searchable)
        if not (asked_of(query, tag, searchable) and is_understood(criterion))
    )


def searchable_keys(query: Query, searchable: Searchable) -> frozenset[int]:
    """See `pacs.index.Index.searchable_keys`."""
    if not searchable.known():
        return frozenset()
    tags = {match.path[0] for match in query.matches}
    return frozenset(tag for tag in tags if asked_of(query, tag, searchable) or _is_creator(tag, searchable))


def incomplete_keys(query: Query, searchable: Searchable) -> frozenset[int]:
    """See `pacs.index.Index.incomplete_keys`."""
    if not searchable.known():
        return frozenset()
    asked = {tag: asked_of(query, tag, searchable) for tag, _ in criteria(query)}
    incomplete = {one.id for one in searchable.incomplete(one for several in asked.values() for one in several)}
    return frozenset(tag for tag, several in asked.items() if any(one.id in incomplete for one in several))


def asked_of(query: Query, tag: int, searchable: Searchable) -> list[SearchableAttribute]:
    """The searchable attributes that a key means: of a private one, of the creator that the query names, or of any."""
    found = [one for one in searchable.known() if one.is_asked_by(tag)]
    creator_tag = tag & 0xFFFF0000 | tag >> 8 & 0xFF
    creators = {value for match in query.matches if match.path == (creator_tag,) for value in match.values}
    return [one for one in found if not one.private_creator or not creators or one.private_creator in creators]


def _is_creator(tag: int, searchable: Searchable) -> bool:
    """Whether it says whose a private attribute is that can be searched for."""
    is_one = bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF
    return is_one and any(one.private_creator and one.tag >> 16 == tag >> 16 for one in searchable.known())


def _searchable_keys(engine: Engine, hospital: str, query: Query, searchable: Searchable) -> list[SearchableKey]:
    """Keys on attributes that are not kept but were made searchable."""
    keys = []
    for tag, criterion in criteria(query) if searchable.known() else ():
        attributes = [] if _is_supported(tag, query.level) else asked_of(query, tag, searchable)
        if attributes and is_understood(criterion):
            said, is_few = searchable_conditions.condition(engine, hospital, attributes, criterion, query.level)
            keys.append(SearchableKey(tag, tuple(attributes), said, is_few))
    return keys


def _is_supported(tag: int, level: Level) -> bool:
    if tag in results.PATIENT_COUNTERS and level is not Level.PATIENT:
        return False  # at study level and below, they are not at hand
    if level_of(tag) is not None:
        return True
    upto = LEVELS[: LEVELS.index(level) + 1]
    return any(tag in results.ANSWERED[above] for above in upto)


def plan(hospital: str, query: Query, dialect: str, searchable_keys: Sequence[SearchableKey] = ()) -> Plan:
    """`query` in SQL. Raises: InvalidRequest, a key cannot be understood."""
    rows = _rows_of(hospital, query.level)
    residual: list[tuple[int, Criterion]] = []
    below: list[tuple[int, Criterion]] = []
    found_by: list[grams.Alternatives] = []
    days: Days = (None, None)
    is_keyed, is_list = False, query.level is Level.STUDY
    highest = query.level
    for tag, criterion in criteria(query):
        if not _is_supported(tag, query.level):
            continue  # as if it had no value (PS3.4 C.4.1.2.2.1, PS3.18 §8.3.4.1); `unsupported_keys` tells
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
            rows = rows.where(said.condition)
            highest = min(highest, level or highest, key=LEVELS.index)
        if said is None or not said.is_whole:
            residual.append((tag, criterion))
        is_keyed = is_keyed or (said is not None and said.is_key)
        if tag == _STUDY_DATE and isinstance(criterion, Ranges) and len(criterion.ranges) == 1:
            days = criterion.ranges[0]
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
    rows = _joined(rows, hospital, query.level, highest)
    columns, is_descending = ORDER[query.level]
    return Plan(
        hospital=hospital,
        level=query.level,
        rows=rows.order_by(*(column.desc() if is_descending else column for column in columns)),
        residual=tuple(residual),
        tags=results.chosen_tags(query.include, frozenset(match.path[0] for match in query.matches)),
        limit=query.limit,
        offset=query.offset,
        grams=() if is_keyed else tuple(found_by),
        days=days if query.level is Level.STUDY else None,
        is_list=is_list,
        searchable=tuple(searchable_keys),
    )


_UNREAD = {"frame_table", "digest"}
"""The look-up columns of an instance are not read for a search."""
_ROWS = {
    level: select(*(column for column in table.c if column.name not in _UNREAD)) for level, table in TABLES.items()
}


def _rows_of(hospital: str, level: Level) -> Select[Any]:
    return _ROWS[level].where(TABLES[level].c.hospital == hospital)


def _joined(rows: Select[Any], hospital: str, level: Level, highest: Level) -> Select[Any]:
    """`rows` with the tables above up to the one that a condition names; no more, for a join that chooses nothing
    costs SQLite a scan of what is joined."""
    for upper, lower in reversed(list(pairwise(LEVELS[1:]))):
        if max(LEVELS.index(highest), 1) <= LEVELS.index(upper) < LEVELS.index(level):
            above, below = TABLES[upper], TABLES[lower]
            rows = rows.join(above, above.c.id == below.c[ROW_ABOVE[lower]]).where(above.c.hospital == hospital)
    return rows


def _answers(
    engine: Engine,
    plan: Plan,
    marks: PageMarks,
    question: bytes | None,
    allowance: Allowance,
    searchable: Searchable,
) -> Iterator[DicomJson]:
    pages = Pages(engine, plan, allowance)
    begin = None if plan.limit == 0 else _begin(pages, plan, marks, question)
    if begin is None:
        return
    above = _Above(engine, allowance)
    position, key = begin
    stop = None if plan.limit is None else plan.offset + plan.limit
    size = _FIRST_PAGE if plan.limit is None or plan.limit > _NEXT_PAGE else plan.limit
    while stop is None or position < stop:
        page = pages.read(key or None, size)
        answers: list[DicomJson] = []
        ends: dict[int, Key] = {}
        with allowance.spending():
            shown = _shown(plan, page, searchable)
            for row, answer in _matching(plan, above, page):
                answer.update((tag, values[row.id]) for tag, values in shown.items() if row.id in values)
                position += 1
                if position > plan.offset:
                    answers.append(results.chosen(answer, plan.tags))
                if stop is not None and position >= stop - 1:
                    ends[position] = pages.key_of(row)
                if position == stop:
                    break
        if question and position == stop:
            # A door asks for one answer more than it gives, so the page may end before the last.
            marks.note(question, ends)
        yield from answers
        if len(page) < size:
            return
        allowance.check()
        key, size = pages.key_of(page[-1]), _NEXT_PAGE


def _begin(pages: Pages, plan: Plan, marks: PageMarks, question: bytes | None) -> Mark | None:
    """After which row to begin, and how many answers lie before; None when there are fewer than the offset."""
    if not plan.offset:
        return Mark(0, ())
    is_descending = ORDER[plan.level][1]
    mark = (marks.nearest(question, plan.offset, is_descending=is_descending) if question else None) or Mark(0, ())
    if plan.residual:  # rows that do not match are no part of the offset
        return mark
    key = pages.key_at(plan.offset, mark)
    return Mark(plan.offset, key) if key else None


def _shown(plan: Plan, page: list[Any], searchable: Searchable) -> dict[str, dict[int, Any]]:
    """By tag, what answers show of searchable attributes that were asked for, of the level or the one above, by row."""
    shown: dict[str, dict[int, Any]] = {}
    for key in plan.searchable if page else ():
        for attribute in key.attributes:
            if attribute.level is plan.level:
                rows = {row.id: row.id for row in page}
            elif LEVELS.index(attribute.level) == LEVELS.index(plan.level) - 1:
                rows = {row.id: getattr(row, ROW_ABOVE[plan.level]) for row in page}
            else:
                continue
            values = searchable.shown(attribute, list(set(rows.values())))
            shown.setdefault(f"{key.tag:08X}", {}).update((row, values[of]) for row, of in rows.items() if of in values)
    return shown


def _matching(plan: Plan, above: _Above, page: list[Any]) -> Iterator[tuple[Any, DicomJson]]:
    for row, levels in above.of(plan.level, page):
        answer = results.whole_answer(*levels, results.ROWS[plan.level](row))
        if all(satisfies(answer, tag, criterion) for tag, criterion in plan.residual):
            yield row, answer


class _Above:
    """The rows above a page's rows; read once each for neighbours, forgotten page by page."""

    def __init__(self, engine: Engine, allowance: Allowance) -> None:
        self._engine = engine
        self._allowance = allowance
        self._studies: dict[int, DicomJson] = {}
        self._series: dict[int, tuple[int, DicomJson]] = {}

    def of(self, level: Level, page: list[Any]) -> Iterator[tuple[Any, tuple[DicomJson, ...]]]:
        """Each row with the attributes of the levels above it, from the top down."""
        if level is Level.IMAGE:
            self._read_series({row.series_row for row in page})
            self._read_studies({study_row for study_row, _ in self._series.values()})
        elif level is Level.SERIES:
            self._read_studies({row.study_row for row in page})
        for row in page:
            if level is Level.IMAGE:
                study_row, in_series = self._series[row.series_row]
                yield row, (self._studies[study_row], in_series)
            elif level is Level.SERIES:
                yield row, (self._studies[row.study_row],)
            else:
                yield row, ()

    def _read_series(self, rows: set[int]) -> None:
        self._series = {row: known for row, known in self._series.items() if row in rows}
        missing = sorted(rows - self._series.keys())
        if missing:
            with self._allowance.reading(self._engine) as connection:
                for row in connection.execute(_SERIES_BY_ROW, {"rows": missing}).all():
                    self._series[row.id] = (row.study_row, results.series_result(row))

    def _read_studies(self, rows: set[int]) -> None:
        self._studies = {row: known for row, known in self._studies.items() if row in rows}
        missing = sorted(rows - self._studies.keys())
        if missing:
            with self._allowance.reading(self._engine) as connection:
                for row in connection.execute(_STUDIES_BY_ROW, {"rows": missing}).all():
                    self._studies[row.id] = results.study_result(row)

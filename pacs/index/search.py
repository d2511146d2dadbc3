"""A query as SQL, its answers page by page.

Pages go on after the last row of the one before (keyset), never by OFFSET beyond the first, and nothing is counted.
Keys with a column are matched by the database; the others on each row's kept attributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, bindparam, select, tuple_

from pacs.index import results
from pacs.index.columns import LEVELS, ROW_ABOVE, TABLES, condition, condition_below, level_of
from pacs.index.criteria import Criterion, satisfies
from pacs.index.engine import reading
from pacs.index.keys import criteria
from pacs.index.tables import instances, patients, series, studies
from pacs.model import DicomJson, Level, Query

_FIRST_PAGE = 100
_NEXT_PAGE = 500

# Newest study first, for a list without end; below, by number. Each order is an index from its hospital on.
_ORDER: dict[Level, tuple[tuple[ColumnElement[Any], ...], bool]] = {
    Level.PATIENT: ((patients.c.id,), True),
    Level.STUDY: ((studies.c.study_date, studies.c.study_time, studies.c.id), True),
    Level.SERIES: ((series.c.study_row, series.c.series_number, series.c.id), False),
    Level.IMAGE: ((instances.c.series_row, instances.c.instance_number, instances.c.id), False),
}
_STUDIES_BY_ROW = select(studies).where(studies.c.id.in_(bindparam("rows", expanding=True)))
_SERIES_BY_ROW = select(series).where(series.c.id.in_(bindparam("rows", expanding=True)))


@dataclass(frozen=True, slots=True)
class Plan:
    """A query, understood."""

    level: Level
    rows: Select[Any]
    residual: tuple[tuple[int, Criterion], ...]
    """Keys to be matched on the answer's attributes, because SQL does not say all of them."""
    tags: frozenset[str] | None
    limit: int | None
    offset: int


def search(engine: Engine, hospital: str, query: Query) -> Iterator[DicomJson]:
    """See `pacs.index.Index.search`."""
    planned = plan(hospital, query, engine.dialect.name)
    stop = None if planned.limit is None else planned.offset + planned.limit
    return islice(_answers(engine, planned), planned.offset, stop) if planned.residual else _answers(engine, planned)


def unsupported_keys(query: Query) -> frozenset[int]:
    """See `pacs.index.Index.unsupported_keys`."""
    return frozenset(tag for tag, _ in criteria(query) if not _is_supported(tag, query.level))


def _is_supported(tag: int, level: Level) -> bool:
    if level_of(tag) is not None:
        return True
    upto = LEVELS[: LEVELS.index(level) + 1]
    # At study level and below, the patient's counters are not at hand.
    return any(tag in results.ANSWERED[above] for above in upto) and not (
        tag in results.PATIENT_COUNTERS and level is not Level.PATIENT
    )


def plan(hospital: str, query: Query, dialect: str) -> Plan:
    """`query` in SQL. Raises: InvalidRequest, a key cannot be understood."""
    rows = _rows_of(hospital, query.level)
    residual = []
    below = []
    highest = query.level
    for tag, criterion in criteria(query):
        if not _is_supported(tag, query.level):
            continue  # as if it had no value (PS3.4 C.4.1.2.2.1, PS3.18 §8.3.4.1); `unsupported_keys` tells
        level = level_of(tag)
        if level is not None and LEVELS.index(level) > LEVELS.index(query.level):
            below.append((tag, criterion))
            continue
        said = condition(tag, criterion, query.level, dialect)
        if said is not None:
            rows = rows.where(said.condition)
            highest = min(highest, level or highest, key=LEVELS.index)
        if said is None or not said.is_whole:
            residual.append((tag, criterion))
    if below:
        said = condition_below(hospital, below, query.level, dialect)
        rows = rows.where(said.condition)
    rows = _joined(rows, hospital, query.level, highest)
    columns, is_descending = _ORDER[query.level]
    rows = rows.order_by(*(column.desc() if is_descending else column for column in columns))
    tags = results.chosen_tags(query.include, frozenset(match.path[0] for match in query.matches))
    return Plan(query.level, rows, tuple(residual), tags, query.limit, query.offset)


def _rows_of(hospital: str, level: Level) -> Select[Any]:
    table = TABLES[level]
    # The look-up columns of an instance are not read for a search.
    unread = {"frame_table", "digest"}
    return select(*(column for column in table.c if column.name not in unread)).where(table.c.hospital == hospital)


def _joined(rows: Select[Any], hospital: str, level: Level, highest: Level) -> Select[Any]:
    """`rows` with the tables above up to the one that a condition names; no more, for a join that chooses nothing
    costs SQLite a scan of what is joined."""
    for upper, lower in reversed(list(pairwise(LEVELS[1:]))):
        if max(LEVELS.index(highest), 1) <= LEVELS.index(upper) < LEVELS.index(level):
            above, below = TABLES[upper], TABLES[lower]
            rows = rows.join(above, above.c.id == below.c[ROW_ABOVE[lower]]).where(above.c.hospital == hospital)
    return rows


def _answers(engine: Engine, plan: Plan) -> Iterator[DicomJson]:
    above = _Above(engine)
    wanted = None if plan.residual else plan.limit
    for page in _pages(engine, plan, wanted):
        for row, levels in above.of(plan.level, page):
            answer = results.whole_answer(*levels, results.ROWS[plan.level](row))
            if all(satisfies(answer, tag, criterion) for tag, criterion in plan.residual):
                yield results.chosen(answer, plan.tags)


def _pages(engine: Engine, plan: Plan, wanted: int | None) -> Iterator[list[Any]]:
    """Rows in order, until `wanted` of them or all are given."""
    columns, is_descending = _ORDER[plan.level]
    rows = plan.rows if plan.residual or not plan.offset else plan.rows.offset(plan.offset)
    size = _FIRST_PAGE
    while wanted is None or wanted > 0:
        size = size if wanted is None else min(size, wanted)
        with reading(engine, "search") as connection:
            page = list(connection.execute(rows.limit(size)))
        if page:
            yield page
        if len(page) < size:
            return
        wanted = None if wanted is None else wanted - len(page)
        last = tuple_(*(getattr(page[-1], column.key or "") for column in columns))
        here = tuple_(*columns)
        rows = plan.rows.where(here < last if is_descending else here > last)
        size = _NEXT_PAGE


class _Above:
    """The rows above a page's rows; read once each for neighbours, forgotten page by page."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
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
            with reading(self._engine, "search") as connection:
                for row in connection.execute(_SERIES_BY_ROW, {"rows": missing}):
                    self._series[row.id] = (row.study_row, results.series_result(row))

    def _read_studies(self, rows: set[int]) -> None:
        self._studies = {row: known for row, known in self._studies.items() if row in rows}
        missing = sorted(rows - self._studies.keys())
        if missing:
            with reading(self._engine, "search") as connection:
                for row in connection.execute(_STUDIES_BY_ROW, {"rows": missing}):
                    self._studies[row.id] = results.study_result(row)

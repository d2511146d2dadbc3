"""The rows of a plan that match in all, with the attributes of the rows above them; and, below the study, which rows
above can have any, so that a search for series by their patient's name does not read all series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine

from pacs.index import results
from pacs.index.allowance import Allowance
from pacs.index.criteria import satisfies
from pacs.index.driver import driver_of
from pacs.index.keyed import rows_by_number
from pacs.index.pages import Key, Pages, Plan
from pacs.model import DicomJson, Level

_FEW = 1_000
"""Rows above that are looked up first; of what more have, the next answer is never far in the order of the list."""
_FEW_LOOKED_AT = 200
"""As many, where each has to be looked at: 0.1 ms."""
_FEW_OF_DAYS = 100_000
"""As many, where an index has them side by side: a year's studies of a large hospital."""


def rows_above(engine: Engine, plan: Plan, allowance: Allowance) -> list[int] | None:
    """Rows of the level above under which all that matches lies, in their order; None when they may be many."""
    above = plan.above
    if above is None:
        return None
    higher = rows_above(engine, above, allowance)
    if higher is None and not above.asks_itself:
        return None
    pages = Pages(engine, above, allowance, higher)
    if above.is_implied and above.modalities and not pages.have_rare_modality():
        return None
    if above.residual:
        found = _looked_at(engine, above, pages, allowance)
    else:
        is_in_order = above.days not in (None, (None, None)) and not above.grams
        is_narrow = higher is not None or (is_in_order and pages.studies_of_days() < _FEW_OF_DAYS)
        most = _FEW_OF_DAYS if is_narrow else _FEW
        found = pages.read_numbers(most)
        if len(found) == most:
            return None
    return sorted(found) if found is not None else None


def _looked_at(engine: Engine, plan: Plan, pages: Pages, allowance: Allowance) -> list[int] | None:
    above = Above(engine, allowance)
    found: list[int] = []
    after: Key | None = None
    while True:
        page = pages.read(after, _FEW_LOOKED_AT)
        with allowance.spending():
            found += [row.id for row, _ in matching(plan, above, page)]
        if len(found) >= _FEW_LOOKED_AT:
            return None
        if len(page) < _FEW_LOOKED_AT:
            return found
        allowance.check()
        after = pages.key_of(page[-1])


def matching(plan: Plan, above: Above, page: list[Any]) -> Iterator[tuple[Any, DicomJson]]:
    """Those of the page's rows that SQL chose which meet the plan's other keys, each with its whole answer."""
    for row, levels in above.of(plan.level, page):
        answer = results.whole_answer(*levels, results.ROWS[plan.level](row))
        if all(satisfies(answer, tag, criterion) for tag, criterion in plan.residual):
            yield row, answer


class Above:
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
        for row in self._read(Level.SERIES, sorted(rows - self._series.keys())):
            self._series[row.id] = (row.study_row, results.series_result(row))

    def _read_studies(self, rows: set[int]) -> None:
        self._studies = {row: known for row, known in self._studies.items() if row in rows}
        for row in self._read(Level.STUDY, sorted(rows - self._studies.keys())):
            self._studies[row.id] = results.study_result(row)

    def _read(self, level: Level, missing: list[int]) -> list[Any]:
        if not missing:
            return []
        with self._allowance.reading(self._engine) as connection, driver_of(connection) as driver:
            return rows_by_number(driver, level, missing)

"""The board as text for Prometheus (exposition format 0.0.4). Only names of hospitals come from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from pacs.budget_settings import BudgetSettings
from pacs.measured.board import BOUNDS_MS, GAUGES, OUTCOMES, Board, Layout
from pacs.measured.counts import budget_s
from pacs.measured.kinds import KINDS, Kind

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS: Final = (*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf")


def as_text(board: Board, budgets: BudgetSettings) -> str:
    """All figures of all processes, added up where they are counts."""
    return "\n".join(_lines(board, budgets)) + "\n"


def _lines(board: Board, budgets: BudgetSettings) -> Iterator[str]:
    layout = board.layout
    cells = board.totals(0, layout.size)
    yield from _head("pacs_request_seconds", "histogram", "Last byte of a request to first byte of its answer.")
    for number, hospital in enumerate(layout.hospitals):
        for kind in KINDS:
            yield from _histogram(cells, layout, kind, number, hospital)
    yield from _head("pacs_requests_total", "counter", "Answers, by what became of them.")
    for kind in KINDS:
        for place, outcome in enumerate(OUTCOMES):
            count = cells[layout.outcomes + kind.number * len(OUTCOMES) + place]
            if count:
                yield f'pacs_requests_total{{{_of(kind)},outcome="{outcome}"}} {count}'
    yield from _per_kind(
        "pacs_over_budget_total", "Answers that took longer than their budget.", cells, layout.over, KINDS
    )
    yield from _per_kind(
        "pacs_gave_way_total", "Requests refused so that others keep their budgets.", cells, layout.refused, KINDS
    )
    yield from _head("pacs_budget_seconds", "gauge", "The budgets of the settings.")
    for kind in KINDS:
        if (budget := budget_s(budgets, kind)) != float("inf"):
            yield f"pacs_budget_seconds{{{_of(kind)}}} {budget:g}"
    for place, (name, what) in enumerate(GAUGES):
        yield from _head(f"pacs_{name}", "gauge", f"{what[0].upper()}{what[1:]}.")
        for role in layout.roles:
            yield f'pacs_{name}{{process="{role}"}} {board.part(role)[layout.gauges + place]}'


def _histogram(cells: list[int], layout: Layout, kind: Kind, number: int, hospital: str) -> Iterator[str]:
    start = layout.histogram(kind.number, number)
    counts = list(accumulate(cells[start : start + len(_BOUNDS)]))
    if not counts[-1]:
        return
    labels = _of(kind) + (f',hospital="{escaped(hospital)}"' if hospital else "")
    for bound, count in zip(_BOUNDS, counts, strict=True):
        yield f'pacs_request_seconds_bucket{{{labels},le="{bound}"}} {count}'
    yield f"pacs_request_seconds_sum{{{labels}}} {cells[start + len(_BOUNDS)] / 1e9:.6f}"
    yield f"pacs_request_seconds_count{{{labels}}} {counts[-1]}"


def _per_kind(name: str, what: str, cells: list[int], start: int, kinds: Iterable[Kind]) -> Iterator[str]:
    yield from _head(name, "counter", what)
    for kind in kinds:
        yield f"{name}{{{_of(kind)}}} {cells[start + kind.number]}"


def _head(name: str, type_: str, what: str) -> tuple[str, str]:
    return f"# HELP {name} {what}", f"# TYPE {name} {type_}"


def _of(kind: Kind) -> str:
    return f'door="{kind.door}",kind="{kind.name}"'


def escaped(label: str) -> str:
    """A label's value as the format has it."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""Counting: one process's part of the board. What is counted for each answer costs a few table look-ups."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from typing import Final

from pacs.budget_settings import BudgetSettings
from pacs.measured.board import BOUNDS_MS, GAUGES, OUTCOMES, Board
from pacs.measured.kinds import KINDS, Kind
from pacs.measured.stages import Stages

_BOUNDS_S: Final = tuple(bound / 1000 for bound in BOUNDS_MS)
_SUM: Final = len(BOUNDS_MS) + 1
_GAUGE_NUMBERS: Final = {name: number for number, (name, _) in enumerate(GAUGES)}
_STEPS_PER_S: Final = 100_000
_SHORT: Final = 2_000
"""Times below 20 ms have their text and bucket ready, in steps of 10 µs: nearly every answer."""
_TEXTS: Final = tuple(b"total;dur=%.2f" % (step / 100) for step in range(_SHORT))
_OUTCOMES: Final = len(OUTCOMES)
_OUTCOME_OF: Final = bytes(min(max(status // 100 - 2, 0), _OUTCOMES - 1) for status in range(1000))
_BUCKET_OF: Final = bytes(bisect_left(_BOUNDS_S, (step + 0.5) / _STEPS_PER_S) for step in range(_SHORT))


class Counts:
    """One role's part of `board`, written by its process alone.

    `finished` and `add` are for one thread, such as an event loop; `count` is for any.
    """

    def __init__(self, board: Board, role: str, budgets: BudgetSettings | None = None) -> None:
        self.board = board
        layout = board.layout
        self._cells = board.part(role)
        self._lock = threading.Lock()
        self._histograms = tuple(
            tuple(layout.histogram(kind.number, hospital) for kind in KINDS)
            for hospital in range(len(layout.hospitals))
        )
        self._hospitals = {name: number for number, name in enumerate(layout.hospitals)}
        self._elsewhere = len(layout.hospitals) - 1
        self._budgets_s = tuple(budget_s(budgets or BudgetSettings(), kind) for kind in KINDS)
        self._outcomes, self._over, self._refused = layout.outcomes, layout.over, layout.refused
        self._gauges = layout.gauges
        self._begin()

    def _begin(self) -> None:
        """What is as it is now was so of the process before this one."""
        starts = self._cells[self._gauge("starts")]
        for name, _ in GAUGES:
            self.set(name, 0)
        self.set("starts", starts + 1)
        self.set("started_at_s", int(time.time()))

    @staticmethod
    def alone() -> Counts:
        """For a process that nobody reads."""
        return Counts(Board.private(), "alone")

    def finished(
        self, kind: Kind, seconds: float, status: int = 200, hospital: str = "", stages: Stages | None = None
    ) -> bytes:
        """Count one answer; returns the value of its Server-Timing field (W3C Server Timing §2), in milliseconds."""
        number = kind.number
        step = int(seconds * _STEPS_PER_S)
        is_short = 0 <= step < _SHORT
        cells = self._cells
        start = self._histograms[self._hospitals.get(hospital, self._elsewhere)][number]
        cells[start + (_BUCKET_OF[step] if is_short else bisect_left(_BOUNDS_S, seconds))] += 1
        cells[start + _SUM] += int(seconds * 1_000_000_000)
        cells[self._outcomes + number * _OUTCOMES + _OUTCOME_OF[status]] += 1
        if seconds > self._budgets_s[number]:
            cells[self._over + number] += 1
        text = _TEXTS[step] if is_short else b"total;dur=%.2f" % (seconds * 1000)
        return text if stages is None or not stages.spent_s else text + stages.as_server_timing()

    def count(self, kind: Kind, seconds: float, status: int = 200, hospital: str = "") -> None:
        """As `finished`, from any thread of a process whose other threads use this, too."""
        with self._lock:
            self.finished(kind, seconds, status, hospital)

    def gave_way(self, kind: Kind) -> None:
        """Count one request that was refused so that others keep their budgets."""
        self._cells[self._refused + kind.number] += 1

    def add(self, gauge: str, change: int) -> None:
        self._cells[self._gauge(gauge)] += change

    def set(self, gauge: str, value: int) -> None:
        self._cells[self._gauge(gauge)] = value

    def _gauge(self, name: str) -> int:
        return self._gauges + _GAUGE_NUMBERS[name]


def budget_s(budgets: BudgetSettings, kind: Kind) -> float:
    """Infinite for a kind without budget."""
    return getattr(budgets, kind.name, 0.0) / 1000 or float("inf")

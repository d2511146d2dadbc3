"""The memory that all processes of one archive count in: a part for each role, cells of 64 bits.

It lives as long as a process holds it, in no file: no disk can be too full for it, nobody can cut it short (which
would kill who writes to it), and nothing of it is left over. A process that is started again goes on counting where
the one before it ended, so that counters only grow while the archive runs.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pacs.measured.kinds import KINDS

BOUNDS_MS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 60_000)
"""Upper bounds of the histograms; one more bucket has no bound."""
OUTCOMES: Final = ("2xx", "3xx", "4xx", "5xx")
"""Of HTTP by the first digit; DIMSE and background work count as the HTTP status that means the same."""
GAUGES: Final = (
    ("associations", "open associations"),
    ("connections_without_association", "DIMSE connections that have no association yet, or no more"),
    ("http_connections", "open HTTP connections"),
    ("requests_in_progress", "HTTP requests being answered"),
    ("requests_waiting", "HTTP requests that wait for their turn"),
    ("storing_in_progress", "instances being received over DIMSE"),
    ("give_way_level", "how many kinds of budgets.give_way give way now"),
    ("disk_free_bytes", "room left where the archive is kept"),
    ("disk_total_bytes", "size of that file system"),
    ("series_unsettled", "series that wait for their thumbnails and metadata"),
    ("commitments_requested", "storage commitments whose instances are still to be read"),
    ("commitments_verified", "storage commitments whose result is still to be told"),
    ("resident_bytes", "memory of the process"),
    ("started_at_s", "when the process was started, seconds since 1970"),
    ("starts", "how often the process was started"),
)
"""What is as it is now; 0 from processes it does not concern."""
MAX_HOSPITALS: Final = 64
OTHER_HOSPITALS: Final = "other"
_CELL: Final = 8
_BUCKETS: Final = len(BOUNDS_MS) + 1
_SERIES: Final = _BUCKETS + 1
"""Cells of one histogram: its buckets, and the sum in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where which cell of a part lies; the same in every process of an archive."""

    roles: tuple[str, ...]
    hospitals: tuple[str, ...]
    """One: no telling apart. More than `MAX_HOSPITALS` are counted together as `OTHER_HOSPITALS`."""

    @classmethod
    def of(cls, roles: Sequence[str], hospitals: Sequence[str] = ()) -> Layout:
        """`hospitals` as they are configured, in any order."""
        named = sorted(set(hospitals))
        if len(named) < 2:
            return cls(tuple(roles), ("",))
        return cls(tuple(roles), (*named[:MAX_HOSPITALS], OTHER_HOSPITALS))

    def histogram(self, kind: int, hospital: int) -> int:
        """First cell of a histogram."""
        return (hospital * len(KINDS) + kind) * _SERIES

    @property
    def outcomes(self) -> int:
        """First cell of the counts by kind and outcome."""
        return len(self.hospitals) * len(KINDS) * _SERIES

    @property
    def over(self) -> int:
        """First cell of the counts of answers over their budget."""
        return self.outcomes + len(KINDS) * len(OUTCOMES)

    @property
    def refused(self) -> int:
        """First cell of the counts of requests that gave way."""
        return self.over + len(KINDS)

    @property
    def gauges(self) -> int:
        """First cell of the gauges."""
        return self.refused + len(KINDS)

    @property
    def size(self) -> int:
        """Cells of one role, filled up to whole pages so that no two processes write to one cache line."""
        cells = self.gauges + len(GAUGES)
        page = mmap.PAGESIZE // _CELL
        return -(-cells // page) * page


class Board:
    """All parts; any process may read them at any time. Cells of others may be some microseconds old."""

    def __init__(self, descriptor: int, layout: Layout) -> None:
        """Maps the memory behind `descriptor`, which stays the caller's."""
        self.layout = layout
        length = len(layout.roles) * layout.size * _CELL
        self._mapped = mmap.mmap(descriptor, length)
        self._cells = memoryview(self._mapped).cast("q")

    @classmethod
    def private(cls, role: str = "alone", hospitals: Sequence[str] = ()) -> Board:
        """For a process that counts for itself alone."""
        layout = Layout.of((role,), hospitals)
        descriptor = new_memory(layout)
        try:
            return cls(descriptor, layout)
        finally:
            os.close(descriptor)

    def part(self, role: str) -> memoryview:
        """The cells of one role, signed 64-bit."""
        start = self.layout.roles.index(role) * self.layout.size
        return self._cells[start : start + self.layout.size]

    def totals(self, start: int, length: int) -> list[int]:
        """Cells of all roles added up."""
        size, cells = self.layout.size, self._cells
        parts = [
            cells[role * size + start : role * size + start + length].tolist() for role in range(len(self.layout.roles))
        ]
        return [sum(column) for column in zip(*parts, strict=True)]


def new_memory(layout: Layout) -> int:
    """A descriptor of fresh memory for a board, zero everywhere; inherited by children that are given it."""
    length = len(layout.roles) * layout.size * _CELL
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pacs-figures")
    else:
        with tempfile.TemporaryFile(buffering=0) as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, length)
    os.set_inheritable(descriptor, True)
    return descriptor

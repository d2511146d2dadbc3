"""A table of greys as arithmetic, where it can be told so: numpy multiplies and divides 16-bit integers three times as
fast as it looks them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CELLS = 1 << 16
_MOST_NUMERATOR = 512
_MOST_TRIED = 12


@dataclass(frozen=True, slots=True)
class GreyQuotient:
    """``(clip(cell, low, high) * factor + summand) % 65536 // divisor`` is the grey of every 16-bit cell from `first`
    to `last`. Only `grey_quotient` makes it, which has compared all of them."""

    first: int
    last: int
    low: int
    high: int
    factor: int
    summand: int
    divisor: int

    def holds(self, cells: NDArray[Any]) -> bool:
        """Whether all of `cells` are of those that it is for."""
        if self.last - self.first == _CELLS - 1:
            return True
        return int(cells.max()) <= self.last and (cells.dtype.kind == "u" or int(cells.min()) >= self.first)

    def greys(self, cells: NDArray[Any]) -> NDArray[np.uint8]:
        """The grey of each cell, of one of the types uint16 and int16."""
        steps: NDArray[np.uint16] = np.clip(cells, self.low, self.high).view(np.uint16)
        steps *= self.factor  # modulo 65536, also of negative ones
        steps += self.summand
        steps //= self.divisor
        return steps.astype(np.uint8)


def grey_quotient(table: NDArray[np.uint8], first: int, last: int, *, is_signed: bool) -> GreyQuotient | None:
    """The quotient that gives what `table`, of 65,536 greys by the bits of a cell, has for cells from `first` to
    `last`; None when there is none, as for curves, tables with holes and most windows wider than 500 values."""
    cells = np.arange(first, last + 1).astype(np.int16 if is_signed else np.uint16)
    greys = table[cells.view(np.uint16)]
    falls = bool(greys[0] > greys[-1])
    rising = greys[::-1] if falls else greys
    start, end = _slope(rising)
    length = end - start
    if not 0 < length < _CELLS // 2:
        return None
    for numerator, divisor, rest in _lines(rising[start : end + 1].astype(np.int64)):
        if falls:
            low, high, factor, summand = last - end, last - start, -numerator, (last - start) * numerator + rest
        else:
            low, high, factor, summand = first + start, first + end, numerator, rest - (first + start) * numerator
        found = GreyQuotient(first, last, low, high, factor % _CELLS, summand % _CELLS, divisor)
        if np.array_equal(found.greys(cells), greys):
            return found
    return None


def _slope(rising: NDArray[np.uint8]) -> tuple[int, int]:
    """The last place of the first grey, and the first one of the last."""
    others, before = np.flatnonzero(rising != rising[0]), np.flatnonzero(rising != rising[-1])
    return (int(others[0]) - 1, int(before[-1]) + 1) if others.size and before.size else (0, 0)


def _lines(greys: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Numerators, divisors and rests for which ``(place * numerator + rest) // divisor`` is the grey at each place, as
    far as 16 bits hold it."""
    length = greys.size - 1
    places = np.arange(length + 1)
    from_start, to_end = greys[1:] - greys[0], greys[-1] - greys[:-1]
    # Steeper than any line under the first grey, flatter than any over the last one.
    least = max(float(((from_start - 1) / places[1:]).max()), float(((to_end - 1) / places[:0:-1]).max()))
    most = min(float(((from_start + 1) / places[1:]).min()), float(((to_end + 1) / places[:0:-1]).min()))
    if not 0 < least < most:
        return []
    numerators = np.arange(1, min(_MOST_NUMERATOR, (_CELLS - 1) // length) + 1)
    divisors = np.maximum(1, np.rint(numerators * 2 / (least + most))).astype(np.int64)
    slopes = numerators / divisors
    fitting = np.flatnonzero((least < slopes) & (slopes < most))
    best = fitting[np.argsort(np.abs(slopes[fitting] - (least + most) / 2), kind="stable")[:_MOST_TRIED]]
    found = []
    for numerator, divisor in zip(numerators[best].tolist(), divisors[best].tolist(), strict=True):
        rest = int((greys * divisor - places * numerator).max())
        most_rest = int(((greys + 1) * divisor - places * numerator).min()) - 1
        if rest <= most_rest and length * numerator + rest < _CELLS:
            found.append((numerator, divisor, rest))
    return found

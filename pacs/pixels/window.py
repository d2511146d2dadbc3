"""Grey values to 8 bits: modality transformation, window or VOI LUT, polarity (PS3.3 §C.11.1, §C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacs.pixels.description import PixelDescription
from pacs.pixels.display import DisplayAttributes, Window
from pacs.pixels.grey_quotient import GreyQuotient, grey_quotient
from pacs.pixels.lookup import LookUpTable
from pacs.pixels.native import Pixels, stored_values

_SAMPLE_PIXELS = 1 << 16
"""Enough pixels to find a window from; taken evenly over the frame."""
_LEAST_CONTRAST = 8
"""Grey levels between the darkest and the brightest pixel below which nobody sees an image."""
SOFT_TISSUE = Window(40, 400)
"""What a CT is shown with when it brings no window of its own."""


@dataclass(frozen=True, slots=True)
class _Grey:
    """All that decides which grey a stored value becomes; the key of the table cache."""

    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_inverse: bool
    slope: float
    intercept: float
    modality_lut: LookUpTable | None
    voi: Window | LookUpTable
    padding: tuple[float, float] | None


def to_8_bits(
    pixels: Pixels,
    description: PixelDescription,
    display: DisplayAttributes,
    *,
    window: Window | None = None,
    is_inverse: bool = False,
) -> NDArray[np.uint8]:
    """Show a grey frame: `window` when given, else the stored VOI LUT or window, else one found from the pixels.

    A stored window that would show nothing (all black or all white though the pixels differ) gives way to a found one.
    """
    voi = window or display.voi_lut or display.window
    if voi is not None:
        shown = shown_with(pixels, description, display, voi, is_inverse)
        if window is not None or not _is_blank(shown, pixels):
            return shown
    if voi is None and display.modality == "CT" and not description.is_float and description.bits_allocated > 8:
        shown = shown_with(pixels, description, display, SOFT_TISSUE, is_inverse)
        if not _is_blank(shown, pixels):
            return shown
    return shown_with(pixels, description, display, found_window(pixels, description, display), is_inverse)


def found_window(pixels: Pixels, description: PixelDescription, display: DisplayAttributes) -> Window:
    """A window from the pixels themselves: the full range for 8 bits, else without padding and outliers."""
    step = max(1, int(np.sqrt(pixels.size / _SAMPLE_PIXELS)))
    sample = stored_values(pixels[::step, ::step], description)
    if display.padding is not None:
        kept = sample[(sample < display.padding[0]) | (sample > display.padding[1])]
        sample = kept if kept.size else sample
    values = rescaled(sample, display)
    values = values[np.isfinite(values)]
    if not values.size:
        return Window(0.5, 1, "LINEAR_EXACT")
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    if description.bits_stored <= 8 and not description.is_float and display.modality_lut is None:
        bottom, top = range_of_bits(description)
        ends = sorted((bottom * display.slope + display.intercept, top * display.slope + display.intercept))
        # Eight bits are mostly ready to be shown; label maps and the like use only a corner of them.
        if high - low > (ends[1] - ends[0]) / 4:
            low, high = ends
    if high <= low:
        # Nearly all is one value: show what differs, such as the few pixels of a segment.
        low, high = float(values.min()), float(values.max())
    if high <= low:
        low, high = min(low, 0.0), max(high, 1.0, low + 1.0)
    return Window((low + high) / 2, high - low, "LINEAR_EXACT")


def rescaled(values: Pixels, display: DisplayAttributes) -> NDArray[Any]:
    """Stored values to output units: Modality LUT, or slope and intercept."""
    if display.modality_lut is not None and values.dtype.kind in "iu":
        return display.modality_lut.apply(values).astype(np.float32)
    scaled: NDArray[Any] = values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)
    return scaled * display.slope + display.intercept


def windowed(values: NDArray[Any], voi: Window | LookUpTable) -> NDArray[np.uint8]:
    """Values in output units to 0..255."""
    if isinstance(voi, LookUpTable):
        return (voi.apply(np.nan_to_num(values)).astype(np.float32) * (255 / voi.full_scale()) + 0.5).astype(np.uint8)
    if voi.function == "SIGMOID":
        exponent = np.clip(-4 * (values - voi.center) / voi.width, -60, 60)
        grey = 255 / (1 + np.exp(exponent))
    elif voi.function == "LINEAR_EXACT":
        grey = ((values - voi.center) / voi.width + 0.5) * 255
    elif voi.width <= 1:
        # The slope would be infinite: a threshold.
        grey = np.where(values > voi.center - 0.5, 255.0, 0.0)
    else:
        grey = ((values - (voi.center - 0.5)) / (voi.width - 1) + 0.5) * 255
    return (np.clip(np.nan_to_num(grey, nan=0.0, posinf=255.0, neginf=0.0), 0, 255) + 0.5).astype(np.uint8)


def shown_with(
    pixels: Pixels,
    description: PixelDescription,
    display: DisplayAttributes,
    voi: Window | LookUpTable,
    is_inverse: bool,
) -> NDArray[np.uint8]:
    """A grey frame with this window or VOI LUT, whatever it shows."""
    grey = _Grey(
        bits_allocated=8 * pixels.dtype.itemsize,
        bits_stored=description.bits_stored if description.bits_allocated > 1 else 8,
        high_bit=description.high_bit if description.bits_allocated > 1 else 7,
        is_signed=pixels.dtype.kind == "i",
        is_inverse=is_inverse,
        slope=display.slope,
        intercept=display.intercept,
        modality_lut=display.modality_lut,
        voi=voi,
        padding=display.padding,
    )
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2:
        return _table(grey).shown(pixels)
    return _greys(stored_values(pixels, description), display, grey)


class _Table:
    """The grey of every value a cell can have."""

    def __init__(self, grey: _Grey) -> None:
        self._grey = grey
        self._by_bits = _grey_table(grey)
        self._uses = 0
        self._quotient: GreyQuotient | None = None

    def shown(self, pixels: Pixels) -> NDArray[np.uint8]:
        quotient = self._quotient
        if quotient is None and self._is_worth_a_quotient():
            quotient = self._quotient = self._found_quotient()
        if quotient is not None and quotient.holds(pixels):
            return quotient.greys(pixels)
        return np.take(self._by_bits, pixels.view(f"u{pixels.dtype.itemsize}"))

    def _is_worth_a_quotient(self) -> bool:
        """Asked once, when it is used again: to find one takes as long as it saves in two or three pictures, and a
        window that somebody drags is used for one."""
        self._uses += 1
        return self._uses == 2 and self._grey.bits_allocated == 16

    def _found_quotient(self) -> GreyQuotient | None:
        grey = self._grey
        bits = grey.bits_stored if grey.high_bit == grey.bits_stored - 1 else 16
        first, end = (-(1 << bits - 1), 1 << bits - 1) if grey.is_signed else (0, 1 << bits)
        return grey_quotient(self._by_bits, first, end - 1, is_signed=grey.is_signed)


@lru_cache(maxsize=64)
def _table(grey: _Grey) -> _Table:
    """Windows repeat over a series, so tables are kept."""
    return _Table(grey)


def _grey_table(grey: _Grey) -> NDArray[np.uint8]:
    """By the bits of a cell."""
    description = PixelDescription(
        transfer_syntax_uid="",
        rows=1,
        columns=1,
        bits_allocated=grey.bits_allocated,
        bits_stored=grey.bits_stored,
        high_bit=grey.high_bit,
        is_signed=grey.is_signed,
    )
    display = DisplayAttributes(slope=grey.slope, intercept=grey.intercept, modality_lut=grey.modality_lut)
    # Bits above the stored ones decide nothing: the table repeats.
    bits = grey.bits_stored if grey.high_bit == grey.bits_stored - 1 else grey.bits_allocated
    cells = np.arange(1 << bits, dtype=f"u{grey.bits_allocated // 8}")
    signed: Pixels = cells.view(f"i{grey.bits_allocated // 8}") if grey.is_signed else cells
    table = np.tile(_greys(stored_values(signed, description), display, grey), 1 << grey.bits_allocated - bits)
    table.flags.writeable = False
    return table


def _greys(values: Pixels, display: DisplayAttributes, grey: _Grey) -> NDArray[np.uint8]:
    shown = windowed(rescaled(values, display), grey.voi)
    if grey.is_inverse:
        shown = 255 - shown
    if grey.padding is not None:
        # Padding is the background's black whatever the polarity (PS3.3 §C.7.5.1.1.2).
        shown[(values >= grey.padding[0]) & (values <= grey.padding[1])] = 0
    return shown


def range_of_bits(description: PixelDescription) -> tuple[int, int]:
    """The least and the largest stored value that there can be."""
    if description.bits_allocated == 1:
        return 0, 1
    bits = description.bits_stored
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if description.is_signed else (0, (1 << bits) - 1)


def _is_blank(shown: NDArray[np.uint8], pixels: Pixels) -> bool:
    """All black, all white or a hardly visible shade of one grey, though the pixels do differ."""
    if int(shown.max()) - int(shown.min()) >= _LEAST_CONTRAST:
        return False
    return bool(pixels.min() != pixels.max())

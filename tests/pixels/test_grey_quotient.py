"""Greys that are computed are those that would be looked up, for every value that a cell can have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pacs.pixels.display import DisplayAttributes, Window
from pacs.pixels.grey_quotient import grey_quotient
from pacs.pixels.window import _table, shown_with
from tests.pixels import images

DISPLAY = DisplayAttributes()
USUAL = [Window(400, 400), Window(1050, 350), Window(40, 80), Window(35, 70), Window(300, 450), Window(90, 2)]


def every_cell(dtype: str) -> NDArray[Any]:
    return np.arange(1 << 16, dtype=np.uint16).view(dtype).reshape(256, 256)


def shown_twice(
    pixels: NDArray[Any], window: Window, display: DisplayAttributes = DISPLAY, *, is_inverse: bool = False, **said: Any
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Looked up, and as it is shown when the window is used for the third time."""
    _table.cache_clear()
    description = replace(images.description_of(pixels), is_signed=pixels.dtype.kind == "i", **said)
    first = shown_with(pixels, description, display, window, is_inverse)
    shown_with(pixels, description, display, window, is_inverse)
    return first, shown_with(pixels, description, display, window, is_inverse)


def table_of(window: Window, dtype: str = "<i2", *, is_inverse: bool = False) -> NDArray[np.uint8]:
    cells = every_cell(dtype)
    description = replace(images.description_of(cells), is_signed=dtype == "<i2", bits_stored=16, high_bit=15)
    return shown_with(cells, description, DISPLAY, window, is_inverse).reshape(-1)


@pytest.mark.parametrize("is_inverse", [False, True])
@pytest.mark.parametrize("dtype", ["<i2", "<u2"])
@pytest.mark.parametrize("window", USUAL)
def test_usual_windows_are_computed(window: Window, dtype: str, is_inverse: bool) -> None:
    first, last = (-(1 << 15), (1 << 15) - 1) if dtype == "<i2" else (0, (1 << 16) - 1)
    table = table_of(window, dtype, is_inverse=is_inverse)
    found = grey_quotient(table, first, last, is_signed=dtype == "<i2")
    assert found is not None
    cells = every_cell(dtype)
    assert found.holds(cells)
    assert np.array_equal(found.greys(cells), table.reshape(256, 256))


@pytest.mark.parametrize("dtype", ["<i2", "<u2"])
@pytest.mark.parametrize("bits", [10, 12, 15])
def test_cells_with_other_bits_are_looked_up(bits: int, dtype: str) -> None:
    """Bits above Bits Stored are no part of the value, so a table repeats where a quotient would go on."""
    inside = every_cell("<u2") & ((1 << bits) - 1)
    inside = (inside.astype(np.int32) - (1 << bits - 1)).astype("<i2") if dtype == "<i2" else inside
    for pixels in (inside, every_cell(dtype)):
        first, again = shown_twice(pixels, Window(40, 400), bits_stored=bits, high_bit=bits - 1)
        assert np.array_equal(first, again)
        assert first.max() == 255


@given(
    center=st.one_of(st.integers(-2000, 4000), st.floats(-2000, 4000, width=32)),
    width=st.one_of(st.integers(2, 5000), st.floats(1, 5000, width=32)),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.sampled_from([1.0, 0.5, 2.3, -1.0]),
    intercept=st.sampled_from([0.0, -1024.0, 12.25]),
    padding=st.sampled_from([None, (-2000.0, -2000.0), (10.0, 30.0)]),
    is_inverse=st.booleans(),
    dtype=st.sampled_from(["<i2", "<u2"]),
)
def test_any_window_shows_the_same(
    center: float,
    width: float,
    function: Any,
    slope: float,
    intercept: float,
    padding: tuple[float, float] | None,
    is_inverse: bool,
    dtype: str,
) -> None:
    display = DisplayAttributes(slope=slope, intercept=intercept, padding=padding)
    window = Window(center, width, function)
    first, again = shown_twice(every_cell(dtype), window, display, is_inverse=is_inverse, bits_stored=16, high_bit=15)
    assert np.array_equal(first, again)


def test_what_is_no_line_has_no_quotient() -> None:
    for table in (
        table_of(Window(40, 400, "SIGMOID")),
        table_of(Window(0, 60_000)),
        np.zeros(1 << 16, np.uint8),
        np.where(np.arange(1 << 16) == 477, 0, table_of(Window(400, 400), "<u2")).astype(np.uint8),
    ):
        assert grey_quotient(table, 0, (1 << 16) - 1, is_signed=False) is None


def test_a_line_is_compared_with_the_whole_table() -> None:
    """The control: one wrong grey anywhere, and there is no quotient."""
    table = table_of(Window(400, 400), "<u2")
    assert grey_quotient(table, 0, (1 << 16) - 1, is_signed=False) is not None
    for place in (0, 60, 201, 300, 500, 9000, 65535):
        wrong = table.copy()
        wrong[place] ^= 1
        assert grey_quotient(wrong, 0, (1 << 16) - 1, is_signed=False) is None

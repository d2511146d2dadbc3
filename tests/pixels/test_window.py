from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from pacs.pixels.description import describe
from pacs.pixels.display import DisplayAttributes, Window, display_attributes
from pacs.pixels.lookup import LookUpTable
from pacs.pixels.native import stored_values
from pacs.pixels.window import found_window, rescaled, shown_with, to_8_bits, windowed
from tests.part10.encoding import explicit
from tests.pixels.images import description_of, gradient, in_order, module, scanned

NOTHING = DisplayAttributes()


def shown(pixels: NDArray[Any], display: DisplayAttributes = NOTHING, **changes: Any) -> NDArray[np.uint8]:
    inverse = changes.pop("is_inverse", False)
    window = changes.pop("window", None)
    return to_8_bits(pixels, description_of(pixels, **changes), display, window=window, is_inverse=inverse)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_window_functions_are_those_of_pydicom(function: Any) -> None:
    values = np.arange(-1200, 3000, dtype=np.int16)
    data_set = Dataset()
    data_set.PhotometricInterpretation, data_set.BitsStored, data_set.PixelRepresentation = "MONOCHROME2", 8, 0
    data_set.WindowCenter, data_set.WindowWidth, data_set.VOILUTFunction = 40, 400, function
    expected = np.rint(apply_windowing(values, data_set))
    difference = windowed(values.astype(np.float32), Window(40, 400, function)).astype(int) - expected
    assert np.abs(difference).max() <= 1


def test_a_width_of_one_is_a_threshold() -> None:
    assert windowed(np.array([4.0, 5.0, 6.0]), Window(5, 1)).tolist() == [0, 255, 255]


def test_the_table_and_the_arithmetic_agree() -> None:
    pixels = gradient(bits=16).view(np.int16)
    display = DisplayAttributes(slope=0.5, intercept=-100)
    by_table = shown(pixels, display, window=Window(50, 3000))
    by_arithmetic = shown(pixels.astype(np.int32), display, window=Window(50, 3000))
    assert np.abs(by_table.astype(int) - by_arithmetic).max() <= 1


def test_the_asked_window_beats_the_stored_one() -> None:
    pixels = gradient()
    display = DisplayAttributes(window=Window(100, 50))
    assert np.array_equal(shown(pixels, display, window=Window(2000, 900)), shown(pixels, window=Window(2000, 900)))
    assert not np.array_equal(shown(pixels, display), shown(pixels, display, window=Window(2000, 900)))


def test_an_asked_window_is_obeyed_even_when_it_shows_nothing() -> None:
    assert shown(gradient(), window=Window(60000, 10)).max() == 0


@pytest.mark.parametrize("useless", [Window(60000, 10), Window(-60000, 10), Window(0, 1e9)])
def test_a_stored_window_that_shows_nothing_gives_way(useless: Window) -> None:
    picture = shown(gradient(), DisplayAttributes(window=useless))
    assert picture.min() == 0
    assert picture.max() == 255


def test_without_a_window_one_is_found_without_outliers() -> None:
    pixels = gradient(200, 200, bits=8).astype(np.uint16)
    pixels[0, :40] = 60000
    picture = shown(pixels)
    assert picture[100:].max() == 255
    assert 100 < picture[100, 100] < 150


def test_padding_is_black_and_takes_no_part_in_the_window() -> None:
    pixels = gradient(bits=8).astype(np.int16)
    pixels[:16] = -2000
    display = DisplayAttributes(padding=(-2000, -2000))
    for is_inverse in (False, True):
        picture = shown(pixels, display, is_inverse=is_inverse)
        assert picture[:16].max() == 0
        assert picture[16:].max() == 255
    found = found_window(pixels, description_of(pixels), display)
    assert found.center - found.width / 2 > 0


def test_monochrome1_is_inverse() -> None:
    pixels = gradient(bits=8).astype(np.uint8)
    assert np.array_equal(shown(pixels, is_inverse=True), 255 - shown(pixels))


def test_eight_bits_are_shown_as_they_are_unless_they_use_a_corner() -> None:
    pixels = gradient(bits=8).astype(np.uint8)
    assert np.array_equal(shown(pixels), pixels)
    labels = np.zeros((20, 20), np.uint8)
    labels[5:9, 5:9] = 3
    assert sorted(set(shown(labels).ravel().tolist())) == [0, 255]


def test_a_segment_of_one_bit_is_white_on_black() -> None:
    segment = np.zeros((20, 20), np.uint8)
    segment[3, 3] = 1
    picture = shown(segment, bits_allocated=1, bits_stored=1)
    assert picture[3, 3] == 255
    assert picture.sum() == 255


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8"])
@pytest.mark.parametrize("value", [0, 7])
def test_one_value_everywhere_is_no_error(dtype: str, value: int) -> None:
    assert len(set(shown(np.full((4, 4), value, dtype)).ravel().tolist())) == 1


def test_floats_with_nan_and_infinity_are_shown() -> None:
    pixels = gradient().astype(np.float32)
    pixels[0, 0], pixels[0, 1], pixels[0, 2] = np.nan, np.inf, -np.inf
    picture = shown(pixels)
    assert picture[0, :3].tolist() == [0, 255, 0]
    assert np.ptp(picture[1:]) > 200
    assert shown(np.full((3, 3), np.nan)).shape == (3, 3)


def test_bits_beyond_the_stored_ones_are_no_image() -> None:
    pixels = np.array([[0xF001, 0x0FFF, 0x1800]], np.uint16)
    assert stored_values(pixels, description_of(pixels, bits_stored=12)).tolist() == [[1, 4095, 0x800]]
    signed = pixels.view(np.int16)
    assert stored_values(signed, description_of(signed, bits_stored=12)).tolist() == [[1, -1, -2048]]


def test_a_ct_without_a_window_is_shown_as_soft_tissue() -> None:
    pixels = gradient(bits=12)
    display = DisplayAttributes(modality="CT", intercept=-1024)
    assert np.array_equal(shown(pixels, display), shown(pixels, display, window=Window(40, 400)))


def test_luts_are_applied() -> None:
    table = LookUpTable(0, 8, struct.pack("<4H", 0, 255, 128, 255))
    pixels = np.array([[0, 1, 2, 3, 9]], np.uint8)
    assert shown(pixels, DisplayAttributes(voi_lut=table)).tolist() == [[0, 255, 128, 255, 255]]
    assert rescaled(pixels, DisplayAttributes(modality_lut=table, slope=9)).tolist() == [[0, 255, 128, 255, 255]]


def test_padding_of_float_pixels_is_black_and_does_not_count() -> None:
    pixels = np.linspace(0.25, 1.25, 64, dtype="<f4").reshape(8, 8)
    pixels[0] = -1e30
    value = explicit(0x00280122, "FL", struct.pack("<f", -1e30))
    content = in_order(*module(pixels, 1, "MONOCHROME1", 1), value, explicit(0x7FE00008, "OF", pixels.tobytes()))
    header = scanned(content)
    shown = to_8_bits(pixels, describe(header), display_attributes(header), is_inverse=True)
    assert shown[0].max() == 0
    assert shown[1:].max() > 250
    assert np.unique(shown[1:]).size > 40


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize(("bits", "high_bit"), [(1, 0), (9, 8), (12, 11), (12, 15), (12, 13), (16, 15)])
def test_every_cell_has_the_grey_of_its_stored_value(bits: int, high_bit: int, is_signed: bool) -> None:
    """Whatever stands in the other bits."""
    cells = np.arange(1 << 16, dtype=np.uint16).view(np.int16 if is_signed else np.uint16).reshape(256, 256)
    said = replace(description_of(cells), bits_stored=bits, high_bit=high_bit, is_signed=is_signed)
    display = DisplayAttributes(slope=1.5, intercept=-20, padding=(3, 9))
    values = stored_values(cells, said)
    for voi in (Window(40, 400), Window(20.5, 33.3, "LINEAR_EXACT"), Window(100, 50, "SIGMOID")):
        wanted = windowed(rescaled(values, display), voi)
        wanted[(values >= 3) & (values <= 9)] = 0
        assert np.array_equal(shown_with(cells, said, display, voi, is_inverse=False), wanted)

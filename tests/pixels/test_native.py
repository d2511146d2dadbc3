from __future__ import annotations

import numpy as np
import pytest

from pacs.errors import UndecodablePixels
from pacs.pixels.native import little_endian, unpack
from tests.part10.encoding import EXPLICIT_BIG
from tests.pixels.images import colours, description_of, gradient


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "f4", "f8"])
def test_cells_of_every_kind_come_out_as_they_are(dtype: str) -> None:
    pixels = gradient(bits=7).astype(f"<{dtype}")
    assert np.array_equal(unpack(description_of(pixels), pixels.tobytes()), pixels)


@pytest.mark.parametrize("dtype", ["u2", "i2", "u4", "f8"])
def test_big_endian_cells_are_turned(dtype: str) -> None:
    pixels = gradient().astype(f"<{dtype}")
    description = description_of(pixels, EXPLICIT_BIG, is_big_endian=True, is_word=True)
    stored = pixels.astype(f">{dtype}").tobytes()
    assert little_endian(description, stored) == pixels.tobytes()
    assert np.array_equal(unpack(description, stored), pixels)


def test_eight_bit_pixels_in_big_endian_words_change_places() -> None:
    pixels = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    description = description_of(pixels, EXPLICIT_BIG, is_big_endian=True, is_word=True)
    assert np.array_equal(unpack(description, bytes([2, 1, 4, 3, 6, 5, 8, 7, 0, 9])), pixels)
    description = description_of(pixels, EXPLICIT_BIG, is_big_endian=True, is_word=False)
    assert np.array_equal(unpack(description, pixels.tobytes()), pixels)


def test_planes_and_interleaved_samples_are_the_same_image() -> None:
    pixels = colours()
    planes = np.moveaxis(pixels, -1, 0).tobytes()
    assert np.array_equal(unpack(description_of(pixels), pixels.tobytes()), pixels)
    assert np.array_equal(unpack(description_of(pixels, is_planar=True), planes), pixels)


def test_one_bit_pixels_start_at_the_least_significant_bit() -> None:
    pixels = np.array([[1, 0, 0], [0, 1, 1]], np.uint8)
    description = description_of(pixels, bits_allocated=1, bits_stored=1)
    assert np.array_equal(unpack(description, bytes([0b110001])), pixels)


def test_two_pixels_share_their_colour_in_422() -> None:
    pixels = np.zeros((1, 4, 3), np.uint8)
    description = description_of(pixels, photometric_interpretation="YBR_FULL_422")
    shown = unpack(description, bytes([10, 20, 1, 2, 30, 40, 3, 4]))
    assert shown.tolist() == [[[10, 1, 2], [20, 1, 2], [30, 3, 4], [40, 3, 4]]]


def test_a_422_frame_with_every_sample_is_taken_as_it_is() -> None:
    pixels = colours()
    description = description_of(pixels, photometric_interpretation="YBR_FULL_422")
    assert np.array_equal(unpack(description, pixels.tobytes()), pixels)
    assert little_endian(description, pixels.tobytes() + b"\0") == pixels.tobytes()


def test_a_short_frame_is_refused() -> None:
    pixels = gradient()
    with pytest.raises(UndecodablePixels, match=r"3071 bytes; 32 x 48 needs 3072"):
        unpack(description_of(pixels), pixels.tobytes()[:-1])

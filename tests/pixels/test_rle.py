from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.errors import UndecodablePixels
from pacs.pixels.rle import decode_rle
from tests.part10.encoding import RLE
from tests.pixels.images import colours, description_of, gradient, packbits, rle_frame


def test_bytes_of_a_sample_lie_in_segments_most_significant_first() -> None:
    pixels = gradient()
    planes = [packbits(plane.astype(np.uint8).tobytes()) for plane in (pixels >> 8, pixels & 255)]
    assert np.array_equal(decode_rle(description_of(pixels, RLE), rle_frame(*planes)), pixels)


def test_colours_lie_in_planes() -> None:
    pixels = colours()
    planes = [packbits(pixels[..., channel].tobytes()) for channel in range(3)]
    assert np.array_equal(decode_rle(description_of(pixels, RLE), rle_frame(*planes)), pixels)


def test_one_bit_pixels_lie_packed_in_one_segment() -> None:
    pixels = (gradient() % 3 == 0).astype(np.uint8)
    packed = np.packbits(pixels.reshape(-1), bitorder="little").tobytes()
    description = description_of(pixels, RLE, bits_allocated=1, bits_stored=1)
    assert np.array_equal(decode_rle(description, rle_frame(packbits(packed))), pixels)


def test_runs_are_repeated_and_a_padded_segment_is_no_error() -> None:
    pixels = np.full((8, 16), 7, np.uint8)
    run = bytes([257 - 128, 7])
    for padding in (b"", b"\0", b"\x80\0"):
        assert np.array_equal(decode_rle(description_of(pixels, RLE), rle_frame(run + padding)), pixels)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\0" * 10, "header alone needs 64"),
        (struct.pack("<16I", 99, *[0] * 15), "99 segments"),
        (struct.pack("<16I", 1, 63, *[0] * 14) + b"\0", "offsets are out of order"),
        (struct.pack("<16I", 1, 4000, *[0] * 14), "offsets are out of order"),
        (rle_frame(b"\0a", b"\0a"), "2 segments; these pixels need 1"),
        (rle_frame(b"\0a"), "can't be unpacked"),
        (rle_frame(b"\x7fab"), "can't be unpacked"),
    ],
)
def test_a_damaged_frame_is_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(UndecodablePixels, match=reason):
        decode_rle(description_of(np.zeros((8, 16), np.uint8), RLE), frame)


@given(st.binary(min_size=1, max_size=300))
def test_noise_in_a_segment_gives_pixels_or_a_refusal(noise: bytes) -> None:
    description = description_of(np.zeros((8, 16), np.uint8), RLE)
    try:
        assert decode_rle(description, rle_frame(noise)).shape == (8, 16)
    except UndecodablePixels:
        return

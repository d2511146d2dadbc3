from __future__ import annotations

import struct

import numpy as np
import pytest

from pacs.errors import UndecodablePixels
from pacs.pixels.description import check, describe
from tests.part10.encoding import EXPLICIT_BIG, explicit, us
from tests.pixels.images import colours, compressed, data_set, description_of, gradient, in_order, scanned


def test_the_image_pixel_module_is_read() -> None:
    description = describe(scanned(data_set(gradient(), frames=3)))
    assert (description.rows, description.columns, description.number_of_frames) == (32, 48, 3)
    assert (description.bits_allocated, description.bits_stored, description.high_bit) == (16, 16, 15)
    assert not description.is_encapsulated
    assert not description.is_big_endian
    assert description.native_frame_bytes == 32 * 48 * 2


def test_what_the_pixel_data_is_beats_what_the_transfer_syntax_says() -> None:
    pixels = gradient()
    assert not describe(scanned(data_set(pixels), "1.2.840.10008.1.2.4.80")).is_encapsulated
    assert describe(scanned(compressed(pixels, b"\xff\xd8"))).is_encapsulated


def test_float_pixel_data_has_the_bits_of_its_tag() -> None:
    content = in_order(
        us(0x00280002, 1),
        us(0x00280010, 2),
        us(0x00280011, 2),
        explicit(0x7FE00009, "OD", struct.pack("<4d", 1, 2, 3, 4)),
    )
    description = describe(scanned(content))
    assert description.is_float
    assert description.bits_allocated == 64


def test_big_endian_is_seen() -> None:
    order = ">"
    content = b"".join(
        explicit(tag, "US", struct.pack(">H", value), order=order)
        for tag, value in ((0x00280002, 1), (0x00280010, 2), (0x00280011, 2), (0x00280100, 16))
    ) + explicit(0x7FE00010, "OW", bytes(8), order=order)
    assert describe(scanned(content, EXPLICIT_BIG)).is_big_endian


def test_no_pixel_data_is_said() -> None:
    with pytest.raises(UndecodablePixels, match="no pixel data"):
        describe(scanned(us(0x00280010, 2)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rows": 0}, "Rows x Columns is 0 x 48"),
        ({"columns": 65536}, "1 to 65535"),
        ({"samples_per_pixel": 4}, "Samples per Pixel is 4"),
        ({"bits_allocated": 12, "bits_stored": 12}, "Bits Allocated is 12"),
        ({"bits_allocated": 8, "bits_stored": 12}, "contradict"),
        ({"rows": 65535, "columns": 65535}, "one frame would need"),
    ],
)
def test_what_no_decoder_takes_is_refused_before_memory_is_used(change: dict[str, int], reason: str) -> None:
    with pytest.raises(UndecodablePixels, match=reason):
        check(description_of(gradient(), **change))


def test_a_subsampled_frame_needs_two_bytes_a_pixel() -> None:
    description = description_of(colours(), photometric_interpretation="YBR_FULL_422")
    assert description.native_frame_bytes == 32 * 48 * 2


def test_bits_that_contradict_each_other_fall_back() -> None:
    content = data_set(np.zeros((2, 2), np.uint8)).replace(us(0x00280101, 8), us(0x00280101, 99))
    assert describe(scanned(content)).bits_stored == 8


@pytest.mark.parametrize(
    ("elements", "is_there"),
    [
        ([us(0x60000100, 16), us(0x60000102, 15)], True),
        ([us(0x601E0100, 16), us(0x601E0102, 12)], True),
        ([us(0x60000100, 1), us(0x60000102, 0)], False),
        ([us(0x60000100, 16), us(0x60000102, 15), explicit(0x60003000, "OW", b"\0\0")], False),
        ([], False),
    ],
)
def test_an_overlay_in_the_pixels_own_cells_is_told(elements: list[bytes], is_there: bool) -> None:
    twelve = (us(0x00280101, 12), us(0x00280102, 11))
    found = describe(scanned(data_set(gradient(), *twelve, *elements)))
    assert (found.bits_stored, found.has_overlay_in_cells) == (12, is_there)
    assert not describe(scanned(data_set(gradient(), *elements))).has_overlay_in_cells, "all 16 bits are image"

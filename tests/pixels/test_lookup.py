from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.errors import UndecodablePixels
from pacs.part10.header import Header
from pacs.pixels.lookup import LookUpTable, expanded_segments, lut_of_item, palette, rgb_table
from pacs.pixels.render import picture_of
from tests.part10.encoding import explicit, item, sequence
from tests.pixels.images import data_set, in_order, scanned


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def lut_item(descriptor: bytes, data: bytes) -> Header:
    content = in_order(explicit(0x00283002, "US", descriptor), explicit(0x00283006, "OW", data))
    return scanned(sequence(0x00283010, item(content))).items(0x00283010)[0]


def test_values_outside_the_table_take_its_ends() -> None:
    table = lut_of_item(lut_item(words(3, 10, 8), words(5, 6, 7)))
    assert table is not None
    assert table.apply(np.array([-5, 9, 10, 11, 12, 13, 99])).tolist() == [5, 5, 5, 6, 7, 7, 7]


def test_a_count_of_zero_stands_for_all_65536() -> None:
    table = lut_of_item(lut_item(words(0, 0, 16), words(*range(65536))))
    assert table is not None
    assert table.table().size == 65536


@pytest.mark.parametrize("first", [1e300, float("inf"), float("nan"), -65537.0])
def test_a_first_value_that_no_pixel_can_have(first: float) -> None:
    content = in_order(
        explicit(0x00283002, "FD", struct.pack("<3d", 2.0, first, 16.0)), explicit(0x00283006, "OW", words(1, 2))
    )
    assert lut_of_item(scanned(sequence(0x00283010, item(content))).items(0x00283010)[0]) is None


def test_a_first_value_below_zero_may_be_written_as_unsigned() -> None:
    table = lut_of_item(lut_item(words(4, 65533, 8), words(5, 6, 7, 8)))
    assert table is not None
    assert table.apply(np.array([-9, -3, -2, -1, 0, 1])).tolist() == [5, 5, 6, 7, 8, 8]
    table = lut_of_item(lut_item(words(3, 65533, 8), words(5, 6, 7)))
    assert table is not None
    assert table.apply(np.array([0, 65533, 65534, 65535])).tolist() == [5, 5, 6, 7]


def test_entries_of_eight_bits_may_share_words() -> None:
    table = lut_of_item(lut_item(words(4, 0, 8), bytes([1, 2, 3, 4])))
    assert table is not None
    assert table.table().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("descriptor", "data"), [(b"", words(1, 2)), (words(2, 0, 40), words(1, 2)), (words(2, 0, 8), b"")]
)
def test_a_table_that_makes_no_sense_counts_as_absent(descriptor: bytes, data: bytes) -> None:
    assert lut_of_item(lut_item(descriptor, data)) is None


def test_the_scale_is_that_of_the_entries_when_the_descriptor_exaggerates() -> None:
    assert LookUpTable(0, 16, words(0, 128, 255)).full_scale() == 255
    assert LookUpTable(0, 16, words(0, 128, 65535)).full_scale() == 65535
    assert LookUpTable(0, 8, words(0, 128)).full_scale() == 255
    assert LookUpTable(0, 8, words(0, 300)).full_scale() == 300


def test_a_palette_is_read_and_shown_in_eight_bits() -> None:
    elements = [explicit(tag, "US", words(2, 0, 16)) for tag in (0x00281101, 0x00281102, 0x00281103)]
    elements += [
        explicit(tag, "OW", words(*entries))
        for tag, entries in ((0x00281201, (0, 0xFF00)), (0x00281202, (0x8000, 0)), (0x00281203, (0xFFFF, 0)))
    ]
    tables = palette(scanned(in_order(*elements)))
    assert rgb_table(tables, 8)[[0, 1, 255]].tolist() == [[0, 128, 255], [254, 0, 0], [254, 0, 0]]


def test_signed_indices_have_their_colours() -> None:
    first = struct.pack("<HhH", 4, -2, 8)
    tables = [explicit(0x00281101 + number, "SS", first) for number in range(3)]
    tables += [explicit(0x00281201 + number, "OW", words(1, 2, 3, 255)) for number in range(3)]
    pixels = np.array([[-128, -2, -1, 0, 1, 127]], np.int8)
    header = scanned(data_set(pixels, *tables, photometric_interpretation="PALETTE COLOR "))
    assert picture_of(header, (pixels.tobytes(),))[0, :, 0].tolist() == [1, 1, 2, 3, 255, 255]


def test_a_palette_without_tables_is_said() -> None:
    with pytest.raises(UndecodablePixels, match="Palette Color Lookup Table"):
        palette(scanned(explicit(0x00281101, "US", words(2, 0, 16))))


def test_segments_are_written_out() -> None:
    # PS3.3 §C.7.9.2: discrete 0, 10; linear to 20 in 5 steps; then both again by their byte offset.
    segments = np.array([0, 2, 0, 10, 1, 5, 20, 2, 2, 0, 0], np.uint16)
    once = [0, 10, 12, 14, 16, 18, 20]
    assert expanded_segments(segments).tolist() == once * 2


@pytest.mark.parametrize(
    "segments", [[1, 5, 20], [0, 9, 1], [7, 1, 1], [0, 1, 5, 2, 9], [0, 0], [0, 1, 5, 2, 60000, 40, 0]]
)
def test_segments_that_are_torn_or_mean_nothing_are_refused(segments: list[int]) -> None:
    with pytest.raises(UndecodablePixels):
        expanded_segments(np.array(segments, np.uint16))


@given(st.lists(st.integers(0, 5) | st.integers(0, 65535), max_size=60))
def test_segments_of_noise_end(noise: list[int]) -> None:
    try:
        assert expanded_segments(np.array(noise, np.uint16)).size <= 65536
    except UndecodablePixels:
        return

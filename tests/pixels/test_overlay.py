from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.pixels.description import describe
from pacs.pixels.overlay import has_overlays, overlay_masks, stored_plane
from tests.part10.encoding import EXPLICIT_BIG as BIG
from tests.part10.encoding import explicit, us
from tests.pixels.images import code, data_set, gradient, scanned

ROWS, COLUMNS = 5, 7
RNG = np.random.default_rng(3)
BITS = RNG.integers(0, 2, (3, ROWS, COLUMNS), np.uint8).astype(bool)


def overlay(*more: bytes, bits: np.ndarray = BITS[0], group: int = 0x6000, vr: str = "OW") -> list[bytes]:
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    tags = group << 16
    return [
        us(tags | 0x0010, bits.shape[-2]),
        us(tags | 0x0011, bits.shape[-1]),
        us(tags | 0x0100, 1),
        us(tags | 0x0102, 0),
        *more,
        explicit(tags | 0x3000, vr, packed + b"\0" * (len(packed) % 2)),
    ]


def origin(row: int, column: int, group: int = 0x6000) -> bytes:
    return explicit(group << 16 | 0x0050, "SS", struct.pack("<2h", row, column))


def masks(*elements: bytes, frame: int = 1, rows: int = ROWS, columns: int = COLUMNS) -> list[np.ndarray]:
    header = scanned(data_set(gradient(rows, columns), *elements))
    assert has_overlays(header) == bool(elements)
    return list(overlay_masks(header, describe(header), frame))


def test_a_plane_is_drawn_where_its_bits_are() -> None:
    (mask,) = masks(*overlay())
    assert np.array_equal(mask, BITS[0])
    assert masks() == []


@pytest.mark.parametrize(("row", "column"), [(1, 1), (3, 2), (-1, 0), (9, 9), (-40, 1), (1, 32000)])
def test_a_plane_lies_at_its_origin(row: int, column: int) -> None:
    (mask,) = masks(*overlay(origin(row, column)))
    expected = np.zeros((ROWS, COLUMNS), bool)
    for y in range(ROWS):
        for x in range(COLUMNS):
            from_y, from_x = y - row + 1, x - column + 1
            if 0 <= from_y < ROWS and 0 <= from_x < COLUMNS:
                expected[y, x] = BITS[0][from_y, from_x]
    assert np.array_equal(mask, expected)


def test_each_frame_has_its_own_plane() -> None:
    # 35 bits a frame: the second and third start inside a byte.
    elements = overlay(explicit(0x60000015, "IS", b"3 "), us(0x60000051, 2), bits=BITS)
    assert masks(*elements, frame=1) == []
    for frame in (2, 3, 4):
        (mask,) = masks(*elements, frame=frame)
        assert np.array_equal(mask, BITS[frame - 2])
    assert masks(*elements, frame=5) == []


def test_a_plane_that_says_nothing_of_frames_is_over_all() -> None:
    for frame in (1, 2, 99):
        assert np.array_equal(masks(*overlay(), frame=frame)[0], BITS[0])


def test_several_groups() -> None:
    found = masks(*overlay(), *overlay(bits=BITS[1], group=0x601E))
    assert [np.array_equal(*pair) for pair in zip(found, BITS[:2], strict=True)] == [True, True]


def test_a_region_of_interest_is_drawn_as_its_outline() -> None:
    region = np.zeros((9, 9), bool)
    region[2:7, 2:7] = True
    (mask,) = masks(*overlay(code(0x60000040, "R"), bits=region), rows=9, columns=9)
    expected = region.copy()
    expected[3:6, 3:6] = False
    assert np.array_equal(mask, expected)


def test_big_endian_words_are_swapped() -> None:
    packed = np.packbits(BITS[0].ravel(), bitorder="little").tobytes() + b"\0"
    header = scanned(
        explicit(0x00080018, "UI", b"1.2\0", order=">")
        + explicit(0x60000010, "US", struct.pack(">H", ROWS), order=">")
        + explicit(0x60000011, "US", struct.pack(">H", COLUMNS), order=">")
        + explicit(0x60003000, "OW", np.frombuffer(packed, "<u2").astype(">u2").tobytes(), order=">"),
        BIG,
    )
    plane = stored_plane(header, 0x6000)
    assert plane is not None
    bits = np.unpackbits(np.frombuffer(plane.bits, np.uint8), count=ROWS * COLUMNS, bitorder="little")
    assert np.array_equal(bits.reshape(ROWS, COLUMNS).astype(bool), BITS[0])


def test_a_plane_in_the_unused_bits_of_the_pixels() -> None:
    pixels = gradient(ROWS, COLUMNS, 12) | BITS[0].astype(np.uint16) << 14 | BITS[1].astype(np.uint16) << 12
    content = data_set(pixels, us(0x60000010, ROWS), us(0x60000011, COLUMNS), us(0x60000100, 16), us(0x60000102, 14))
    stored = us(0x00280101, 16), us(0x00280102, 15)
    for old, new in zip(stored, (us(0x00280101, 12), us(0x00280102, 11)), strict=True):
        content = content.replace(old, new)
    header = scanned(content)
    (mask,) = overlay_masks(header, describe(header), 1, pixels)
    assert np.array_equal(mask, BITS[0])
    assert list(overlay_masks(header, describe(header), 1)) == []


def test_a_bit_that_the_image_uses_is_no_overlay() -> None:
    pixels = gradient(ROWS, COLUMNS, 16)
    header = scanned(data_set(pixels, us(0x60000100, 16), us(0x60000102, 14)))
    assert list(overlay_masks(header, describe(header), 1, pixels)) == []


@given(
    st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=64),
    st.integers(-32768, 32767), st.integers(-32768, 32767), st.integers(0, 65535), st.integers(-5, 10**9),
)  # fmt: skip
def test_nonsense_is_no_overlay(
    rows: int, columns: int, data: bytes, top: int, left: int, start: int, frames: int
) -> None:
    count = str(frames)
    found = masks(
        us(0x60000010, rows),
        us(0x60000011, columns),
        explicit(0x60000015, "IS", count.ljust(len(count) + len(count) % 2).encode()),
        origin(top, left),
        us(0x60000051, start),
        explicit(0x60003000, "OB", data + b"\0" * (len(data) % 2)),
        frame=2,
    )
    assert all(mask.shape == (ROWS, COLUMNS) for mask in found)

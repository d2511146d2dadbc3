"""Overlay planes, groups 6000 to 601E: drawings of one bit a pixel over the image (PS3.3 §C.9.2, PS3.5 §8.1.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pacs.part10.header import Header
from pacs.pixels.description import OVERLAY_GROUPS, PixelDescription
from pacs.pixels.native import Pixels

Mask = NDArray[np.bool_]
"""``(rows, columns)`` of the image."""

_ROWS, _COLUMNS, _FRAMES, _TYPE, _ORIGIN = 0x0010, 0x0011, 0x0015, 0x0040, 0x0050
_FRAME_ORIGIN, _BITS_ALLOCATED, _BIT_POSITION, _DATA = 0x0051, 0x0100, 0x0102, 0x3000
_MAX_PLANE_BITS = 1 << 28


def has_overlays(header: Header) -> bool:
    """Whether there may be something to draw."""
    return any(
        group << 16 | _ROWS in header.elements or group << 16 | _BIT_POSITION in header.elements
        for group in OVERLAY_GROUPS
    )


@dataclass(frozen=True, slots=True)
class Plane:
    """One frame of an overlay, as it is stored."""

    rows: int
    columns: int
    top: int
    left: int
    """Row and column of its first bit in the image, from 0; also negative."""
    bits: bytes
    """Of each pixel one, row by row, the least significant bit of a byte first."""
    is_region: bool
    """Overlay Type R: a region of interest, of which the outline is drawn."""


def overlay_masks(
    header: Header,
    description: PixelDescription,
    frame_number: int = 1,
    pixels: Pixels | None = None,
    groups: Collection[int] = OVERLAY_GROUPS,
) -> Iterator[Mask]:
    """The pixels to draw of each plane that frame `frame_number` has; what cannot be read counts as absent.

    `pixels` is the decoded frame, whose unused bits older images draw in.
    """
    for group in groups:
        if group << 16 | _DATA in header.elements:
            plane = stored_plane(header, group, frame_number)
            mask = None if plane is None else mask_of(plane, description)
        else:
            mask = _in_unused_bits(header, description, group << 16, pixels)
        if mask is not None:
            yield mask


def stored_plane(header: Header, group: int, frame_number: int = 1) -> Plane | None:
    """What lies in Overlay Data (60xx,3000) for a frame of the image; None when that is nothing."""
    tags = group << 16
    rows, columns = header.integer(tags | _ROWS) or 0, header.integer(tags | _COLUMNS) or 0
    index, value = _index(header, tags, frame_number), header.value(tags | _DATA)
    if not (0 < rows <= 65535 and 0 < columns <= 65535 and rows * columns <= _MAX_PLANE_BITS) or index is None:
        return None
    start = index * rows * columns
    if value is None or start + rows * columns > 8 * len(value):
        return None
    first, last = start // 8, (start + rows * columns + 7) // 8
    packed = _packed(header, header.vr(header.elements[tags | _DATA]), value, first, last)
    if start % 8:
        packed = np.packbits(np.unpackbits(packed, bitorder="little")[start % 8 :], bitorder="little")
    origin = [int(number) for number in header.numbers(tags | _ORIGIN)]
    top, left = origin if len(origin) == 2 else (1, 1)
    is_region = (header.text(tags | _TYPE) or "").strip().upper() == "R"
    return Plane(rows, columns, top - 1, left - 1, packed.tobytes(), is_region)


def mask_of(plane: Plane, description: PixelDescription) -> Mask:
    """The plane where it lies over an image; what lies beside is cut off."""
    packed = np.frombuffer(plane.bits, np.uint8)
    bits = np.unpackbits(packed, count=plane.rows * plane.columns, bitorder="little").astype(bool)
    drawn = bits.reshape(plane.rows, plane.columns)
    return _placed(_outline(drawn) if plane.is_region else drawn, plane.top, plane.left, description)


def _index(header: Header, group: int, frame_number: int) -> int | None:
    """Which frame of the overlay lies over the image's; a plane that says nothing of frames lies over all."""
    count, origin = header.integer(group | _FRAMES), header.integer(group | _FRAME_ORIGIN)
    if count is None and origin is None:
        return 0
    index = frame_number - (origin or 1)
    return index if 0 <= index < (count or 1) else None


def _packed(header: Header, vr: str, value: memoryview, first: int, last: int) -> NDArray[np.uint8]:
    if header.is_little_endian or vr != "OW":
        return np.frombuffer(value[first:last], np.uint8)
    # Words have their most significant byte first, so pairs of bytes are swapped.
    words = np.frombuffer(value[first & ~1 : (last + 1) & ~1], ">u2").astype("<u2")
    return words.view(np.uint8)[first & 1 :][: last - first]


def _placed(plane: Mask, top: int, left: int, description: PixelDescription) -> Mask:
    mask = np.zeros((description.rows, description.columns), bool)
    to_rows = slice(max(0, top), max(0, min(description.rows, top + plane.shape[0])))
    to_columns = slice(max(0, left), max(0, min(description.columns, left + plane.shape[1])))
    height, width = to_rows.stop - to_rows.start, to_columns.stop - to_columns.start
    if height > 0 and width > 0:
        from_row, from_column = to_rows.start - top, to_columns.start - left
        mask[to_rows, to_columns] = plane[from_row : from_row + height, from_column : from_column + width]
    return mask


def _in_unused_bits(header: Header, description: PixelDescription, group: int, pixels: Pixels | None) -> Mask | None:
    """A plane in a bit of the pixel cells that the image does not use (retired in 2004, PS3.5 §8.1.2)."""
    position = header.integer(group | _BIT_POSITION)
    used = range(description.high_bit - description.bits_stored + 1, description.high_bit + 1)
    if (
        position is None
        or header.integer(group | _BITS_ALLOCATED) in (None, 1)
        or pixels is None
        or pixels.ndim != 2
        or pixels.dtype.kind not in "iu"
        or position in used
        or not 0 <= position < 8 * pixels.dtype.itemsize
    ):
        return None
    mask: Mask = (pixels >> position & 1).astype(bool)
    return mask


def _outline(plane: Mask) -> Mask:
    inside = np.zeros_like(plane)
    inside[1:-1, 1:-1] = plane[1:-1, 1:-1] & plane[:-2, 1:-1] & plane[2:, 1:-1] & plane[1:-1, :-2] & plane[1:-1, 2:]
    return plane & ~inside

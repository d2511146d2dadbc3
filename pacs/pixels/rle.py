"""RLE Lossless frames (PS3.5 Annex G)."""

from __future__ import annotations

from itertools import pairwise

import imagecodecs
import numpy as np

from pacs.errors import UndecodablePixels
from pacs.pixels.codestream import read_rle
from pacs.pixels.description import PixelDescription
from pacs.pixels.native import Pixels, cell_type, unpack_bits

_SPARE_BYTES = 256
"""Two runs of 128: what may come out of a segment beyond its pixels."""


def decode_rle(description: PixelDescription, frame: bytes) -> Pixels:
    """One RLE frame as an array.

    1-bit frames, which no released decoder takes, hold one segment of packed pixels.

    Raises:
        UndecodablePixels: a torn header or segment, or another number of segments than the samples need.
    """
    segments = _segments(frame)
    width = max(1, description.bits_allocated // 8)
    expected = width * description.samples_per_pixel
    if len(segments) != expected:
        raise UndecodablePixels(f"the RLE frame has {len(segments)} segments; these pixels need {expected}")
    if description.bits_allocated == 1:
        return unpack_bits(description, _unpacked(segments[0], (description.pixels_per_frame + 7) // 8))
    # Segments run from the most significant byte of the first sample to the least significant of the last.
    planes = [_unpacked(segment, description.pixels_per_frame) for segment in segments]
    cells = np.empty((description.pixels_per_frame, description.samples_per_pixel, width), np.uint8)
    for number, plane in enumerate(planes):
        sample, byte = divmod(number, width)
        cells[:, sample, width - 1 - byte] = np.frombuffer(plane, np.uint8)
    pixels: Pixels = cells.reshape(-1).view(cell_type(description))
    shape = (description.rows, description.columns)
    return pixels.reshape(shape if description.samples_per_pixel == 1 else (*shape, description.samples_per_pixel))


def _segments(frame: bytes) -> list[bytes]:
    return [frame[start:end] for start, end in pairwise([*read_rle(frame, len(frame)), len(frame)])]


def _unpacked(segment: bytes, size: int) -> bytes:
    """PackBits (PS3.5 §G.3.2) into exactly `size` bytes; some writers' few bytes beyond them are dropped."""
    plane = _packbits(segment, size)
    if plane is None and segment.endswith(b"\0"):
        # Segments are padded to even length with a zero, which reads as the start of another run.
        plane = _packbits(segment[:-1], size)
    if plane is None or len(plane) < size:
        raise UndecodablePixels(f"an RLE segment of {len(segment)} bytes can't be unpacked to the {size} it stands for")
    return plane[:size]


def _packbits(segment: bytes, size: int) -> bytes | None:
    try:
        return bytes(imagecodecs.packbits_decode(segment, out=size + _SPARE_BYTES))
    except (RuntimeError, ValueError):
        return None

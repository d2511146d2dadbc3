"""Uncompressed frames to arrays and back (PS3.5 §8.1, §8.2; PS3.3 §C.7.6.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacs.errors import UndecodablePixels
from pacs.pixels.description import PixelDescription

Pixels = NDArray[Any]
"""``(rows, columns)`` or ``(rows, columns, 3)``; unsigned, signed or float cells of Bits Allocated."""


def cell_type(description: PixelDescription) -> np.dtype[Any]:
    """The little-endian array type of one sample; 1-bit pixels take a byte each."""
    kind = "f" if description.is_float else "i" if description.is_signed and description.bits_allocated > 1 else "u"
    return np.dtype(f"<{kind}{max(1, description.bits_allocated // 8)}")


def frame_size(description: PixelDescription, available_bytes: int) -> int:
    """Bytes of a native frame, where `available_bytes` are stored for it.

    Some writers say YBR_FULL_422 and store every sample, as a decompressor left them; the length tells.
    """
    whole = description.samples_per_frame * description.bits_allocated // 8
    return whole if description.is_subsampled and available_bytes >= whole else description.native_frame_bytes


def little_endian(description: PixelDescription, frame: bytes) -> bytes:
    """The bytes of a native frame as Explicit VR Little Endian wants them.

    Raises:
        UndecodablePixels: fewer bytes than the frame needs.
    """
    size = frame_size(description, len(frame))
    if len(frame) < size:
        raise UndecodablePixels(
            f"the frame has {len(frame)} bytes; {description.rows} x {description.columns} needs {size}"
        )
    if not description.is_big_endian:
        return frame[:size]
    width = description.bits_allocated // 8
    if width <= 1:
        # One- and eight-bit pixels in OW lie in 16-bit words whose bytes are swapped.
        if not description.is_word:
            return frame[:size]
        even = len(frame) // 2 * 2
        swapped = np.frombuffer(frame[:even], ">u2").astype("<u2").tobytes() + frame[even:]
        return swapped[:size]
    return np.frombuffer(frame[:size], f">u{width}").astype(f"<u{width}").tobytes()


def unpack(description: PixelDescription, frame: bytes) -> Pixels:
    """A native frame as an array; YBR_..._422 comes out with one Cb and Cr for every pixel.

    The array may be read-only and share memory with `frame`.

    Raises:
        UndecodablePixels: fewer bytes than the frame needs.
    """
    data = little_endian(description, frame)
    rows, columns = description.rows, description.columns
    if description.bits_allocated == 1:
        return unpack_bits(description, data)
    cells: Pixels = np.frombuffer(data, cell_type(description))
    if description.is_subsampled and cells.size < description.samples_per_frame:
        return _upsampled(description, cells)
    if description.samples_per_pixel == 1:
        return cells.reshape(rows, columns)
    if description.is_planar:
        return np.moveaxis(cells.reshape(description.samples_per_pixel, rows, columns), 0, -1)
    return cells.reshape(rows, columns, description.samples_per_pixel)


def unpack_bits(description: PixelDescription, packed: bytes) -> Pixels:
    """1-bit pixels, least significant bit first, as bytes of 0 and 1."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=description.pixels_per_frame, bitorder="little")
    if bits.size != description.pixels_per_frame:
        raise UndecodablePixels(f"{len(packed)} bytes are too few for {description.pixels_per_frame} 1-bit pixels")
    return bits.reshape(description.rows, description.columns)


def _upsampled(description: PixelDescription, cells: Pixels) -> Pixels:
    rows, columns = description.rows, description.columns
    if columns % 2:
        raise UndecodablePixels(
            f"{description.photometric_interpretation} needs an even number of columns, not {columns}"
        )
    pairs = cells.reshape(rows, columns // 2, 4)
    pixels = np.empty((rows, columns, 3), cells.dtype)
    pixels[:, 0::2, 0] = pairs[:, :, 0]
    pixels[:, 1::2, 0] = pairs[:, :, 1]
    pixels[:, 0::2, 1] = pixels[:, 1::2, 1] = pairs[:, :, 2]
    pixels[:, 0::2, 2] = pixels[:, 1::2, 2] = pairs[:, :, 3]
    return pixels


def stored_values(pixels: Pixels, description: PixelDescription) -> Pixels:
    """Cut to Bits Stored at High Bit and sign-extend (PS3.5 §8.1.1); what else is in a cell is not image."""
    size = 8 * pixels.dtype.itemsize
    if description.is_float or description.bits_stored >= size or description.bits_allocated == 1:
        return pixels
    cut: Pixels = (pixels << (size - 1 - description.high_bit)) >> (size - description.bits_stored)
    return cut

"""Images made in code: data sets with pixel data of any kind, and descriptions for frames alone."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacs.part10.header import Header, scan
from pacs.pixels.description import PixelDescription
from tests.part10.encoding import EXPLICIT_LITTLE, encapsulated, explicit, us

PIXEL_DATA = 0x7FE00010


def gradient(rows: int = 32, columns: int = 48, bits: int = 12) -> NDArray[np.uint16]:
    """Grey values that differ in every row and column, from 0 to the largest of `bits`."""
    ramp = np.add.outer(np.arange(rows) * columns, np.arange(columns)).astype(np.float64)
    return np.rint(ramp / ramp.max() * ((1 << bits) - 1)).astype(np.uint16)


def colours(rows: int = 32, columns: int = 48) -> NDArray[np.uint8]:
    """An RGB image whose channels differ."""
    channels = [gradient(rows, columns, 8), gradient(rows, columns, 8)[::-1], gradient(rows, columns, 8)[:, ::-1]]
    return np.stack(channels, axis=-1).astype(np.uint8)


def description_of(
    pixels: NDArray[Any], transfer_syntax_uid: str = EXPLICIT_LITTLE, **changes: Any
) -> PixelDescription:
    """What the Image Pixel Module would say about `pixels`."""
    bits = 8 * pixels.dtype.itemsize
    values: dict[str, Any] = {
        "rows": pixels.shape[0],
        "columns": pixels.shape[1],
        "samples_per_pixel": 1 if pixels.ndim == 2 else pixels.shape[2],
        "photometric_interpretation": "MONOCHROME2" if pixels.ndim == 2 else "RGB",
        "bits_allocated": bits,
        "bits_stored": bits,
        "is_signed": pixels.dtype.kind == "i",
        "is_float": pixels.dtype.kind == "f",
        "is_encapsulated": not transfer_syntax_uid.startswith("1.2.840.10008.1.2.1")
        and transfer_syntax_uid[-4:] != "1.2.2",
        **changes,
    }
    return PixelDescription(transfer_syntax_uid=transfer_syntax_uid, high_bit=values["bits_stored"] - 1, **values)


def decimal(tag: int, *values: float) -> bytes:
    text = "\\".join(f"{value:g}" for value in values)
    return explicit(tag, "DS", text.ljust(len(text) + len(text) % 2).encode())


def code(tag: int, text: str) -> bytes:
    return explicit(tag, "CS", text.ljust(len(text) + len(text) % 2).encode())


def data_set(pixels: NDArray[Any], *elements: bytes, photometric_interpretation: str = "", frames: int = 1) -> bytes:
    """Explicit VR Little Endian: the Image Pixel Module, `elements`, native pixel data; in the order of tags.

    The first of `frames` frames is `pixels`, the others are the same upside down and right in turn.
    """
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    content = b"".join((pixels if number % 2 == 0 else pixels[::-1]).tobytes() for number in range(frames))
    vr = "OB" if pixels.dtype.itemsize == 1 else "OW"
    return in_order(
        *module(pixels, samples, photometric_interpretation, frames),
        *elements,
        explicit(PIXEL_DATA, vr, content + b"\0" * (len(content) % 2)),
    )


def compressed(
    pixels: NDArray[Any], *fragments: bytes, photometric_interpretation: str = "", extra: tuple[bytes, ...] = ()
) -> bytes:
    """An encapsulated data set: one fragment a frame."""
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    padded = [fragment + b"\0" * (len(fragment) % 2) for fragment in fragments]
    return in_order(*module(pixels, samples, photometric_interpretation, len(fragments)), *extra, encapsulated(*padded))


def module(pixels: NDArray[Any], samples: int, photometric_interpretation: str, frames: int) -> list[bytes]:
    bits = 8 * pixels.dtype.itemsize
    count = str(frames).encode()
    return [
        us(0x00280002, samples),
        code(0x00280004, photometric_interpretation or ("RGB" if samples == 3 else "MONOCHROME2")),
        *([us(0x00280006, 0)] if samples == 3 else []),
        *([explicit(0x00280008, "IS", count + b" " * (len(count) % 2))] if frames > 1 else []),
        us(0x00280010, pixels.shape[0]),
        us(0x00280011, pixels.shape[1]),
        us(0x00280100, bits),
        us(0x00280101, bits),
        us(0x00280102, bits - 1),
        us(0x00280103, int(pixels.dtype.kind == "i")),
    ]


def in_order(*elements: bytes) -> bytes:
    return b"".join(sorted(elements, key=lambda element: struct.unpack_from("<HH", element)))


def scanned(content: bytes, transfer_syntax_uid: str = EXPLICIT_LITTLE) -> Header:
    return scan(content, transfer_syntax_uid)


def packbits(plane: bytes) -> bytes:
    """PackBits with literal runs only, padded to even length."""
    runs = [plane[start : start + 128] for start in range(0, len(plane), 128)]
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
    return packed + b"\0" * (len(packed) % 2)


def rle_frame(*segments: bytes) -> bytes:
    """An RLE frame of segments that are packed already (PS3.5 §G.5)."""
    offsets, position = [], 64
    for segment in segments:
        offsets.append(position)
        position += len(segment)
    head = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments)))
    return head + b"".join(segments)

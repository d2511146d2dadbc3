"""PNG and GIF pictures, which no transfer syntax has, as native pixels (PS3.18 Table 10.5.2-1: "transform")."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pacs.errors import UndecodablePixels

MAX_PIXELS: Final = 1 << 26
"""Of all frames together."""
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_GIFS: Final = (b"GIF87a", b"GIF89a")
_GREY: Final = 0


def native_picture(data: bytes, media_type: str, *, is_grey: bool = False) -> tuple[int, int, int, int, int, bytes]:
    """Frames, rows, columns, samples and bits of a pixel, and the pixels in little endian, colour by pixel.

    Palettes become RGB; or grey, where `is_grey` says that it is wanted and nothing has a colour. Transparency is
    discarded. Of a PNG in motion it is the first picture.

    Raises:
        UndecodablePixels: it is none of `media_type`, torn, too large, or has more bits than can be kept.
    """
    columns, rows = _size(data, media_type)
    if not 0 < columns * rows <= MAX_PIXELS:
        raise UndecodablePixels(f"it has {columns} x {rows} pixels; at most {MAX_PIXELS} are taken")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in it, and does not matter
            frames = list(_frames(data, media_type, MAX_PIXELS // (columns * rows)))
    except UndecodablePixels:
        raise
    # Its readers raise nearly anything for a damaged file.
    except Exception as problem:
        raise UndecodablePixels(f"it is no whole {media_type}") from problem
    if any(frame.shape[:2] != (rows, columns) for frame in frames):
        raise UndecodablePixels("its pictures have different sizes")
    if is_grey and all(frame.ndim == 2 or _is_grey(frame) for frame in frames):
        frames = [frame if frame.ndim == 2 else frame[..., 0] for frame in frames]
    samples = 1 if frames[0].ndim == 2 else 3
    bits = frames[0].dtype.itemsize * 8
    native = b"".join(np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).tobytes() for frame in frames)
    return len(frames), rows, columns, samples, bits, native


def _size(data: bytes, media_type: str) -> tuple[int, int]:
    """Columns and rows, before anything takes memory."""
    if media_type == "image/png" and data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) > 26:
        columns, rows, depth, colours = struct.unpack_from(">IIBB", data, 16)
        if depth == 16 and colours != _GREY:
            raise UndecodablePixels("it has 16 bits for each colour; send it as application/dicom")
        return columns, rows
    if media_type == "image/gif" and data.startswith(_GIFS) and len(data) > 13:
        return struct.unpack_from("<HH", data, 6)
    raise UndecodablePixels(f"it begins as no {media_type} does")


def _frames(data: bytes, media_type: str, most: int) -> Iterator[NDArray[Any]]:
    with Image.open(io.BytesIO(data), formats=("PNG",) if media_type == "image/png" else ("GIF",)) as picture:
        if media_type == "image/png":
            yield _pixels(picture)
            return
        count = 0
        while True:
            if count == most:
                raise UndecodablePixels(f"its pictures have more than {MAX_PIXELS} pixels together")
            count += 1
            yield np.asarray(picture.convert("RGB"))
            try:
                picture.seek(count)
            except EOFError:
                return


def _pixels(picture: Image.Image) -> NDArray[Any]:
    if picture.mode in ("I;16", "I;16B", "I"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L"))
    if picture.mode == "RGBA":
        return np.asarray(picture)[..., :3]
    return np.asarray(picture.convert("RGB"))


def _is_grey(frame: NDArray[Any]) -> bool:
    return bool((frame[..., 0] == frame[..., 1]).all() and (frame[..., 0] == frame[..., 2]).all())

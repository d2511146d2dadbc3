"""Stored pixels to native encodings, for clients that do not know the stored transfer syntax (PS3.5 Annex A)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pacs.pixels.decode import Fragment, decode
from pacs.pixels.description import PixelDescription
from pacs.pixels.native import little_endian


def native_frame(description: PixelDescription, fragments: Sequence[Fragment]) -> bytes:
    """One frame as Explicit VR Little Endian has it: samples of a pixel together, 1-bit pixels packed.

    Native frames keep their photometric interpretation and planar configuration; only the byte order changes.
    Compressed colour comes out as `decode` tells, mostly RGB.

    Raises:
        UndecodablePixels: the frame can't be decoded.
    """
    if not description.is_encapsulated:
        return little_endian(description, bytes(fragments[0]) if len(fragments) == 1 else b"".join(fragments))
    pixels = decode(description, fragments).pixels
    if description.bits_allocated == 1:
        return np.packbits(pixels.reshape(-1), bitorder="little").tobytes()
    return pixels.tobytes()

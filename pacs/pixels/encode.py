"""One frame, as an array, to a compressed transfer syntax (PS3.5 §8.2, Annex A.4, Annex G).

Lossless means every bit of every cell, also of the bits above Bits Stored that some writers use for something else:
a codestream has the precision of Bits Stored only when nothing lies beyond it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import imagecodecs
import numpy as np

from pacs.errors import UndecodablePixels
from pacs.pixels.description import PixelDescription
from pacs.pixels.native import Pixels, stored_values

HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"

LOSSLESS_ENCODABLE = (
    HTJ2K_LOSSLESS_RPCL,
    HTJ2K_LOSSLESS,
    JPEG_LS_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_2000_LOSSLESS,
    JPEG_XL_LOSSLESS,
    RLE_LOSSLESS,
)
"""What `encode` makes without loss; what viewers decode fastest for its size comes first."""
LOSSY_ENCODABLE = (JPEG_BASELINE,)
ENCODABLE = LOSSLESS_ENCODABLE + LOSSY_ENCODABLE

JPEG_BASELINE_QUALITY = 95
_COLOURS = {"RGB", "YBR_FULL"}
_GREYS = {"MONOCHROME1", "MONOCHROME2"}
_FEWEST_DECOMPOSITIONS = 5
_BASE_SIDE = 64
"""PS3.5 §10.18: what is left after all decompositions of HTJ2K with RPCL is at most this wide and high."""
_START_OF_LOSSLESS_FRAME, _START_OF_SCAN, _ADOBE = 0xC3, 0xDA, 0xEE
_MAX_RLE_BYTES = 0xFFFFFFFF
_JXL_BOX_FILE = b"\x00\x00\x00\x0cJXL "


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame in a transfer syntax."""

    data: bytes
    photometric_interpretation: str
    """That a data set with this frame says (PS3.5 §8.2): YBR_RCT where the codestream's own transformation is used."""


def obstacle(description: PixelDescription, photometric_interpretation: str, target_uid: str) -> str:
    """Why pixels like these cannot be put into `target_uid`; empty when they can.

    `photometric_interpretation` is that of the decoded pixels.
    """
    if target_uid not in ENCODABLE:
        return f"transfer syntax {target_uid} is not made here"
    if description.is_float:
        return "float pixels have no compressed transfer syntax"
    if description.bits_allocated == 1:
        return "1-bit pixels are not compressed here; ask for Explicit VR Little Endian or for what is stored"
    if description.bits_allocated not in (8, 16):
        return f"pixels of {description.bits_allocated} bits are not compressed here"
    is_colour = description.samples_per_pixel == 3
    allowed = _COLOURS if is_colour else {*_GREYS, "PALETTE COLOR"}
    if target_uid == JPEG_XL_LOSSLESS:
        allowed = {"RGB"} if is_colour else _GREYS
        if description.is_signed:
            return "JPEG XL has no signed pixels"
    if target_uid == JPEG_BASELINE:
        allowed = _COLOURS if is_colour else _GREYS
        if description.bits_allocated != 8 or description.is_signed:
            return "JPEG Baseline has unsigned pixels of 8 bits only"
    if photometric_interpretation not in allowed:
        return f"{photometric_interpretation} has no place in transfer syntax {target_uid}"
    return ""


def encode(
    pixels: Pixels, description: PixelDescription, photometric_interpretation: str, target_uid: str
) -> EncodedFrame:
    """Compress decoded pixels (`pacs.pixels.decode.DecodedFrame`): every bit kept, except in `LOSSY_ENCODABLE`.

    `pixels` are ``(rows, columns)`` or ``(rows, columns, 3)`` of the cell type that `description` has.

    Raises:
        UndecodablePixels: `obstacle` says why, or the codec refuses them.
    """
    reason = obstacle(description, photometric_interpretation, target_uid)
    if reason:
        raise UndecodablePixels(f"the frame can't be made into {target_uid}: {reason}")
    pixels = np.ascontiguousarray(pixels)
    is_rgb = photometric_interpretation == "RGB"
    try:
        if target_uid in (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL):
            data = _htj2k(*_samples(pixels, description), is_rgb)
        elif target_uid == JPEG_2000_LOSSLESS:
            data = _jpeg_2000(*_samples(pixels, description), is_rgb)
        elif target_uid == JPEG_LS_LOSSLESS:
            data = _jpeg_ls(_samples(pixels, description)[0])
        elif target_uid == JPEG_LOSSLESS_SV1:
            data = _jpeg_lossless(*_samples(pixels, description), is_rgb)
        elif target_uid == JPEG_XL_LOSSLESS:
            data = _jpeg_xl(*_samples(pixels, description))
        elif target_uid == RLE_LOSSLESS:
            data = _rle(pixels)
        else:
            data = _jpeg_baseline(pixels, is_rgb)
    except (RuntimeError, ValueError, TypeError, MemoryError, OverflowError) as error:
        raise UndecodablePixels(f"the frame can't be encoded as {target_uid}: {error}") from error
    return EncodedFrame(data, _named(photometric_interpretation, target_uid))


def _named(photometric_interpretation: str, target_uid: str) -> str:
    if photometric_interpretation == "RGB" and target_uid in (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, JPEG_2000_LOSSLESS):
        return "YBR_RCT"
    if target_uid == JPEG_BASELINE and photometric_interpretation in _COLOURS:
        return "YBR_FULL_422"
    return photometric_interpretation


def _samples(pixels: Pixels, description: PixelDescription) -> tuple[Pixels, int]:
    """What a code stream holds, and of how many bits: Bits Stored, as PS3.5 §8.2.4 wants it.

    What else is in a cell is no image (PS3.5 §8.1.1) and goes, except an overlay: then, and where the image does not
    begin at bit 0, all bits of the cells are kept.
    """
    cell, bits = 8 * pixels.dtype.itemsize, description.bits_stored
    if bits >= cell or description.high_bit != bits - 1:
        return pixels, cell
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if pixels.dtype.kind == "i" else (0, (1 << bits) - 1)
    if low <= int(pixels.min()) and int(pixels.max()) <= high:
        return pixels, bits
    return (pixels, cell) if description.has_overlay_in_cells else (stored_values(pixels, description), bits)


def _htj2k(pixels: Pixels, precision: int, is_rgb: bool) -> bytes:
    """RPCL order, TLM, a tile-part for each resolution: a reader stops where it has the resolution it shows.

    The encoder knows whole cells only. Values of fewer bits are shifted to lie around zero and coded as signed, which
    JPEG 2000 does not shift again; SIZ is then told the truth, and a decoder shifts them back (ISO/IEC 15444-1 §G.1).
    """
    is_signed = pixels.dtype.kind == "i"
    is_narrow = precision < 8 * pixels.dtype.itemsize
    if is_narrow and not is_signed:
        centre = pixels.dtype.type(1 << precision - 1)
        pixels = (pixels - centre).view(f"i{pixels.dtype.itemsize}")
    stream = imagecodecs.htj2k_encode(
        pixels,
        reversible=True,
        rgb=is_rgb,
        planar=False if pixels.ndim == 3 else None,
        resolutions=_decompositions(*pixels.shape[:2]),
        tlm=True,
        tilepart=imagecodecs.HTJ2K.TILEPART.RESOLUTIONS,
    )
    if not is_narrow:
        return bytes(stream)
    told = bytearray(stream)
    components = int.from_bytes(told[40:42], "big")
    for component in range(components):
        told[42 + 3 * component] = precision - 1 | (0x80 if is_signed else 0)
    return bytes(told)


def _decompositions(rows: int, columns: int) -> int:
    enough = ((max(rows, columns) - 1) // _BASE_SIDE).bit_length()
    return max(_FEWEST_DECOMPOSITIONS, enough)


def _jpeg_2000(pixels: Pixels, precision: int, is_rgb: bool) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            pixels, level=0, reversible=True, codecformat="j2k", bitspersample=precision, mct=is_rgb
        )
    )


def _jpeg_ls(pixels: Pixels) -> bytes:
    """Sample by sample, without the SPIFF header that PS3.5 §A.4.3 does not know; signed cells by their bits."""
    stream = bytes(imagecodecs.jpegls_encode(pixels.view(f"u{pixels.dtype.itemsize}")))
    start = stream.index(b"\xff\xf7")
    return stream[:2] + stream[start:]


def _jpeg_lossless(pixels: Pixels, precision: int, is_rgb: bool) -> bytes:
    # Decoders hand out 16-bit cells from 9 bits on, and few of them extend a sign.
    cell = 8 * pixels.dtype.itemsize
    precision = cell if pixels.dtype.kind == "i" else max(precision, 9 if cell == 16 else 2)
    space = "RGB" if pixels.ndim == 3 else None
    stream = bytes(
        imagecodecs.jpeg8_encode(
            pixels.view(f"u{pixels.dtype.itemsize}"),
            lossless=True,
            predictor=1,
            bitspersample=precision,
            colorspace=space,
            outcolorspace=space,
        )
    )
    return stream if space is None or is_rgb else _without_marks_of_rgb(stream)


def _without_marks_of_rgb(stream: bytes) -> bytes:
    """The same samples, components 1, 2, 3 and no Adobe marker: readers believe `R`, `G`, `B` before the data set.

    The encoder takes YCbCr itself for 8 bits only.
    """
    kept, position = bytearray(stream[:2]), 2
    while stream[position + 1] != _START_OF_SCAN:
        marker, end = stream[position + 1], position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        segment = bytearray(stream[position:end])
        if marker == _START_OF_LOSSLESS_FRAME:
            segment[10::3] = b"\1\2\3"
        if marker != _ADOBE:
            kept += segment
        position = end
    scan = bytearray(stream[position:])
    scan[5:11:2] = b"\1\2\3"
    return bytes(kept + scan)


def _jpeg_xl(pixels: Pixels, precision: int) -> bytes:
    if pixels.dtype.itemsize == 2:
        precision = max(precision, 9)
    stream = bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1, bitspersample=precision))
    return _without_boxes(stream)


def _without_boxes(stream: bytes) -> bytes:
    """The codestream alone (ISO/IEC 18181-2 §9): PS3.5 §A.4 keeps file formats away."""
    if not stream.startswith(_JXL_BOX_FILE):
        return stream
    position, found = 0, []
    while position + 8 <= len(stream):
        length, kind = struct.unpack_from(">I4s", stream, position)
        content = position + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", stream, content)
            content += 8
        end = position + length if length else len(stream)
        if kind == b"jxlc":
            found.append(stream[content:end])
        elif kind == b"jxlp":
            found.append(stream[content + 4 : end])
        if end <= position:
            break
        position = end
    return b"".join(found)


def _rle(pixels: Pixels) -> bytes:
    """Segments from the most significant byte of the first sample on, each row by itself (PS3.5 §G.2, §G.3)."""
    rows, columns = pixels.shape[:2]
    width = pixels.dtype.itemsize
    cells = pixels.view(np.uint8).reshape(rows, columns, -1, width)
    segments = []
    for sample in range(cells.shape[2]):
        for byte in reversed(range(width)):
            plane = np.ascontiguousarray(cells[:, :, sample, byte])
            segment = bytes(imagecodecs.packbits_encode(plane, axis=-1))
            segments.append(segment + b"\0" * (len(segment) % 2))
    offsets, position = [], 64
    for segment in segments:
        offsets.append(position)
        position += len(segment)
    if position > _MAX_RLE_BYTES:
        raise ValueError("an RLE frame has 32-bit offsets")
    head = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments)))
    return b"".join((head, *segments))


def _jpeg_baseline(pixels: Pixels, is_rgb: bool) -> bytes:
    if pixels.ndim == 2:
        return bytes(imagecodecs.jpeg8_encode(pixels, level=JPEG_BASELINE_QUALITY))
    return bytes(
        imagecodecs.jpeg8_encode(
            pixels,
            level=JPEG_BASELINE_QUALITY,
            colorspace="RGB" if is_rgb else "YCBCR",
            outcolorspace="YCBCR",
            subsampling="422",
        )
    )

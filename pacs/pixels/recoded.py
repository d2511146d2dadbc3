"""A data set with its pixel data in another transfer syntax, as pieces to send (PS3.5 §8.2, Annex A.4).

The frames come from outside, one after the other, so that a data set of any number of them never lies whole in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from pacs.part10.elements import Element
from pacs.part10.header import Header
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from pacs.part10.value_writer import SEQUENCE_DELIMITATION, UNDEFINED, element_head
from pacs.pixels.decode import LOSSY
from pacs.pixels.description import PixelDescription
from pacs.pixels.reencode import reencoded

_PHOTOMETRIC_INTERPRETATION = 0x00280004
_PLANAR_CONFIGURATION = 0x00280006
_LOSSY_IMAGE_COMPRESSION = 0x00282110
_ICON_IMAGE_SEQUENCE = 0x00880200
_EXTENDED_OFFSET_TABLE = 0x7FE00001
_EXTENDED_OFFSET_TABLE_LENGTHS = 0x7FE00002
_OFFSET_TABLES = {_EXTENDED_OFFSET_TABLE, _EXTENDED_OFFSET_TABLE_LENGTHS, 0x7FE00003}
_PIXEL_DATA = 0x7FE00010
_ENCAPSULATED_ICON = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
"""The head of pixel data of undefined length in Explicit VR Little Endian, as encapsulated ones have it."""

_MAX_BASIC_OFFSET = 0xFFFFFFFF
_MAX_FRAGMENT_BYTES = 0xFFFFFFFE


@dataclass(frozen=True, slots=True)
class RecodedPixels:
    """What is known of all frames before the first byte of the data set leaves."""

    transfer_syntax_uid: str
    """Explicit VR Little Endian, or one with one fragment for each frame."""
    photometric_interpretation: str
    frame_lengths: Sequence[int] = field(default=())
    """Bytes of each frame."""


def data_set_pieces(
    header: Header,
    description: PixelDescription,
    pixels: RecodedPixels,
    frames: Iterable[Iterable[bytes | memoryview]],
) -> Iterator[bytes | memoryview]:
    """The data set under `header` in Explicit VR Little Endian encoding, with `frames` as its pixel data.

    Every frame comes in pieces. Photometric Interpretation and Planar Configuration become those of `frames`; frames
    that were lossy are marked so. Encapsulated frames get a Basic Offset Table, or where it can't count so far an
    Extended one. All other values keep their bytes. Group lengths and stale offset tables go, and so does an icon whose
    own pixels are compressed in the transfer syntax that is left.

    Raises:
        MalformedDataSet: `header` can't be walked.
    """
    is_native = pixels.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
    changed = _image_attributes(header, description, pixels)
    if not is_native:
        changed |= _extended_offset_table(pixels.frame_lengths)
    left_out = _OFFSET_TABLES | ({_ICON_IMAGE_SEQUENCE} if has_encapsulated_icon(header) else set())
    for tag in sorted((header.elements.keys() - left_out) | changed.keys() | {_PIXEL_DATA}):
        if tag == _PIXEL_DATA:
            yield from _native(description, pixels, frames) if is_native else _encapsulated(pixels, frames)
        elif tag in changed:
            vr, value = changed[tag]
            yield element_head(tag, vr, len(value), is_implicit_vr=False)
            yield value
        elif tag & 0xFFFF:
            yield from reencoded(header, header.elements[tag], is_implicit_vr=False)


def _image_attributes(
    header: Header, description: PixelDescription, pixels: RecodedPixels
) -> dict[int, tuple[str, bytes]]:
    changed = {_PHOTOMETRIC_INTERPRETATION: ("CS", _even(pixels.photometric_interpretation.encode("ascii"), b" "))}
    if description.samples_per_pixel > 1:
        changed[_PLANAR_CONFIGURATION] = ("US", b"\0\0")
    if description.transfer_syntax_uid in LOSSY and not header.text(_LOSSY_IMAGE_COMPRESSION):
        changed[_LOSSY_IMAGE_COMPRESSION] = ("CS", b"01")
    return changed


def has_encapsulated_icon(header: Header) -> bool:
    """Whether the icon's pixels are compressed in the transfer syntax of the data set (PS3.3 §C.7.6.1.1.6)."""
    icon: Element | None = header.elements.get(_ICON_IMAGE_SEQUENCE) if header.is_encapsulated else None
    return icon is not None and _ENCAPSULATED_ICON in bytes(header.buffer[icon.value_offset : icon.end])


def _native(
    description: PixelDescription, pixels: RecodedPixels, frames: Iterable[Iterable[bytes | memoryview]]
) -> Iterator[bytes | memoryview]:
    length = sum(pixels.frame_lengths)
    vr = "OW" if description.bits_allocated > 8 else "OB"
    yield element_head(_PIXEL_DATA, vr, length + length % 2, is_implicit_vr=False)
    for frame in frames:
        yield from frame
    if length % 2:
        yield b"\0"


def _encapsulated(
    pixels: RecodedPixels, frames: Iterable[Iterable[bytes | memoryview]]
) -> Iterator[bytes | memoryview]:
    offsets = _offsets(pixels.frame_lengths)
    table = b"" if _needs_extended_table(pixels.frame_lengths) else struct.pack(f"<{len(offsets)}L", *offsets)
    yield element_head(_PIXEL_DATA, "OB", UNDEFINED, is_implicit_vr=False)
    yield _item(len(table))
    yield table
    for length, frame in zip(pixels.frame_lengths, frames, strict=True):
        yield _item(length + length % 2)
        yield from frame
        if length % 2:
            yield b"\0"
    yield SEQUENCE_DELIMITATION


def _extended_offset_table(lengths: Sequence[int]) -> dict[int, tuple[str, bytes]]:
    """Tables of 64-bit numbers (PS3.3 §C.7.6.3.1.8); the Basic Offset Table is empty beside them."""
    if not _needs_extended_table(lengths):
        return {}
    return {
        _EXTENDED_OFFSET_TABLE: ("OV", struct.pack(f"<{len(lengths)}Q", *_offsets(lengths))),
        _EXTENDED_OFFSET_TABLE_LENGTHS: ("OV", struct.pack(f"<{len(lengths)}Q", *lengths)),
    }


def _needs_extended_table(lengths: Sequence[int]) -> bool:
    return bool(lengths) and _offsets(lengths)[-1] > _MAX_BASIC_OFFSET


def _offsets(lengths: Sequence[int]) -> list[int]:
    """Of each frame's item, counted from the first one's (PS3.5 §A.4)."""
    return [0, *accumulate(8 + length + length % 2 for length in lengths[:-1])] if lengths else []


def _item(length: int) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, length)


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value

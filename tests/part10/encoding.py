"""Data sets written byte by byte, so that tests can write wrong ones."""

from __future__ import annotations

import struct

UNDEFINED = 0xFFFFFFFF
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"
_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}


def explicit(tag: int, vr: str, value: bytes, length: int | None = None, order: str = "<") -> bytes:
    """One explicit VR element; `length` overrides the true one."""
    length = len(value) if length is None else length
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF) + vr.encode("latin-1")
    if vr in _LONG:
        return head + b"\0\0" + struct.pack(f"{order}L", length) + value
    return head + struct.pack(f"{order}H", length) + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(content: bytes, *, is_undefined: bool = False) -> bytes:
    if is_undefined:
        return struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + content + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def sequence(tag: int, *items: bytes, is_undefined: bool = False, vr: str = "SQ") -> bytes:
    content = b"".join(items)
    if is_undefined:
        return explicit(tag, vr, content + SEQUENCE_END, UNDEFINED)
    return explicit(tag, vr, content)


def encapsulated(*fragments: bytes, offsets: tuple[int, ...] = ()) -> bytes:
    """Pixel Data of these fragments behind a Basic Offset Table."""
    table = item(struct.pack(f"<{len(offsets)}L", *offsets))
    return explicit(0x7FE00010, "OB", table + b"".join(map(item, fragments)) + SEQUENCE_END, UNDEFINED)


def us(tag: int, value: int) -> bytes:
    return explicit(tag, "US", struct.pack("<H", value))


def image(*elements: bytes, rows: int = 4, columns: int = 6, bits: int = 16, frames: int | None = None) -> bytes:
    """A data set with the attributes that give pixel data its size, then `elements`."""
    parts = [explicit(0x00080018, "UI", b"1.2.3\0"), us(0x00280002, 1)]
    if frames is not None:
        text = str(frames).encode()
        parts.append(explicit(0x00280008, "IS", text + b" " * (len(text) % 2)))
    parts += [us(0x00280010, rows), us(0x00280011, columns), us(0x00280100, bits)]
    return b"".join((*parts, *elements))

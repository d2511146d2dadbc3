"""Numbers out of element values; what cannot be a number is left out, never an error (PS3.5 §6.2)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pacs.part10.elements import Element

if TYPE_CHECKING:
    from collections.abc import Sequence

BINARY_NUMBERS: Final = {
    "US": ("H", 2),
    "SS": ("h", 2),
    "UL": ("L", 4),
    "SL": ("l", 4),
    "UV": ("Q", 8),
    "SV": ("q", 8),
    "FL": ("f", 4),
    "FD": ("d", 8),
}
"""struct code and bytes of one value."""

_LUT_DATA = 0x00283006
_MAX_VALUES = 1 << 16


def decided_vr(element: Element, *, is_signed: bool) -> str:
    """One VR for an element that implicit VR leaves open (PS3.5 Annex A.1); `is_signed` is Pixel Representation 1."""
    if element.vr == "US or SS":
        return "SS" if is_signed else "US"
    if element.tag == _LUT_DATA and element.length == 2:
        return "US"
    return "OW"


def binary_numbers(buffer: memoryview, element: Element, vr: str, is_little_endian: bool) -> Sequence[int | float]:
    """Values of a VR of `BINARY_NUMBERS`; empty when the length is no multiple of the VR's."""
    code, size = BINARY_NUMBERS[vr]
    count, rest = divmod(element.end - element.value_offset, size)
    if rest:
        return ()
    order = "<" if is_little_endian else ">"
    return struct.unpack_from(f"{order}{count}{code}", buffer, element.value_offset)


def numbers(buffer: memoryview, element: Element, vr: str, is_little_endian: bool) -> tuple[float, ...]:
    """All finite numbers of an element of a numeric VR, at most 65,536."""
    if vr in BINARY_NUMBERS:
        size = BINARY_NUMBERS[vr][1]
        if element.end - element.value_offset > _MAX_VALUES * size:
            return ()
        found = binary_numbers(buffer, element, vr, is_little_endian)
        return tuple(number for number in found if number - number == 0)
    text = bytes(buffer[element.value_offset : min(element.end, element.value_offset + (_MAX_VALUES << 4))])
    return tuple(number for part in text.split(b"\\") if (number := decimal(part)) is not None)


def decimal(text: bytes) -> int | float | None:
    """A number of VR DS or IS: an int when written as one, a float otherwise; None when it is none or not finite."""
    if len(text) > 64 or b"_" in text:
        return None
    stripped = text.strip(b" \0")
    try:
        return int(stripped)
    except ValueError:
        pass
    try:
        number = float(stripped)
    except ValueError:
        return None
    return number if number - number == 0 else None

"""Top-level attributes of an encoded data set set, added or removed; everything else stays byte for byte.

What stood there before is recorded in Original Attributes Sequence (0400,0561) (PS3.3 Table C.12.1.1.9). Nothing is
copied but the few new bytes, so a data set of any size can be changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pacs.part10 import character_sets
from pacs.part10.elements import UNDEFINED, Element, iter_elements, standard_vr, tag_text
from pacs.part10.value_writer import SINGLE_VALUE_VRS, element_head, encoded_values, padding

if TYPE_CHECKING:
    from pacs.part10.header import Header

ORIGINAL_ATTRIBUTES_SEQUENCE: Final = 0x04000561
_MODIFIED_ATTRIBUTES_SEQUENCE: Final = 0x04000550
_ATTRIBUTE_MODIFICATION_DATETIME: Final = 0x04000562
_MODIFYING_SYSTEM: Final = 0x04000563
_SOURCE_OF_PREVIOUS_VALUES: Final = 0x04000564
_REASON_FOR_THE_ATTRIBUTE_MODIFICATION: Final = 0x04000565
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LO_CHARACTERS: Final = 64

Piece = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Modification:
    """Who changed a data set, when, and where it came from."""

    at: datetime
    """Aware of its zone."""
    system: str
    source: str
    """Of the previous values; empty when unknown."""


def encoded_text(header: Header, tag: int, text: str) -> bytes:
    """`text` as the value of a top-level attribute of `header`, in its character set and byte order.

    A backslash separates values. Raises ValueError when the attribute's VR or the character set cannot hold it.
    """
    vr = standard_vr(tag)
    values = [text] if vr in SINGLE_VALUE_VRS else text.split("\\")
    encode = character_sets.encoder(header.character_set)
    return encoded_values(vr, values if text else [], encode, is_little_endian=header.is_little_endian)


def changed(header: Header, values: Mapping[int, bytes | None], modification: Modification) -> Iterator[Piece]:
    """The data set with `values` by tag, None for an attribute to remove; recorded as coercion (PS3.3 C.12.1.1.9).

    Group lengths of the groups concerned are left out (PS3.5 §7.2: retired). `values` names standard attributes before
    the pixel data that are no sequences. The pieces view the header's buffer.

    Raises:
        ValueError: an Original Attributes Sequence is there that cannot be read.
    """
    new: dict[int, list[Piece]] = {
        tag: [] if value is None else _element(header, tag, value) for tag, value in values.items()
    }
    new[ORIGINAL_ATTRIBUTES_SEQUENCE] = _original_attributes(header, sorted(values), modification)
    return _replaced(header, new)


def _replaced(header: Header, new: Mapping[int, list[Piece]]) -> Iterator[Piece]:
    buffer, waiting = header.buffer, sorted(new)
    groups = {tag >> 16 for tag in new}
    start = end = 0
    """Of the bytes that stay and have not been given yet."""
    for element in _elements(header):
        if not element.tag:
            break  # zeros at the end
        while waiting and waiting[0] <= element.tag:
            if end > start:
                yield buffer[start:end]
            start = end = element.offset
            yield from new[waiting.pop(0)]
        if element.tag in new or (not element.tag & 0xFFFF and element.tag >> 16 in groups):
            if end > start:
                yield buffer[start:end]
            start = element.end
        end = element.end
    if end > start:
        yield buffer[start:end]
    for tag in waiting:
        yield from new[tag]
    if end < len(buffer):
        yield buffer[end:]


def _elements(header: Header) -> Iterator[Element]:
    return iter_elements(
        header.buffer, 0, len(header.buffer), header.is_implicit_vr, header.is_little_endian, 0, header.ends
    )


def _original_attributes(header: Header, tags: list[int], modification: Modification) -> list[Piece]:
    """The whole sequence: the items that are there, and one for this change."""
    pieces: list[Piece] = []
    known = header.elements.get(ORIGINAL_ATTRIBUTES_SEQUENCE)
    if known is None:
        pieces.append(_head(header, ORIGINAL_ATTRIBUTES_SEQUENCE, "SQ", UNDEFINED))
    else:
        code = bytes(header.buffer[known.offset + 4 : known.offset + 6])
        if known.vr != "SQ" or known.is_implicit_vr != header.is_implicit_vr or code == b"UN":
            raise ValueError(f"{tag_text(ORIGINAL_ATTRIBUTES_SEQUENCE)} is no sequence that an item can be added to")
        items_end = known.end if known.length is not None else known.end - 8
        pieces.append(_head(header, ORIGINAL_ATTRIBUTES_SEQUENCE, "SQ", UNDEFINED))
        pieces.append(header.buffer[known.value_offset : items_end])
    at = modification.at.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
    pieces += [
        _delimiter(header, _ITEM, UNDEFINED),
        _head(header, _MODIFIED_ATTRIBUTES_SEQUENCE, "SQ", UNDEFINED),
        _delimiter(header, _ITEM, UNDEFINED),
    ]
    for tag in tags:
        pieces += _previous(header, tag)
    pieces += [
        _delimiter(header, _ITEM_END, 0),
        _delimiter(header, _SEQUENCE_END, 0),
        *_element(header, _ATTRIBUTE_MODIFICATION_DATETIME, at.encode()),
        *_element(header, _MODIFYING_SYSTEM, _plain(modification.system)),
        *_element(header, _SOURCE_OF_PREVIOUS_VALUES, _plain(modification.source)),
        *_element(header, _REASON_FOR_THE_ATTRIBUTE_MODIFICATION, b"COERCE"),
        _delimiter(header, _ITEM_END, 0),
        _delimiter(header, _SEQUENCE_END, 0),
    ]
    return pieces


def _previous(header: Header, tag: int) -> list[Piece]:
    """The attribute as it was; empty when it was not there."""
    element = header.elements.get(tag)
    if element is None:
        return _element(header, tag, b"")
    if element.is_implicit_vr == header.is_implicit_vr or element.length is None:
        return [header.buffer[element.offset : element.end]]
    head = _head(header, tag, header.vr(element), element.length)
    return [head, header.buffer[element.value_offset : element.end]]


def _element(header: Header, tag: int, value: bytes) -> list[Piece]:
    vr = standard_vr(tag)
    value += padding(vr, len(value))
    return [_head(header, tag, vr, len(value)), value]


def _head(header: Header, tag: int, vr: str, length: int) -> bytes:
    return element_head(tag, vr, length, is_implicit_vr=header.is_implicit_vr, is_little_endian=header.is_little_endian)


def _delimiter(header: Header, tag: int, length: int) -> bytes:
    return struct.pack("<HHL" if header.is_little_endian else ">HHL", tag >> 16, tag & 0xFFFF, length)


def _plain(text: str) -> bytes:
    """LO that every character set can hold."""
    printable = "".join(character if " " <= character <= "~" and character != "\\" else "?" for character in text)
    return printable[:_LO_CHARACTERS].encode("ascii")

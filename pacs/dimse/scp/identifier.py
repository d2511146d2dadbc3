"""The identifier of a C-FIND, C-MOVE or C-GET request as keys with text values (PS3.4 C.2.2, C.4.1.1.3).

Pure. Nothing a peer sends is believed: the data set is walked by `pacs.part10.header`, which bounds depth and lengths.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pacs.errors import InvalidRequest
from pacs.part10 import character_sets
from pacs.part10.elements import standard_vr
from pacs.part10.header import Element, Header, scan

MAX_IDENTIFIER_BYTES: Final = 1 << 20
"""A list of 16,000 UIDs; real identifiers have a few hundred bytes."""
MAX_KEYS: Final = 512
"""Keys of one identifier, those in sequences counted; the widest real ones ask for about a hundred."""
MAX_DEPTH: Final = 4
"""Sequences inside sequences; the standard's keys need two."""

SPECIFIC_CHARACTER_SET: Final = 0x00080005

_SINGLE_VALUE = frozenset({"LT", "ST", "UT", "UR"})
"""VRs in which a backslash is a character (PS3.5 §6.2)."""
_NUMBERS = frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_NOT_TEXT = _NUMBERS | _BINARY | {"AT", "SQ"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key attribute of an identifier."""

    tag: int
    vr: str
    values: tuple[str, ...] = ()
    """Decoded, padding stripped. Empty for universal matching: no value, or ``*`` alone (PS3.4 C.2.2.2.3-4)."""
    item: tuple[Key, ...] = ()
    """The keys inside the one item of a sequence."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """All keys of a request, in order, and the character set it was written in."""

    keys: tuple[Key, ...] = ()
    character_set: tuple[str, ...] = ()
    """Specific Character Set (0008,0005) as sent, to answer in the same."""
    by_tag: dict[int, Key] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_tag", {key.tag: key for key in self.keys})

    def values(self, tag: int) -> tuple[str, ...]:
        """The values of a top-level key; empty when it is absent or universal."""
        key = self.by_tag.get(tag)
        return key.values if key is not None else ()

    def value(self, tag: int) -> str:
        """The first value of a top-level key; empty when it has none."""
        return next(iter(self.values(tag)), "")


def decode_identifier(data_set: bytes, transfer_syntax_uid: str) -> Identifier:
    """Read an identifier. Group lengths and Specific Character Set do not become keys.

    Text is decoded with the request's character set; where it names none but sends more than ASCII, as modern
    terminals do, as UTF-8 when it is that.

    Raises:
        MalformedDataSet: the data set cannot be walked.
        InvalidRequest: too many keys, nested too deep, or a sequence with more than one item.
        TooLarge: a deflated identifier grows past `MAX_IDENTIFIER_BYTES`.
    """
    if not data_set:
        return Identifier()
    header = scan(data_set, transfer_syntax_uid, max_inflated_bytes=MAX_IDENTIFIER_BYTES)
    declared = tuple(header.texts(SPECIFIC_CHARACTER_SET))
    reader = _Reader(is_declared=any(declared))
    keys = tuple(reader.keys(header, 0))
    return Identifier(keys, declared)


class _Reader:
    """Counts keys over all levels of one identifier."""

    def __init__(self, *, is_declared: bool) -> None:
        self._is_declared = is_declared
        self._count = 0

    def keys(self, header: Header, depth: int) -> Iterator[Key]:
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"sequences nested deeper than {MAX_DEPTH} in the identifier")
        for tag in sorted(header.elements):
            if tag == SPECIFIC_CHARACTER_SET or tag & 0xFFFF == 0:
                continue
            self._count += 1
            if self._count > MAX_KEYS:
                raise InvalidRequest(f"more than {MAX_KEYS} keys in the identifier")
            element = header.elements[tag]
            vr = header.vr(element)
            if vr == "UN":
                vr = _vr_of_long_text(tag)
            if vr == "SQ":
                yield Key(tag, vr, item=self._item(header, tag, depth))
            else:
                yield Key(tag, vr, self._values(header, element, vr))

    def _item(self, header: Header, tag: int, depth: int) -> tuple[Key, ...]:
        items = header.items(tag)
        if len(items) > 1:
            raise InvalidRequest(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has {len(items)} items; a key has one at most")
        return tuple(self.keys(items[0], depth + 1)) if items else ()

    def _values(self, header: Header, element: Element, vr: str) -> tuple[str, ...]:
        if vr in _NUMBERS:
            return tuple(_number_text(number) for number in header.numbers(element.tag))
        stored = bytes(header.buffer[element.value_offset : element.end])
        if vr == "AT":
            order = "<" if header.is_little_endian else ">"
            pairs = struct.iter_unpack(f"{order}HH", stored[: len(stored) - len(stored) % 4])
            return tuple(f"{group:04X}{element:04X}" for group, element in pairs)
        if vr in _BINARY:
            return (base64.b64encode(stored).decode("ascii"),) if stored else ()
        text = self._text(header, stored, vr).strip(" \0")
        if vr in _SINGLE_VALUE:
            values: tuple[str, ...] = (text,)
        else:
            values = tuple(value.strip(" \0") for value in text.split("\\"))
        values = tuple(value for value in values if value)
        return () if values == ("*",) else values

    def _text(self, header: Header, stored: bytes, vr: str) -> str:
        if not self._is_declared and not stored.isascii():
            try:
                return stored.decode("utf-8")
            except UnicodeDecodeError:
                pass
        return character_sets.decode(stored, header.character_set, vr)


def _vr_of_long_text(tag: int) -> str:
    """Of what was too long for the VR that it has, and so came as UN (PS3.5 §6.2.2): a list of UIDs, as a rule."""
    vr = standard_vr(tag)
    return "UN" if len(vr) > 2 or vr in _NOT_TEXT else vr


def _number_text(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)

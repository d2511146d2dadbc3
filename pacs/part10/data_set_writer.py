"""The DICOM JSON Model (PS3.18 Annex F) -> a data set in Explicit VR Little Endian, with places left for bulk data.

Pure and strict: nothing that came is corrected or left out in silence. What is not of the data set itself (group
lengths, groups 0000 and 0002, Available Transfer Syntax UID, trailing padding) is not written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pacs.errors import MalformedDataSet
from pacs.model import DicomJson
from pacs.part10.elements import MAX_DEPTH, MAX_KEPT_ELEMENTS, PIXEL_DATA_TAGS, standard_vr, tag_text
from pacs.part10.value_writer import (
    BINARY_VRS,
    ITEM,
    ITEM_DELIMITATION,
    KNOWN_VRS,
    SEQUENCE_DELIMITATION,
    TEXT_VRS,
    UNDEFINED,
    element_head,
    encoded_values,
    inline_binary,
)
from pacs.part10.values import BINARY_NUMBERS

MAX_BULK_REFERENCES: Final = 10_000
"""In one data set."""
MAX_URI_CHARACTERS: Final = 4096

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_CHARACTER_SET: Final = 0x00080005
_UTF_8: Final = "ISO_IR 192"
_NOT_WRITTEN: Final = frozenset({0xFFFCFFFC, 0x00083002})
_NOT_OF_A_DATA_SET: Final = frozenset({0x0000, 0x0001, 0x0003, 0x0005, 0x0007, 0xFFFE, 0xFFFF})
_CONTENT: Final = frozenset({"Value", "InlineBinary", "BulkDataURI"})
_PIXEL_VRS: Final = {
    0x7FE00008: frozenset({"OF"}),
    0x7FE00009: frozenset({"OD"}),
    0x7FE00010: frozenset({"OB", "OW", "UN"}),
}


class RepeatedAttribute(dict[str, Any]):
    """A JSON object that named the same key twice; which one was meant cannot be known."""


@dataclass(frozen=True, slots=True)
class BulkReference:
    """Where a whole element comes in whose value arrives apart."""

    tag: int
    vr: str
    uri: str
    is_nested: bool


Piece = bytes | BulkReference


def encoded_data_set(attributes: DicomJson) -> list[Piece]:
    """The data set, elements in order: bytes, and a `BulkReference` in place of each element with a BulkDataURI.

    Text is UTF-8, and Specific Character Set says so where there is any beyond ASCII, one was named, or text comes as
    bulk data: that must be UTF-8 too, and whoever puts it into its place sees to it. Sequences have undefined lengths,
    so that bulk data may stand inside them.

    Raises:
        MalformedDataSet: no data set of the model: a wrong tag or VR, a value that does not fit its VR, nesting deeper
            than `MAX_DEPTH`, more than `MAX_KEPT_ELEMENTS` attributes and items; names the attribute, never a value.
    """
    return _Writer().whole(attributes)


class _Writer:
    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._bytes = bytearray()
        self._left = MAX_KEPT_ELEMENTS
        self._references = 0
        self._is_beyond_ascii = False

    def whole(self, attributes: DicomJson) -> list[Piece]:
        self._data_set(attributes, 0)
        self._flush()
        if self._is_beyond_ascii and "00080005" not in attributes:
            named = encoded_data_set({"00080005": {"vr": "CS", "Value": [_UTF_8]}})
            self._pieces = self._with_character_set(attributes, named)
        return self._pieces

    @staticmethod
    def _with_character_set(attributes: DicomJson, named: list[Piece]) -> list[Piece]:
        """Encode again in two halves around (0008,0005): rare, and simpler than an insertion."""
        before = {key: value for key, value in attributes.items() if int(key, 16) < _CHARACTER_SET}
        after = {key: value for key, value in attributes.items() if int(key, 16) > _CHARACTER_SET}
        halves = []
        for half in (before, after):
            writer = _Writer()
            writer._data_set(half, 0)
            writer._flush()
            halves.append(writer._pieces)
        return halves[0] + named + halves[1]

    def _flush(self) -> None:
        if self._bytes:
            self._pieces.append(bytes(self._bytes))
            self._bytes.clear()

    def _data_set(self, attributes: Any, depth: int) -> None:
        if not isinstance(attributes, dict):
            raise MalformedDataSet(
                "a data set of the DICOM JSON Model is an object of attributes by tag (PS3.18 F.2.2)"
            )
        if isinstance(attributes, RepeatedAttribute):
            raise MalformedDataSet("a tag or key is named twice in one object")
        if depth > MAX_DEPTH:
            raise MalformedDataSet(f"sequences nested deeper than {MAX_DEPTH}")
        self._count(len(attributes))
        tags = sorted((_tag_of(key), key) for key in attributes)
        if len({tag for tag, _ in tags}) < len(tags):
            raise MalformedDataSet("a tag is named twice, in upper and lower case")
        for tag, key in tags:
            if tag >> 16 in _NOT_OF_A_DATA_SET:
                raise MalformedDataSet(f"{tag_text(tag)} cannot stand in a data set (PS3.5 §7.1)")
            if not tag & 0xFFFF or tag >> 16 == 0x0002 or (tag in _NOT_WRITTEN and not depth):
                continue
            self._attribute(tag, attributes[key], depth)

    def _count(self, number: int) -> None:
        self._left -= number
        if self._left < 0:
            raise MalformedDataSet(f"more than {MAX_KEPT_ELEMENTS} attributes and items in one data set")

    def _attribute(self, tag: int, attribute: Any, depth: int) -> None:
        if not isinstance(attribute, dict) or isinstance(attribute, RepeatedAttribute):
            raise MalformedDataSet(f"{tag_text(tag)} is no object with a vr (PS3.18 F.2.2)")
        vr = attribute.get("vr")
        if vr not in KNOWN_VRS:
            raise MalformedDataSet(f"{tag_text(tag)} has no known vr (PS3.5 Table 6.2-1)")
        _check_vr(tag, vr)
        given = _CONTENT & attribute.keys()
        if len(given) > 1:
            raise MalformedDataSet(f"{tag_text(tag)} has more than one of {', '.join(sorted(given))}")
        if "BulkDataURI" in given:
            self._reference(tag, vr, attribute["BulkDataURI"], depth)
            return
        if tag == _CHARACTER_SET:
            attribute = {"Value": [_UTF_8]}  # the document is Unicode, whatever the data set was before
        try:
            values = _values(attribute)
            if vr == "SQ":
                self._sequence(tag, values, depth)
                return
            value = self._value(tag, vr, values, attribute)
        except ValueError as problem:
            text = "holds characters that its VR cannot have" if isinstance(problem, UnicodeError) else str(problem)
            raise MalformedDataSet(f"{tag_text(tag)} {vr} {text}") from None
        self._bytes += element_head(tag, vr, len(value), is_implicit_vr=False)
        self._bytes += value

    def _value(self, tag: int, vr: str, values: list[Any], attribute: Mapping[str, Any]) -> bytes:
        if "InlineBinary" in attribute:
            if vr not in BINARY_VRS:
                raise ValueError("has an InlineBinary, which only OB, OD, OF, OL, OV, OW and UN have")
            return inline_binary(attribute["InlineBinary"])
        if vr in BINARY_VRS:
            if values:
                raise ValueError("has a Value; bytes go into InlineBinary or BulkDataURI")
            return b""
        value = encoded_values(vr, values, str.encode)
        if vr in TEXT_VRS and not value.isascii():
            self._is_beyond_ascii = True
        return value

    def _sequence(self, tag: int, items: list[Any], depth: int) -> None:
        self._count(len(items))
        self._bytes += element_head(tag, "SQ", UNDEFINED, is_implicit_vr=False)
        for item in items:
            self._bytes += ITEM
            self._data_set({} if item is None else item, depth + 1)
            self._bytes += ITEM_DELIMITATION
        self._bytes += SEQUENCE_DELIMITATION

    def _reference(self, tag: int, vr: str, uri: Any, depth: int) -> None:
        if not isinstance(uri, str) or not 0 < len(uri.strip()) <= MAX_URI_CHARACTERS:
            raise MalformedDataSet(f"{tag_text(tag)} has a BulkDataURI that is empty, too long or no text")
        if vr == "SQ":
            raise MalformedDataSet(f"{tag_text(tag)} is a sequence; it cannot be bulk data (PS3.18 F.2.6)")
        if tag == _CHARACTER_SET:
            raise MalformedDataSet(f"{tag_text(tag)} cannot be bulk data: it says how all other text is to be read")
        # It is UTF-8, whatever letters it turns out to have (`encoded_data_set`).
        self._is_beyond_ascii = self._is_beyond_ascii or vr in TEXT_VRS
        self._references += 1
        if self._references > MAX_BULK_REFERENCES:
            raise MalformedDataSet(f"more than {MAX_BULK_REFERENCES} BulkDataURIs in one data set")
        self._flush()
        self._pieces.append(BulkReference(tag, vr, uri.strip(), is_nested=depth > 0))


def _tag_of(key: Any) -> int:
    if not isinstance(key, str) or not _TAG.fullmatch(key):
        raise MalformedDataSet("an attribute is not named by a tag of eight hex digits (PS3.18 F.2.2)")
    return int(key, 16)


def _values(attribute: Mapping[str, Any]) -> list[Any]:
    values = attribute.get("Value")
    if values is None:
        return []
    if not isinstance(values, list):
        raise ValueError("has a Value that is no array")  # noqa: TRY004 -- it is the peer's value
    return values


def _check_vr(tag: int, vr: str) -> None:
    """A standard attribute of another kind than PS3.6 has it cannot be read by anybody; within a kind nobody minds."""
    allowed = _PIXEL_VRS.get(tag) if tag in PIXEL_DATA_TAGS else None
    if allowed is not None:
        is_right = vr in allowed
    else:
        standard = standard_vr(tag)
        is_right = vr == "UN" or standard == "UN" or _kind(vr) in {_kind(each) for each in standard.split(" or ")}
    if not is_right:
        raise MalformedDataSet(f"{tag_text(tag)} has vr {vr}, which PS3.6 does not give it")


def _kind(vr: str) -> str:
    if vr in BINARY_VRS:
        return "bytes"
    if vr in BINARY_NUMBERS:
        return "real" if vr in {"FL", "FD"} else "whole"
    return vr if vr in {"SQ", "AT"} else "text"

"""The DICOM JSON Model (PS3.18 Annex F) straight from the bytes of a data set, without building one in between."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydicom.datadict import private_dictionary_VR

from pacs.errors import MalformedDataSet, NotFound, TooLarge
from pacs.part10 import character_sets, values
from pacs.part10.elements import MAX_KEPT_ELEMENTS, PIXEL_DATA_TAGS, Element
from pacs.part10.sequence_items import Item, elements_by_tag, iter_items

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pacs.model import DicomJson
    from pacs.part10.header import Header

INLINE_LIMIT_BYTES: Final = 1024
"""Binary values that are longer are bulk data."""
LARGE_VALUE_BYTES: Final = 1 << 20
"""Text and numbers longer than this are bulk data, too (PS3.18 F.2.6 allows it for any VR)."""
_LARGEST_EXACT: Final = 1 << 53
"""Integers beyond it are no safe JSON numbers, so they are strings (PS3.18 Table F.2.3-1 for SV and UV)."""

_CHARACTER_SET: Final = 0x00080005
_PIXEL_REPRESENTATION: Final = 0x00280103
_NOT_OF_THE_DATA_SET: Final = frozenset({0x0000, 0x0002})
_TRAILING_PADDING: Final = 0xFFFCFFFC
_LUT_DESCRIPTORS: Final = frozenset({0x00281101, 0x00281102, 0x00281103, 0x00283002})
_TEXT: Final = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UI"})
_LONG_TEXT: Final = frozenset({"LT", "ST", "UR", "UT"})
_BINARY_WORD_BYTES: Final = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_VRS: Final = (
    _TEXT | _LONG_TEXT | _BINARY_WORD_BYTES.keys() | values.BINARY_NUMBERS.keys() | {"AT", "DS", "IS", "PN", "SQ", "UC"}
)
_PN_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_PATH = re.compile(r"[0-9A-Fa-f]{8}(/[1-9][0-9]{0,8}/[0-9A-Fa-f]{8}){0,64}")

BulkDataUri = "Callable[[str], str]"
"""Gives the URI of the value at a path such as ``00400275/1/00091010``: tags, and items counted from 1."""


def to_json(
    header: Header,
    *,
    tags: Collection[int] | None = None,
    bulk_data_uri: Callable[[str], str] | None = None,
    inline_limit_bytes: int = INLINE_LIMIT_BYTES,
) -> DicomJson:
    """Return the data set (or only the top-level `tags` of it) in the DICOM JSON Model, ordered by tag.

    Binary values of up to `inline_limit_bytes` are InlineBinary (little endian, base64), longer ones BulkDataURI, as
    are text and numbers past `LARGE_VALUE_BYTES`; without `bulk_data_uri` all are inline. Pixel data is never inline:
    BulkDataURI, or left out. Group lengths, groups 0000 and 0002 and trailing padding are left out. Text is UTF-8,
    whatever it was, and Specific Character Set says so.

    Values that break their VR never fail: a number that is none stays text, NaN and infinity become null, a sequence
    that cannot be walked and numbers of a wrong length become UN with their bytes.

    Raises:
        TooLarge: more than `MAX_KEPT_ELEMENTS` elements and items.
    """
    conversion = Conversion(header, bulk_data_uri, inline_limit_bytes)
    if tags is None:
        return conversion.data_set(header.elements, header.elements, conversion.scope)
    wanted = {tag: header.elements[tag] for tag in tags if tag in header.elements}
    return conversion.data_set(wanted, header.elements, conversion.scope)


def is_of_the_data_set(tag: int) -> bool:
    """Whether `to_json` tells of an element with this tag at all."""
    return bool(tag & 0xFFFF) and tag >> 16 not in _NOT_OF_THE_DATA_SET and tag != _TRAILING_PADDING


class _Scope(NamedTuple):
    """What an item takes over from the data set around it."""

    character_set: tuple[str, ...]
    is_signed: bool
    path: str
    """Path of the item with a slash behind it; empty at the top level."""
    depth: int


class Conversion:
    """One walk from bytes to JSON."""

    __slots__ = (
        "_bulk_data_uri",
        "_elements",
        "_ends",
        "_inline_limit",
        "_is_little_endian",
        "_left",
        "buffer",
        "scope",
    )

    def __init__(
        self, header: Header, bulk_data_uri: Callable[[str], str] | None, inline_limit: int = INLINE_LIMIT_BYTES
    ) -> None:
        """For `header`; see `to_json`."""
        self.buffer = header.buffer
        self.scope = _Scope(header.character_set, header.integer(_PIXEL_REPRESENTATION) == 1, "", 0)
        self._elements = header.elements
        self._is_little_endian = header.is_little_endian
        self._ends = header.ends
        self._bulk_data_uri = bulk_data_uri
        self._inline_limit = inline_limit
        self._left = MAX_KEPT_ELEMENTS

    def element(self, element: Element) -> DicomJson:
        """What `to_json` has of one top-level element, by its tag; nothing of one that it leaves out.

        Raises:
            TooLarge: as `to_json`, counted over all elements asked for.
        """
        return self.data_set({element.tag: element}, self._elements, self.scope)

    def data_set(self, wanted: Mapping[int, Element], siblings: Mapping[int, Element], scope: _Scope) -> DicomJson:
        """`wanted` elements of the data set that consists of `siblings`."""
        result: DicomJson = {}
        for tag in sorted(wanted):
            if not is_of_the_data_set(tag):
                continue
            element = wanted[tag]
            vr = element.vr
            if vr == "UN" and tag & 0x10000:
                vr = self._private_vr(element, siblings)
            if len(vr) != 2:
                vr = values.decided_vr(element._replace(vr=vr), is_signed=scope.is_signed)
            converted = self._element(element, vr, scope)
            if converted is not None:
                result[f"{tag:08X}"] = converted
        return result

    def _private_vr(self, element: Element, siblings: Mapping[int, Element]) -> str:
        """VR of a private element that its writer did not know, from the dictionaries of known private creators."""
        creator = siblings.get(element.tag & 0xFFFF0000 | element.tag >> 8 & 0xFF)
        if creator is None or creator.end - creator.value_offset > 64:
            return "UN"
        name = bytes(self.buffer[creator.value_offset : creator.end]).decode("latin-1").strip(" \0")
        return _known_private_vr(element.tag, name)

    def _element(self, element: Element, vr: str, scope: _Scope) -> dict[str, Any] | None:
        tag, start, end = element.tag, element.value_offset, element.end
        if tag in PIXEL_DATA_TAGS and not scope.depth:
            return {"vr": vr, "BulkDataURI": self._bulk_data_uri(f"{tag:08X}")} if self._bulk_data_uri else None
        if tag == _CHARACTER_SET:
            return {"vr": "CS", "Value": ["ISO_IR 192"]}
        if start == end:
            return {"vr": vr}
        if vr == "SQ":
            return self._sequence(element, scope)
        if vr in _BINARY_WORD_BYTES:
            return self._binary(element, vr, scope)
        if end - start > LARGE_VALUE_BYTES and self._bulk_data_uri is not None:
            return {"vr": vr, "BulkDataURI": self._bulk_data_uri(f"{scope.path}{tag:08X}")}
        if vr in values.BINARY_NUMBERS:
            found = values.binary_numbers(self.buffer, element, vr, self._is_little_endian)
            return {"vr": vr, "Value": _json_numbers(found, vr, tag)} if found else self._binary(element, "UN", scope)
        if vr == "AT":
            return self._tags(element, scope)
        value = _texts(bytes(self.buffer[start:end]), vr, scope.character_set)
        return {"vr": vr, "Value": value} if value and value != [None] else {"vr": vr}

    def _tags(self, element: Element, scope: _Scope) -> dict[str, Any]:
        found = values.binary_numbers(self.buffer, element, "US", self._is_little_endian)
        if len(found) % 2 or not found:
            return self._binary(element, "UN", scope)
        pairs = zip(found[::2], found[1::2], strict=True)
        return {"vr": "AT", "Value": [f"{group:04X}{number:04X}" for group, number in pairs]}

    def _binary(self, element: Element, vr: str, scope: _Scope) -> dict[str, Any]:
        if self._bulk_data_uri is not None and element.end - element.value_offset > self._inline_limit:
            return {"vr": vr, "BulkDataURI": self._bulk_data_uri(f"{scope.path}{element.tag:08X}")}
        value = _little_endian(self.buffer, element, vr, self._is_little_endian)
        return {"vr": vr, "InlineBinary": b64encode(value).decode("ascii")}

    def _sequence(self, element: Element, scope: _Scope) -> dict[str, Any]:
        try:
            items = [
                self._item(item, f"{scope.path}{element.tag:08X}/{number}/", scope)
                for number, item in enumerate(
                    iter_items(self.buffer, element, self._is_little_endian, self._ends), start=1
                )
            ]
        except MalformedDataSet:
            return self._binary(element, "UN", scope)
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}

    def _item(self, item: Item, path: str, outer: _Scope) -> DicomJson:
        elements = elements_by_tag(self.buffer, item, self._is_little_endian, outer.depth + 1, self._ends, self._left)
        self._left -= len(elements) + 1
        if self._left < 0:
            raise TooLarge(f"more than {MAX_KEPT_ELEMENTS} items in the sequences of one data set")
        character_set, is_signed = outer.character_set, outer.is_signed
        own = elements.get(_CHARACTER_SET)
        if own is not None:
            character_set = character_sets.encodings(bytes(self.buffer[own.value_offset : own.end][:1024]))
        own = elements.get(_PIXEL_REPRESENTATION)
        if own is not None:
            is_signed = values.numbers(self.buffer, own, "US", self._is_little_endian)[:1] == (1,)
        return self.data_set(elements, elements, _Scope(character_set, is_signed, path, outer.depth + 1))


@lru_cache(maxsize=8192)
def _known_private_vr(tag: int, creator: str) -> str:
    try:
        vr = private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"
    return vr if vr in _VRS or " or " in vr else "UN"


def _texts(raw: bytes, vr: str, character_set: tuple[str, ...]) -> list[Any]:
    """The values of a VR that is written as text; padding stripped, an empty one among others None."""
    if vr in {"DS", "IS"}:
        return [_json_decimal(part) for part in raw.rstrip(b" \0").split(b"\\")]
    text = character_sets.decode(raw, character_set, vr).rstrip(" \0")
    if "\0" in text:
        text = text.replace("\0", "")  # PostgreSQL's jsonb, for one, takes no U+0000
    if vr in _LONG_TEXT:
        return [text] if text else []
    if vr == "PN":
        return [_person_name(part) for part in text.split("\\")]
    return [part.strip() or None for part in text.split("\\")]


def _json_numbers(found: Iterable[int | float], vr: str, tag: int) -> list[Any]:
    if vr in {"FL", "FD"}:
        return [number if number - number == 0 else None for number in found]
    if vr in {"SV", "UV"}:
        return [number if -_LARGEST_EXACT <= number <= _LARGEST_EXACT else str(number) for number in found]
    numbers = list(found)
    if vr == "SS" and tag in _LUT_DESCRIPTORS and numbers[0] < 0:
        numbers[0] += 65536  # a count of entries is never negative (PS3.3 C.11.1.1.1), whatever the VR says
    return numbers


def _json_decimal(part: bytes) -> int | float | str | None:
    number = values.decimal(part)
    if number is None:
        return part.decode("latin-1").replace("\0", "").strip() or None
    if not -_LARGEST_EXACT <= number <= _LARGEST_EXACT and isinstance(number, int):
        return float(number)
    return number


def _person_name(text: str) -> dict[str, str] | None:
    """One name as its non-empty component groups (PS3.18 F.2.2); None when there is none."""
    groups = {name: group.strip() for name, group in zip(_PN_GROUPS, text.split("="), strict=False)}
    return {name: group for name, group in groups.items() if group} or None


def _little_endian(buffer: memoryview, element: Element, vr: str, is_little_endian: bool) -> memoryview:
    """The value as PS3.18 F.2.7 wants it: words in little endian order."""
    value = buffer[element.value_offset : element.end]
    size = _BINARY_WORD_BYTES.get(vr, 1)
    if is_little_endian or size == 1 or len(value) % size:
        return value
    swapped = bytearray(len(value))
    for position in range(size):
        swapped[position::size] = value[size - 1 - position :: size]
    return memoryview(swapped)


def value_bytes(header: Header, path: str) -> memoryview:
    """The bytes of the value at `path`, as `to_json` gave it to `bulk_data_uri`: words in little endian order.

    Raises:
        NotFound: no such element or item, or no path at all.
    """
    if not _PATH.fullmatch(path):
        raise NotFound(f"{path[:80]!r} is no path to a value: eight hex digits, then item number and tag in turn")
    parts = path.split("/")
    elements: Mapping[int, Element] = header.elements
    conversion = Conversion(header, None, 0)
    try:
        for depth, (tag, number) in enumerate(zip(parts[:-1:2], parts[1::2], strict=True), start=1):
            sequence = elements.get(int(tag, 16))
            if sequence is None:
                raise NotFound(f"the data set has no {tag} on the path {path}")
            items = iter_items(header.buffer, sequence, header.is_little_endian, header.ends)
            item = next((item for index, item in enumerate(items, start=1) if index == int(number)), None)
            if item is None:
                raise NotFound(f"{tag} has no item {number}")
            elements = elements_by_tag(header.buffer, item, header.is_little_endian, depth, header.ends)
    except MalformedDataSet as error:
        raise NotFound(f"the sequences on the path {path} cannot be walked: {error}") from error
    element = elements.get(int(parts[-1], 16))
    if element is None:
        raise NotFound(f"the data set has no value at {path}")
    vr = conversion._private_vr(element, elements) if element.vr == "UN" and element.tag & 0x10000 else element.vr
    if len(vr) != 2:
        vr = values.decided_vr(element._replace(vr=vr), is_signed=False)
    return _little_endian(header.buffer, element, vr, header.is_little_endian)

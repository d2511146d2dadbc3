"""The DICOM JSON Model of instances as text (PS3.18 Annex F), quickly for many that are alike.

Images of a series differ in a handful of values. The text of each element is remembered by its stored bytes and by what
else decides it, so that of the next image only what is new is converted and encoded.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from pacs.part10.dicom_json import Conversion, is_of_the_data_set
from pacs.part10.elements import Element
from pacs.part10.header import Header
from pacs.part10.shapes import Shape

_CHARACTER_SET: Final = 0x00080005
_PIXEL_REPRESENTATION: Final = 0x00280103
_AVAILABLE_TRANSFER_SYNTAX_UID: Final = 0x00083002
_MAX_REMEMBERED_BYTES: Final = 1024
_MAX_REMEMBERED_SEQUENCE_BYTES: Final = 16_384
"""Of one element as stored; the text of a longer one is made each time."""
_ENTRY_BYTES: Final = 250
_MAX_PLANS: Final = 256
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_URI: Final = '"BulkDataURI":"\\u0000'
"""How the encoder writes the beginning of a bulk data URI. No value looks like it: its quotation marks have a backslash
before them there."""
_MARK: Final = b"\0"


class _Plan(NamedTuple):
    """Which elements of a data set are told, in order of their tags."""

    elements: Sequence[Element]
    remembered: Sequence[int]
    """Numbers of those whose text is worth remembering."""
    places: struct.Struct | None
    """Reads their stored bytes at once; for data sets of one shape."""
    creators: Sequence[tuple[int, Element]]
    """Numbers of private elements of unknown VR, each with the element that names its creator."""
    transfer_syntax_at: int
    """Number of the first element behind Available Transfer Syntax UID (0008,3002)."""


class JsonTexts:
    """Makes the text of instances one after the other. Threads may share it; it holds at most `max_bytes`, about."""

    def __init__(self, max_bytes: int = 8 << 20) -> None:
        self._max_bytes = max_bytes
        self._held = 0
        self._known: dict[Hashable, dict[Hashable, bytes]] = {}
        self._plans: dict[int, tuple[Shape, _Plan]] = {}

    def text(self, header: Header, transfer_syntax_uid: str, bulk_data: bytes) -> bytes:
        """The object that `pacs.part10.dicom_json.to_json` gives, as compact UTF-8, with Available Transfer Syntax UID
        (0008,3002) in it: what frames and instance come in, by which viewers choose decoders.

        `bulk_data` stands, in JSON, for what a bulk data URI begins with, its quotation mark included; the path of the
        value follows.

        Raises:
            TooLarge: as `to_json`.
        """
        plan = self._plan(header)
        keys = _keys(header, plan)
        known = self._known_to(header)
        texts = [known.get(key, b"") for key in keys]
        if b"" in texts:
            conversion = Conversion(header, lambda path: "\0" + path)
            for number, text in enumerate(texts):
                if not text:
                    made = _encoded(conversion.element(plan.elements[number]))
                    texts[number] = made
                    if keys[number] is not None:
                        self._remember(known, keys[number], made, plan.elements[number])
        texts.insert(plan.transfer_syntax_at, _transfer_syntax(transfer_syntax_uid))
        whole = b"{" + b",".join(texts) + b"}"
        return whole.replace(_MARK, bulk_data)

    def _known_to(self, header: Header) -> dict[Hashable, bytes]:
        """Texts by stored bytes, of data sets in which the same bytes mean the same."""
        character_set = header.value(_CHARACTER_SET)
        context = (
            None if character_set is None else bytes(character_set[:1024]),
            header.integer(_PIXEL_REPRESENTATION) == 1,
            header.is_implicit_vr,
            header.is_little_endian,
        )
        known = self._known.get(context)
        if known is None:
            known = self._known[context] = {}
            self._held += 2000
        return known

    def _remember(self, known: dict[Hashable, bytes], key: Hashable, text: bytes, element: Element) -> None:
        if self._held > self._max_bytes:
            # Most of it are values of one image each; what is common comes again with the next.
            self._known.clear()
            known.clear()
            self._held = 0
        known[key] = text
        self._held += element.end - element.offset + len(text) + _ENTRY_BYTES

    def _plan(self, header: Header) -> _Plan:
        shape = header.shape
        if shape is None:
            return _planned(header, is_shared=False)
        found = self._plans.get(id(shape))  # it is held here, so nothing else can have its id
        if found is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            found = self._plans[id(shape)] = (shape, _planned(header, is_shared=True))
        return found[1]


def _planned(header: Header, *, is_shared: bool) -> _Plan:
    elements: list[Element] = []
    remembered: list[int] = []
    creators: list[tuple[int, Element]] = []
    transfer_syntax_at = 0
    for tag in sorted(header.elements):
        if not is_of_the_data_set(tag) or tag == _AVAILABLE_TRANSFER_SYNTAX_UID:
            continue
        element = header.elements[tag]
        _, vr, offset, _, _, end, _ = element
        number = len(elements)
        elements.append(element)
        if tag < _AVAILABLE_TRANSFER_SYNTAX_UID:
            transfer_syntax_at = number + 1
        if end - offset <= (_MAX_REMEMBERED_SEQUENCE_BYTES if vr == "SQ" else _MAX_REMEMBERED_BYTES):
            remembered.append(number)
            if vr == "UN" and tag & 0x10000:
                creator = header.elements.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
                if creator is not None:
                    creators.append((number, creator))
    places = _places([elements[number] for number in remembered]) if is_shared else None
    return _Plan(elements, remembered, places, creators, transfer_syntax_at)


def _places(elements: Sequence[Element]) -> struct.Struct | None:
    """Reads the stored bytes of all at once; None when they do not stand in the order of their tags."""
    form, offset = ["="], 0
    for element in elements:
        if element.offset < offset:
            return None
        form.append(f"{element.offset - offset}x{element.end - element.offset}s")
        offset = element.end
    return struct.Struct("".join(form))


def _keys(header: Header, plan: _Plan) -> list[Hashable]:
    """For each element what decides its text, in one data set as in another; None: it is not to be remembered."""
    buffer = header.buffer
    keys: list[Hashable] = [None] * len(plan.elements)
    if plan.places is not None:
        for number, stored in zip(plan.remembered, plan.places.unpack_from(buffer), strict=True):
            keys[number] = stored
    else:
        for number in plan.remembered:
            element = plan.elements[number]
            keys[number] = bytes(buffer[element.offset : element.end])
    for number, creator in plan.creators:
        keys[number] = (keys[number], bytes(buffer[creator.value_offset : creator.end][:1024]))
    return keys


@lru_cache(maxsize=64)
def _transfer_syntax(uid: str) -> bytes:
    return _encoded({"00083002": {"vr": "UI", "Value": [uid]}})


def _encoded(attributes: object) -> bytes:
    """The members of a JSON object without its braces."""
    text = _ENCODER.encode(attributes)[1:-1]
    if _URI in text:
        text = text.replace(_URI, '"BulkDataURI":\0')
    return text.encode("utf-8", "replace")

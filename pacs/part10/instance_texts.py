"""The metadata of instances as text, quickly for many that are alike; `json_text` and `xml_text` are its two forms.

Images of a series differ in a handful of values. The text of each element is remembered by its stored bytes and by what
else decides it, so that of the next image only what is new is converted and encoded.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import ClassVar, Final, NamedTuple

from pacs.model import DicomJson
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
_MAX_SYNTAXES: Final = 64
_MAX_CREATOR_BYTES: Final = 1024
"""A longer name is none: it has 64 characters at most."""
_MAX_CREATOR_STORED_BYTES: Final = _MAX_CREATOR_BYTES + 12
"""With its tag, VR and length."""
MARK: Final = b"\0"
"""Stands in the text of an element where the address of bulk data belongs; no value has it."""


class _Plan(NamedTuple):
    """Which elements of a data set are told, in order of their tags."""

    elements: Sequence[Element]
    remembered: Sequence[int]
    """Numbers of those whose text is worth remembering."""
    places: struct.Struct | None
    """Reads their stored bytes at once; for data sets of one shape."""
    creators: Sequence[tuple[int, Element]]
    """Numbers of private elements whose creator decides their text, each with the element that names it."""
    transfer_syntax_at: int
    """Number of the first element behind Available Transfer Syntax UID (0008,3002)."""


class InstanceTexts(ABC):
    """Makes the text of instances one after the other. Threads may share it; it holds at most `max_bytes`, about."""

    names_creators: ClassVar[bool]
    """Whether the text of every private element names its creator; else the creator decides unknown VRs only."""

    def __init__(self, max_bytes: int = 8 << 20) -> None:
        self._max_bytes = max_bytes
        self._held = 0
        self._known: dict[Hashable, dict[Hashable, bytes]] = {}
        self._plans: dict[int, tuple[Shape, _Plan]] = {}
        self._syntaxes: dict[str, bytes] = {}

    def text(self, header: Header, transfer_syntax_uid: str, bulk_data: bytes) -> bytes:
        """What `pacs.part10.dicom_json.to_json` gives, as UTF-8, with Available Transfer Syntax UID (0008,3002) in it:
        what frames and instance come in, by which viewers choose decoders.

        `bulk_data` stands for what a bulk data URI begins with, as the form has it; the path of the value follows.

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
                    made = self._element(conversion, plan.elements[number], header)
                    texts[number] = made
                    if keys[number] is not None:
                        self._remember(known, keys[number], made, plan.elements[number])
        texts.insert(plan.transfer_syntax_at, self._transfer_syntax(transfer_syntax_uid))
        return self.whole(texts).replace(MARK, bulk_data)

    @abstractmethod
    def encoded(self, attributes: DicomJson, creators: DicomJson) -> bytes:
        """The text of one attribute in a data set that has `creators`; a bulk data URI, in which NUL stands for the
        address, begins with `MARK`."""

    @abstractmethod
    def whole(self, texts: Sequence[bytes]) -> bytes:
        """The data set of these attributes."""

    def _transfer_syntax(self, uid: str) -> bytes:
        found = self._syntaxes.get(uid)
        if found is None:
            if len(self._syntaxes) >= _MAX_SYNTAXES:
                self._syntaxes.clear()
            found = self._syntaxes[uid] = self.encoded({"00083002": {"vr": "UI", "Value": [uid]}}, {})
        return found

    def _element(self, conversion: Conversion, element: Element, header: Header) -> bytes:
        creators: DicomJson = {}
        if self.names_creators and element.tag & 0x10000:
            creator = header.elements.get(_creator_of(element.tag))
            if creator is not None and creator.end - creator.value_offset <= _MAX_CREATOR_BYTES:
                creators = conversion.element(creator)
        return self.encoded(conversion.element(element), creators)

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
            return self._planned(header, is_shared=False)
        found = self._plans.get(id(shape))  # it is held here, so nothing else can have its id
        if found is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            found = self._plans[id(shape)] = (shape, self._planned(header, is_shared=True))
        return found[1]

    def _planned(self, header: Header, *, is_shared: bool) -> _Plan:
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
                if (vr == "UN" or self.names_creators) and tag & 0x10000:
                    creator = header.elements.get(_creator_of(tag))
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
        # With its head: a creator whose VR is damaged, or that is too long, names nobody.
        keys[number] = (keys[number], bytes(buffer[creator.offset : creator.end][:_MAX_CREATOR_STORED_BYTES]))
    return keys


def _creator_of(tag: int) -> int:
    """Where the creator of a private element is named (PS3.5 §7.8.1)."""
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF

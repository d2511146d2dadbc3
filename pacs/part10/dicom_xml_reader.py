"""A Native DICOM Model document (PS3.19 Annex A.1) -> the DICOM JSON Model. Pure; every size and depth is bounded.

A document type declaration is refused at its first word, so there are no entities to expand and nothing outside is
ever fetched.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn
from xml.parsers import expat

from pacs.errors import MalformedDataSet, TooLarge
from pacs.model import DicomJson
from pacs.part10.elements import MAX_DEPTH

MAX_XML_ELEMENTS: Final = 1_000_000
"""Start tags and empty places of one document: about 400 MB of Python objects at worst."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBER = re.compile(r"[0-9]{1,7}")
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_INSIDE: Final = {
    "": {"NativeDicomModel"},
    "NativeDicomModel": {"DicomAttribute"},
    "Item": {"DicomAttribute"},
    "DicomAttribute": {"Value", "PersonName", "Item", "InlineBinary", "BulkData"},
    "PersonName": set(_GROUPS),
    **{group: set(_COMPONENTS) for group in _GROUPS},
}
"""Which element may stand in which (PS3.19 A.1.5)."""
_HAVE_TEXT: Final = frozenset({"Value", "InlineBinary", *_COMPONENTS})
_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF


def read_xml(document: bytes) -> DicomJson:
    """The one data set of `document`. Values stay text, as they are written; VRs are not looked at.

    Raises:
        TooLarge: more than `MAX_XML_ELEMENTS` elements.
        MalformedDataSet: no XML, a document type declaration, or not of the Native DICOM Model.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.EntityDeclHandler = _refuse_doctype
    parser.ExternalEntityRefHandler = None
    try:
        parser.Parse(document, True)
    except expat.ExpatError as problem:
        raise MalformedDataSet(f"the XML metadata cannot be read at line {problem.lineno}: no XML") from None
    except (ValueError, LookupError):  # an encoding that Python does not know or that is no single-byte one
        raise MalformedDataSet("the XML metadata names an encoding that is not read; send UTF-8") from None
    return reader.data_set


def _refuse_doctype(*_: Any) -> NoReturn:
    raise MalformedDataSet("the XML metadata has a document type declaration; it is not read, leave it out")


class _Reader:
    """Expat's events into nested dictionaries; the stack is bounded by the elements that may stand in each other."""

    def __init__(self) -> None:
        self.data_set: DicomJson = {}
        self._names: list[str] = [""]
        self._data_sets: list[DicomJson] = [self.data_set]
        self._attributes: list[dict[str, Any]] = []
        self._groups: dict[str, dict[str, str]] = {}
        self._group: dict[str, str] = {}
        self._text: list[str] = []
        self._left = MAX_XML_ELEMENTS

    def start(self, qualified: str, fields: dict[str, str]) -> None:
        name = qualified.rpartition(" ")[2]
        if name not in _INSIDE.get(self._names[-1], ()):
            raise MalformedDataSet(f"the XML metadata has an element where PS3.19 A.1 has none, in {self._names[-1]!r}")
        self._count(1)
        self._names.append(name)
        self._text.clear()
        if name == "DicomAttribute":
            self._begin_attribute(fields)
        elif name == "Item":
            self._begin_item(fields)
        elif name == "Value":
            self._place(fields).append(None)
        elif name == "PersonName":
            self._place(fields).append(None)
            self._groups = {}
        elif name in _GROUPS:
            self._group = self._groups.setdefault(name, {})
        elif name == "BulkData":
            self._attributes[-1]["BulkDataURI"] = fields.get("uri") or fields.get("uuid", "")

    def text(self, text: str) -> None:
        if self._names[-1] in _HAVE_TEXT:
            self._text.append(text)
        elif text.strip():
            raise MalformedDataSet(f"the XML metadata has text where PS3.19 A.1 has none, in {self._names[-1]!r}")

    def end(self, _: str) -> None:
        name = self._names.pop()
        if name == "DicomAttribute":
            self._attributes.pop()
        elif name == "Item":
            self._data_sets.pop()
        elif name == "Value":
            self._attributes[-1]["Value"][-1] = "".join(self._text) or None
        elif name == "InlineBinary":
            self._attributes[-1]["InlineBinary"] = "".join(self._text)
        elif name == "PersonName":
            self._attributes[-1]["Value"][-1] = {group: _joined(parts) for group, parts in self._groups.items()} or None
        elif name in _COMPONENTS:
            self._group[name] = "".join(self._text)
        self._text.clear()

    def _begin_attribute(self, fields: dict[str, str]) -> None:
        text = fields.get("tag", "")
        if not _TAG.fullmatch(text):
            raise MalformedDataSet("a DicomAttribute has no tag of eight hex digits")
        data_set = self._data_sets[-1]
        tag = int(text, 16)
        creator = fields.get("privateCreator", "")
        if creator and tag & 0x10000:
            tag = _own_block(data_set, tag, creator)
        if f"{tag:08X}" in data_set:
            raise MalformedDataSet(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is named twice in one data set")
        attribute: dict[str, Any] = {"vr": fields.get("vr", "")}
        data_set[f"{tag:08X}"] = attribute
        self._attributes.append(attribute)

    def _begin_item(self, fields: dict[str, str]) -> None:
        if len(self._data_sets) > MAX_DEPTH:
            raise MalformedDataSet(f"sequences nested deeper than {MAX_DEPTH}")
        item: DicomJson = {}
        self._place(fields).append(item)
        self._data_sets.append(item)

    def _place(self, fields: dict[str, str]) -> list[Any]:
        """The values of the attribute that is open, filled up to the place of the one that begins (counted from 1)."""
        values: list[Any] = self._attributes[-1].setdefault("Value", [])
        number = fields.get("number", str(len(values) + 1))
        if not _NUMBER.fullmatch(number) or int(number) <= len(values):
            raise MalformedDataSet("the numbers of an attribute's values do not rise from 1")
        missing = int(number) - len(values) - 1
        self._count(missing)
        values += [None] * missing
        return values

    def _count(self, number: int) -> None:
        self._left -= number
        if self._left < 0:
            raise TooLarge(f"the XML metadata has more than {MAX_XML_ELEMENTS} elements; send application/dicom")


def _joined(components: dict[str, str]) -> str:
    return "^".join(components.get(name, "") for name in _COMPONENTS).rstrip("^")


def _own_block(data_set: DicomJson, tag: int, creator: str) -> int:
    """`tag` in a block that belongs to `creator`, which is reserved where it is not (PS3.5 §7.8.1).

    PS3.19 A.1.5 leaves the block of a private attribute open (``ggggxxee`` with xx 00); real documents mostly say it.
    """
    group = tag & 0xFFFF0000
    block = tag >> 8 & 0xFF
    value = {"vr": "LO", "Value": [creator]}
    if block >= _FIRST_BLOCK:
        data_set.setdefault(f"{group | block:08X}", value)
        return tag
    for block in range(_FIRST_BLOCK, _LAST_BLOCK + 1):
        key = f"{group | block:08X}"
        if data_set.setdefault(key, value) == value:
            return group | block << 8 | tag & 0xFF
    raise MalformedDataSet(f"group {group >> 16:04X} has no free block for another private creator")

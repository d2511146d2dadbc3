"""The rules of ``ingest.coercion``: which attributes of whose instances are set, filled in or removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.datadict import tag_for_keyword

from pacs.access.application_entities import ip_address_of, is_same_host
from pacs.errors import CoercionImpossible
from pacs.model import Source
from pacs.part10.attribute_changes import encoded_text
from pacs.part10.elements import standard_vr, tag_text
from pacs.part10.header import Header
from pacs.part10.value_writer import BINARY_VRS
from pacs.part10.values import BINARY_NUMBERS
from pacs.settings import CoercionSettings, IngestSettings, InvalidSettings

_SPECIFIC_CHARACTER_SET = 0x00080005
_FIRST_GROUP = 0x0008
_END_OF_GROUPS = 0x5000
"""Curves, waveforms, spectra, overlays and pixel data follow."""
_DESCRIBE_PIXELS = 0x0028
_OF_THE_RECORD = 0x0400
"""Original attributes and signatures."""
_MAX_PADDING = 1024


@dataclass(frozen=True, slots=True)
class Rule:
    """What one entry of the setting says."""

    aet: str | None
    host: str | None
    set: Mapping[int, str]
    default: Mapping[int, str]
    remove: frozenset[int]

    def is_for(self, source: Source) -> bool:
        """Whether `source` sent what this rule is about."""
        if self.aet is not None and (source.route != "C-STORE" or source.principal.name != self.aet):
            return False
        return self.host is None or (source.route in {"C-STORE", "STOW-RS"} and is_same_host(self.host, source.peer))

    def values(self, header: Header) -> dict[int, bytes | None]:
        """New values by tag, None for what is removed; only what differs from what came.

        Raises:
            CoercionImpossible: a value of the setting cannot be written in this data set's character set.
        """
        found: dict[int, bytes | None] = {tag: None for tag in self.remove if tag in header.elements}
        for tag, text in self.default.items():
            if _is_empty(header, tag):
                found[tag] = _encoded(header, tag, text)
        for tag, text in self.set.items():
            value = _encoded(header, tag, text)
            old = header.value(tag)
            if old is None or len(old) != len(value) or bytes(old) != value:
                found[tag] = value
        return found


def rules(settings: IngestSettings) -> tuple[Rule, ...]:
    """The rules of the settings.

    Raises:
        InvalidSettings: an attribute that is none, that may not be changed, or whose values are no text.
    """
    return tuple(_rule(entry) for entry in settings.coercion)


def _rule(entry: CoercionSettings) -> Rule:
    if entry.host is not None and ip_address_of(entry.host) is None:
        raise InvalidSettings(f"ingest.coercion: host {entry.host!r} is no IP address")
    made = Rule(
        entry.aet,
        entry.host,
        {_tag(name, needs_text=True): text for name, text in entry.set.items()},
        {_tag(name, needs_text=True): text for name, text in entry.default.items()},
        frozenset(_tag(name) for name in entry.remove),
    )
    if len({*made.set, *made.default, *made.remove}) < len(made.set) + len(made.default) + len(made.remove):
        raise InvalidSettings("ingest.coercion: an attribute stands under more than one of set, default and remove")
    return made


def _tag(name: str, *, needs_text: bool = False) -> int:
    try:
        tag = int(name, 16) if len(name) == 8 and name.isalnum() and name.isascii() else None
    except ValueError:
        tag = None
    tag = tag_for_keyword(name) if tag is None else tag
    if tag is None:
        raise InvalidSettings(f"ingest.coercion: {name!r} is no attribute; name it by keyword or as 00080080")
    vr, group = standard_vr(tag), tag >> 16
    if vr == "UI":
        why = "it identifies"
    elif tag == _SPECIFIC_CHARACTER_SET:
        why = "all text of the data set is read by it"
    elif group == _DESCRIBE_PIXELS or group >= _END_OF_GROUPS:
        why = "it is, or says how to read, pixel data"
    elif group < _FIRST_GROUP or not tag & 0xFFFF or group == _OF_THE_RECORD:
        why = "it is kept by the archive"
    elif needs_text and (vr in BINARY_VRS or vr == "SQ" or " or " in vr):
        why = f"its values ({vr}) are no text"
    else:
        return int(tag)
    raise InvalidSettings(f"ingest.coercion: {name} {tag_text(tag)} cannot be changed: {why}")


def _is_empty(header: Header, tag: int) -> bool:
    old = header.value(tag)
    if not old or standard_vr(tag) in BINARY_NUMBERS:
        return not old
    return len(old) <= _MAX_PADDING and not bytes(old).strip(b" \0")


def _encoded(header: Header, tag: int, text: str) -> bytes:
    try:
        return encoded_text(header, tag, text)
    except UnicodeError:
        raise CoercionImpossible(
            f"ingest.coercion has a value for {tag_text(tag)} that the instance's character set cannot write"
        ) from None
    except ValueError as problem:
        raise CoercionImpossible(f"ingest.coercion has a value for {tag_text(tag)} that {problem}") from None

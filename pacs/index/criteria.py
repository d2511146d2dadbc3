"""Conditions on the attributes of a data set in DICOM JSON (PS3.4 C.2.2.2), in normal form. Pure.

`pacs.index.keys` makes them of a query; `pacs.index.columns` says the same in SQL where a column holds the attribute.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from pacs.index import fuzzy, wildcard
from pacs.index.moments import TIMEZONE_OFFSET_FROM_UTC, Range
from pacs.index.normal_form import Span, date_text, date_time_span, name_group, plain, time_span, utc_offset
from pacs.model import DicomJson

_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


class Criterion(Protocol):
    """A condition on one attribute, or on one and those that belong to it."""

    def holds(self, data_set: DicomJson, tag: int) -> bool:
        """Whether the attribute `tag` of the data set (or of an item) matches, with any of its values."""


@dataclass(frozen=True, slots=True)
class Words:
    """Single value or wild card matching of text, case sensitive."""

    patterns: tuple[str, ...]
    needs_all: bool = False
    """Multiple value matching: each pattern must cover a value; otherwise one of them."""

    def holds(self, data_set: DicomJson, tag: int) -> bool:
        # Whole, also where a column holds the beginning of what is longer than any VR but those of free text.
        values = [found for found in (plain(value) for value in _values(data_set, tag)) if found]
        quantifier = all if self.needs_all else any
        return quantifier(any(_covers(pattern, value) for value in values) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Uids:
    """List of UID matching."""

    values: tuple[str, ...]

    def holds(self, data_set: DicomJson, tag: int) -> bool:
        return any(value in self.values for value in _values(data_set, tag))


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number's value, however it is written."""

    values: tuple[Decimal, ...]

    def holds(self, data_set: DicomJson, tag: int) -> bool:
        return any(decimal(value) in self.values for value in _values(data_set, tag))


@dataclass(frozen=True, slots=True)
class Ranges:
    """Range matching of dates and times, both ends included; a single value of limited precision is a range."""

    vr: str
    ranges: tuple[Range, ...]
    offset: timedelta | None = None
    """Of DT: the time zone of the request, in which data that names no other is understood, too."""
    names_zone: bool = False
    """Of DT: the zone of what is asked is known, so that of the data set (0008,0201) counts."""

    def holds(self, data_set: DicomJson, tag: int) -> bool:
        zone = self.offset
        if self.names_zone:
            own = next((utc_offset(value) for value in _values(data_set, int(TIMEZONE_OFFSET_FROM_UTC, 16))), None)
            zone = own if own is not None else zone
        moments = [span(self.vr, str(value), zone) for value in _values(data_set, tag)]
        return any(
            (first is None or moment.first >= first) and (last is None or moment.first <= last)
            for moment in moments
            if moment
            for first, last in self.ranges
        )


@dataclass(frozen=True, slots=True)
class Names:
    """Person names, folded. Each pattern has up to three component groups: one alone matches any group of the
    value, more match theirs (PS3.5 §6.2.1.1); a group without patterns matches all."""

    patterns: tuple[tuple[tuple[str, ...], ...], ...]
    """Per value asked, per group, the patterns of which one must cover it."""
    needs_all: bool = False

    def holds(self, data_set: DicomJson, tag: int) -> bool:
        names = [name_groups(value) for value in _values(data_set, tag)]
        quantifier = all if self.needs_all else any
        return quantifier(any(self._is_matched(pattern, groups) for groups in names) for pattern in self.patterns)

    @staticmethod
    def _is_matched(pattern: tuple[tuple[str, ...], ...], groups: tuple[str, str, str]) -> bool:
        if len(pattern) == 1:
            return any(group and _covers(part, group) for group in groups for part in pattern[0])
        return all(
            not parts or any(_covers(part, group) for part in parts)
            for parts, group in zip(pattern, groups, strict=False)
        )


@dataclass(frozen=True, slots=True)
class FuzzyNames:
    """Every word of one of the choices is close to a word of the name, in any group; see `pacs.index.fuzzy`."""

    choices: tuple[tuple[str, ...], ...]

    def holds(self, data_set: DicomJson, tag: int) -> bool:
        for value in _values(data_set, tag):
            groups = [group for group in name_groups(value) if group]
            if any(
                all(any(fuzzy.is_close(asked, group) for group in groups) for asked in choice)
                for choice in self.choices
            ):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Empty:
    """Empty value matching (PS3.4 C.2.2.2.7): the attribute is absent or has no value."""

    vr: str

    def holds(self, data_set: DicomJson, tag: int) -> bool:
        attribute = data_set.get(f"{tag:08X}", {})
        if "InlineBinary" in attribute or "BulkDataURI" in attribute:
            return False
        if self.vr == "PN":
            return not any(any(name_groups(value)) for value in _values(data_set, tag))
        return not any(isinstance(value, dict) or plain(value) for value in _values(data_set, tag))


@dataclass(frozen=True, slots=True)
class Members:
    """Sequence matching: one item must satisfy every key (PS3.4 C.2.2.2.6)."""

    criteria: tuple[tuple[int, Criterion], ...]

    def holds(self, data_set: DicomJson, tag: int) -> bool:
        items = [item for item in _values(data_set, tag) if isinstance(item, dict)]
        return any(all(criterion.holds(item, inner) for inner, criterion in self.criteria) for item in items)


def name_groups(value: object) -> tuple[str, str, str]:
    """Alphabetic, ideographic and phonetic group of a person name in DICOM JSON, folded."""
    if not isinstance(value, dict):
        return (name_group(value or ""), "", "")
    alphabetic, ideographic, phonetic = (name_group(value.get(name) or "") for name in _NAME_GROUPS)
    return alphabetic, ideographic, phonetic


def decimal(value: object) -> Decimal | None:
    """A finite number, also as text."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def span(vr: str, value: str, offset: timedelta | None = None) -> Span | None:
    """What a single DA, TM or DT value can mean; `offset` is the zone of a DT that names none (else UTC)."""
    if vr == "TM":
        return time_span(value)
    if vr == "DT":
        return date_time_span(value, offset) if offset is not None else date_time_span(value)
    day = date_text(value)
    return Span(day, day) if day else None


def _values(data_set: DicomJson, tag: int) -> list[Any]:
    values = data_set.get(f"{tag:08X}", {}).get("Value")
    return [value for value in values if value is not None] if values else []


def _covers(pattern: str, value: str) -> bool:
    return wildcard.matches(pattern, value) if wildcard.has_wildcard(pattern) else pattern == value


def satisfies(data_set: DicomJson, tag: int, criterion: Criterion) -> bool:
    """Whether the data set meets the criterion on its attribute `tag`."""
    return criterion.holds(data_set, tag)

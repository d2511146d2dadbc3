"""Matching keys of a query (PS3.4 C.2.2.2), checked and put into normal form. Pure.

A criterion says whether an attribute, in DICOM JSON, matches; `pacs.index.columns` says the same in SQL where a
column holds the attribute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from pydicom.datadict import dictionary_VR, keyword_for_tag

from pacs.errors import InvalidRequest
from pacs.index import wildcard
from pacs.index.normal_form import (
    MAX_WORD,
    Span,
    date_text,
    date_time_span,
    folded,
    name_group,
    plain,
    time_span,
    word,
)
from pacs.model import DicomJson, Match, Query

MAX_UIDS = 10_000
MAX_VALUES = 100
MAX_KEY_LENGTH = 1024
_IGNORED = frozenset({0x00080005, 0x00080052, 0x00080053, 0x00080054})
"""Specific Character Set and the words of C-FIND itself are no keys."""
_UID = re.compile(r"[0-9.]{1,64}\Z", re.ASCII)
_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_BETWEEN_WORDS = re.compile(r"[\s^=,.*?\-]+")
_COMPONENTS = 5
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


class Criterion(Protocol):
    """A condition on one attribute."""

    def matches(self, attribute: dict[str, Any]) -> bool:
        """Whether the attribute, ``{"vr": ..., "Value": [...]}``, matches with any of its values."""


@dataclass(frozen=True, slots=True)
class Words:
    """Single value or wild card matching of text, case sensitive; any of `patterns`."""

    patterns: tuple[str, ...]

    def matches(self, attribute: dict[str, Any]) -> bool:
        values = [word(value) for value in attribute.get("Value", ()) if value is not None]
        return any(_covers(pattern, value) for pattern in self.patterns for value in values if value)


@dataclass(frozen=True, slots=True)
class Uids:
    """List of UID matching."""

    values: tuple[str, ...]

    def matches(self, attribute: dict[str, Any]) -> bool:
        return any(value in self.values for value in attribute.get("Value", ()))


@dataclass(frozen=True, slots=True)
class Numbers:
    """A number's value, however it is written."""

    values: tuple[Decimal, ...]

    def matches(self, attribute: dict[str, Any]) -> bool:
        return any(_decimal(value) in self.values for value in attribute.get("Value", ()))


@dataclass(frozen=True, slots=True)
class Ranges:
    """Range matching of dates and times, both ends included; a single value of limited precision is a range."""

    vr: str
    ranges: tuple[tuple[str | None, str | None], ...]

    def matches(self, attribute: dict[str, Any]) -> bool:
        moments = [_span(self.vr, str(value)) for value in attribute.get("Value", ()) if value is not None]
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

    def matches(self, attribute: dict[str, Any]) -> bool:
        return any(
            self._matches_one(pattern, _groups(value))
            for pattern in self.patterns
            for value in attribute.get("Value", ())
        )

    @staticmethod
    def _matches_one(pattern: tuple[tuple[str, ...], ...], groups: tuple[str, str, str]) -> bool:
        if len(pattern) == 1:
            return any(group and _covers(part, group) for group in groups for part in pattern[0])
        return all(
            not parts or any(_covers(part, group) for part in parts)
            for parts, group in zip(pattern, groups, strict=False)
        )


@dataclass(frozen=True, slots=True)
class FuzzyNames:
    """Every word begins a word of the name, in any component and group (PS3.18 §8.3.4.2 leaves the rule to us)."""

    choices: tuple[tuple[str, ...], ...]

    def matches(self, attribute: dict[str, Any]) -> bool:
        for value in attribute.get("Value", ()):
            words = _BETWEEN_WORDS.split(" ".join(_groups(value)))
            if any(all(any(w.startswith(part) for w in words) for part in choice) for choice in self.choices):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Members:
    """Sequence matching: one item must satisfy every key (PS3.4 C.2.2.2.6)."""

    criteria: tuple[tuple[int, Criterion], ...]

    def matches(self, attribute: dict[str, Any]) -> bool:
        items = [item for item in attribute.get("Value", ()) if isinstance(item, dict)]
        return any(all(satisfies(item, tag, criterion) for tag, criterion in self.criteria) for item in items)


def satisfies(attributes: DicomJson, tag: int, criterion: Criterion) -> bool:
    """Whether the data set has the attribute and it matches."""
    attribute = attributes.get(f"{tag:08X}")
    return attribute is not None and criterion.matches(attribute)


def criteria(query: Query) -> list[tuple[int, Criterion]]:
    """The query's keys by top-level tag; universal ones are left out. All of them must hold.

    Raises:
        InvalidRequest: a value cannot be understood; the message names the key.
    """
    return _criteria(list(query.matches), 0, query.is_fuzzy)


def _criteria(matches: list[Match], depth: int, is_fuzzy: bool) -> list[tuple[int, Criterion]]:
    found: list[tuple[int, Criterion]] = []
    members: dict[int, list[Match]] = {}
    for match in matches:
        tag = match.path[depth]
        if depth + 1 < len(match.path):
            members.setdefault(tag, []).append(match)
        elif tag not in _IGNORED:
            criterion = _criterion(match, is_fuzzy)
            if criterion is not None:
                found.append((tag, criterion))
    for tag, inner in members.items():
        inside = _criteria(inner, depth + 1, is_fuzzy)
        if inside:
            found.append((tag, Members(tuple(inside))))
    return found


def _criterion(match: Match, is_fuzzy: bool) -> Criterion | None:
    vr = _vr(match.tag)
    values = [value for value in map(plain, match.values) if value and value.strip("*")]
    if not values:
        return None
    if any(len(value) > (MAX_KEY_LENGTH if vr != "UI" else 66 * MAX_UIDS) for value in values):
        raise _wrong(match, values[0], f"is longer than {MAX_KEY_LENGTH} characters")
    if len(values) > (MAX_UIDS if vr == "UI" else MAX_VALUES):
        raise _wrong(match, values[0], f"and others are more than {MAX_VALUES} values (UIDs {MAX_UIDS})")
    if vr == "UI":
        return _uids(match, values)
    if vr in ("DA", "TM", "DT"):
        return Ranges(vr, tuple(_range(match, vr, value) for value in values))
    if vr in _NUMBERS:
        return Numbers(tuple(_number(match, value) for value in values))
    if vr == "PN":
        return _fuzzy(values) if is_fuzzy else _names(values)
    if vr == "SQ":
        raise _wrong(match, values[0], "is no value for a sequence; name an attribute inside it")
    if vr in _BINARY:
        raise _wrong(match, values[0], "cannot match binary data")
    return Words(tuple(value if wildcard.has_wildcard(value) else value[:MAX_WORD] for value in values))


def _vr(tag: int) -> str:
    try:
        # "US or SS" and "OB or OW": the first is as good.
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "LO"


def _wrong(match: Match, value: str, why: str) -> InvalidRequest:
    name = ".".join(keyword_for_tag(tag) or f"{tag:08X}" for tag in match.path)
    return InvalidRequest(f"{name}: {value[:64]!r} {why}")


def _uids(match: Match, values: list[str]) -> Uids:
    uids = [uid.strip() for value in values for uid in re.split(r"[\\,]", value)]
    for uid in uids:
        if uid and not _UID.match(uid):
            raise _wrong(match, uid, "is no UID; UIDs match whole, without wild cards (PS3.4 C.2.2.2.2)")
    if len(uids) > MAX_UIDS:
        raise _wrong(match, uids[0], f"and others are more than {MAX_UIDS} UIDs")
    return Uids(tuple(dict.fromkeys(uid for uid in uids if uid)))


def _number(match: Match, value: str) -> Decimal:
    number = _decimal(value)
    if number is None:
        raise _wrong(match, value, "is no number")
    return number


def _decimal(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _names(values: list[str]) -> Names | None:
    patterns = []
    for value in values:
        groups = tuple(_group_patterns(group) for group in value.split("=")[:3])
        if not any(groups):
            return None
        patterns.append(groups)
    return Names(tuple(patterns))


def _group_patterns(group: str) -> tuple[str, ...]:
    """`group`, and what it is without empty components that a wild card at its end stands for: a name is kept
    without them, and ``KIM^MIN^*`` is to find ``KIM^MIN^^``."""
    pattern = name_group(group)
    found: list[str] = []
    while pattern.strip("*^ "):
        found.append(pattern)
        without = pattern.rstrip("*")
        if without == pattern or not without.endswith("^") or len(found) > _COMPONENTS:
            return tuple(found)
        pattern = without.rstrip("^ ")
    return tuple(found)


def _fuzzy(values: list[str]) -> FuzzyNames | None:
    choices = []
    for value in values:
        words = tuple(part for part in _BETWEEN_WORDS.split(folded(value)) if part)
        if not words:
            return None
        choices.append(words)
    return FuzzyNames(tuple(choices))


def _groups(value: object) -> tuple[str, str, str]:
    if not isinstance(value, dict):
        return (name_group(value or ""), "", "")
    alphabetic, ideographic, phonetic = (name_group(value.get(name) or "") for name in _NAME_GROUPS)
    return alphabetic, ideographic, phonetic


def _covers(pattern: str, value: str) -> bool:
    return wildcard.matches(pattern, value) if wildcard.has_wildcard(pattern) else pattern == value


_FORMS = {
    "DA": "is no date or range of dates: YYYYMMDD, YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD",
    "TM": "is no time or range of times: HHMMSS, HHMM-HHMM, HHMM- or -HHMM",
    "DT": "is no date-time or range: YYYYMMDDHHMMSS&ZZXX, two with a hyphen between, or one with it before or after",
}


def _range(match: Match, vr: str, value: str) -> tuple[str | None, str | None]:
    single = _span(vr, value)
    if single:
        return single
    # A hyphen may also begin the offset from UTC of a DT: try each as the one that divides.
    for at, character in enumerate(value):
        if character != "-":
            continue
        before, after = value[:at].strip(), value[at + 1 :].strip()
        first, last = _span(vr, before), _span(vr, after)
        if (first or not before) and (last or not after) and (before or after):
            return (first.first if first else None, last.last if last else None)
    raise _wrong(match, value, _FORMS[vr])


def _span(vr: str, value: str) -> Span | None:
    if vr == "TM":
        return time_span(value)
    if vr == "DT":
        return date_time_span(value)
    day = date_text(value)
    return Span(day, day) if day else None

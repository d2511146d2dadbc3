"""The matching keys of a query (PS3.4 C.2.2.2), checked and made into criteria. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import product

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag

from pacs.errors import InvalidRequest
from pacs.index import fuzzy
from pacs.index.criteria import (
    Criterion,
    Empty,
    FuzzyNames,
    Members,
    Names,
    Numbers,
    Ranges,
    Uids,
    Words,
    decimal,
    span,
)
from pacs.index.moments import DATE_OF, TIME_OF, Moments, Range
from pacs.index.normal_form import WRITTEN_AS_ONE, folded, name_group, plain, utc_offset
from pacs.model import Match, Query

MAX_UIDS = 10_000
MAX_VALUES = 100
MAX_KEY_LENGTH = 1024
EMPTY = '""'
"""What asks for an empty value (PS3.4 C.2.2.2.7)."""
_IGNORED = frozenset({0x00080005, 0x00080052, 0x00080053, 0x00080054, 0x00080201})
"""Specific Character Set, Timezone Offset From UTC and the words of C-FIND itself are no keys."""
_ZONES = re.compile(r"(?<=\d)[+-]\d{4}(?=\s*(?:-|\Z))", re.ASCII)
_UID = re.compile(r"[0-9.]{1,64}\Z", re.ASCII)
_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_WITH_MULTIPLE_VALUES = frozenset({"AE", "AS", "AT", "CS", "LO", "PN", "SH", "UC"})
"""PS3.4 C.2.2.2.8; of the others several values are a list of which one is enough."""
_COMPONENTS = 5
_APOSTROPHES = "'\u2019\u2018\u02bc"
_APOSTROPHE = re.compile(f"[{_APOSTROPHES}`]")
_MOST_FORMS = 1_000
"""Of all names of a key together, with those that `_MOST_OPEN` adds: each is looked for in three columns."""
_MOST_OPEN = 2
"""Wild cards for one letter in a component group for which two letters that are written as one are tried, too."""


def criteria(query: Query) -> list[tuple[int, Criterion]]:
    """The query's keys by top-level tag; universal ones are left out. All of them must hold.

    Raises:
        InvalidRequest: a value cannot be understood; the message names the key.
    """
    return _reader(query).criteria(query.matches, 0)


def criterion(query: Query, match: Match, vr: str) -> Criterion | None:
    """What one key of the query asks of an attribute with this VR, by itself; None when it asks nothing.

    Raises:
        InvalidRequest: as `criteria`.
    """
    return _reader(query).criterion(match, vr)


def _reader(query: Query) -> _Reader:
    offset = None
    if query.timezone_offset:
        offset = utc_offset(query.timezone_offset)
        if offset is None:
            raise InvalidRequest(
                f"TimezoneOffsetFromUTC: {query.timezone_offset[:16]!r} is no offset such as +0900 (PS3.3 C.12.1.1.8)"
            )
    return _Reader(query, offset)


class _Reader:
    """The keys of one query."""

    def __init__(self, query: Query, offset: timedelta | None) -> None:
        self._query = query
        self._offset = offset

    def criteria(self, matches: tuple[Match, ...] | list[Match], depth: int) -> list[tuple[int, Criterion]]:
        found: list[tuple[int, Criterion]] = []
        members: dict[int, list[Match]] = {}
        days: dict[int, list[Match]] = {}
        for match in matches:
            tag = match.path[depth]
            if depth + 1 < len(match.path):
                members.setdefault(tag, []).append(match)
            elif tag in _IGNORED:
                continue
            elif tag in TIME_OF or tag in DATE_OF:
                days.setdefault(DATE_OF.get(tag, tag), []).append(match)
            elif (criterion := self.criterion(match, _vr(match.tag))) is not None:
                found.append((tag, criterion))
        for date_tag, pair in days.items():
            found += self._of_pair(date_tag, pair)
        for tag, inner in members.items():
            inside = self.criteria(inner, depth + 1)
            if inside:
                found.append((tag, Members(tuple(inside))))
        return found

    def criterion(self, match: Match, vr: str) -> Criterion | None:
        values = _asked_values(match, vr)
        needs_all = self._query.needs_all_values and vr in _WITH_MULTIPLE_VALUES and _has_multiple_values(match.tag)
        if not values or (_has_universal(match, vr) and not needs_all):
            return None
        if self._query.finds_empty and EMPTY in values:
            if len(values) > 1:
                raise _wrong(match, EMPTY, "asks for an empty value and goes with no other")
            return Empty(vr)
        if vr == "UI":
            return _uids(match, values)
        if vr in ("DA", "TM", "DT"):
            ranges = tuple(_range(match, vr, value, self._offset) for value in values)
            if vr != "DT":
                return Ranges(vr, ranges)
            names_zone = self._offset is not None or any(
                utc_offset(zone) is not None for value in values for zone in _ZONES.findall(value)
            )
            return Ranges(vr, ranges, self._offset, names_zone)
        if vr in _NUMBERS:
            return Numbers(tuple(_number(match, value) for value in values))
        if vr == "PN":
            return _fuzzy(values) if self._query.is_fuzzy else _names(match, values, needs_all=needs_all)
        if vr == "SQ":
            raise _wrong(match, values[0], "is no value for a sequence; name an attribute inside it")
        if vr in _BINARY:
            raise _wrong(match, values[0], "cannot match binary data")
        if vr == "AT":
            values = [value.upper() for value in values]
        return Words(tuple(values), needs_all=needs_all)

    def _of_pair(self, date_tag: int, matches: list[Match]) -> list[tuple[int, Criterion]]:
        """A date and its time: on their own, or together where that means something else."""
        asked = [
            (match, criterion) for match in matches if (criterion := self.criterion(match, _vr(match.tag))) is not None
        ]
        ranges = {match.tag: criterion.ranges for match, criterion in asked if isinstance(criterion, Ranges)}
        dates, times = ranges.get(date_tag, ()), ranges.get(TIME_OF[date_tag], ())
        is_combined = self._query.combines_date_and_time and len(asked) == 2 and bool(dates and times)
        if is_combined and all(_is_one_range(match) for match, _ in asked):
            return [(date_tag, Moments(date_tag, dates, times, is_combined=True, offset=self._offset))]
        if self._offset is None:
            return [(match.tag, criterion) for match, criterion in asked]
        return [
            (
                match.tag,
                self._in_zone(date_tag, match.tag, criterion.ranges) if isinstance(criterion, Ranges) else criterion,
            )
            for match, criterion in asked
        ]

    def _in_zone(self, date_tag: int, tag: int, ranges: tuple[Range, ...]) -> Moments:
        dates, times = (ranges, ()) if tag == date_tag else ((), ranges)
        return Moments(date_tag, dates, times, offset=self._offset)


def _asked_values(match: Match, vr: str) -> list[str]:
    """The values that say something.

    Raises:
        InvalidRequest: too long or too many.
    """
    values = [value for value in map(plain, match.values) if value and (value.strip("*") or vr == "UI")]
    if vr == "UI" and values == ["*"]:
        return []
    if vr == "UI" and not values and any(value.strip() or len(match.values) > 1 for value in match.values):
        raise _wrong(match, ",".join(match.values), "names no UID; leave it out to find all")
    if any(len(value) > (MAX_KEY_LENGTH if vr != "UI" else 66 * MAX_UIDS) for value in values):
        raise _wrong(match, values[0], f"is longer than {MAX_KEY_LENGTH} characters")
    if len(values) > (MAX_UIDS if vr == "UI" else MAX_VALUES):
        raise _wrong(match, values[0], f"and others are more than {MAX_VALUES} values (UIDs {MAX_UIDS})")
    return values


def _has_universal(match: Match, vr: str) -> bool:
    """Whether one of several values covers all, so that the others narrow nothing."""
    return vr != "UI" and any(value and not value.strip("*") for value in map(plain, match.values))


def _vr(tag: int) -> str:
    try:
        # "US or SS" and "OB or OW": the first is as good.
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "LO"


def _has_multiple_values(tag: int) -> bool:
    try:
        return dictionary_VM(tag) != "1"
    except KeyError:
        return True


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
    if not any(uids):
        raise _wrong(match, values[0], "names no UID; leave it out to find all")
    return Uids(tuple(dict.fromkeys(uid for uid in uids if uid)))


def _number(match: Match, value: str) -> Decimal:
    number = decimal(value)
    if number is None:
        raise _wrong(match, value, "is no number")
    return number


def _names(match: Match, values: list[str], *, needs_all: bool) -> Names | None:
    patterns = []
    for value in values:
        groups = tuple(_group_patterns(group) for group in value.split("=")[:3])
        if not any(groups):
            if needs_all:
                continue
            return None
        patterns.append(groups)
    if sum(len(forms) for groups in patterns for forms in groups) > _MOST_FORMS:
        raise _wrong(match, values[0], "and others have too many wild cards for one letter: ask for fewer at once")
    return Names(tuple(patterns), needs_all=needs_all) if patterns else None


def _without_empty(group: str) -> tuple[str, ...]:
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


def _group_patterns(group: str) -> tuple[str, ...]:
    """The forms of `group` of which a name must be covered by one. ``?`` stands for one letter as it is written, which
    may be two as it is compared: ``?uvrard`` is to find ``Œuvrard``."""
    found: list[str] = []
    for form in _without_empty(group):
        places = [at for at, letter in enumerate(form) if letter == "?"]
        chosen = places if len(places) <= _MOST_OPEN else ()
        for letters in product(("?", *WRITTEN_AS_ONE), repeat=len(chosen)):
            said = dict(zip(chosen, letters, strict=True))
            found += _with_any_apostrophe("".join(said.get(at, letter) for at, letter in enumerate(form)))
    return tuple(dict.fromkeys(found))


def _with_any_apostrophe(form: str) -> Iterator[str]:
    """`form`, and as it is with each of the signs that keyboards and tablets write for the one in ``O'Brien``."""
    yield form
    if _APOSTROPHE.search(form):
        for apostrophe in _APOSTROPHES:
            yield _APOSTROPHE.sub(apostrophe, form)


def _fuzzy(values: list[str]) -> FuzzyNames | None:
    choices: list[tuple[str, ...]] = []
    for value in values:
        words = fuzzy.words(folded(value))
        if not words:
            return None
        choices.append(words)
        if len(words) > 1:
            # Kim Min Su for Kim^Minsu: the parts as they were typed may be one word of the name.
            choices.append(("".join(words)[: fuzzy.MAX_LETTERS],))
            choices += [
                (first, "".join(rest)[: fuzzy.MAX_LETTERS]) for first, *rest in (words, words[::-1]) if len(rest) > 1
            ]
    return FuzzyNames(tuple(dict.fromkeys(choices)))


_FORMS = {
    "DA": "is no date or range of dates: YYYYMMDD, YYYYMMDD-YYYYMMDD, YYYYMMDD- or -YYYYMMDD",
    "TM": "is no time or range of times: HHMMSS, HHMM-HHMM, HHMM- or -HHMM",
    "DT": "is no date-time or range: YYYYMMDDHHMMSS&ZZXX, two with a hyphen between, or one with it before or after",
}


def _range(match: Match, vr: str, value: str, offset: timedelta | None) -> Range:
    single = span(vr, value, offset)
    if single:
        return single
    # A hyphen may also begin the offset from UTC of a DT: try each as the one that divides.
    for at, character in enumerate(value):
        if character != "-":
            continue
        before, after = value[:at].strip(), value[at + 1 :].strip()
        first, last = span(vr, before, offset), span(vr, after, offset)
        if (first or not before) and (last or not after) and (before or after):
            return (first.first if first else None, last.last if last else None)
    raise _wrong(match, value, _FORMS[vr])


def _is_one_range(match: Match) -> bool:
    """The key has one value, and that is written as a range."""
    values = _asked_values(match, _vr(match.tag))
    return len(values) == 1 and "-" in values[0]

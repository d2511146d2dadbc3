"""Matching as PS3.4 C.2.2.2 says it, without a look at how the archive does it: slow, plain, and on Python's own parts.

It differs from the archive by intent in nothing that `made_up` asks; letters that decompose into no others (ł, ß) are
not among its names.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_SECOND = 1_000_000
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?")


@dataclass(frozen=True)
class Study:
    """One study as it was sent."""

    name: str
    description: str
    other_ids: tuple[str, ...]
    date: str
    time: str
    zone: str


def folded(text: str) -> str:
    """Without case, accents and width (C.2.2.2.1 lets names match so)."""

    def bare(some: str) -> str:
        letters = unicodedata.normalize("NFKD", some)
        return unicodedata.normalize("NFC", "".join(one for one in letters if not "\u0300" <= one <= "\u036f"))

    return bare(bare(text).casefold())


def covers(pattern: str, text: str) -> bool:
    said = {"*": ".*", "?": "."}
    return re.fullmatch("".join(said.get(one) or re.escape(one) for one in pattern), text, re.DOTALL) is not None


def is_named(asked: str, name: str) -> bool:
    """C.2.2.2.1.2-3: one group alone is any group of the name, several are each their own."""
    groups = [_group(one) for one in asked.split("=")]
    own = [_group(one) for one in [*name.split("="), "", ""][:3]]
    if not any(group.strip("*") for group in groups):
        return True
    if len(groups) == 1:
        return any(group and covers(groups[0], group) for group in own)
    return all(not one.strip("*") or covers(one, group) for one, group in zip(groups, own, strict=False))


def _group(text: str) -> str:
    return "^".join(" ".join(part.split()) for part in folded(text).split("^")).rstrip("^")


def has_text(asked: str, values: tuple[str, ...]) -> bool:
    """C.2.2.2.1, .3, .4: with its case, and any of several values."""
    wanted = [unicodedata.normalize("NFC", one).strip() for one in asked.split("\\")]
    if any(not one.strip("*") for one in wanted):
        return True
    own = [unicodedata.normalize("NFC", one).strip() for one in values]
    return any(covers(one, value) for one in wanted for value in own if value)


def is_then(study: Study, dates: str, times: str, zone: str, *, combined: bool) -> bool:
    """C.2.2.2.5: ranges of dates and times, in the zone of the request, together where both are ranges."""
    day, moment = _day(study.date), _span(study.time)[0]
    if zone and study.zone and day and moment is not None:
        there = datetime.strptime(f"{day}{study.zone}", "%Y%m%d%z").astimezone(UTC).replace(tzinfo=None)
        there += timedelta(microseconds=moment) + _offset(zone)
        day = f"{there:%Y%m%d}"
        moment = ((there.hour * 60 + there.minute) * 60 + there.second) * _SECOND + there.microsecond
    first_day, last_day = (_day(end) for end in _ends(dates))
    first, last = _span(_ends(times)[0])[0], _span(_ends(times)[1])[1]
    if dates and (not day or day < (first_day or "0") or day > (last_day or "9")):
        return False
    if combined and "-" in dates and "-" in times:
        is_early = day == first_day and first is not None and moment is not None and moment < first
        is_late = day == last_day and last is not None and moment is not None and moment > last
        return not is_early and not is_late
    return not times or (moment is not None and (first or 0) <= moment and (last is None or moment <= last))


def _ends(asked: str) -> tuple[str, str]:
    first, dash, last = asked.partition("-")
    return first.strip(), last.strip() if dash else first.strip()


def _day(text: str) -> str | None:
    digits = text.replace(".", "") if re.fullmatch(r"\d{4}\.\d\d\.\d\d", text) else text
    if not re.fullmatch(r"\d{8}", digits):
        return None
    try:
        return datetime.strptime(f"{digits}Z", "%Y%m%d%z").strftime("%Y%m%d")
    except ValueError:
        return None


def _span(text: str) -> tuple[int | None, int | None]:
    """First and last microsecond of a day that a time can mean."""
    found = _TIME.fullmatch(text.strip())
    if not found or int(found[1]) > 23 or int(found[2] or 0) > 59:
        return None, None
    fraction = found[4] or ""
    first = ((int(found[1]) * 60 + int(found[2] or 0)) * 60 + int(found[3] or 0)) * _SECOND
    first += int(f"{fraction:0<6}")
    means = 10 ** (6 - len(fraction)) if found[3] else 60 * _SECOND if found[2] else 3600 * _SECOND
    return first, first + means - 1


def _offset(zone: str) -> timedelta:
    there = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
    return -there if zone[0] == "-" else there

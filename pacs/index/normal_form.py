"""The form in which values are compared: what is stored in a column and what is asked go through the same functions.

Pure. Dates and times become text that sorts as time does; names lose case, accents and width (PS3.4 C.2.2.2.1 lets
person names match so); all other text keeps its case, and is composed (NFC): one system writes é or a Korean syllable
as one character, another as its parts.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

MAX_WORD = 256
"""Characters of a value that are compared; the longest indexed VR has 194 (PN with three groups, PS3.5 §6.2)."""

_DATE = re.compile(r"(\d{4})(\.?)(\d{2})\2(\d{2})\Z", re.ASCII)
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?\Z", re.ASCII)
_DATE_TIME = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?\Z", re.ASCII
)
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})\Z", re.ASCII)
_NO_OFFSET = timedelta(0)
_MAX_OFFSET = timedelta(hours=14)
"""PS3.5 §6.2: -1200 to +1400."""
_MARKS = (
    *(
        (0x0300, 0x036F),
        (0x1AB0, 0x1AFF),
        (0x1DC0, 0x1DFF),
        (0x20D0, 0x20FF),
        (0xFE20, 0xFE2F),
    ),  # of any script
    (0x0483, 0x0487),  # Cyrillic
    *((0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5), (0x05C7, 0x05C7)),  # Hebrew points
    *((0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC)),  # Arabic vowels, hamza above and below
    *((0x06DF, 0x06E4), (0x06E7, 0x06E8), (0x06EA, 0x06ED), (0x08D3, 0x08E1), (0x08E3, 0x08FF)),
    (0x0640, 0x0640),  # what draws an Arabic word out
    *((0x0711, 0x0711), (0x0730, 0x074A)),  # Syriac
)
"""Marks without which a name is often written. By script, not by category: Unicode's nonspacing marks are also the
vowels of Devanagari and Thai, and what makes another letter of a kana."""
_LETTERS = {
    "ł": "l",
    "ƚ": "l",
    "ɫ": "l",
    "ø": "o",
    "ɵ": "o",
    "ɔ": "o",
    "đ": "d",
    "ð": "d",
    "ɖ": "d",
    "ɗ": "d",
    "ħ": "h",
    "ı": "i",
    "ɨ": "i",
    "ȷ": "j",
    "ɉ": "j",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ß": "ss",
    "ŧ": "t",
    "ⱦ": "t",
    "ƭ": "t",
    "ʈ": "t",
    "ŋ": "n",
    "ɲ": "n",
    "ƞ": "n",
    "ĸ": "q",
    "ɋ": "q",
    "ƙ": "k",
    "ǥ": "g",
    "ɠ": "g",
    "ƶ": "z",
    "ƀ": "b",
    "ɓ": "b",
    "ƃ": "b",
    "ƈ": "c",
    "ȼ": "c",
    "ɍ": "r",
    "ʉ": "u",
    "ƥ": "p",
    "ƴ": "y",
    "ɏ": "y",
    "ʋ": "v",
    "ⱥ": "a",
    "ə": "e",
    "ɛ": "e",
    "ɇ": "e",
    "ƒ": "f",
    # As Arabic and Persian keyboards write the same letters, and hamza with what carries it.
    "ٱ": "ا",
    "ى": "ي",
    "ی": "ي",
    "ې": "ي",
    "ک": "ك",
    "ة": "ه",
    "ۀ": "ه",
    "ہ": "ه",
    "ە": "ه",
}
WRITTEN_AS_ONE = ("ae", "oe", "th", "ss")
"""Two letters of a folded name that may be one as it is written."""
_SIMPLER: dict[int, str | None] = {code: None for first, last in _MARKS for code in range(first, last + 1)}
_SIMPLER |= {ord(letter): simpler for letter, simpler in _LETTERS.items()}


class Span(NamedTuple):
    """First and last moment that a value of limited precision can mean, as text that sorts as time does."""

    first: str
    last: str


def plain(value: object) -> str:
    """`value` as text that both databases keep: no NUL, no lone surrogate, no spaces around, composed (NFC)."""
    text = str(value).replace("\0", "").strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    return text


def word(value: object) -> str:
    """`value` as it is kept in a text column."""
    return plain(value)[:MAX_WORD]


def folded(value: str) -> str:
    """`value` without case, accents, points and width, for names; letters with a stroke, and two written as one, become
    the plain ones."""
    if value.isascii():
        return value.lower()
    # Twice: a decomposition can bring up a capital (Unicode §3.13.5).
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", value.casefold()).casefold())
    return unicodedata.normalize("NFKC", decomposed.translate(_SIMPLER))


def name_group(value: object) -> str:
    """One component group of a person name, folded, without empty components at its end (PS3.5 §6.2.1)."""
    return _name_group(str(value)) if value else ""


@lru_cache(maxsize=8192)  # who looks through all of them meets the same physicians again and again
def _name_group(value: str) -> str:
    components = [" ".join(component.split()) for component in folded(plain(value)).split("^")]
    return "^".join(components).rstrip("^ ")[:MAX_WORD]


def date_text(value: str) -> str | None:
    """A DA value as YYYYMMDD, also from the old form with dots; None when it is no date."""
    found = _DATE.match(value.strip())
    if not found:
        return None
    year, _, month, day = found.groups()
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return None
    return year + month + day


def time_span(value: str) -> Span | None:
    """A TM value, which may lack minutes and seconds, as HHMMSS.FFFFFF; None when it is no time."""
    found = _TIME.match(value.strip())
    if not found:
        return None
    hours, minutes, seconds, fraction = found.groups()
    if int(hours) > 23 or int(minutes or 0) > 59 or int(seconds or 0) > 60:
        return None
    fraction = fraction or ""
    return Span(
        f"{hours}{minutes or '00'}{seconds or '00'}.{fraction:0<6}",
        f"{hours}{minutes or '59'}{seconds or '59'}.{fraction:9<6}",
    )


def utc_offset(value: object) -> timedelta | None:
    """Timezone Offset From UTC (0008,0201), ``+0900``; None when it is none (PS3.3 C.12.1.1.8)."""
    found = _OFFSET.match(str(value).strip())
    if not found:
        return None
    shift = timedelta(hours=int(found[2]), minutes=int(found[3]))
    if shift > _MAX_OFFSET or int(found[3]) > 59:
        return None
    return -shift if found[1] == "-" else shift


def date_time_span(value: str, default_offset: timedelta = _NO_OFFSET) -> Span | None:
    """A DT value as YYYYMMDDHHMMSS.FFFFFF in UTC; `default_offset` is that of a value that names none."""
    found = _DATE_TIME.match(value.strip())
    if not found:
        return None
    year, month, day, hours, minutes, seconds, fraction, offset = found.groups()
    shift = utc_offset(offset) if offset else default_offset
    if shift is None:
        return None  # 2023-2024 is a range of years
    zone = timezone(shift)
    try:
        first = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hours or 0),
            int(minutes or 0),
            min(int(seconds or 0), 59),
            int(f"{fraction or '':0<6}"),
            tzinfo=zone,
        )
        last = _end_of(first, (month, day, hours, minutes, seconds), fraction or "")
        return Span(_sortable(first), _sortable(last))
    except (ValueError, OverflowError):
        return None


def _end_of(first: datetime, parts: tuple[str | None, ...], fraction: str) -> datetime:
    month, day, hours, minutes, seconds = parts
    if fraction:
        return first.replace(microsecond=int(f"{fraction:9<6}"))
    if month is None:
        return first.replace(month=12, day=31, hour=23, minute=59, second=59, microsecond=999_999)
    if day is None:
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return following - timedelta(microseconds=1)
    for part, length in ((hours, timedelta(days=1)), (minutes, timedelta(hours=1)), (seconds, timedelta(minutes=1))):
        if part is None:
            return first + length - timedelta(microseconds=1)
    return first.replace(microsecond=999_999)


def _sortable(moment: datetime) -> str:
    moment = moment.astimezone(timezone.utc)  # noqa: UP017
    return f"{moment.year:04}{moment:%m%d%H%M%S.%f}"


def integer(value: Any) -> int | None:
    """An IS or binary integer value, also as text; None when it is none or outside 32 bit."""
    try:
        if isinstance(value, str):
            value = Decimal(value.strip())
        # Compared before it is made an integer: 1e999999999 would take all memory.
        return int(value) if -(1 << 31) <= value < 1 << 31 else None
    except (TypeError, ValueError, ArithmeticError):
        return None

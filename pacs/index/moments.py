"""A date and its time matched together (PS3.4 C.2.2.2.5): as one range of moments, or in another time zone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pacs.index.normal_form import date_text, time_span, utc_offset
from pacs.model import DicomJson

Range = tuple[str | None, str | None]
"""First and last, in normal form; None is an open end."""

TIMEZONE_OFFSET_FROM_UTC: Final = "00080201"
TIME_OF: Final = {
    0x00080012: 0x00080013,  # Instance Creation
    0x00080020: 0x00080030,  # Study
    0x00080021: 0x00080031,  # Series
    0x00080022: 0x00080032,  # Acquisition
    0x00080023: 0x00080033,  # Content
    0x00380020: 0x00380021,  # Admitting
    0x00400002: 0x00400003,  # Scheduled Procedure Step Start
    0x00400004: 0x00400005,  # Scheduled Procedure Step End
    0x00400244: 0x00400245,  # Performed Procedure Step Start
    0x00400250: 0x00400251,  # Performed Procedure Step End
}
"""Date -> its time. A birth date is no moment: nobody's birthday moves with the time zone."""
DATE_OF: Final = {time: date for date, time in TIME_OF.items()}


@dataclass(frozen=True, slots=True)
class Moments:
    """Ranges of a date and of its time, any of each. At least one of the two is asked."""

    date_tag: int
    dates: tuple[Range, ...]
    times: tuple[Range, ...]
    is_combined: bool = False
    """The one range of dates and the one of times are one range of moments; a date without a time counts whole."""
    offset: timedelta | None = None
    """The time zone that is meant; a data set that names its own is compared in this one."""

    def holds(self, data_set: DicomJson, _tag: int) -> bool:
        """Whether the data set's date and time match."""
        day = date_text(_first(data_set, self.date_tag)) or ""
        span = time_span(_first(data_set, TIME_OF[self.date_tag]))
        time = span.first if span else ""
        day, time = self._in_zone_asked(data_set, day, time)
        if self.is_combined:
            return self._is_between(day, time)
        return (not self.dates or any(_is_in(day, asked) for asked in self.dates)) and (
            not self.times or any(_is_in(time, asked) for asked in self.times)
        )

    def _is_between(self, day: str, time: str) -> bool:
        ((first_day, last_day),) = self.dates
        ((first_time, last_time),) = self.times
        if not _is_in(day, (first_day, last_day)):
            return False
        if not time:
            return True
        return not (day == first_day and first_time and time < first_time) and not (
            day == last_day and last_time and time > last_time
        )

    def _in_zone_asked(self, data_set: DicomJson, day: str, time: str) -> tuple[str, str]:
        if self.offset is None or not day or not time:
            return day, time
        own = utc_offset(_first(data_set, int(TIMEZONE_OFFSET_FROM_UTC, 16)))
        if own is None:
            return day, time
        second = min(int(time[4:6]), 59)
        try:
            moment = datetime(  # noqa: DTZ001 -- wall clock of one zone to that of another
                int(day[:4]), int(day[4:6]), int(day[6:]), int(time[:2]), int(time[2:4]), second, int(time[7:])
            )
            moment += self.offset - own
        except (ValueError, OverflowError):
            return day, time
        return f"{moment.year:04}{moment:%m%d}", f"{moment:%H%M%S.%f}"


def day_after(day: str, days: int) -> str:
    """The day so many days later, or `day` where the calendar ends."""
    try:
        moved = datetime(int(day[:4]), int(day[4:6]), int(day[6:])) + timedelta(days=days)  # noqa: DTZ001
    except (ValueError, OverflowError):
        return day
    return f"{moved.year:04}{moved:%m%d}"


def _first(data_set: DicomJson, tag: int) -> str:
    values = data_set.get(f"{tag:08X}", {}).get("Value")
    return str(values[0]) if values and values[0] is not None else ""


def _is_in(value: str, asked: Range) -> bool:
    first, last = asked
    return bool(value) and (first is None or value >= first) and (last is None or value <= last)

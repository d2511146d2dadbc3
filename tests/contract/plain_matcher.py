"""PS3.4 C.2.2.2 read plainly, one data set after the other: what a search must find, made without any SQL."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pacs.index.keys import criteria
from pacs.model import DicomJson, Level, Match, NewInstance, Query
from tests.index.new_instances import attributes


@dataclass
class _Entity:
    uid: str
    attributes: DicomJson
    order: tuple[Any, ...]


def expected(archive: list[NewInstance], query: Query) -> list[str]:
    entities = _entities(archive, query.level)
    sequences: dict[int, list[Match]] = {}
    for key in query.matches:
        if len(key.path) > 1 and _asks(key):
            sequences.setdefault(key.path[0], []).append(key)
    combined = _combined(query)
    found = [
        entity
        for entity in entities
        if all(
            _holds(entity.attributes, key, query)
            for key in query.matches
            if len(key.path) == 1 and not (combined and key.tag in (0x00080020, 0x00080030))
        )
        and (combined is None or _is_between(*_day_and_time(entity.attributes, query), *combined))
        and all(
            any(
                all(_holds(item, Match(key.path[1:], key.values), query) for key in keys)
                for item in _values(entity.attributes, sequence)
            )
            for sequence, keys in sequences.items()
        )
    ]
    found.sort(key=lambda entity: entity.order, reverse=query.level is Level.STUDY)
    uids = [entity.uid for entity in found]
    return uids[query.offset : None if query.limit is None else query.offset + query.limit]


def _entities(archive: list[NewInstance], level: Level) -> list[_Entity]:
    rows: dict[str, NewInstance] = {}
    for new in archive:
        rows.setdefault(new.key.sop_instance_uid, new)
    studies: dict[str, list[NewInstance]] = {}
    series: dict[str, list[NewInstance]] = {}
    for new in rows.values():
        studies.setdefault(new.key.study_instance_uid, []).append(new)
        series.setdefault(new.key.series_instance_uid, []).append(new)
    entities = []
    for study_place, (study_uid, in_study) in enumerate(studies.items()):
        first = in_study[0]
        modalities = [
            _values(series[uid][0].series, 0x00080060) for uid in {n.key.series_instance_uid for n in in_study}
        ]
        study_attributes = {
            **first.patient,
            **first.study,
            **attributes(
                StudyInstanceUID=study_uid,
                ModalitiesInStudy=[(values or [""])[0] or "OT" for values in modalities],
                SOPClassesInStudy=[new.sop_class_uid for new in in_study],
                NumberOfStudyRelatedInstances=len(in_study),
            ),
        }
        if level is Level.STUDY:
            date = re.sub(r"\.", "", str((_values(first.study, 0x00080020) or [""])[0]))
            time = str((_values(first.study, 0x00080030) or [""])[0]).replace(":", "")
            order = (date if date.isdigit() else "", _lowest_time(time) if _is_time(time) else "", study_place)
            entities.append(_Entity(study_uid, study_attributes, order))
            continue
        for series_place, (series_uid, in_series) in enumerate(series.items()):
            if in_series[0].key.study_instance_uid != study_uid:
                continue
            number = (_values(in_series[0].series, 0x00200011) or [10**10])[0]
            series_attributes = {
                **study_attributes,
                **in_series[0].series,
                **attributes(SeriesInstanceUID=series_uid),
            }
            if level is Level.SERIES:
                entities.append(_Entity(series_uid, series_attributes, (study_place, number, series_place)))
                continue
            for place, new in enumerate(in_series):
                number = (_values(new.instance, 0x00200013) or [10**10])[0]
                own = attributes(SOPInstanceUID=new.key.sop_instance_uid, SOPClassUID=new.sop_class_uid)
                entities.append(
                    _Entity(
                        new.key.sop_instance_uid,
                        {**series_attributes, **new.instance, **own},
                        (series_place, number, place),
                    )
                )
    return entities


def _combined(query: Query) -> tuple[str, str] | None:
    """The ranges of the study's date and time, where they are one range of moments."""
    dates = [key.values for key in query.matches if key.tag == 0x00080020 and _asks(key)]
    times = [key.values for key in query.matches if key.tag == 0x00080030 and _asks(key)]
    if not query.combines_date_and_time or len(dates) != 1 or len(times) != 1:
        return None
    asked = [[value for value in values if value.strip("*")] for values in (*dates, *times)]
    if any(len(values) != 1 or "-" not in values[0] for values in asked):
        return None
    return asked[0][0], asked[1][0]


def _is_between(day: str, time: str, days: str, times: str) -> bool:
    (first_day, _, last_day), (first_time, _, last_time) = days.partition("-"), times.partition("-")
    if not day or not _between(days, day, day):
        return False
    if not time:
        return True
    moment = day + time
    lowest = first_day + (_lowest_time(first_time) if first_time else "") if first_day else ""
    highest = last_day + (_highest_time(last_time) if last_time else "~") if last_day else "~"
    return lowest <= moment <= highest


def _day_and_time(data_set: DicomJson, query: Query) -> tuple[str, str]:
    """Of the study, in the zone of the request where that and its own are known; empty where they are none."""
    days = [str(value).replace(".", "") for value in _values(data_set, 0x00080020)]
    times = [str(value).replace(":", "") for value in _values(data_set, 0x00080030)]
    zones = [str(value) for value in _values(data_set, 0x00080201)]
    day = days[0] if days and days[0].isdigit() else ""
    time = _lowest_time(times[0]) if times and _is_time(times[0]) else ""
    if query.timezone_offset and day and time and zones and zones[0] != "Seoul":
        there = datetime.strptime(f"{day}{time}{zones[0]}", "%Y%m%d%H%M%S.%f%z")
        here = there.astimezone(datetime.strptime(query.timezone_offset, "%z").tzinfo)
        return here.strftime("%Y%m%d"), here.strftime("%H%M%S.%f")
    return day, time


def _is_empty(data_set: DicomJson, tag: int) -> bool:
    if tag in (0x00100010, 0x00080090):
        return not any(_folded(group) for value in _values(data_set, tag) for group in value.values())
    return not any(str(value).strip() for value in _values(data_set, tag))


def _values(data_set: DicomJson, tag: int) -> list[Any]:
    return data_set.get(f"{tag:08X}", {}).get("Value", [])


def _asks(key: Match, is_fuzzy: bool = False) -> bool:
    """A key without a value, or with one that matches everything, asks nothing."""
    texts = [value for value in (value.strip() for value in key.values) if value.strip("*")]
    if key.tag in (0x00100010, 0x00080090):
        idle = r"[*?^= ]" if is_fuzzy else r"[*^= ]"
        return bool(texts) and all(re.sub(idle, "", text) for text in texts)
    return bool(texts)


def _holds(data_set: DicomJson, key: Match, query: Query) -> bool:
    needs_all = query.needs_all_values and key.tag in (0x00080061, 0x00080008)
    if not _asks(key, query.is_fuzzy) or (
        not needs_all and any(value and not value.strip("*") for value in key.values)
    ):
        return True
    asked = [value.strip() for value in key.values if value.strip().strip("*")]
    stored = _values(data_set, key.tag)
    tag = key.tag
    if query.finds_empty and asked == ['""']:
        return _is_empty(data_set, tag)
    if tag in (0x00100010, 0x00080090):
        if query.is_fuzzy:
            # PS3.4 leaves the rule to us; it has its own tests, what is shown here is that SQL leaves nobody out.
            (criterion,) = (criterion for _, criterion in criteria(Query(query.level, (key,), is_fuzzy=True)))
            return criterion.holds(data_set, tag)
        return any(_name(pattern, value) for pattern in asked for value in stored)
    if tag == 0x00080020:
        day, _ = _day_and_time(data_set, query)
        return any(_between(text, day, day) for text in asked if day)
    if tag == 0x00080030:
        _, time = _day_and_time(data_set, query)
        return any(_in_times(text, time) for text in asked if time)
    if tag in (0x00200011, 0x00200013, 0x00280010, 0x00201208):
        return any(float(text) == value for text in asked for value in stored)
    if tag in (0x0020000D, 0x0020000E, 0x00080018, 0x00080016, 0x00080062):
        return any(value in asked for value in stored)
    quantifier = all if needs_all else any
    texts = [unicodedata.normalize("NFC", str(value).strip()) for value in stored if str(value).strip()]
    asked = [unicodedata.normalize("NFC", text) for text in asked]
    return quantifier(any(_pattern(text).fullmatch(value) for value in texts) for text in asked)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(
        "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in text), re.DOTALL
    )


_PLAIN = {
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ħ": "h",
    "ı": "i",
    "æ": "ae",
    "œ": "oe",
    "ð": "d",
    "þ": "th",
    "ß": "ss",
    "أ": "ا",
    "إ": "ا",
    "آ": "ا",
    "ى": "ي",
    "ة": "ه",
    "ؤ": "و",
    "ئ": "ي",
}


def _folded(text: str) -> str:
    """Lower case; accents, points and strokes go, Korean syllables and the marks of other scripts stay."""
    text = unicodedata.normalize("NFC", text).lower()
    plain = unicodedata.normalize("NFD", "".join(_PLAIN.get(c, c) for c in text))
    plain = "".join(c for c in plain if not _is_accent(c))
    plain = unicodedata.normalize("NFC", plain)
    parts = [re.sub(" +", " ", part).strip() for part in plain.split("^")]
    return "^".join(parts).rstrip("^ ")


def _is_accent(character: str) -> bool:
    if not unicodedata.combining(character):
        return False
    kind = unicodedata.name(character, "")
    return kind.startswith(("COMBINING", "HEBREW POINT", "ARABIC")) and "KATAKANA" not in kind


def _name(pattern: str, value: dict[str, str]) -> bool:
    groups = [_folded(value.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")]
    asked = [_folded(group) for group in pattern.split("=")[:3]]
    asked = [group if group.strip("*") and re.sub(r"[*^ ]", "", group) else "" for group in asked]
    if not any(asked):
        return True
    if len(asked) == 1:
        return any(group and _covers_name(asked[0], group) for group in groups)
    return all(_covers_name(part, group) for part, group in zip(asked, groups, strict=False) if part)


def _covers_name(pattern: str, group: str) -> bool:
    """With as many empty components at the end as the pattern has separators."""
    letters = re.compile(
        _pattern(pattern.replace("?", "\0")).pattern.replace("\\\x00", "\0").replace("\0", "(?:.|ae|oe|th|ss)"),
        re.DOTALL,
    )
    return any(letters.fullmatch(group + "^" * more) for more in range(pattern.count("^") + 1))


def _between(text: str, low: str, high: str) -> bool:
    first, dash, last = text.partition("-")
    last = last if dash else first
    return (not first or low >= first) and (not last or high <= last)


def _is_time(text: str) -> bool:
    return re.fullmatch(r"[0-9.]{2,}", text) is not None


def _lowest_time(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole:0<6}.{fraction:0<6}"


def _in_times(text: str, stored: str) -> bool:
    first, dash, last = text.partition("-")
    last = last if dash else first
    return stored >= _lowest_time(first) and (not last or stored <= _highest_time(last))


def _highest_time(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return whole + "235959"[len(whole) :] + "." + f"{fraction:9<6}"

"""What SQL answers equals what a plain reading of PS3.4 C.2.2.2 in Python answers, on made-up archives."""

from __future__ import annotations

import itertools
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag

from pacs.errors import InvalidRequest
from pacs.index import Index
from pacs.index.keys import criteria
from pacs.model import DicomJson, Level, Match, NewInstance, Query
from tests.index.new_instances import CT, MR, attributes, new_instance

_hospitals = itertools.count()

# ---- archives

_TEXT = st.text("aAbB%_[]'^ 가é", min_size=0, max_size=4)
_NAME = st.fixed_dictionaries(
    {}, optional={group: st.text("aAbBéÉ^ 가%_[", max_size=5) for group in ("Alphabetic", "Ideographic", "Phonetic")}
)
_DATE = st.sampled_from(["20240101", "20240102", "20240115", "2024.01.02", "20231231", "not a date", ""])
_TIME = st.sampled_from(["10", "1015", "101530", "101530.5", "10:15", "2359", "noon", ""])
_ZONE = st.sampled_from(["+0900", "-0500", "+0000", "Seoul"])
_FUZZY_NAME = st.sampled_from(
    ["Schmidt^Anna", "SMITH^Ann", "Kim^Min Su", "KIM^MINSU", "Gim^Minju", "김^민수", "김^민주"]
)
_NUMBER = st.integers(-2, 3)
_MODALITY = st.sampled_from(["CT", "MR", "C", "SR", ""])
_ITEMS = st.lists(
    st.builds(
        lambda step, request: attributes(ScheduledProcedureStepID=step, RequestedProcedureID=request),
        st.sampled_from(["S1", "S2"]),
        st.sampled_from(["R1", "R2"]),
    ),
    max_size=2,
)


def _data_set(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[DicomJson]:
    """Each attribute absent, empty or with a value."""
    optional = {keyword: st.one_of(st.none(), value, value, value) for keyword, value in values.items()}
    return st.fixed_dictionaries({}, optional=optional).map(lambda chosen: attributes(**chosen))


_INSTANCES = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 2),
        st.integers(1, 3),
        st.sampled_from([CT, MR]),
        _data_set(
            PatientID=_TEXT,
            IssuerOfPatientID=_TEXT,
            PatientName=st.one_of(_NAME, _FUZZY_NAME.map(lambda name: {"Alphabetic": name})),
            PatientSex=st.sampled_from("MF"),
        ),
        _data_set(
            StudyDate=_DATE,
            StudyTime=_TIME,
            AccessionNumber=_TEXT,
            StudyDescription=_TEXT,
            ReferringPhysicianName=_NAME,
            TimezoneOffsetFromUTC=_ZONE,
        ),
        _data_set(Modality=_MODALITY, SeriesNumber=_NUMBER, BodyPartExamined=_TEXT, RequestAttributesSequence=_ITEMS),
        _data_set(
            InstanceNumber=_NUMBER,
            Rows=_NUMBER,
            ImageType=st.lists(st.sampled_from(["ORIGINAL", "PRIMARY", "AXIAL"]), min_size=1, max_size=3),
        ),
    ),
    max_size=8,
)


def _archive(hospital: str, drawn: list[Any]) -> list[NewInstance]:
    return [
        new_instance(
            f"{study}",
            f"{study}.{series}",
            f"{study}.{series}.{instance}",
            hospital=hospital,
            sop_class=sop_class,
            in_patient=patient,
            in_study=in_study,
            in_series=in_series,
            in_instance=in_instance,
        )
        for study, series, instance, sop_class, patient, in_study, in_series, in_instance in drawn
    ]


# ---- questions


def _wild(text: str, places: list[int]) -> str:
    characters = list(text)
    for number, place in enumerate(places):
        if number % 2:
            characters.insert(place % (len(characters) + 1), "*")
        elif characters:
            characters[place % len(characters)] = "?"
    return "".join(characters)


_PLACES = st.lists(st.integers(0, 5), max_size=3)
_PATTERN = st.builds(_wild, _TEXT, _PLACES)
_NAME_PATTERN = st.builds(_wild, st.text("aAbBéÉ^ 가%_[=", max_size=5), _PLACES)
_DAY = st.sampled_from(["20240101", "20240102", "20240115", "20231231"])
_DAYS = st.one_of(
    _DAY, st.builds("{}-{}".format, _DAY, _DAY), st.builds("{}-".format, _DAY), st.builds("-{}".format, _DAY)
)
_MOMENT = st.sampled_from(["10", "1015", "101530", "101530.5", "09", "2359"])
_TIMES = st.one_of(_MOMENT, st.builds("{}-{}".format, _MOMENT, _MOMENT), st.builds("{}-".format, _MOMENT))
_UIDS = ["1", "2", "1.1", "1.2", "2.1", "1.1.1", "2.1.2", "3.2.3"]

_VALUES: dict[tuple[int, ...], st.SearchStrategy[str]] = {
    (0x00100020,): _PATTERN,
    (0x00100021,): _PATTERN,
    (0x00100010,): _NAME_PATTERN,
    (0x00100040,): st.sampled_from(["M", "F", "?", "*", "O"]),
    (0x00080020,): _DAYS,
    (0x00080030,): _TIMES,
    (0x00080050,): _PATTERN,
    (0x00081030,): _PATTERN,
    (0x00080090,): _NAME_PATTERN,
    (0x00080061,): st.sampled_from(["CT", "MR", "C", "OT", "C*", "?R"]),
    (0x00080062,): st.sampled_from([CT, MR]),
    (0x00201208,): st.sampled_from(["1", "2", "03"]),
    (0x00080060,): st.sampled_from(["CT", "MR", "C", "OT", "C*", "?R"]),
    (0x00200011,): st.sampled_from(["-1", "0", "01", "2.0", "7", "1.5"]),
    (0x00180015,): _PATTERN,
    (0x00400275, 0x00400009): st.sampled_from(["S1", "S2", "S?"]),
    (0x00400275, 0x00401001): st.sampled_from(["R1", "R2", "*"]),
    (0x00200013,): st.sampled_from(["-1", "0", "01", "7"]),
    (0x00280010,): st.sampled_from(["0", "1", "2"]),
    (0x00080008,): st.sampled_from(["ORIGINAL", "PRIMARY", "AXIAL", "A*"]),
    (0x0020000D,): st.sampled_from(_UIDS),
    (0x0020000E,): st.sampled_from(_UIDS),
    (0x00080018,): st.sampled_from(_UIDS),
    (0x00080016,): st.sampled_from([CT, MR]),
}
_FUZZY_KEY = st.sampled_from(
    [
        "smith",
        "schmit",
        "ann",
        "kim minsu",
        "min su kim",
        "kmi",
        "gim",
        "minju",
        "김민수",
        "김 민슈",
        "민주",
        "kin",
        "김",
    ]
)
_VALUES[(0x00100010,)] = st.one_of(_NAME_PATTERN, _NAME_PATTERN, _FUZZY_KEY)
_EMPTY = st.just(('""',))
_KEY = st.sampled_from(sorted(_VALUES)).flatmap(
    lambda path: st.builds(
        Match,
        st.just(path),
        st.one_of(
            st.lists(_VALUES[path], max_size=2).map(tuple), st.lists(_VALUES[path], max_size=1).map(tuple), _EMPTY
        ),
    )
)
_LEVEL_OF = {
    Level.PATIENT: {0x00100020, 0x00100021, 0x00100010, 0x00100040},
    Level.STUDY: {
        0x0020000D,
        0x00080020,
        0x00080030,
        0x00080050,
        0x00081030,
        0x00080090,
        0x00080061,
        0x00080062,
        0x00201208,
    },
    Level.SERIES: {0x0020000E, 0x00080060, 0x00200011, 0x00180015, 0x00400275},
    Level.IMAGE: {0x00080018, 0x00080016, 0x00200013, 0x00280010, 0x00080008},
}
_LEVELS = list(Level)


def _reachable(level: Level, key: Match) -> bool:
    """Keys of the level and above; those below have examples in test_search."""
    return any(key.path[0] in _LEVEL_OF[above] for above in _LEVELS[: _LEVELS.index(level) + 1])


# ---- the plain reading


@dataclass
class _Entity:
    uid: str
    attributes: DicomJson
    order: tuple[Any, ...]


def _expected(archive: list[NewInstance], query: Query) -> list[str]:
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
    if not _asks(key, query.is_fuzzy):
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
    quantifier = all if query.needs_all_values and tag in (0x00080061, 0x00080008) else any
    texts = [str(value).strip() for value in stored if str(value).strip()]
    return quantifier(any(_pattern(text).fullmatch(value) for value in texts) for text in asked)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(
        "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in text), re.DOTALL
    )


def _folded(text: str) -> str:
    """Lower case; accents go, Korean syllables stay."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if not 0x300 <= ord(c) < 0x370)
    plain = unicodedata.normalize("NFC", plain)
    parts = [re.sub(" +", " ", part).strip() for part in plain.split("^")]
    return "^".join(parts).rstrip("^ ")


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
    return any(_pattern(pattern).fullmatch(group + "^" * more) for more in range(pattern.count("^") + 1))


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


@given(
    drawn=_INSTANCES,
    level=st.sampled_from([Level.STUDY, Level.SERIES, Level.IMAGE]),
    keys=st.lists(_KEY, max_size=3),
    limit=st.one_of(st.none(), st.integers(0, 4)),
    offset=st.integers(0, 2),
    ways=st.fixed_dictionaries(
        {
            "is_fuzzy": st.booleans(),
            "combines_date_and_time": st.booleans(),
            "finds_empty": st.booleans(),
            "needs_all_values": st.booleans(),
            "timezone_offset": st.sampled_from(["", "", "+0900", "-0500"]),
        }
    ),
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_sql_answers_as_a_plain_matcher_does(
    index: Index,
    drawn: list[Any],
    level: Level,
    keys: list[Match],
    limit: int | None,
    offset: int,
    ways: dict[str, Any],
) -> None:
    hospital = f"h{next(_hospitals)}"  # an archive of its own, in the same database
    # In a batch, rows are written in order of their UIDs.
    batches = [
        sorted(_archive(hospital, part), key=lambda new: new.key.sop_instance_uid) for part in (drawn[:3], drawn[3:])
    ]
    for batch in batches:
        index.add(batch)
    archive = batches[0] + batches[1]
    # Two quotation marks are no date and no number when they do not ask for an empty value.
    keys = [key for key in keys if _reachable(level, key) and (ways["finds_empty"] or '""' not in key.values)]
    query = Query(level, tuple(keys), limit=limit, offset=offset, **ways)
    tag = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}[level]
    found = [answer[tag]["Value"][0] for answer in index.search(hospital, query)]
    assert found == _expected(archive, query)


@given(
    day=_DAYS,
    time=_TIMES,
    is_combined=st.booleans(),
    timezone_offset=st.sampled_from(["", "+0900", "-0500"]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_date_and_time_in_every_zone(
    index: Index, day: str, time: str, is_combined: bool, timezone_offset: str
) -> None:
    dates, times = (
        (None, "20240101", "2024.01.02", "20231231", "never"),
        (None, "0900", "10:15", "101530.5", "2359", "-"),
    )
    archive = [
        new_instance(
            f"{number}",
            f"{number}.1",
            f"{number}.1.1",
            in_study=attributes(
                **{
                    keyword: value
                    for keyword, value in zip(("StudyDate", "StudyTime", "TimezoneOffsetFromUTC"), values, strict=True)
                    if value
                }
            ),
        )
        for number, values in enumerate(itertools.product(dates, times, (None, "+0900", "-0500", "Seoul")))
    ]
    archive.sort(key=lambda new: new.key.sop_instance_uid)
    if index.existing("default", "1.1.1") is None:
        index.add(archive)
    keys = (Match((0x00080020,), (day,)), Match((0x00080030,), (time,)))
    query = Query(Level.STUDY, keys, combines_date_and_time=is_combined, timezone_offset=timezone_offset)
    found = [answer["0020000D"]["Value"][0] for answer in index.search("default", query)]
    assert sorted(found) == sorted(_expected(archive, query))


_ANY_KEY = st.builds(
    Match,
    st.sampled_from(sorted(_VALUES)),
    st.lists(st.one_of(st.text(max_size=20), st.text("*?%_[]^=-\\0123456789.", max_size=20)), max_size=2).map(tuple),
)


@given(level=st.sampled_from(_LEVELS), keys=st.lists(_ANY_KEY, max_size=2), is_fuzzy=st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_is_answered_or_refused_by_name(
    index: Index, level: Level, keys: list[Match], is_fuzzy: bool
) -> None:
    index.add([new_instance()])
    try:
        list(index.search("default", Query(level, tuple(keys), is_fuzzy=is_fuzzy)))
    except InvalidRequest as refused:
        assert any((keyword_for_tag(key.tag) or "?") in str(refused) for key in keys)

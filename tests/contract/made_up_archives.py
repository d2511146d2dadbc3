"""Archives and questions for property tests of searches: with the marks, zones and empty values that go wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pacs.model import DicomJson, Level, Match, NewInstance
from tests.index.new_instances import CT, MR, attributes, new_instance

_TEXT = st.text("aAbB%_[]'^ 가é", min_size=0, max_size=4)
_COMPOSED_OR_NOT = st.text("eE 가각é\u0301\u1100\u1161\u11a8", min_size=0, max_size=4)
_LETTERS = "aAbBéÉłŁæß\u05b8أ^ 가%_["
_NAME = st.fixed_dictionaries(
    {}, optional={group: st.text(_LETTERS, max_size=5) for group in ("Alphabetic", "Ideographic", "Phonetic")}
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


INSTANCES = st.lists(
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
            StudyDescription=st.one_of(_TEXT, _COMPOSED_OR_NOT),
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


def archive_of(hospital: str, drawn: list[Any]) -> list[NewInstance]:
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
_TEXT_PATTERN = st.one_of(_PATTERN, st.builds(_wild, _COMPOSED_OR_NOT, _PLACES))
_NAME_PATTERN = st.builds(_wild, st.text(_LETTERS + "=ا", max_size=5), _PLACES)
_DAY = st.sampled_from(["20240101", "20240102", "20240115", "20231231"])
DAYS = st.one_of(
    _DAY, st.builds("{}-{}".format, _DAY, _DAY), st.builds("{}-".format, _DAY), st.builds("-{}".format, _DAY)
)
_MOMENT = st.sampled_from(["10", "1015", "101530", "101530.5", "09", "2359"])
TIMES = st.one_of(_MOMENT, st.builds("{}-{}".format, _MOMENT, _MOMENT), st.builds("{}-".format, _MOMENT))
_UIDS = ["1", "2", "1.1", "1.2", "2.1", "1.1.1", "2.1.2", "3.2.3"]

_VALUES: dict[tuple[int, ...], st.SearchStrategy[str]] = {
    (0x00100020,): _PATTERN,
    (0x00100021,): _PATTERN,
    (0x00100010,): _NAME_PATTERN,
    (0x00100040,): st.sampled_from(["M", "F", "?", "*", "O"]),
    (0x00080020,): DAYS,
    (0x00080030,): TIMES,
    (0x00080050,): _PATTERN,
    (0x00081030,): _TEXT_PATTERN,
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
KEY = st.sampled_from(sorted(_VALUES)).flatmap(
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
LEVELS = list(Level)


def is_reachable(level: Level, key: Match) -> bool:
    """Keys of the level and above; those below have examples in test_search."""
    return any(key.path[0] in _LEVEL_OF[above] for above in LEVELS[: LEVELS.index(level) + 1])


ANY_KEY = st.builds(
    Match,
    st.sampled_from(sorted(_VALUES)),
    st.lists(st.one_of(st.text(max_size=20), st.text("*?%_[]^=-\\0123456789.", max_size=20)), max_size=2).map(tuple),
)

"""The rules of PS3.4 C.2.2.2, one row each, on every database; `test_search` has more of the usual ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.datadict import tag_for_keyword

from pacs.errors import InvalidRequest
from pacs.index import Index
from pacs.model import DicomJson, Level, Match, NewInstance, Query
from tests.index.new_instances import CT, MR, attributes, name, new_instance

STUDY, SERIES, IMAGE = Level.STUDY, Level.SERIES, Level.IMAGE
UNIQUE = {
    Level.PATIENT: "00100020",
    Level.STUDY: "0020000D",
    Level.SERIES: "0020000E",
    Level.IMAGE: "00080018",
}


def keys(**values: str | tuple[str, ...]) -> tuple[Match, ...]:
    """Keys by keyword; two underscores lead into a sequence."""
    found = []
    for path, value in values.items():
        tags = tuple(tag_for_keyword(keyword) or 0 for keyword in path.split("__"))
        assert all(tags), path
        found.append(Match(tags, value if isinstance(value, tuple) else (value,)))
    return tuple(found)


PEOPLE: dict[str, dict[str, str]] = {
    "1": name("Hong^Gildong", "洪^吉洞", "홍^길동"),
    "2": name("Yamada^Tarou", "山田^太郎", "やまだ^たろう"),
    "3": name("Müller^Jörg^^Dr"),
    "4": name("SCHMIDT^ANNA MARIA"),
    "5": name("김^민수"),
    "6": name("Wałęsa^Łucja"),
    "7": {},
}
MOMENTS: dict[str, tuple[str | None, str | None, str | None]] = {
    "1": ("20240101", "080000", None),
    "2": ("20240101", "200000", "+0000"),
    "3": ("20240102", "013000", "+0900"),
    "4": ("20240103", "235959.5", "-0500"),
    "5": ("20240104", None, None),
    "6": (None, "120000", None),
    "7": (None, None, None),
}


def _study(uid: str, **series: Any) -> NewInstance:
    date, time, zone = MOMENTS[uid]
    in_study: DicomJson = attributes(
        **{keyword: value for keyword, value in (("StudyDate", date), ("StudyTime", time)) if value is not None},
        **({"TimezoneOffsetFromUTC": zone} if zone else {}),
        AccessionNumber=None if uid == "7" else f"A{uid}",
        StudyDescription=f"CHEST {uid} 100%_[a]",
    )
    if uid == "1":
        in_study |= attributes(PhysiciansOfRecord=[name("Kim^A"), name("Lee^B")])
    if uid == "6":
        in_study |= attributes(StudyID=LONG)
    if uid == "7":
        in_study |= attributes(StudyDescription="  ")
    return new_instance(
        uid,
        f"{uid}.1",
        f"{uid}.1.1",
        in_patient=attributes(
            PatientID=f"P{uid}",
            PatientName=PEOPLE[uid] or None,
            **({"PatientComments": LONG} if uid == "4" else {}),
            **({"PatientBirthDate": "19700101", "OtherPatientIDs": ["X1", "X2"]} if uid in "12" else {}),
        ),
        in_study=in_study,
        in_series=attributes(Modality=None if uid == "7" else "CT", SeriesNumber=int(uid), **series),
        in_instance=attributes(
            InstanceNumber=int(uid),
            ImageType=["ORIGINAL", "PRIMARY", "AXIAL"] if uid in "13" else ["DERIVED", "PRIMARY"],
        )
        | (attributes(AcquisitionDateTime="20240101080000") if uid == "3" else {}),
    )


LONG = "z" * 300 + "TAIL"
STEPS = [
    attributes(ScheduledProcedureStepID="S1", RequestedProcedureID="R1"),
    attributes(ScheduledProcedureStepID="S2", RequestedProcedureID=None),
]


@pytest.fixture(scope="module")
def archive(new_url: Callable[[], str]) -> Iterator[Index]:
    """Seven studies of seven patients; only read."""
    index = Index.open(new_url())
    index.migrate()
    index.add([_study(uid, **({"RequestAttributesSequence": STEPS} if uid == "2" else {})) for uid in PEOPLE])
    index.add(
        [
            new_instance(
                "1",
                "1.2",
                "1.2.1",
                sop_class=MR,
                in_series=attributes(Modality="MR", SeriesNumber=2, BodyPartExamined="HEAD"),
            ),
            new_instance("2", "2.2", "2.2.1", in_series=attributes(Modality="SR", SeriesNumber=3)),
        ]
    )
    yield index
    index.close()


def find(index: Index, level: Level, matches: tuple[Match, ...], options: dict[str, Any]) -> set[str]:
    query = Query(level, matches, include=frozenset(), **options)
    return {answer[UNIQUE[level]]["Value"][0] for answer in index.search("default", query)}


ALL = {"1", "2", "3", "4", "5", "6", "7"}
FUZZY = {"is_fuzzy": True}
COMBINED = {"combines_date_and_time": True}
SEOUL = {"timezone_offset": "+0900"}
EMPTY = {"finds_empty": True}
EVERY = {"needs_all_values": True}

Rule = tuple[str, Level, tuple[Match, ...], dict[str, Any], set[str]]
RULES: list[Rule] = [
    # C.2.2.2.1 single value
    ("text is compared with its case", STUDY, keys(AccessionNumber="a1"), {}, set()),
    ("spaces around are padding", STUDY, keys(AccessionNumber=" A1 "), {}, {"1"}),
    ("special characters of SQL are none", STUDY, keys(StudyDescription="CHEST 1 100%_[a]"), {}, {"1"}),
    ("a date of the old form", STUDY, keys(StudyDate="2024.01.04"), {}, {"5"}),
    ("a time of limited precision", STUDY, keys(StudyTime="08"), {}, {"1"}),
    ("a number however it is written", SERIES, keys(SeriesNumber="+04"), {}, {"4.1"}),
    ("a number is a number", SERIES, keys(SeriesNumber="4.0"), {}, {"4.1"}),
    # C.2.2.2.1.1-3 person names
    ("a name without its case", STUDY, keys(PatientName="HONG^gildong"), {}, {"1"}),
    ("a name without its accents", STUDY, keys(PatientName="Muller^Jorg^^dr"), {}, {"3"}),
    ("accents of the key are as good", STUDY, keys(PatientName="SCHMÏDT^ÄNNA MARIA"), {}, {"4"}),
    ("a name in width of Japan", STUDY, keys(PatientName="ＹＡＭＡＤＡ＾Ｔａｒｏｕ"), {}, {"2"}),
    ("one group finds the alphabetic", STUDY, keys(PatientName="Hong^Gildong"), {}, {"1"}),
    ("one group finds the ideographic", STUDY, keys(PatientName="洪^吉洞"), {}, {"1"}),
    ("one group finds the phonetic", STUDY, keys(PatientName="홍^길동"), {}, {"1"}),
    ("a group by its place", STUDY, keys(PatientName="=洪^吉洞"), {}, {"1"}),
    ("not in another place", STUDY, keys(PatientName="==洪^吉洞"), {}, set()),
    ("all groups must match", STUDY, keys(PatientName="Hong*=山田*"), {}, set()),
    ("empty components at the end do not count", STUDY, keys(PatientName="Hong^Gildong^^^"), {}, {"1"}),
    # C.2.2.2.2 list of UID
    ("a list of UID", STUDY, keys(StudyInstanceUID=("1", "3", "99")), {}, {"1", "3"}),
    ("a list of UID in one text", STUDY, keys(StudyInstanceUID="1\\4"), {}, {"1", "4"}),
    ("a list of UID of lower level", STUDY, keys(SOPInstanceUID=("1.2.1", "5.1.1")), {}, {"1", "5"}),
    # C.2.2.2.3 universal
    ("no value", STUDY, keys(PatientName=""), {}, ALL),
    ("no value finds what has none", STUDY, keys(StudyDate=""), {}, ALL),
    ("a star alone", STUDY, keys(AccessionNumber="*"), {}, ALL),
    ("a star alone for a date", STUDY, keys(StudyDate="*"), {}, ALL),
    ("an empty sequence", SERIES, keys(RequestAttributesSequence=""), {}, {f"{uid}.1" for uid in ALL} | {"1.2", "2.2"}),
    # C.2.2.2.4 wild card
    ("a star for nothing", STUDY, keys(AccessionNumber="A1*"), {}, {"1"}),
    ("a question mark for one", STUDY, keys(AccessionNumber="A?"), {}, ALL - {"7"}),
    ("a question mark not for none", STUDY, keys(AccessionNumber="A1?"), {}, set()),
    ("stars and marks", STUDY, keys(StudyDescription="*EST ? 1??%*"), {}, ALL - {"7"}),
    ("wild cards keep the case", STUDY, keys(StudyDescription="chest*"), {}, set()),
    ("brackets are no pattern", STUDY, keys(StudyDescription="*[[]a]"), {}, set()),
    ("wild cards in names", STUDY, keys(PatientName="*gil*"), {}, {"1"}),
    ("wild cards in syllables", STUDY, keys(PatientName="김^?수"), {}, {"5"}),
    ("all that comes after", STUDY, keys(PatientName="Müller^Jörg^*"), {}, {"3"}),
    # C.2.2.2.5 ranges
    ("dates from to", STUDY, keys(StudyDate="20240102-20240103"), {}, {"3", "4"}),
    ("dates until", STUDY, keys(StudyDate="-20240101"), {}, {"1", "2"}),
    ("dates from", STUDY, keys(StudyDate="20240103-"), {}, {"4", "5"}),
    ("spaces around the hyphen", STUDY, keys(StudyDate="20240102 - 20240103"), {}, {"3", "4"}),
    ("times from to", STUDY, keys(StudyTime="0800-1200"), {}, {"1", "6"}),
    ("times until, to the end of the minute", STUDY, keys(StudyTime="-2359"), {}, ALL - {"5", "7"}),
    ("times from", STUDY, keys(StudyTime="200000.1-"), {}, {"4"}),
    ("not past midnight", STUDY, keys(StudyTime="2200-0200"), {}, set()),
    ("date and time each on its own", STUDY, keys(StudyDate="20240101-20240102", StudyTime="0800-1300"), {}, {"1"}),
    ("date-time in a range", IMAGE, keys(AcquisitionDateTime="202401-202402"), {}, {"3.1.1"}),
    ("a range of years is no offset", IMAGE, keys(AcquisitionDateTime="2023-2024"), {}, {"3.1.1"}),
    ("a date-time with its offset", IMAGE, keys(AcquisitionDateTime="20240101080000+0900"), {}, {"3.1.1"}),
    ("a date-time of another offset", IMAGE, keys(AcquisitionDateTime="20231231230000+0000"), {}, {"3.1.1"}),
    # C.2.2.2.5.4 combined
    (
        "one range of moments",
        STUDY,
        keys(StudyDate="20240101-20240102", StudyTime="1900-0200"),
        COMBINED,
        {"2", "3"},
    ),
    ("moments from", STUDY, keys(StudyDate="20240101-", StudyTime="1000-"), COMBINED, {"2", "3", "4", "5"}),
    ("moments until", STUDY, keys(StudyDate="-20240101", StudyTime="-1000"), COMBINED, {"1"}),
    (
        "moments that end in a day",
        STUDY,
        keys(StudyDate="20240101-20240104", StudyTime="-0100"),
        COMBINED,
        ALL - {"6", "7"},
    ),
    ("no time on the first day", STUDY, keys(StudyDate="20240104-20240105", StudyTime="1000-1200"), COMBINED, {"5"}),
    (
        "no time on the last day",
        STUDY,
        keys(StudyDate="20240103-20240104", StudyTime="0000-0100"),
        COMBINED,
        {"4", "5"},
    ),
    ("a single date stays one", STUDY, keys(StudyDate="20240101", StudyTime="0700-0900"), COMBINED, {"1"}),
    ("a single time stays one", STUDY, keys(StudyDate="20240101-20240104", StudyTime="08"), COMBINED, {"1"}),
    ("a range of dates alone", STUDY, keys(StudyDate="20240101-20240102"), COMBINED, {"1", "2", "3"}),
    # C.4.1.2.2.1, C.5.1.1 time zone: 20:00 UTC is the next day in Seoul
    ("a day in Seoul", STUDY, keys(StudyDate="20240102"), SEOUL, {"2", "3"}),
    ("an hour in Seoul", STUDY, keys(StudyTime="05"), SEOUL, {"2"}),
    ("data without a zone is meant so", STUDY, keys(StudyDate="20240101"), SEOUL, {"1"}),
    (
        "a moment in Seoul",
        STUDY,
        keys(StudyDate="20240102-20240104", StudyTime="0400-1400"),
        SEOUL | COMBINED,
        {"2", "4", "5"},
    ),
    ("a date without a time stays", STUDY, keys(StudyDate="20240104-20240105"), SEOUL, {"4", "5"}),
    ("a birthday has no zone", STUDY, keys(PatientBirthDate="19700101"), SEOUL, {"1", "2"}),
    ("a date-time of the request's zone", IMAGE, keys(AcquisitionDateTime="20240101080000"), SEOUL, {"3.1.1"}),
    # C.2.2.2.6 sequences
    ("an item", SERIES, keys(RequestAttributesSequence__ScheduledProcedureStepID="S1"), {}, {"2.1"}),
    (
        "both keys in one item",
        SERIES,
        keys(
            RequestAttributesSequence__ScheduledProcedureStepID="S2",
            RequestAttributesSequence__RequestedProcedureID="R1",
        ),
        {},
        set(),
    ),
    ("wild cards in an item", SERIES, keys(RequestAttributesSequence__RequestedProcedureID="R?"), {}, {"2.1"}),
    (
        "an empty member of an item",
        SERIES,
        keys(
            RequestAttributesSequence__ScheduledProcedureStepID="S2",
            RequestAttributesSequence__RequestedProcedureID='""',
        ),
        EMPTY,
        {"2.1"},
    ),
    # C.2.2.2.7 empty values
    ("no name", STUDY, keys(PatientName='""'), EMPTY, {"7"}),
    ("no date", STUDY, keys(StudyDate='""'), EMPTY, {"6", "7"}),
    ("no time", STUDY, keys(StudyTime='""'), EMPTY, {"5", "7"}),
    ("nothing but spaces", STUDY, keys(StudyDescription='""'), EMPTY, {"7"}),
    ("no accession number", STUDY, keys(AccessionNumber='""'), EMPTY, {"7"}),
    ("no modality", SERIES, keys(Modality='""'), EMPTY, {"7.1"}),
    ("no body part, which has no column", SERIES, keys(BodyPartExamined='""', StudyInstanceUID="1"), EMPTY, {"1.1"}),
    ("no items", SERIES, keys(RequestAttributesSequence='""', StudyInstanceUID="2"), EMPTY, {"2.2"}),
    ("a study always has modalities", STUDY, keys(ModalitiesInStudy='""'), EMPTY, set()),
    ("a study with a series without modality", STUDY, keys(Modality='""'), EMPTY, {"7"}),
    ("no date in a study of the patient", Level.PATIENT, keys(StudyDate='""'), EMPTY, {"P6", "P7"}),
    ("quotation marks are text otherwise", STUDY, keys(AccessionNumber='""'), {}, set()),
    # C.2.2.2.8 and C.2.2.3 multiple values
    ("any value of the data", IMAGE, keys(ImageType="AXIAL"), {}, {"1.1.1", "3.1.1"}),
    ("any value of the key", STUDY, keys(ModalitiesInStudy=("MR", "SR")), {}, {"1", "2"}),
    ("all values of the key", STUDY, keys(ModalitiesInStudy=("CT", "MR")), EVERY, {"1"}),
    ("in any order", IMAGE, keys(ImageType=("PRIMARY", "ORIGINAL")), EVERY, {"1.1.1", "3.1.1"}),
    ("all other patient IDs", STUDY, keys(OtherPatientIDs=("X2", "X1")), EVERY, {"1", "2"}),
    ("one of them is not enough", STUDY, keys(OtherPatientIDs=("X2", "X3")), EVERY, set()),
    ("all names", STUDY, keys(PhysiciansOfRecord=("kim^a", "lee^*")), EVERY, {"1"}),
    ("an attribute of one value takes any", STUDY, keys(AccessionNumber=("A1", "A2")), EVERY, {"1", "2"}),
    ("a list of UID takes any", STUDY, keys(StudyInstanceUID=("1", "2")), EVERY, {"1", "2"}),
    ("one that covers all, among others", STUDY, keys(ModalitiesInStudy=("MR", "*")), {}, ALL),
    ("a name that covers all, among others", STUDY, keys(PatientName=("Nobody", "*")), {}, ALL),
    ("a name that is like all, among others", STUDY, keys(PatientName=("Nobody", "*")), FUZZY, ALL),
    ("of which all are wanted, it covers any", STUDY, keys(ModalitiesInStudy=("MR", "*")), EVERY, {"1"}),
    # longer than the text of any column
    ("the end of a long text", STUDY, keys(PatientComments="*TAIL"), {}, {"4"}),
    ("a long text", STUDY, keys(PatientComments=LONG), {}, {"4"}),
    ("not one that begins so", STUDY, keys(PatientComments=LONG[:-1]), {}, set()),
    ("an ID of more than it may have", STUDY, keys(StudyID=LONG), {}, {"6"}),
    ("not an ID that begins so", STUDY, keys(StudyID=LONG[:-1]), {}, set()),
    # C.3.4 attributes that are computed
    ("modalities in study", STUDY, keys(ModalitiesInStudy="MR"), {}, {"1"}),
    ("a modality told of a series without", STUDY, keys(ModalitiesInStudy="OT"), {}, {"7"}),
    ("part of a modality is none", STUDY, keys(ModalitiesInStudy="C"), {}, set()),
    ("SOP classes in study", STUDY, keys(SOPClassesInStudy=MR), {}, {"1"}),
    ("SOP classes, a list", STUDY, keys(SOPClassesInStudy=(MR, CT)), {}, ALL),
    ("number of series", STUDY, keys(NumberOfStudyRelatedSeries="2"), {}, {"1", "2"}),
    ("number of instances", STUDY, keys(NumberOfStudyRelatedInstances="1"), {}, ALL - {"1", "2"}),
    ("of a series", SERIES, keys(NumberOfSeriesRelatedInstances="1", StudyInstanceUID="2"), {}, {"2.1", "2.2"}),
    ("of a series, asked of studies", STUDY, keys(NumberOfSeriesRelatedInstances="2"), {}, set()),
    ("of a patient", Level.PATIENT, keys(NumberOfPatientRelatedInstances="2"), {}, {"P1", "P2"}),
    ("all are at hand", STUDY, keys(InstanceAvailability="ONLINE"), {}, ALL),
    ("none is far", STUDY, keys(InstanceAvailability="NEARLINE"), {}, set()),
    # C.2.2.2.1.4 fuzzy: what PS3.4 leaves to the archive, as docs/conformance.md says it
    ("the beginning of a word", STUDY, keys(PatientName="gil"), FUZZY, {"1"}),
    ("not its middle", STUDY, keys(PatientName="ildon"), FUZZY, set()),
    ("given name first", STUDY, keys(PatientName="Gildong Hong"), FUZZY, {"1"}),
    ("as components", STUDY, keys(PatientName="Tarou^Yamada"), FUZZY, {"2"}),
    ("a wrong letter", STUDY, keys(PatientName="yanada"), FUZZY, {"2"}),
    ("a letter too few", STUDY, keys(PatientName="schmit anna"), FUZZY, {"4"}),
    ("a letter too many", STUDY, keys(PatientName="gilddong"), FUZZY, {"1"}),
    ("two letters swapped", STUDY, keys(PatientName="ymaada"), FUZZY, {"2"}),
    ("two letters swapped in the middle", STUDY, keys(PatientName="yaamda"), FUZZY, {"2"}),
    ("two wrong letters are too many", STUDY, keys(PatientName="yonoda"), FUZZY, set()),
    ("the same sound", STUDY, keys(PatientName="Smith"), FUZZY, {"4"}),
    ("the same sound of vowels", STUDY, keys(PatientName="Meuller"), FUZZY, {"3"}),
    ("an umlaut written out", STUDY, keys(PatientName="Mueller Joerg"), FUZZY, {"3"}),
    ("a syllable mistyped", STUDY, keys(PatientName="홍길둥"), FUZZY, {"1"}),
    ("a syllable of the given name mistyped", STUDY, keys(PatientName="김 민슈"), FUZZY, {"5"}),
    ("another syllable is another name", STUDY, keys(PatientName="민지"), FUZZY, set()),
    ("written together", STUDY, keys(PatientName="김민수"), FUZZY, {"5"}),
    ("ideographs written together", STUDY, keys(PatientName="山田太郎"), FUZZY, {"2"}),
    ("ideographs swapped", STUDY, keys(PatientName="田山"), FUZZY, {"2"}),
    ("given names written together", STUDY, keys(PatientName="annamaria"), FUZZY, {"4"}),
    ("accents in fuzzy names", STUDY, keys(PatientName="walesa"), FUZZY, {"6"}),
]


@pytest.mark.parametrize(("rule", "level", "matches", "options", "expected"), RULES, ids=[rule[0] for rule in RULES])
def test_rule(
    archive: Index, rule: str, level: Level, matches: tuple[Match, ...], options: dict[str, Any], expected: set[str]
) -> None:
    assert find(archive, level, matches, options) == expected, rule


@pytest.mark.parametrize(
    ("level", "matches", "options", "said"),
    [
        (STUDY, keys(StudyInstanceUID="1.*"), {}, "StudyInstanceUID"),
        (STUDY, keys(StudyDate="2024*"), {}, "StudyDate"),
        (STUDY, keys(StudyDate="20240101-2024"), {}, "StudyDate"),
        (STUDY, keys(StudyTime="0900-2500"), {}, "StudyTime"),
        (STUDY, keys(StudyDate="20240101"), {"timezone_offset": "Seoul"}, "TimezoneOffsetFromUTC"),
        (STUDY, keys(StudyDate="20240101"), {"timezone_offset": "+2500"}, "TimezoneOffsetFromUTC"),
        (STUDY, keys(AccessionNumber=('""', "A1")), EMPTY, "AccessionNumber"),
        (Level.PATIENT, keys(StudyDate="20240101"), SEOUL, "StudyDate"),
        (STUDY, keys(StudyInstanceUID=("1", "*")), {}, "StudyInstanceUID"),
        (STUDY, keys(StudyInstanceUID=","), {}, "StudyInstanceUID"),
        (STUDY, keys(StudyInstanceUID=("", "")), {}, "StudyInstanceUID"),
    ],
    ids=str,
)
def test_what_cannot_be_understood_is_named(
    archive: Index, level: Level, matches: tuple[Match, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        find(archive, level, matches, options)


def test_a_study_is_found_by_a_series_without_a_number(index: Index) -> None:
    index.add([new_instance("1", "1.1", "1.1.1", in_series=attributes(Modality="CT", SeriesNumber=1))])
    index.add([new_instance("2", "2.1", "2.1.1", in_series=attributes(Modality="CT", SeriesNumber=None))])
    assert find(index, STUDY, keys(SeriesNumber='""'), EMPTY) == {"2"}
    assert find(index, STUDY, keys(SeriesNumber='""', Modality="CT"), EMPTY) == {"2"}
    assert find(index, STUDY, keys(SeriesNumber='""', Modality="MR"), EMPTY) == set()

"""Every kind of matching of PS3.4 C.2.2.2 and every form of answer, on every database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.datadict import tag_for_keyword

from pacs.errors import InvalidRequest
from pacs.index import Index
from pacs.model import Level, Match, Query
from tests.index.new_instances import CT, MR, attributes, name, new_instance


def _key(keyword: str, *values: str) -> Match:
    return Match(tuple(tag_for_keyword(part) or int(part, 16) for part in keyword.split(".")), values)


def _find(index: Index, level: Level, *matches: Match, **options: Any) -> list[str]:
    """The UIDs (patients: IDs) of what is found, in the order of the answer."""
    tag = {Level.PATIENT: "00100020", Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}[level]
    found = index.search("default", Query(level, matches, **options))
    return [answer[tag]["Value"][0] for answer in found]


@pytest.fixture(scope="module")
def filled(new_url: Callable[[], str]) -> Iterator[Index]:
    """Three patients, four studies; only read."""
    index = Index.open(new_url())
    index.migrate()
    kim = attributes(
        PatientID="K1",
        IssuerOfPatientID="Seoul",
        PatientName=name("Kim^Min Su^^Dr", "金^民秀", "김^민수"),
        PatientBirthDate="19700102",
        PatientSex="M",
    )
    mueller = attributes(PatientID="M%_1", PatientName=name("Müller^Jörg"), PatientSex="F")
    nobody = attributes(PatientID="X[1]", PatientName=None)
    request = {"00400009": {"vr": "SH", "Value": ["STEP1"]}, "00401001": {"vr": "SH", "Value": ["REQ1"]}}
    other_request = {"00400009": {"vr": "SH", "Value": ["STEP2"]}, "00401001": {"vr": "SH", "Value": ["REQ2"]}}
    index.add(
        [
            new_instance(
                "1",
                "1.1",
                "1.1.1",
                in_patient=kim,
                in_study=attributes(
                    StudyDate="20240131",
                    StudyTime="101530.25",
                    AccessionNumber="ACC-1",
                    StudyDescription="Chest*CT?",
                    ReferringPhysicianName=name("Park^Jisoo"),
                ),
                in_series=attributes(
                    Modality="CT",
                    SeriesNumber=2,
                    BodyPartExamined="CHEST",
                    RequestAttributesSequence=[request, other_request],
                ),
                in_instance=attributes(InstanceNumber=1, Rows=512, AcquisitionDateTime="20240131101530+0900"),
            ),
            new_instance(
                "1",
                "1.2",
                "1.2.1",
                sop_class=MR,
                in_patient=kim,
                in_series=attributes(Modality="MR", SeriesNumber=1),
                in_instance=attributes(InstanceNumber=12, Rows=256, ImageType=["ORIGINAL", "PRIMARY"]),
            ),
            new_instance(
                "2",
                "2.1",
                "2.1.1",
                in_patient=kim,
                in_study=attributes(StudyDate="20240201", StudyTime="0900", AccessionNumber="ACC-2"),
                in_series=attributes(Modality="CR", SeriesNumber=1),
            ),
            new_instance(
                "3",
                "3.1",
                "3.1.1",
                in_patient=mueller,
                in_study=attributes(StudyDate="2023.12.24", StudyTime="23:59:59", AccessionNumber="acc-3"),
                in_series=attributes(Modality="CT"),
            ),
            new_instance("4", "4.1", "4.1.1", in_patient=nobody, in_study={}, in_series=attributes(Modality="MR")),
        ]
    )
    yield index
    index.close()


ALL = ["2", "1", "3", "4"]
STUDY_CASES: list[tuple[Match, list[str]]] = [
    (_key("PatientID", "K1"), ["2", "1"]),
    (_key("PatientID", "k1"), []),
    (_key("PatientID"), ALL),
    (_key("PatientID", "*"), ALL),
    (_key("PatientID", ""), ALL),
    (_key("PatientID", "?1"), ["2", "1"]),
    (_key("PatientID", "M%_1"), ["3"]),
    (_key("PatientID", "M%*"), ["3"]),
    (_key("PatientID", "%*"), []),
    (_key("PatientID", "X[1]"), ["4"]),
    (_key("PatientID", "X[?]"), ["4"]),
    (_key("PatientID", "*[1]*"), ["4"]),
    (_key("PatientID", "' OR 1=1 --"), []),
    (_key("PatientID", "K1", "X[1]"), ["2", "1", "4"]),
    (_key("IssuerOfPatientID", "Seoul"), ["2", "1"]),
    (_key("PatientName", "kim*"), ["2", "1"]),
    (_key("PatientName", "KIM^MIN SU^^DR"), ["2", "1"]),
    (_key("PatientName", "KIM^MIN SU"), []),
    (_key("PatientName", "*su*"), ["2", "1"]),
    (_key("PatientName", "kim^*^*"), ["2", "1"]),
    (_key("PatientName", "Müller^Jörg^*"), ["3"]),
    (_key("PatientName", "Müller^Jörg^^*"), ["3"]),
    (_key("PatientName", "Müller^Jörg^*^*"), ["3"]),
    (_key("PatientName", "Müller^Jö^*"), []),
    (_key("PatientName", "=金^民秀^*=김^*"), ["2", "1"]),
    (_key("PatientName", "金*"), ["2", "1"]),
    (_key("PatientName", "김^민?"), ["2", "1"]),
    (_key("PatientName", "=金*"), ["2", "1"]),
    (_key("PatientName", "==김*"), ["2", "1"]),
    (_key("PatientName", "=김*"), []),
    (_key("PatientName", "kim*=金*=김*"), ["2", "1"]),
    (_key("PatientName", "*=*"), ALL),
    (_key("PatientName", "muller^jorg"), ["3"]),
    (_key("PatientName", "MÜLLER^JÖRG^^^"), ["3"]),
    (_key("PatientName", "M?ller*"), ["3"]),
    (_key("PatientName", "?*"), ["2", "1", "3"]),
    (_key("PatientBirthDate", "19700102"), ["2", "1"]),
    (_key("PatientBirthDate", "-19700102"), ["2", "1"]),
    (_key("PatientSex", "F"), ["3"]),
    (_key("StudyInstanceUID", "2"), ["2"]),
    (_key("StudyInstanceUID", "1", "3", "9"), ["1", "3"]),
    (_key("StudyInstanceUID", "1\\3"), ["1", "3"]),
    (_key("StudyInstanceUID", "*"), ALL),
    (_key("StudyDate", "20240131"), ["1"]),
    (_key("StudyDate", "2024.01.31"), ["1"]),
    (_key("StudyDate", "20240131-20240201"), ["2", "1"]),
    (_key("StudyDate", "20240101-"), ["2", "1"]),
    (_key("StudyDate", "-20240131"), ["1", "3"]),
    (_key("StudyDate", "20250101-20240101"), []),
    (_key("StudyTime", "1015"), ["1"]),
    (_key("StudyTime", "101530.25"), ["1"]),
    (_key("StudyTime", "101530.26"), []),
    (_key("StudyTime", "09-10"), ["2", "1"]),
    (_key("StudyTime", "0900-"), ["2", "1", "3"]),
    (_key("StudyTime", "-090000"), ["2"]),
    (_key("StudyTime", "235959"), ["3"]),
    (_key("AccessionNumber", "ACC*"), ["2", "1"]),
    (_key("AccessionNumber", "*-3"), ["3"]),
    (_key("StudyDescription", "Chest*CT?"), ["1"]),
    (_key("ModalitiesInStudy", "MR"), ["1", "4"]),
    (_key("ModalitiesInStudy", "C"), []),
    (_key("ModalitiesInStudy", "CR", "MR"), ["2", "1", "4"]),
    (_key("ModalitiesInStudy", "C*"), ["2", "1", "3"]),
    (_key("SOPClassesInStudy", MR), ["1"]),
    (_key("NumberOfStudyRelatedInstances", "2"), ["1"]),
    (_key("NumberOfStudyRelatedSeries", "01"), ["2", "3", "4"]),
    (_key("ReferringPhysicianName", "park*"), ["1"]),
    (_key("InstanceAvailability", "ONLINE"), ALL),
    (_key("QueryRetrieveLevel", "STUDY"), ALL),
    # keys of the levels below: a study with such a series or instance
    (_key("Modality", "MR"), ["1", "4"]),
    (_key("SeriesInstanceUID", "1.2"), ["1"]),
    (_key("SOPInstanceUID", "1.2.1", "3.1.1"), ["1", "3"]),
    (_key("SeriesNumber", "1"), ["2", "1"]),
]


@pytest.mark.parametrize(("match", "expected"), STUDY_CASES, ids=str)
def test_studies(filled: Index, match: Match, expected: list[str]) -> None:
    assert _find(filled, Level.STUDY, match) == expected


SERIES_CASES: list[tuple[list[Match], list[str]]] = [
    ([_key("Modality", "CT")], ["1.1", "3.1"]),
    ([_key("Modality", "CT"), _key("PatientName", "kim*")], ["1.1"]),
    ([_key("StudyInstanceUID", "1")], ["1.2", "1.1"]),
    ([_key("SeriesNumber", "02")], ["1.1"]),
    ([_key("BodyPartExamined", "CH*T")], ["1.1"]),
    ([_key("RequestAttributesSequence.ScheduledProcedureStepID", "STEP2")], ["1.1"]),
    (
        [
            _key("RequestAttributesSequence.ScheduledProcedureStepID", "STEP2"),
            _key("RequestAttributesSequence.RequestedProcedureID", "REQ2"),
        ],
        ["1.1"],
    ),
    (
        # both keys, but not in one item
        [
            _key("RequestAttributesSequence.ScheduledProcedureStepID", "STEP2"),
            _key("RequestAttributesSequence.RequestedProcedureID", "REQ1"),
        ],
        [],
    ),
    ([_key("RequestAttributesSequence.ScheduledProcedureStepID")], ["1.2", "1.1", "2.1", "3.1", "4.1"]),
    ([_key("RequestAttributesSequence")], ["1.2", "1.1", "2.1", "3.1", "4.1"]),
    ([_key("ModalitiesInStudy", "MR")], ["1.2", "1.1", "4.1"]),
    ([_key("SOPInstanceUID", "2.1.1")], ["2.1"]),
]


@pytest.mark.parametrize(("matches", "expected"), SERIES_CASES, ids=str)
def test_series(filled: Index, matches: list[Match], expected: list[str]) -> None:
    assert _find(filled, Level.SERIES, *matches) == expected


INSTANCE_CASES: list[tuple[list[Match], list[str]]] = [
    ([_key("SOPInstanceUID", "1.1.1", "2.1.1")], ["1.1.1", "2.1.1"]),
    ([_key("SOPClassUID", MR)], ["1.2.1"]),
    ([_key("InstanceNumber", "12")], ["1.2.1"]),
    ([_key("InstanceNumber", "99999999999999999999")], []),
    ([_key("Rows", "512"), _key("StudyInstanceUID", "1")], ["1.1.1"]),
    ([_key("ImageType", "PRIMARY")], ["1.2.1"]),
    ([_key("AcquisitionDateTime", "20240131011530")], ["1.1.1"]),
    ([_key("AcquisitionDateTime", "20240131101530+0900")], ["1.1.1"]),
    ([_key("AcquisitionDateTime", "202401310115-202401310116")], ["1.1.1"]),
    ([_key("AcquisitionDateTime", "20240131101531+0900-")], []),
    ([_key("PatientName", "kim*"), _key("Modality", "CR")], ["2.1.1"]),
    ([_key("SeriesInstanceUID", "1.2")], ["1.2.1"]),
]


@pytest.mark.parametrize(("matches", "expected"), INSTANCE_CASES, ids=str)
def test_instances(filled: Index, matches: list[Match], expected: list[str]) -> None:
    assert _find(filled, Level.IMAGE, *matches) == expected


PATIENT_CASES: list[tuple[list[Match], list[str]]] = [
    ([], ["X[1]", "M%_1", "K1"]),
    ([_key("PatientName", "金*")], ["K1"]),
    ([_key("PatientID", "M%_1")], ["M%_1"]),
    ([_key("NumberOfPatientRelatedStudies", "2")], ["K1"]),
    ([_key("StudyDate", "20240201"), _key("Modality", "CR")], ["K1"]),
    ([_key("SeriesNumber", "1"), _key("InstanceNumber", "1.5")], []),  # no whole number
    # one study must satisfy both
    ([_key("StudyDate", "20240201"), _key("Modality", "CT")], []),
]


@pytest.mark.parametrize(("matches", "expected"), PATIENT_CASES, ids=str)
def test_patients(filled: Index, matches: list[Match], expected: list[str]) -> None:
    assert _find(filled, Level.PATIENT, *matches) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("min", ["2", "1"]),
        ("Su KIM", ["2", "1"]),
        ("kim^mi", ["2", "1"]),
        ("in", []),
        ("민", ["2", "1"]),
        ("jorg muller", ["3"]),
        ("kim jorg", []),
        ("*", ALL),
        ("", ALL),
    ],
)
def test_fuzzy_names(filled: Index, asked: str, expected: list[str]) -> None:
    assert _find(filled, Level.STUDY, _key("PatientName", asked), is_fuzzy=True) == expected


@pytest.mark.parametrize(
    ("match", "named"),
    [
        (_key("StudyDate", "yesterday"), "StudyDate"),
        (_key("StudyDate", "20240231"), "StudyDate"),
        (_key("StudyDate", "-"), "StudyDate"),
        (_key("StudyDate", "20240101-20240102-20240103"), "StudyDate"),
        (_key("StudyTime", "2500"), "StudyTime"),
        (_key("AcquisitionDateTime", "20241301"), "AcquisitionDateTime"),
        (_key("StudyInstanceUID", "1.2.*"), "StudyInstanceUID"),
        (_key("StudyInstanceUID", "../etc"), "StudyInstanceUID"),
        (_key("SeriesNumber", "one"), "SeriesNumber"),
        (_key("SeriesNumber", "NaN"), "SeriesNumber"),
        (_key("PatientID", "x" * 2000), "PatientID"),
        (_key("RequestAttributesSequence", "x"), "RequestAttributesSequence"),
        (_key("RequestAttributesSequence.ScheduledProcedureStepStartDate", "x"), "ScheduledProcedureStepStartDate"),
        (_key("00091010", "x" * 2000), "00091010"),
    ],
    ids=str,
)
def test_a_wrong_key_is_named_before_anything_is_read(index: Index, match: Match, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        index.search("default", Query(Level.IMAGE, (match,)))


def test_a_wild_card_that_has_no_sql_is_refused_with_its_name(filled: Index) -> None:
    with pytest.raises(InvalidRequest, match="ModalitiesInStudy"):
        _find(filled, Level.PATIENT, _key("ModalitiesInStudy", "C*"))


def test_keys_that_are_not_kept_are_ignored_and_told(filled: Index) -> None:
    keys = (_key("PatientID", "K1"), _key("00091010", "secret"), _key("BodyPartExamined", "CHEST"), _key("EthnicGroup"))
    query = Query(Level.STUDY, keys)
    assert _find(filled, Level.STUDY, *keys) == ["2", "1"]
    assert filled.unsupported_keys(query) == {0x00091010, 0x00180015}
    assert filled.unsupported_keys(Query(Level.SERIES, keys)) == {0x00091010}


def test_limit_and_offset_walk_through_all(filled: Index) -> None:
    for keys in ((), (_key("ModalitiesInStudy", "?*"),)):  # by SQL alone, and with a key matched afterwards
        assert _find(filled, Level.STUDY, *keys, limit=2) == ["2", "1"]
        assert _find(filled, Level.STUDY, *keys, limit=2, offset=1) == ["1", "3"]
        assert _find(filled, Level.STUDY, *keys, limit=2, offset=3) == ["4"]
        assert _find(filled, Level.STUDY, *keys, offset=4) == []
        assert _find(filled, Level.STUDY, *keys, limit=0) == []
        assert _find(filled, Level.STUDY, *keys, offset=2) == ["3", "4"]


def test_an_answer_holds_what_was_asked_and_what_names_it(filled: Index) -> None:
    query = Query(Level.SERIES, (_key("Modality", "CT"), _key("PatientName")), include=frozenset({0x00201209}))
    first = next(filled.search("default", query))
    assert list(first) == ["00080005", "00080060", "00100010", "00100020", "0020000D", "0020000E", "00201209"]
    assert first["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    assert first["00100010"]["Value"] == [
        {"Alphabetic": "Kim^Min Su^^Dr", "Ideographic": "金^民秀", "Phonetic": "김^민수"}
    ]


def test_a_whole_answer_holds_all_levels_above(filled: Index) -> None:
    (answer,) = filled.search("default", Query(Level.IMAGE, (_key("SOPInstanceUID", "1.1.1"),)))
    expected = (
        "00100020",
        "00080050",
        "00201208",
        "00080061",
        "00080060",
        "00201209",
        "00280010",
        "00080016",
        "00083002",
    )
    assert set(expected) <= answer.keys()
    assert list(answer) == sorted(answer)
    assert answer["00080016"]["Value"] == [CT]


def test_pages_go_on_where_they_stopped_while_instances_arrive(index: Index) -> None:
    def study(number: int) -> None:
        uid = f"1.{number}"
        day = attributes(StudyDate=f"2024{number % 12 + 1:02}01")
        index.add([new_instance(uid, f"{uid}.1", f"{uid}.1.1", in_study=day)])

    index.add(
        [
            new_instance("1.1", "1.1.1", f"1.1.1.{10000 + n}", in_instance=attributes(InstanceNumber=n // 3))
            for n in range(1300)
        ]
    )
    for number in range(2, 130):
        study(number)
    found = []
    for number, answer in enumerate(index.search("default", Query(Level.STUDY))):
        if number < 100:
            study(1000 + number)
        found.append(answer["0020000D"]["Value"][0])
    assert len(found) == len(set(found))
    assert set(found) >= {f"1.{number}" for number in range(1, 130)}
    uids = _find(index, Level.IMAGE, _key("SeriesInstanceUID", "1.1.1"))
    assert uids == [f"1.1.1.{10000 + n}" for n in range(1300)]
    assert _find(index, Level.IMAGE, _key("SeriesInstanceUID", "1.1.1"), offset=1000, limit=250) == uids[1000:1250]


def test_a_reader_may_stop_at_any_time(index: Index) -> None:
    index.add([new_instance(f"1.{number}", f"1.{number}.1", f"1.{number}.1.1") for number in range(3)])
    found = index.search("default", Query(Level.STUDY))
    next(found)
    index.add([new_instance("9", "9.1", "9.1.1")])
    assert next(found)["0020000D"]["Value"] == ["1.1"]
    del found

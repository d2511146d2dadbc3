"""Below the study, rows are looked for under the few studies that can have them; and many values are one question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pacs.errors import InvalidRequest
from pacs.index import Index, matching_rows
from pacs.model import Level, Match, Query
from tests.contract.statements import noted
from tests.index.new_instances import CT, MR, attributes, name, new_instance

_NAMES = ("Kim^Minsu", "Park^Jiwoo", "Lee^Minsu", "Kim^Areum")
_MODALITIES = ("CT", "MR", "SR")
_OTHER = "1.2.3.4"


@pytest.fixture(scope="module")
def filled(new_url: object) -> Iterator[Index]:
    """24 studies of four people, each with three series of two instances; the seventh has one of a rare class."""
    index = Index.open(new_url())  # type: ignore[operator]
    index.migrate()
    index.add(
        [
            new_instance(
                f"1.{study}",
                f"1.{study}.{series}",
                f"1.{study}.{series}.{number}",
                sop_class=_OTHER if (study, series, number) == (7, 1, 1) else (CT, MR)[series % 2],
                in_patient=attributes(
                    PatientID=f"P{study % 4}",
                    PatientName=name(_NAMES[study % 4], "金^民秀" if study % 4 == 0 else ""),
                    PatientSex="O" if study == 5 else "F",
                ),
                in_study=attributes(
                    StudyDate=f"202401{study + 1:02}",
                    StudyTime="120000",
                    InstitutionName="West" if study % 8 == 3 else "East",
                    StudyDescription=f"Brain {study % 5}",
                    TimezoneOffsetFromUTC="+0900",
                ),
                in_series=attributes(
                    Modality=_MODALITIES[series],
                    SeriesNumber=9 - series,
                    BodyPartExamined="HEAD" if study == 9 else "ARM",
                ),
                in_instance=attributes(InstanceNumber=number, Rows=number),
            )
            for study in range(24)
            for series in range(3)
            for number in range(2)
        ]
    )
    yield index
    index.close()


def _key(tag: int, *values: str) -> Match:
    return Match((tag,), values)


_NAME, _DATE, _MODALITY, _CLASS = 0x00100010, 0x00080020, 0x00080060, 0x00080016
QUESTIONS: dict[str, tuple[Match, ...]] = {
    "name": (_key(_NAME, "*kim*"),),
    "nobody": (_key(_NAME, "*zzz*"),),
    "ideographs": (_key(_NAME, "=*民*"),),
    "name and modality": (_key(_NAME, "*min*"), _key(_MODALITY, "MR")),
    "days": (_key(_DATE, "20240110-20240112"),),
    "days and modality": (_key(_DATE, "20240110-"), _key(_MODALITY, "SR", "CT")),
    "modality": (_key(_MODALITY, "SR"),),
    "no such modality": (_key(_MODALITY, "ZZ"),),
    "rare class": (_key(_CLASS, _OTHER),),
    "class": (_key(_CLASS, MR),),
    "sex": (_key(0x00100040, "O"),),
    "institution": (_key(0x00080080, "West"),),
    "no such institution": (_key(0x00080080, "North"),),
    "institution and body part": (_key(0x00080080, "W*"), _key(0x00180015, "ARM")),
    "body part": (_key(0x00180015, "HEAD"),),
    "description and row": (_key(0x00081030, "*4"), _key(0x00280010, "1")),
    "availability": (_key(0x00080056, "ONLINE"), _key(_NAME, "*areum")),
}


def _found(index: Index, query: Query) -> list[tuple[object, ...]]:
    uids = ("0020000D", "0020000E", "00080018")
    return [tuple(one.get(uid, {}).get("Value", [None])[0] for uid in uids) for one in index.search("default", query)]


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
@pytest.mark.parametrize("question", QUESTIONS)
def test_few_rows_above_or_many_is_the_same_answer(
    filled: Index, monkeypatch: pytest.MonkeyPatch, question: str, level: Level
) -> None:
    for is_fuzzy, zone in ((False, ""), (True, ""), (False, "+0000")):
        query = Query(level, QUESTIONS[question], is_fuzzy=is_fuzzy, timezone_offset=zone)
        whole = _found(filled, query)
        pages = [_found(filled, replace(query, limit=7, offset=offset)) for offset in range(0, len(whole) + 7, 7)]
        assert [one for page in pages for one in page] == whole
        with monkeypatch.context() as patch:
            for number in ("_FEW", "_FEW_LOOKED_AT", "_FEW_OF_DAYS"):
                patch.setattr(matching_rows, number, 1)
            assert _found(filled, query) == whole
        with monkeypatch.context() as patch:
            patch.setattr("pacs.index.search.rows_above", lambda *_: None)
            assert _found(filled, query) == whole


def test_instances_are_read_of_few_studies_only(filled: Index) -> None:
    """Where nobody has the name, no instance and no series is looked at."""
    with noted() as statements:
        for question in ("nobody", "no such institution"):
            assert not _found(filled, Query(Level.IMAGE, QUESTIONS[question]))
    assert statements
    assert not [one for one in statements if "FROM instances" in one or "FROM series" in one]


MANY = {
    "names with open letters": (False, _key(_NAME, *(f"?a?b{number}" for number in range(30)), "kim^minsu")),
    "names that are close": (True, _key(_NAME, *(f"ab cd ef gh ij kl mn o{number}" for number in range(99)), "minsoo")),
    "names in three groups": (False, _key(_NAME, *(f"a?b?=c?d?=e?f?{number}" for number in range(10)), "kim^minsu")),
    "classes": (False, _key(0x00080062, *(f"1.9.{number}" for number in range(2000)), CT)),
    "descriptions": (False, _key(0x00081030, *(f"*x{number}*y?z*" for number in range(99)), "Brain*")),
}


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES])
@pytest.mark.parametrize("question", MANY)
def test_many_values_are_one_question(filled: Index, question: str, level: Level) -> None:
    """SQLite refuses an expression of more than 1,000 levels, or more than 32,766 values."""
    is_fuzzy, match = MANY[question]
    assert _found(filled, Query(level, (match,), limit=2, is_fuzzy=is_fuzzy))


def test_more_open_letters_than_can_be_tried_are_refused(filled: Index) -> None:
    with pytest.raises(InvalidRequest, match="PatientName"):
        filled.search("default", Query(Level.STUDY, (_key(_NAME, *(f"?a?b{number}" for number in range(100))),)))

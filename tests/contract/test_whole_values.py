"""Whole names, descriptions and study IDs, of one or several values, are found in the order of the list."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from pacs.errors import TooBroad
from pacs.index import Index, gram_tables, pages, whole_values
from pacs.index.allowance import Allowance
from pacs.index.engine import open_engine, writing
from pacs.model import Level, Match, NewInstance, Query
from tests.contract.conftest import NewUrl
from tests.contract.statements import noted
from tests.index.new_instances import attributes, name, new_instance

_NAME, _PHYSICIAN, _DESCRIPTION, _STUDY_ID = 0x00100010, 0x00080090, 0x00081030, 0x00200010
_PEOPLE = (
    ("Kim^Minsu", "金^敏洙", "김^민수"),
    ("Müller^Jörg", "", ""),
    ("", "金^敏洙", ""),
    ("Lee^Ann", "", ""),
    ("", "", ""),
)
_ABOUT = ("CT Brain", "Ü", "7", "", "x" * 300)
_ASKED = [
    (_NAME, ("kim^minsu",)),
    (_NAME, ("kim^minsu=金^敏洙=김^민수",)),
    (_NAME, ("=金^敏洙",)),
    (_NAME, ("MULLER^JORG", "lee^ann")),
    (_NAME, ("nobody",)),
    (_PHYSICIAN, ("김^민수",)),
    (_PHYSICIAN, ("Lee^Ann", "müller^jörg", "nobody")),
    (_DESCRIPTION, ("CT Brain",)),
    (_DESCRIPTION, ("ct brain",)),
    (_DESCRIPTION, ("Ü", "7")),
    (_DESCRIPTION, ("x" * 300,)),
    (_STUDY_ID, ("7",)),
    (_STUDY_ID, tuple(str(number) for number in range(1, 9))),
]


def _archive(count: int) -> Iterator[NewInstance]:
    random = Random(11)
    for number in range(1, count + 1):
        yield new_instance(
            f"1.{number:04}",
            f"1.{number:04}.1",
            f"1.{number:04}.1.1",
            in_patient=attributes(PatientID=f"P{number}", PatientName=name(*random.choice(_PEOPLE))),
            in_study=attributes(
                StudyDate=random.choice(("", "18500607", "20240101", "20240131", "99991231")),
                StudyTime=random.choice(("", "10", "101530")),
                StudyID=str(random.randrange(1, 20)),
                StudyDescription=random.choice(_ABOUT),
                ReferringPhysicianName=name(*random.choice(_PEOPLE)),
            ),
        )


def _open(url: str) -> Index:
    index = Index.open(url)
    index.migrate()
    index.add(list(_archive(250)))
    return index


@pytest.fixture(scope="module")
def filled(new_url: NewUrl) -> Iterator[Index]:
    index = _open(new_url())
    yield index
    index.close()


def _found(index: Index, tag: int, values: tuple[str, ...], size: int = 11) -> list[str]:
    """All pages."""
    found: list[str] = []
    while len(found) % size == 0:
        query = Query(Level.STUDY, (Match((tag,), values),), limit=size, offset=len(found))
        page = [one["0020000D"]["Value"][0] for one in index.search("default", query, reader=f"{tag}{values}{size}")]
        if not page:
            break
        found += page
    return found


@pytest.mark.parametrize(("tag", "values"), _ASKED)
def test_they_are_those_of_the_walk(
    filled: Index, monkeypatch: pytest.MonkeyPatch, tag: int, values: tuple[str, ...]
) -> None:
    with noted() as statements:
        found = _found(filled, tag, values)
    monkeypatch.setattr(pages.Pages, "_found_by_places", lambda *_: None)
    assert found == _found(filled, tag, values, size=1000)
    assert bool(found) == (values not in {("nobody",), ("ct brain",)}), "a description is asked for as it is written"
    assert len(found) > 11 or tag == _STUDY_ID or not found
    if filled._engine.dialect.name == "postgresql":
        asked = [statement for statement in statements if "FROM study_" in statement]
        assert asked and all(whole_values.TABLE in statement for statement in asked)


def test_an_index_of_the_version_before(url: str) -> None:
    """The table is made from the rows; without it nothing would be found."""
    index = _open(url)
    expected = [_found(index, *asked) for asked in _ASKED]
    engine = open_engine(url)
    if engine.dialect.name == "postgresql":
        with writing(engine, "empty") as connection:
            connection.exec_driver_sql(f"DELETE FROM {whole_values.TABLE}")
        assert not any(_found(index, *asked) for asked in _ASKED)
    with writing(engine, "go back") as connection:
        whole_values.drop(connection)
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0014'")
    index.migrate()
    assert [_found(index, *asked) for asked in _ASKED] == expected
    engine.dispose()
    index.close()


def test_an_index_of_the_version_before_without_a_whole_value(url: str) -> None:
    """Not one name, description or study ID among all that is read at once."""
    index = Index.open(url)
    index.migrate()
    index.add([new_instance(in_patient=attributes(PatientID="P1"), in_study={})])
    engine = open_engine(url)
    with writing(engine, "go back") as connection:
        whole_values.drop(connection)
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0014'")
    index.migrate()
    assert len(list(index.search("default", Query(Level.STUDY), reader="one"))) == 1
    engine.dispose()
    index.close()


def test_looking_at_very_many_candidates_ends_in_time(filled: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each statement is short, but there are many: of studies with another name that has the same number, say."""
    rounds = 0

    def newest(*_: Any, above: int, below: int, size: int, **_more: Any) -> list[int]:
        nonlocal rounds
        rounds += 1
        time.sleep(0.01)
        found = (below - 1 - (number << 30) for number in range(size if rounds < 300 else 0))
        return [place for place in found if place >= above]  # of no row

    monkeypatch.setattr(gram_tables, "newest", newest)
    query = Query(Level.STUDY, (Match((_NAME,), ("kim^minsu",)),), limit=11)
    with pytest.raises(TooBroad, match="narrow it"):
        list(filled.search("default", query, allowance=Allowance(0.2)))
    assert rounds < 100


@pytest.mark.parametrize("asked", ["*\x02b\x03*", "?\x02b\x03?"])
def test_what_marks_the_ends_of_a_value_may_stand_within_one(url: str, asked: str) -> None:
    index = Index.open(url)
    index.migrate()
    index.add([new_instance(in_study=attributes(StudyDescription="a\x02b\x03c"))])
    assert len(_found(index, _DESCRIPTION, (asked,))) == 1
    index.close()

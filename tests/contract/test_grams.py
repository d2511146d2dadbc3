"""A part of a text finds every study that has it, however far back it lies, and newest first."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from pacs.attributes import Attributes
from pacs.index import Index, gram_tables, matching_rows, pages
from pacs.index.engine import open_engine, writing
from pacs.index.tables import POSTGRESQL_KEYS
from pacs.model import Level, Match, NewInstance, Query
from tests.contract.searchable_attributes import find, send, work
from tests.index.new_instances import attributes, name, new_instance
from tests.ingest.small_archive import Place

_PATIENT_NAME, _PHYSICIAN = 0x00100010, 0x00080090
_DAYS = ("", "18500607", "19000101", "19000102", "19991231", "20231231", "20240101", "20240131", "20240201", "99991231")
_NAMES = (
    ("Kim^Minsu", "金^敏洙", "김^민수"),
    ("Kim^Minsu", "金^民秀", "김^민수"),
    ("KIM^MINSU^", "", ""),
    ("Kim^Min Su", "", "김^민 수"),
    ("Kimura^Ken", "木村^健", "きむら^けん"),
    ("Müller^Jörg", "", ""),
    ("", "金^敏洙", ""),
    ("", "", ""),
)
_QUESTIONS = (
    "*kim*", "kim^minsu", "kim^min?u", "kim*u", "*민수*", "김^민수", "*수", "金^敏洙", "=金^敏洙", "kim^minsu^",
    "kim^minsu=金^民秀=김^민수", "kim^minsu=金^敏洙=김^민*", "*健*", "muller^jorg", "MÜLLER*", "kim", "*k*",
    "kim^minsu=木村^健",
)  # fmt: skip


def _archive(count: int) -> list[NewInstance]:
    random = Random(7)
    found = []
    for number in range(1, count + 1):
        patient_name = name(*_NAMES[int(len(_NAMES) * random.random() ** 1.5)])
        found.append(
            new_instance(
                f"1.{number:04}",
                f"1.{number:04}.1",
                f"1.{number:04}.1.1",
                in_patient=attributes(PatientID=f"P{random.randrange(10**7):07}", PatientName=patient_name),
                in_study=attributes(
                    StudyDate=random.choice(_DAYS),
                    StudyTime=random.choice(("", "10", "1015")),
                    StudyID=str(random.randrange(1, 40)),
                    ReferringPhysicianName=name(*random.choice(_NAMES)),
                ),
            )
        )
    return found


@pytest.fixture(scope="module")
def asked_of(new_url: object) -> Iterator[Index]:
    """An index of 300 studies."""
    index = Index.open(new_url())  # type: ignore[operator]
    index.migrate()
    archive = _archive(300)
    index.add(archive)
    yield index
    index.close()


def _found(index: Index, value: str, *, tag: int = _PATIENT_NAME, days: str = "", size: int = 25) -> list[str]:
    """All pages, each with no more than `size`."""
    keys = [Match((tag,), (value,)), *([Match((0x00080020,), (days,))] if days else [])]
    found: list[str] = []
    while len(found) % size == 0:
        query = Query(Level.STUDY, tuple(keys), limit=size, offset=len(found))
        page = [answer["0020000D"]["Value"][0] for answer in index.search("default", query, reader=f"{value}{days}")]
        if not page:
            break
        found += page
    return found


@pytest.mark.parametrize("newest", [300, 40, 1])
@pytest.mark.parametrize(("tag", "least"), [(_PATIENT_NAME, 50), (_PHYSICIAN, 25)], ids=["patient", "physician"])
def test_pages_of_a_part_are_those_of_the_whole_list(
    asked_of: Index, monkeypatch: pytest.MonkeyPatch, newest: int, tag: int, least: int
) -> None:
    """However few are looked through before GIN is asked, for a month, for years and for all."""
    monkeypatch.setattr(gram_tables, "_NEWEST", newest)
    monkeypatch.setattr(gram_tables, "_ENOUGH", 0.1)
    for value, days in itertools.product(_QUESTIONS, ("", "19000101-20240115")):
        found = _found(asked_of, value, tag=tag, days=days)
        with monkeypatch.context() as without:
            without.setattr(pages.Pages, "_found_by_places", lambda *_: None)  # the list is walked
            assert found == _found(asked_of, value, tag=tag, days=days, size=1000), (value, days)
    assert len(_found(asked_of, "kim^minsu", tag=tag)) > least


@pytest.mark.parametrize("value", ["7", "17", "1?", "*7", "3*", "99", "*"])
def test_study_ids(asked_of: Index, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    found = _found(asked_of, value, tag=0x00200010)
    with monkeypatch.context() as without:
        without.setattr(pages.Pages, "_found_by_places", lambda *_: None)
        assert found == _found(asked_of, value, tag=0x00200010, size=1000)


def test_parts_of_a_number(asked_of: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [str(new.patient["00100020"]["Value"][0]) for new in _archive(300)]
    for number, length in itertools.product(numbers[:10], (2, 3, 4, 5, 7)):
        part = number[1 : 1 + length]
        for value in (f"*{part}*", f"*{part[:-1]}?*", f"*{part}"):
            found = _found(asked_of, value, tag=0x00100020)
            with monkeypatch.context() as without:
                without.setattr(pages.Pages, "_found_by_places", lambda *_: None)
                assert found == _found(asked_of, value, tag=0x00100020, size=1000), value


def test_grams_of_an_older_version_are_made_anew(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An index with rows, written when there were no whole names among its grams; and it is told how far it is."""
    index = Index.open(url)
    index.migrate()
    index.add(_archive(30))
    expected = _found(index, "kim^minsu")
    assert expected
    engine = open_engine(url)
    with writing(engine, "go back") as connection:
        gram_tables.drop(connection)
        gram_tables.create(connection)
        connection.exec_driver_sql("DROP TABLE study_modalities")
        if connection.dialect.name == "postgresql":  # what a later step changed, without what it held
            for table in ("patients", "studies", "series"):
                connection.exec_driver_sql(f"ALTER TABLE {table} ALTER attributes TYPE TEXT USING '{{}}'")
            connection.exec_driver_sql("ALTER TABLE studies ALTER patient_attributes TYPE TEXT USING '{}'")
            for key, (unique, hashed) in POSTGRESQL_KEYS.items():
                connection.exec_driver_sql(f"DROP INDEX {unique}; DROP INDEX {hashed}")
                table = unique.split("_")[1]
                connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {key} UNIQUE (id)")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0009'")
    assert not _found(index, "kim^minsu"), "the control: nothing is found by grams that are not there"
    engine.dispose()
    monkeypatch.setattr(gram_tables, "_TOLD_EVERY_S", 0)
    with caplog.at_level(logging.INFO, "pacs"):
        index.migrate()
    (told,) = [one.fields for one in caplog.records if getattr(one, "fields", {}).get("table") == "studies"]
    assert told == {"table": "studies", "done": 30, "of": 30}
    assert _found(index, "kim^minsu", size=20) == expected
    index.close()


def test_series_of_a_physician_who_was_made_searchable(
    place: Place, attributes: Attributes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By his studies in the order of series, not by walking all: grams lead to studies in the order of studies."""
    for number in range(20):
        send(place, number, ReferringPhysicianName="Lee^B" if number >= 12 else "Kim^A")
    assert attributes.add("ReferringPhysicianName")
    work(attributes)
    monkeypatch.setattr(matching_rows, "_FEW_LOOKED_AT", 3)
    read: list[int] = []
    reading = pages.Pages.read

    def noting(self: pages.Pages, after: Any, size: int) -> list[Any]:
        found = reading(self, after, size)
        read.append(len(found))
        return found

    monkeypatch.setattr(pages.Pages, "read", noting)
    for level in (Level.SERIES, Level.IMAGE, Level.STUDY):
        read.clear()
        assert len(find(place, level, (0x00080090, "*lee*"))) == 8
        assert sum(read) == 8, level

"""After whatever came, went, came back and was erased, the tables for searches are what the rows make anew, and each
way to what matches finds what the walk of the list finds."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, select, text

from pacs.errors import NotFound, Retained
from pacs.index import Index, pages, whole_values
from pacs.index.engine import writing
from pacs.index.grams import of_modality, study_place
from pacs.index.migrate import refill
from pacs.index.packed import unpacked_above
from pacs.index.tables import studies, study_modalities
from pacs.model import Deletion, Level, Match, NewInstance, Query
from tests.contract.conftest import NewUrl
from tests.contract.deleted import Notes, deletion
from tests.index.new_instances import attributes, name, new_instance

SEEDS = range(100) if os.environ.get("PACS_SOAK") else range(3)
_STEPS = 60
_DAYS = ("", "18500607", "19000101", "19880229", "20231231", "20240101", "20240101", "20790607", "99991231", "none")
_TIMES = ("", "10", "1015", "101560", "101600.5", "235960", "noon")
_MODALITIES = ("CT", "CT", "CT", "MR", "SR", "OT", "", "ct", "자기", "e\u0301", "A\\B", "\\")
_PEOPLE: tuple[Any, ...] = (
    None,
    name("Kim^Minsu"),
    name("Kim^Minsu", "金^敏秀", "김^민수"),
    [name("Lee^A"), name("Park^B", "朴^B")],
    "Kimura^Taro",
    name("Müller^Ä"),
    name("", "", "이^수"),
    5,
)
_WORDS = (None, "1", "12345", "S-12", "é1", "1 2", "*", "A\\B")
_KEYS: dict[int, tuple[tuple[str, ...], ...]] = {
    0x00080061: (("CT",), ("CT", "SR"), ("OT",), ("A\\B",), ("AB",), ("C*",), ("é",), ("자기",), ("PT",), ("ct", "MR")),
    0x00080060: (("CT",), ("OT",), ("SR", "MR"), ("é",), ("A\\B",), ("?R",)),
    0x00080090: (("*kim*",), ("Kim^Minsu",), ("김^민수",), ("=朴^B",), ("*Lee*", "*Park*"), ("muller^*",), ("*수",)),
    0x00200010: (("1",), ("1*",), ("*2",), ("12345", "S-12"), ("e\u03011",), ("?",)),
    0x00100010: (("*kim*",), ("park*",), ("Kim^Minsu",), ("Kim",)),
    0x00080020: (("20240101",), ("20231231-20240101",), ("19900101-",), ("-19001231",), ("20790101-",), ("-20240101",)),
    0x00081030: (("*1*",), ("1 2",)),
}
_UID = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}


def _arrivals(random: Random, hospital: str) -> list[NewInstance]:
    """Some images; those of one study do not agree on what it is."""
    found = []
    for _ in range(random.randint(1, 6)):
        study, series, image = random.randint(1, 12), random.randint(1, 3), random.randint(1, 2)
        in_study = attributes(
            StudyDate=random.choice(_DAYS),
            StudyTime=random.choice(_TIMES),
            StudyID=random.choice(_WORDS),
            StudyDescription=random.choice(_WORDS),
            ReferringPhysicianName=random.choice(_PEOPLE),
        )
        if isinstance(in_study["00080090"].get("Value", [None])[0], str):
            in_study["00080090"]["vr"] = "LO"
        modality = random.choice(_MODALITIES)
        uid = f"1.{study}.{series}.{image}"
        found.append(
            new_instance(
                f"1.{study}",
                f"1.{study}.{series}",
                uid,
                hospital=hospital,
                content=str(random.random()),
                segment=f"segment-{hospital}",
                offset=random.randrange(1 << 40),
                in_patient=attributes(
                    PatientID=random.choice(("", "P1", "P2")), PatientName=random.choice((name("Kim"), name("Park^A")))
                ),
                in_study=in_study,
                in_series=attributes(Modality=modality.split("\\") if random.random() < 0.2 else modality or None),
            )
        )
    return found


class _Archive:
    """Two hospitals with the same UIDs, in one index, that change as chance has it."""

    def __init__(self, index: Index, random: Random) -> None:
        self.index, self.random, self.notes = index, random, Notes()
        self.stored: list[NewInstance] = []
        self._deletions: list[Deletion] = []

    def step(self) -> None:
        random, trash = self.random, self.index.trash
        what = random.random()
        if what < 0.5 or not self.stored:
            self._add()
        elif what < 0.7:
            levels = random.choice(self.stored).key.sop_instance_uid.split(".")
            study, *below = (".".join(levels[:depth]) for depth in range(2, random.choice((2, 2, 3, 4)) + 1))
            with suppress(NotFound):
                self._deletions.append(trash.put(deletion(study, *below), self.notes))
        elif what < 0.9 and self._deletions:
            one = random.choice(self._deletions)
            part = {"series_uid": f"{one.study_instance_uid}.{random.randint(1, 3)}"} if random.random() < 0.3 else {}
            with suppress(NotFound, Retained):
                trash.restore("default", one.name, self.notes, **part)
        elif self._deletions:
            begun = trash.begin_erasing(random.choice(self._deletions), self.notes)
            if begun is not None:
                trash.erased(begun)

    def _add(self) -> None:
        arrived = _arrivals(self.random, self.random.choice(("default", "default", "other")))
        self.index.add(arrived)
        self.stored += arrived


def _tables(connection: Connection) -> dict[str, set[tuple[Any, ...]]]:
    """All that searches are led by, and none of it twice."""
    found = {"modalities": [tuple(row) for row in connection.execute(select(study_modalities))]}
    if connection.dialect.name == "postgresql":
        found[whole_values.TABLE] = [
            tuple(row) for row in connection.execute(text(f"SELECT number, place FROM {whole_values.TABLE}"))
        ]
        assert found[whole_values.TABLE]
    for table in ("study_grams", "patient_grams"):
        if connection.dialect.name == "postgresql":
            rows = connection.execute(text(f"SELECT hospital, place, grams FROM {table}")).all()
            found[table] = [(hospital, place, *numbers) for hospital, place, numbers in rows]
            continue
        connection.execute(text(f"INSERT INTO {table}({table}) VALUES ('integrity-check')"))
        connection.execute(text(f"CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', '{table}', 'instance')"))
        found[table] = [tuple(row) for row in connection.execute(text("SELECT term, doc FROM temp.words"))]
        connection.execute(text("DROP TABLE temp.words"))
    for rows in found.values():
        assert len(rows) == len(set(rows))
    return {table: set(rows) for table, rows in found.items()}


def _check_tables(index: Index) -> None:
    with writing(index._engine, "look") as connection:
        now = _tables(connection)
        expected = {
            (of_modality(row.hospital, word), study_place(row.study_date, row.study_time, row.id))
            for row in connection.execute(select(studies))
            for word in row.modalities_in_study.split("\\")
            if word and not row.hospital.startswith("!")
        }
    assert now["modalities"] == expected
    refill(index._engine)
    with writing(index._engine, "look") as connection:
        assert _tables(connection) == now


def _found(index: Index, query: Query, reader: str = "") -> list[str]:
    return [one[_UID[query.level]]["Value"][0] for one in index.search("default", query, reader=reader)]


def _check_searches(index: Index, random: Random, monkeypatch: pytest.MonkeyPatch, asked: int) -> None:
    for number in range(asked):
        level = random.choice((Level.STUDY, Level.STUDY, Level.SERIES, Level.IMAGE))
        tags = random.choices(list(_KEYS), k=random.randint(1, 3))
        keys = tuple(Match((tag,), random.choice(_KEYS[tag])) for tag in tags)
        ways = {"needs_all_values": random.random() < 0.3, "is_fuzzy": random.random() < 0.2}
        with monkeypatch.context() as walking:
            walking.setattr(pages.Pages, "_found_by_places", lambda *_: None)
            walking.setattr("pacs.index.search.rows_above", lambda *_: None)
            whole = _found(index, Query(level, keys, **ways))
        assert len(whole) == len(set(whole))
        assert _found(index, Query(level, keys, **ways)) == whole, (level, keys, ways)
        offset = random.randint(0, len(whole))
        page = Query(level, keys, limit=3, offset=offset, **ways)
        assert _found(index, page, reader=f"{number}") == whole[offset : offset + 3], (page, whole)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_comes_and_goes_is_found_as_by_the_walk(index: Index, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(pages, "_NEAR", 1)
    monkeypatch.setattr(pages, "_TRIED", 2)
    random = Random(seed)
    archive = _Archive(index, random)
    for step in range(_STEPS):
        archive.step()
        if step == _STEPS // 2:
            _make_text(index)  # as versions before 0011 wrote them
        if step % 15 == 14:
            _check_searches(index, random, monkeypatch, 12)
            _check_tables(index)


def test_an_index_that_is_made_anew_follows_the_notes(new_url: NewUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(7)
    first, again = Index.open(new_url()), Index.open(new_url())
    for index in (first, again):
        index.migrate()
    archive = _Archive(first, random)
    for _ in range(_STEPS):
        archive.step()
    again.add(archive.stored)  # in the order in which they came
    notes = list(archive.notes.last.values())
    for _ in range(2):  # those of one deletion may be seen before those of another
        random.shuffle(notes)
        for told, places in notes:
            again.trash.adopt(told, places)
    _check_tables(again)
    _check_searches(again, random, monkeypatch, 40)
    for index in (first, again):
        index.close()


def _make_text(index: Index) -> None:
    if index._engine.dialect.name != "sqlite":
        return
    with writing(index._engine, "go back") as connection:
        for row in connection.execute(select(studies.c.id, studies.c.attributes)).all():
            values = {"row": row.id, "text": json.dumps(unpacked_above(row.attributes), separators=(",", ":"))}
            connection.execute(text("UPDATE studies SET attributes = :text WHERE id = :row"), values)


@pytest.mark.parametrize("revision", ["0013", "0012"])
def test_they_are_the_same_after_a_way_back_and_forth(index: Index, revision: str) -> None:
    """Also with rows in the trash, and studies there that came anew."""
    archive = _Archive(index, Random(11))
    for _ in range(_STEPS):
        archive.step()
    config = Config()
    config.set_main_option("script_location", "pacs.index:migrations")
    with writing(index._engine, "look") as connection:
        before = _tables(connection)
        assert connection.execute(select(studies.c.id).where(studies.c.hospital.startswith("!"))).first()
    with writing(index._engine, "go back") as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    index.migrate()
    with writing(index._engine, "look") as connection:
        assert _tables(connection) == before
    _check_tables(index)

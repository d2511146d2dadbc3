"""The steps of `pacs.index.migrations` make the tables of `pacs.index.tables`, whoever runs them and however often."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import unicodedata

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from pacs.index import (
    Index,
    gram_tables,
    page_marks,
    row_values,
    stale_values,
    whole_values,
    workitem_values,
)
from pacs.index.engine import open_engine, writing
from pacs.index.migrate import refill
from pacs.index.packed import unpacked_above
from pacs.index.tables import POSTGRESQL_KEYS, metadata
from pacs.model import Level, Match, NewInstance, Query
from tests.index.new_instances import attributes, name, new_instance

DERIVED = {
    *gram_tables.TABLES.values(),
    *gram_tables.MORE_TABLES,
    page_marks.TABLE,
    stale_values.TABLE,
    whole_values.TABLE,
    workitem_values.TABLE,
}
"""Made by themselves, each database in its own way."""


def test_migrated_tables_are_those_of_the_code(index: Index, url: str) -> None:
    engine = open_engine(url)
    with engine.connect() as connection:
        of_sqlite, of_postgresql = set(POSTGRESQL_KEYS), set(itertools.chain(*POSTGRESQL_KEYS.values()))
        is_postgresql = connection.dialect.name == "postgresql"
        elsewhere = of_sqlite if is_postgresql else set()
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, *_: name not in DERIVED | of_postgresql,
                "include_object": lambda _object, name, *_: name not in elsewhere,
            },
        )
        differences = compare_metadata(context, metadata)
        if is_postgresql:
            indexes = set(connection.execute(text("SELECT indexname FROM pg_indexes")).scalars())
            assert of_postgresql <= indexes
            assert not of_sqlite & indexes
    engine.dispose()
    assert differences == []


def test_a_uid_has_one_row_in_its_hospital(index: Index, url: str) -> None:
    """Also where the database keeps hashes of them."""
    index.add([new_instance(), new_instance("2", "2.1", "2.1.1"), new_instance(hospital="b")])
    engine = open_engine(url)
    for change in (
        "UPDATE instances SET sop_instance_uid = '2.1.1' WHERE hospital = 'default'",
        "UPDATE instances SET hospital = 'default'",
        "UPDATE series SET series_instance_uid = '2.1', study_row = 1 WHERE hospital = 'default'",
        "UPDATE studies SET study_instance_uid = '2' WHERE hospital = 'default'",
    ):
        with engine.connect() as connection, pytest.raises(IntegrityError):
            connection.execute(text(change))
    with engine.begin() as connection:  # one series UID may be in two studies, and one UID in two hospitals
        connection.execute(text("UPDATE series SET series_instance_uid = '2.1'"))
        connection.execute(text("UPDATE instances SET sop_instance_uid = 'a\\b' WHERE hospital = 'b'"))
    engine.dispose()


def test_a_missing_column_would_be_seen(index: Index, url: str) -> None:
    """The control of the test above."""
    engine = open_engine(url)
    with writing(engine, "drop") as connection:
        connection.execute(text("ALTER TABLE studies DROP COLUMN study_description"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()


def test_migrating_again_keeps_what_is_there(index: Index) -> None:
    index.add([new_instance()])
    index.migrate()
    assert index.holdings().instances == 1


def test_processes_that_start_together_all_find_their_tables(url: str) -> None:
    program = "import sys; from pacs.index import Index; Index.open(sys.argv[1]).migrate()"
    running = [subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE) for _ in range(4)]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    engine = open_engine(url)
    assert set(inspect(engine).get_table_names()) - DERIVED == {*metadata.tables, "alembic_version"}
    engine.dispose()


def test_rows_of_an_older_version_are_answered_as_they_were(index: Index, url: str) -> None:
    """Attributes above the instance were text, and keys began with the hospital."""
    index.add([new_instance()])
    levels = [level for level in Level if level is not Level.IMAGE]
    expected = {level: list(index.search("default", Query(level))) for level in levels}
    engine = open_engine(url)
    with writing(engine, "go back") as connection:
        is_postgresql = connection.dialect.name == "postgresql"
        for table in ("patients", "studies", "series"):
            columns = ("patient_attributes", "attributes") if table == "studies" else ("attributes",)
            for column in columns:
                stored = connection.execute(text(f"SELECT {column} FROM {table}")).scalar_one()
                if is_postgresql:
                    connection.exec_driver_sql(f"ALTER TABLE {table} ALTER {column} TYPE TEXT USING ''")
                text_of_it = json.dumps(unpacked_above(stored), ensure_ascii=False, separators=(",", ":"))
                connection.execute(text(f"UPDATE {table} SET {column} = :text"), {"text": text_of_it})
        for key, (unique, hashed) in POSTGRESQL_KEYS.items() if is_postgresql else ():
            table, columns = unique.split("_")[1], key.removeprefix("uq_").split("_", 1)[1]
            columns = columns.replace("hospital_", "hospital, ").replace("_study_row", ", study_row")
            connection.execute(text(f"DROP INDEX {unique}"))
            connection.execute(text(f"DROP INDEX {hashed}"))
            connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT {key} UNIQUE ({columns})"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0010'"))
        connection.execute(text("DROP TABLE study_modalities"))
    engine.dispose()
    index.migrate()
    assert {level: list(index.search("default", Query(level))) for level in levels} == expected
    index.add([new_instance(sop="1.1.1.2"), new_instance("2", "2.1", "2.1.1")])
    assert index.holdings().instances == 3


def test_rows_of_an_older_version_are_found_by_the_letters_of_this_one(
    index: Index, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names were folded by what Unicode takes apart, texts were kept as they came."""
    with monkeypatch.context() as former:
        former.setattr(row_values, "name_group", lambda value: _former(str(value)))
        former.setattr(row_values, "word", lambda value: str(value).strip())
        index.add([_in_former_form(number, *each) for number, each in enumerate(_FORMER, start=1)])
    assert _found(index, 0x00100010, "walesa*") == []
    engine = open_engine(url)
    operators, values = metadata.tables["searchable_attributes"], metadata.tables["attribute_values"]
    with writing(engine, "go back") as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0012'"))
        connection.execute(text("DROP TABLE study_modalities"))
        written = {column.name: "" for column in operators.c} | {"id": 1, "tag": 0x00081070, "level": "SERIES"}
        connection.execute(operators.insert(), {**written, "done_until": 0, "is_removed": False})
        shown = {"hospital": "default", "attribute": 1, "shown": '{"vr":"PN"}'}
        for row, value in ((1, "wałęsa"), (1, "walesa"), (2, "ø"), (3, "김")):
            connection.execute(values.insert(), {**shown, "row": row, "value": value})
    index.migrate()
    with engine.connect() as connection:
        kept = connection.execute(text('SELECT "row", value FROM attribute_values ORDER BY 1, 2')).all()
    assert [tuple(one) for one in kept] == [(1, "walesa"), (2, "o"), (3, "김")]
    for level in (Level.STUDY, Level.PATIENT):
        assert _found(index, 0x00100010, "walesa*", level) == ["1"]
        assert _found(index, 0x00100010, "*lodz*", level) == ["2"]
        assert _found(index, 0x00100010, "*احمد*", level) == ["3"]
        assert _found(index, 0x00100010, "*민*", level) == ["4"]
        assert _found(index, 0x00100010, "*lodz", level) == []
        assert _found(index, 0x00100020, "가1", level) == ["4"]
    assert _found(index, 0x00081030, "흉부 CT") == ["4"]
    assert _found(index, 0x00081030, "*부 CT*") == ["4"]
    assert _found(index, 0x00081030, "*Łuk*") == ["1"]
    assert _found(index, 0x0008103E, "흉부 CT", Level.SERIES) == ["4"]
    with writing(engine, "compare") as connection:
        migrated = _grams(connection)
    refill(engine)
    with writing(engine, "compare") as connection:
        assert migrated == _grams(connection)
    engine.dispose()


_FORMER = (
    ("Wałęsa^Łukasz", "Łuk", "P1"),
    ("Muzeum^Łódź^x", "Foot", "P2"),
    ("أحمد^علي", "صدر", "P3"),
    ("김^민수", unicodedata.normalize("NFD", "흉부 CT"), unicodedata.normalize("NFD", "가1")),
    ("Plain^Name", "Chest", "P5"),
)


def _former(value: str) -> str:
    decomposed = unicodedata.normalize("NFKD", value.casefold())
    return unicodedata.normalize("NFKC", "".join(c for c in decomposed if not 0x300 <= ord(c) < 0x370)).casefold()


def _in_former_form(number: int, patient: str, about: str, patient_id: str) -> NewInstance:
    return new_instance(
        f"1.{number}",
        f"1.{number}.1",
        f"1.{number}.1.1",
        in_patient=attributes(PatientID=patient_id, PatientName=name(patient)),
        in_study=attributes(StudyDescription=about, StudyDate="20240101", StudyID=str(number)),
        in_series=attributes(SeriesDescription=about),
    )


def _found(index: Index, tag: int, asked: str, level: Level = Level.STUDY) -> list[str]:
    answers = index.search("default", Query(level, (Match((tag,), (asked,)),)))
    ids = {new[2]: str(number) for number, new in enumerate(_FORMER, start=1)}
    return sorted(ids[answer["00100020"]["Value"][0]] for answer in answers)


def _grams(connection: Connection) -> list[object]:
    if connection.dialect.name == "postgresql":
        tables = [f"SELECT hospital, place, grams FROM {table} ORDER BY 1, 2" for table in gram_tables.TABLES.values()]
        tables.append(f"SELECT number, place FROM {whole_values.TABLE} ORDER BY 1, 2")
        return [tuple(row) for table in tables for row in connection.execute(text(table))]
    found: list[object] = []
    for table in gram_tables.TABLES.values():
        connection.execute(text(f"CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, {table}, row)"))
        found += [tuple(row) for row in connection.execute(text("SELECT term, doc FROM terms ORDER BY 1"))]
        connection.execute(text("DROP TABLE temp.terms"))
    return found

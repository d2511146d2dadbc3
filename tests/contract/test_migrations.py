"""The steps of `pacs.index.migrations` make the tables of `pacs.index.tables`, whoever runs them and however often."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from pacs.index import Index, gram_tables, page_marks, stale_values, workitem_values
from pacs.index.engine import open_engine, writing
from pacs.index.packed import unpacked_above
from pacs.index.tables import POSTGRESQL_KEYS, metadata
from pacs.model import Level, Query
from tests.index.new_instances import new_instance

DERIVED = {
    *gram_tables.TABLES.values(),
    *gram_tables.MORE_TABLES,
    page_marks.TABLE,
    stale_values.TABLE,
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
    engine.dispose()
    index.migrate()
    assert {level: list(index.search("default", Query(level))) for level in levels} == expected
    index.add([new_instance(sop="1.1.1.2"), new_instance("2", "2.1", "2.1.1")])
    assert index.holdings().instances == 3

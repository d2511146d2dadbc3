"""The steps of `pacs.index.migrations` make the tables of `pacs.index.tables`, whoever runs them and however often."""

from __future__ import annotations

import json
import subprocess
import sys

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from pacs.index import Index, gram_tables, page_marks, stale_values, workitem_values
from pacs.index.engine import open_engine, writing
from pacs.index.packed import unpacked_above
from pacs.index.tables import metadata
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
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": lambda name, *_: name not in DERIVED}
        )
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


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
        for table in ("patients", "studies", "series"):
            columns = ("patient_attributes", "attributes") if table == "studies" else ("attributes",)
            for column in columns:
                stored = connection.execute(text(f"SELECT {column} FROM {table}")).scalar_one()
                if connection.dialect.name == "postgresql":
                    connection.exec_driver_sql(f"ALTER TABLE {table} ALTER {column} TYPE TEXT USING ''")
                text_of_it = json.dumps(unpacked_above(stored), ensure_ascii=False, separators=(",", ":"))
                connection.execute(text(f"UPDATE {table} SET {column} = :text"), {"text": text_of_it})
        connection.execute(text("UPDATE alembic_version SET version_num = '0010'"))
    engine.dispose()
    index.migrate()
    assert {level: list(index.search("default", Query(level))) for level in levels} == expected
    index.add([new_instance(sop="1.1.1.2"), new_instance("2", "2.1", "2.1.1")])
    assert index.holdings().instances == 3

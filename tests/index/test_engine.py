from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from pacs.errors import IndexUnavailable, StorageFull
from pacs.index.engine import open_engine, reading, translated, writing


def test_sqlite_is_opened_so_that_a_commit_is_durable(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'index.db'}")
    with reading(engine, "look") as connection:
        told = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    assert told == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_a_write_is_whole_or_nothing(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'index.db'}")
    with writing(engine, "make") as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")
    with pytest.raises(ZeroDivisionError), writing(engine, "write") as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        raise ZeroDivisionError
    with reading(engine, "look") as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar_one() == 0
    engine.dispose()


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://localhost/x", "sqlite3:///x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(IndexUnavailable, match="sqlite"):
        open_engine(url)


def test_postgresql_is_reached_through_psycopg() -> None:
    assert open_engine("postgresql://nobody@nowhere/x").dialect.driver == "psycopg"


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'index.db'}")
    with pytest.raises(StorageFull, match="no room"), writing(engine, "write") as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 2")
        connection.exec_driver_sql("CREATE TABLE t (n BLOB)")
        connection.exec_driver_sql("INSERT INTO t VALUES (zeroblob(100000))")
    engine.dispose()


def test_neither_statement_nor_values_are_told() -> None:
    failure = OperationalError("SELECT secret", {"name": "Kim"}, sqlite3.OperationalError("database is locked"))
    with pytest.raises(IndexUnavailable) as raised, translated("look"):
        raise failure
    assert "Kim" not in str(raised.value)
    assert "SELECT" not in str(raised.value)

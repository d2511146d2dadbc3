from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, QueuePool, text

from pacs.errors import IndexUnavailable
from pacs.index.engine import open_engine, writing
from pacs.index.kept_connections import KeptConnections


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'index.db'}")
    yield engine
    engine.dispose()


def in_use(engine: Engine) -> int:
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedout()


def test_no_more_are_kept_than_said_and_none_after_close(engine: Engine) -> None:
    kept = KeptConnections(engine, most=2)
    with kept.reading("a"), kept.reading("b"), kept.reading("c"):
        assert in_use(engine) == 3
    assert in_use(engine) == 2
    with kept.reading("a"), kept.reading("b"):
        assert in_use(engine) == 2
    kept.close()
    assert in_use(engine) == 0


def test_after_an_error_none_is_kept_and_the_next_transaction_begins_anew(engine: Engine) -> None:
    kept = KeptConnections(engine, most=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), kept.writing("write"):
            raise ZeroDivisionError
        assert in_use(engine) == 0
        with pytest.raises(ZeroDivisionError), kept.reading("read") as driver:
            driver.rows(text("SELECT 1"), {})
            raise ZeroDivisionError
        assert in_use(engine) == 0
    with kept.writing("write") as driver:
        assert driver.rows(text("SELECT 1"), {}) == [(1,)]
    kept.close()


def test_a_connection_that_became_unable_to_write_is_not_used_again(engine: Engine) -> None:
    """As SQLite's does when its file could not be opened for writing just then."""
    kept = KeptConnections(engine, most=1)
    with kept.writing("write") as driver:
        driver.run(text("CREATE TABLE t (n INTEGER)"), [{}])
    with kept.writing("write") as driver:
        driver.rows(text("PRAGMA query_only = ON"), {})
    with pytest.raises(IndexUnavailable, match="readonly"), kept.writing("write") as driver:
        driver.run(text("INSERT INTO t VALUES (1)"), [{}])
    with kept.writing("write") as driver:
        driver.run(text("INSERT INTO t VALUES (1)"), [{}])
        driver.rows(text("PRAGMA query_only = ON"), {})
    kept.close()
    with pytest.raises(IndexUnavailable, match="readonly"), writing(engine, "write") as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))
    with writing(engine, "write") as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))

"""What a kept connection to PostgreSQL must not carry from one use to the next, and that a dead one is replaced."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from pacs.index.allowance import Allowance
from pacs.index.engine import open_engine, reading, writing
from pacs.index.kept_connections import KeptConnections
from pacs.index.page_marks import Mark, PageMarks, ensure_table
from tests.real_postgresql import PostgreSQL

pytestmark = pytest.mark.postgres
_TIMEOUT = "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"


@pytest.fixture
def engine(postgresql: PostgreSQL) -> Iterator[Engine]:
    opened = open_engine(postgresql.url("postgres"))
    yield opened
    opened.dispose()


def _process(engine: Engine) -> int:
    with reading(engine, "look") as connection:
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def test_a_connection_that_the_server_closed_is_replaced(engine: Engine, postgresql: PostgreSQL) -> None:
    before = _process(engine)
    postgresql.execute(f"SELECT pg_terminate_backend({before}, 5000)")
    assert _process(engine) != before


def test_a_living_connection_is_kept(engine: Engine) -> None:
    assert _process(engine) == _process(engine)


def test_the_time_of_a_search_ends_no_write_and_no_other_read(engine: Engine) -> None:
    with Allowance(deadline_s=50).reading(engine) as connection:
        process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        assert connection.exec_driver_sql(_TIMEOUT).scalar_one() == "50000"
    with writing(engine, "write") as connection:
        assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == process
        assert connection.exec_driver_sql(_TIMEOUT).scalar_one() == "0"
    with reading(engine, "look") as connection:
        assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == process
        assert connection.exec_driver_sql(_TIMEOUT).scalar_one() == "0"


def test_the_time_of_a_search_ends_no_statement_past_sqlalchemy(engine: Engine) -> None:
    with Allowance(deadline_s=50).reading(engine) as connection:
        assert connection.exec_driver_sql(_TIMEOUT).scalar_one() == "50000"
    kept = KeptConnections(engine, most=1)
    for using in (kept.writing, kept.reading):
        with using("look") as driver:
            assert driver.rows(text(_TIMEOUT), {}) == [("0",)]
    with Allowance(deadline_s=50).reading(engine) as connection:
        assert connection.exec_driver_sql(_TIMEOUT).scalar_one() == "50000", "the next search has it again"


def test_the_pages_of_a_search_tell_the_server_its_time_once(engine: Engine) -> None:
    told: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        told.extend([statement] if statement.startswith("SET") else [])

    for _ in range(3):
        allowance = Allowance(deadline_s=2000)
        for _ in range(3):
            with allowance.reading(engine) as connection:
                connection.exec_driver_sql("SELECT pg_sleep(0.002)")
    assert told == ["SET statement_timeout = 2000000"]
    allowance = Allowance(deadline_s=60)
    with allowance.reading(engine) as connection:
        connection.exec_driver_sql("SELECT 1")
    assert allowance._left_s is not None
    allowance._left_s -= 4  # as if it had taken so long
    left_ms = 1000 * allowance._left_s
    with allowance.reading(engine) as connection:
        told_ms = int(connection.exec_driver_sql(_TIMEOUT).scalar_one())
    assert left_ms <= told_ms < left_ms + 3000, "it is told when it matters"
    assert told_ms < 60_000


def test_pages_of_a_search_leave_the_prepared_statements(engine: Engine) -> None:
    with engine.begin() as connection:
        ensure_table(connection)
    marks, question = PageMarks(engine), random.randbytes(16)
    for number in range(12):  # psycopg prepares what comes for the sixth time
        marks.note(question, {number: ("20260102", number), number + 1: ("20260102", number)})
        assert marks.nearest(question, number + 1) == Mark(number + 1, ("20260102", number))
        with reading(engine, "look") as connection:
            connection.execute(text("SELECT :number"), {"number": number})
            prepared = connection.exec_driver_sql("SELECT statement FROM pg_prepared_statements").scalars().all()
    for begin in ("SELECT $1", "INSERT INTO page_ends", "SELECT position, row_key FROM page_ends"):
        assert any(statement.startswith(begin) for statement in prepared), begin


def test_a_write_that_failed_leaves_the_time_that_was_told(engine: Engine) -> None:
    with Allowance(deadline_s=0.05).reading(engine):
        pass
    with pytest.raises(ZeroDivisionError), writing(engine, "write") as connection:
        raise ZeroDivisionError
    with Allowance(deadline_s=0.05).reading(engine) as connection, pytest.raises(DBAPIError, match="statement timeout"):
        connection.exec_driver_sql("SELECT pg_sleep(5)")


def test_reads_leave_no_transaction_open(engine: Engine) -> None:
    with reading(engine, "look") as connection:
        first = connection.exec_driver_sql("SELECT now()").scalar_one()
        assert connection.exec_driver_sql("SELECT now()").scalar_one() > first, "one transaction has one time"


def test_a_write_is_one_transaction_after_reads(engine: Engine) -> None:
    _process(engine)
    with pytest.raises(ZeroDivisionError), writing(engine, "write") as connection:
        connection.exec_driver_sql("CREATE TABLE not_kept (n INT)")
        raise ZeroDivisionError
    with reading(engine, "look") as connection:
        assert connection.exec_driver_sql("SELECT to_regclass('not_kept')").scalar_one() is None

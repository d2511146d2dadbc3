"""Connections: how each database is opened, and its errors turned into ours."""

from __future__ import annotations

import select
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, PoolProxiedConnection, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError

from pacs import log
from pacs.errors import IndexUnavailable, StorageFull

_BUSY_TIMEOUT_MS = 30_000
_TRUSTED_S = 30.0
"""How long an idle connection to a server is taken to be alive when nothing was heard on it."""
_USED, _TIMEOUT = "pacs_used", "pacs_timeout_ms"
_WRITES = {"pacs_writes": True}
BEGIN_WRITE = "BEGIN IMMEDIATE"


def open_engine(url: str) -> Engine:
    """An engine for SQLite (``sqlite:///file``) or PostgreSQL (``postgresql+psycopg://``); nothing is connected yet.

    Raises:
        IndexUnavailable: the URL cannot be read, or names another database.
    """
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise IndexUnavailable("index.url is no SQLAlchemy URL; use sqlite:///FILE or postgresql+psycopg://") from error
    match address.get_backend_name():
        case "sqlite":
            return _open_sqlite(address)
        case "postgresql":
            return _open_postgresql(address)
        case other:
            raise IndexUnavailable(f"index.url names {other!r}; the index runs on sqlite or postgresql+psycopg")


def _open_sqlite(address: URL) -> Engine:
    # One connection per thread that reads at this moment; each costs little, waiting for one costs a request.
    engine = create_engine(address, pool_size=16, max_overflow=240, pool_timeout=30, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not guessed by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA cache_size = -16384")
        cursor.close()

    @event.listens_for(engine, "handle_error")
    def _drop(context: ExceptionContext) -> None:
        # The error may be the connection's own: what could not be opened for writing at one moment was opened for
        # reading, and stays so. A new one costs a millisecond.
        if isinstance(context.original_exception, sqlite3.OperationalError) and not context.is_pre_ping:
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = False

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A reader that later writes could not wait for another writer: whoever will write says so at once.
        writes = connection.get_execution_options().get("pacs_writes", False)
        connection.exec_driver_sql(BEGIN_WRITE if writes else "BEGIN")

    return engine


def _open_postgresql(address: URL) -> Engine:
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(
        address,
        pool_size=4,
        max_overflow=12,
        pool_timeout=30,
        hide_parameters=True,
        connect_args={"connect_timeout": 10},
    )

    # SQLAlchemy's own ping asks the server each time, which costs as much as a look-up by key.
    @event.listens_for(engine, "checkin")
    def _note(_connection: Any, record: Any) -> None:
        record.info[_USED] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _require_alive(connection: Any, record: Any, _proxy: Any) -> None:
        is_fresh = time.monotonic() - record.info.get(_USED, 0.0) < _TRUSTED_S
        if is_fresh and not _is_heard(connection.pgconn.socket):  # no end, and no notice
            return
        try:
            connection.execute("SELECT 1")
            connection.rollback()
        except server_errors() as error:
            raise DisconnectionError("the server has closed the connection") from error

    return engine


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the database's errors as ours, without statements or values in message or log.

    Raises:
        StorageFull: the database has no room left.
        IndexUnavailable: any other error.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, (SQLAlchemyError, sqlite3.Error, OverflowError, UnicodeError, *server_errors())):
            raise
        cause = getattr(error, "orig", None) or error
        what = _described(cause)
        log.warning("index refused", doing=doing, cause=what)
        if getattr(cause, "sqlite_errorname", None) == "SQLITE_FULL" or getattr(cause, "sqlstate", None) == "53100":
            raise StorageFull(f"the index could not {doing}: no room is left for its database") from error
        raise IndexUnavailable(f"the index could not {doing}: {what}") from error


def server_errors(name: str = "Error") -> tuple[type[BaseException], ...]:
    """An error of psycopg, which is loaded (8 MB) only where the index is on PostgreSQL."""
    psycopg = sys.modules.get("psycopg")
    return () if psycopg is None else (getattr(psycopg, name),)


def driver_errors(name: str = "Error") -> tuple[type[BaseException], ...]:
    """The error of this name of the drivers that are used, where SQLAlchemy is not between."""
    return (getattr(sqlite3, name), *server_errors(name))


def _described(cause: BaseException) -> str:
    """What went wrong. A server's message may quote a row, so of those only the code is told."""
    kind = type(cause).__name__
    sqlstate = getattr(cause, "sqlstate", None)
    if sqlstate:
        return f"{kind} (SQLSTATE {sqlstate})"
    if getattr(cause, "sqlite_errorname", None) or isinstance(cause, server_errors("OperationalError")):
        return f"{kind}: {' '.join(str(cause).split())[:300]}"
    return kind


@contextmanager
def reading(engine: Engine, doing: str, *, timeout_ms: int = 0) -> Iterator[Connection]:
    """A connection for reads, given back at the end.

    PostgreSQL commits each statement, which saves two questions, and ends one after `timeout_ms` (0 is never).
    """
    with translated(doing), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="AUTOCOMMIT")
            _limit(connection, timeout_ms)
        yield connection


@contextmanager
def committing_each(engine: Engine) -> Iterator[Connection]:
    """A connection of PostgreSQL that commits each statement, for what lasts no longer than it is useful.

    A transaction that is only read in ends with a rollback, at which psycopg forgets every statement it prepared.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


@contextmanager
def writing(engine: Engine, doing: str) -> Iterator[Connection]:
    """One write transaction: committed and durable at the end, or nothing of it."""
    with translated(doing), engine.connect().execution_options(**_WRITES) as connection, connection.begin():
        if connection.info.get(_TIMEOUT, 0) != 0:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        yield connection


def _limit(connection: Connection, timeout_ms: int) -> None:
    """Let PostgreSQL end statements of this session after that time; it is told only what it does not know."""
    if connection.info.get(_TIMEOUT, 0) != timeout_ms:
        connection.info[_TIMEOUT] = None
        connection.exec_driver_sql(f"SET statement_timeout = {timeout_ms:d}")
        connection.info[_TIMEOUT] = timeout_ms


def lift_limit(connection: PoolProxiedConnection) -> None:
    """Let the time of a search, which the connection may have been told, end nothing of the transaction that begins."""
    if connection.info.get(_TIMEOUT, 0) != 0:
        connection.cursor().execute("SET LOCAL statement_timeout = 0")


def _is_heard(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))

"""Where pages ended: so that the next one goes on there, whatever was stored meanwhile, and a far one need not be
walked to.

A client pages with `offset`, which is a number of answers to skip. Studies that arrive at the head of the list
move all numbers; the row at which the page before ended stays. It is noted for some minutes, by reader and query, where
all processes find it. Marks are a comfort: without one, rows are skipped as many as asked for.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from pacs import log
from pacs.model import Query

_KEPT_S = 600.0
_CLEANED_EVERY = 256
"""Writes of one process between two looks for old marks."""


class Mark(NamedTuple):
    """So many answers are there up to this row, which is told by what the list is ordered by."""

    offset: int
    key: tuple[Any, ...]


def question_of(hospital: str, reader: str, query: Query) -> bytes:
    """Names all pages of one reader's query."""
    asked = replace(query, limit=None, offset=0, include=None)
    return blake2b(repr((hospital, reader, asked)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


class PageMarks:
    """Threads and processes share the marks: on SQLite in a file beside the index, which nobody waits for and which may
    be lost, on PostgreSQL in a table without a log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None
        self._writes = 0

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def nearest(self, question: bytes, offset: int) -> Mark | None:
        """The last mark that is not behind `offset`."""
        with self._ignored_trouble():
            values = {"question": question, "offset": offset, "since": time.time() - _KEPT_S}
            if self._engine.dialect.name == "postgresql":
                with self._engine.connect() as connection:
                    row = connection.execute(_NEAREST, values).one_or_none()
            else:
                with self._lock:
                    row = self._opened().execute(_NEAREST.text, values).fetchone()
            return Mark(row[0], tuple(json.loads(row[1]))) if row else None
        return None

    def note(self, question: bytes, marks: Mapping[int, tuple[Any, ...]], *, afresh: bool) -> None:
        """Keep these marks; with `afresh`, the list was begun again and older ones of it are forgotten."""
        with self._ignored_trouble():
            now = time.time()
            several = [
                {"question": question, "offset": offset, "key": json.dumps(key), "at": now}
                for offset, key in marks.items()
            ]
            self._writes += 1
            is_time = self._writes % _CLEANED_EVERY == 0
            if self._engine.dialect.name == "postgresql":
                self._write_to_table(question, several, afresh, is_time)
            else:
                self._write_to_file(question, several, afresh, is_time)

    def _write_to_table(self, question: bytes, several: list[dict[str, Any]], afresh: bool, is_time: bool) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            if afresh:
                connection.execute(_FORGET, {"question": question})
            connection.execute(_NOTE, several)
            if is_time:
                connection.execute(_CLEAN, {"before": time.time() - _KEPT_S})

    def _write_to_file(self, question: bytes, several: list[dict[str, Any]], afresh: bool, is_time: bool) -> None:
        with self._lock:
            file = self._opened()
            file.execute("BEGIN IMMEDIATE")
            try:
                if afresh:
                    file.execute(_FORGET.text, {"question": question})
                file.executemany(_NOTE.text, several)
                if is_time:
                    file.execute(_CLEAN.text, {"before": time.time() - _KEPT_S})
                file.execute("COMMIT")
            except BaseException:
                file.execute("ROLLBACK")
                raise

    def _opened(self) -> sqlite3.Connection:
        if self._file is None:
            name = f"{self._engine.url.database}-pages"
            file = sqlite3.connect(name, timeout=1.0, isolation_level=None, check_same_thread=False)
            file.execute("PRAGMA synchronous = OFF")
            file.execute("PRAGMA journal_mode = WAL")
            file.execute(_TABLE.format("BLOB", "REAL") + " WITHOUT ROWID")
            self._file = file
        return self._file

    @contextlib.contextmanager
    def _ignored_trouble(self) -> Any:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, ValueError) as problem:
            log.event("page marks are not kept", error=problem)
            if isinstance(problem, sqlite3.DatabaseError) and not isinstance(problem, sqlite3.OperationalError):
                # Torn by a power cut: it is begun again.
                self.close()
                Path(f"{self._engine.url.database}-pages").unlink(missing_ok=True)


def ensure_table(connection: Connection) -> None:
    """On PostgreSQL, make the table when it is missing."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_TABLE.replace("TABLE", "UNLOGGED TABLE", 1).format("BYTEA", "DOUBLE PRECISION"))


TABLE = "page_marks"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS page_marks (question {} NOT NULL, position BIGINT NOT NULL, row_key TEXT NOT NULL,"
    " noted_at {} NOT NULL, PRIMARY KEY (question, position))"
)
_NEAREST = text(
    "SELECT position, row_key FROM page_marks WHERE question = :question AND position <= :offset AND noted_at > :since"
    " ORDER BY position DESC LIMIT 1"
)
_FORGET = text("DELETE FROM page_marks WHERE question = :question")
_NOTE = text(
    "INSERT INTO page_marks (question, position, row_key, noted_at) VALUES (:question, :offset, :key, :at)"
    " ON CONFLICT (question, position) DO UPDATE SET row_key = excluded.row_key, noted_at = excluded.noted_at"
)
_CLEAN = text("DELETE FROM page_marks WHERE noted_at < :before")

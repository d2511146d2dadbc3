"""Where pages ended: so that the next one goes on there, whatever was stored meanwhile, and a far one need not be
walked to.

A client pages with `offset`, which is a number of answers to skip. Studies that arrive at the head of the list
move all numbers; the row at which the page before ended stays. It is noted for some minutes, by reader and query, where
all processes find it. Marks are a comfort: without one, rows are skipped as many as asked for.

Several clients may be one reader as far as can be told (two tabs of a browser, a service account behind one proxy).
So the ends that a page of one number had at several times are kept side by side, and the one that leaves most rows to
come is gone on from: whichever client asks, it misses nothing that was there when it began. Where lists that cannot be
told apart were begun at different times, it may see again what arrived in between.
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
from pacs.index.engine import committing_each
from pacs.model import Query

_KEPT_S = 600.0
_CLEANED_EVERY = 256
"""Writes of one process between two looks for old marks."""
_SIDE_BY_SIDE = 16
"""Ends of one page that are looked at, the newest: each time that a list is begun anew may give it another."""
_MOST = 200_000
"""Marks that a cleaning leaves: some 30 MB."""


class Mark(NamedTuple):
    """So many answers are there up to this row, which is told by what the list is ordered by."""

    offset: int
    key: tuple[Any, ...]


def question_of(hospital: str, reader: str, query: Query) -> bytes:
    """Names all pages of one reader's query; `reader` tells clients apart as far as the door can.

    Pages of another size are other pages: who asks for the first five does not disturb who pages by ten.
    """
    asked = replace(query, offset=0, include=None, include_members=frozenset())
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

    def nearest(self, question: bytes, offset: int, *, is_descending: bool = False) -> Mark | None:
        """The last mark that is not behind `offset`; of several there, the one after which most of the list comes."""
        with self._ignored_trouble():
            values = {
                "question": question,
                "offset": offset,
                "since": time.time() - _KEPT_S,
                "side_by_side": _SIDE_BY_SIDE,
            }
            if self._engine.dialect.name == "postgresql":
                with committing_each(self._engine) as connection:
                    rows = [tuple(row) for row in connection.execute(_NEAREST, values)]
            else:
                with self._lock:
                    rows = self._opened().execute(_NEAREST.text, values).fetchall()
            marks = [Mark(position, tuple(json.loads(key))) for position, key in rows]
            return (max if is_descending else min)(marks, key=lambda mark: mark.key) if marks else None
        return None

    def note(self, question: bytes, marks: Mapping[int, tuple[Any, ...]], *, instead: Mark | None = None) -> None:
        """Keep these marks beside what is there; `instead` goes, because its list was gone on with from there."""
        with self._ignored_trouble():
            now = time.time()
            several = [
                {"question": question, "offset": offset, "key": json.dumps(key), "at": now}
                for offset, key in marks.items()
            ]
            left = instead and {"question": question, "offset": instead.offset, "key": json.dumps(instead.key)}
            self._writes += 1
            is_time = self._writes % _CLEANED_EVERY == 0
            if self._engine.dialect.name == "postgresql":
                self._write_to_table(several, left, is_time)
            else:
                self._write_to_file(several, left, is_time)

    def _write_to_table(self, several: list[dict[str, Any]], left: dict[str, Any] | None, is_time: bool) -> None:
        # The table has no log, so no commit waits for the disk; marks need not appear together.
        with committing_each(self._engine) as connection:
            if left:
                connection.execute(_FORGET, left)
            connection.execute(_NOTE, several)
            if is_time:
                connection.execute(_CLEAN, _too_old())
                connection.execute(_CLEAN_MORE, {"most": _MOST})

    def _write_to_file(self, several: list[dict[str, Any]], left: dict[str, Any] | None, is_time: bool) -> None:
        with self._lock:
            file = self._opened()
            file.execute("BEGIN IMMEDIATE")
            try:
                if left:
                    file.execute(_FORGET.text, left)
                file.executemany(_NOTE.text, several)
                if is_time:
                    file.execute(_CLEAN.text, _too_old())
                    file.execute(_CLEAN_MORE.text, {"most": _MOST})
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
            file.execute(f"DROP TABLE IF EXISTS {_FORMER_TABLE}")
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
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_FORMER_TABLE}")
        connection.exec_driver_sql(_TABLE.replace("TABLE", "UNLOGGED TABLE", 1).format("BYTEA", "DOUBLE PRECISION"))


def _too_old() -> dict[str, float]:
    return {"before": time.time() - _KEPT_S}


TABLE = "page_ends"
_FORMER_TABLE = "page_marks"
"""Of older versions, with one mark for each page."""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS page_ends (question {} NOT NULL, position BIGINT NOT NULL, row_key TEXT NOT NULL,"
    " noted_at {} NOT NULL, PRIMARY KEY (question, position, row_key))"
)
_NEAREST = text(
    "SELECT position, row_key FROM page_ends WHERE question = :question AND noted_at > :since AND position ="
    " (SELECT max(position) FROM page_ends WHERE question = :question AND position <= :offset AND noted_at > :since)"
    " ORDER BY noted_at DESC LIMIT :side_by_side"
)
_FORGET = text("DELETE FROM page_ends WHERE question = :question AND position = :offset AND row_key = :key")
_NOTE = text(
    "INSERT INTO page_ends (question, position, row_key, noted_at) VALUES (:question, :offset, :key, :at)"
    " ON CONFLICT (question, position, row_key) DO UPDATE SET noted_at = excluded.noted_at"
)
_CLEAN = text("DELETE FROM page_ends WHERE noted_at < :before")
_CLEAN_MORE = text(
    "DELETE FROM page_ends WHERE noted_at <="
    " (SELECT noted_at FROM page_ends ORDER BY noted_at DESC LIMIT 1 OFFSET :most)"
)

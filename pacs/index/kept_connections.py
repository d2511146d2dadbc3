"""Connections that are taken from the engine's pool once and then kept, for statements run by `Driver`.

To check one out and in again costs as much as ten statements of SQLite. And a connection that always writes keeps the
pages it has read, which SQLite forgets as soon as another connection has written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, PoolProxiedConnection

from pacs.index.driver import Driver
from pacs.index.engine import BEGIN_WRITE, lift_limit, translated


class KeptConnections:
    """Thread-safe. Keeps at most `most` that nobody uses; a server's are not kept, because they may end meanwhile and
    only the pool looks."""

    def __init__(self, engine: Engine, *, most: int) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._most = most if self._is_sqlite else 0
        self._kept: list[PoolProxiedConnection] = []

    @contextmanager
    def reading(self, doing: str) -> Iterator[Driver]:
        """As `pacs.index.engine.reading`."""
        with translated(doing):
            connection = self._take()
            try:
                if not self._is_sqlite:
                    lift_limit(connection)
                driver = Driver(self._engine.dialect, connection)
                yield driver
                driver.close()
            except BaseException as problem:
                _put_away(connection, problem)
                raise
            self._give_back(connection)

    @contextmanager
    def writing(self, doing: str) -> Iterator[Driver]:
        """One write transaction, as `pacs.index.engine.writing`: durable at the end, or nothing of it."""
        with translated(doing):
            connection = self._take()
            try:
                if self._is_sqlite:
                    connection.cursor().execute(BEGIN_WRITE)  # psycopg begins by itself
                else:
                    lift_limit(connection)
                driver = Driver(self._engine.dialect, connection)
                yield driver
                driver.close()
                connection.commit()
            except BaseException as problem:
                _put_away(connection, problem)
                raise
            self._give_back(connection)

    def close(self) -> None:
        """Give all back to the pool."""
        while self._kept:
            self._kept.pop().close()

    def _take(self) -> PoolProxiedConnection:
        try:
            return self._kept.pop()
        except IndexError:
            return self._engine.raw_connection()

    def _give_back(self, connection: PoolProxiedConnection) -> None:
        if len(self._kept) < self._most:
            self._kept.append(connection)
        else:
            connection.close()


def _put_away(connection: PoolProxiedConnection, problem: BaseException) -> None:
    """Back to the pool, which rolls back; SQLite's errors may be the connection's own, and then it is not used again.

    A file that cannot be opened for writing at one moment is opened for reading, and the connection stays so for ever.
    """
    if isinstance(problem, sqlite3.Error):
        connection.invalidate()
    connection.close()

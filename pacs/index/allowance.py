"""How long a search may take of the database, and when it is its turn."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from pacs.errors import TooBroad
from pacs.index.engine import driver_errors, reading

_INSTRUCTIONS = 10_000
"""Of SQLite's machine between two looks at the clock: less than a millisecond."""
_QUERY_CANCELED = "57014"


class Allowance:
    """Of one search; its pages share the time. What the reader does between two pages costs nothing."""

    def __init__(
        self,
        deadline_s: float | None = None,
        turn: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._deadline_s = deadline_s
        self._left_s = deadline_s
        self._turn = turn
        self._begun: float | None = None
        """Since when a connection is used."""

    @contextmanager
    def reading(self, engine: Engine) -> Iterator[Connection]:
        """A connection for reads, when it is this search's turn.

        Raises:
            TooBroad: the time is over.
            Busy: there are too many searches before this one.
        """
        timeout_ms = self._timeout_ms()
        with self._turn(), reading(engine, "search", timeout_ms=timeout_ms) as connection:
            if self._left_s is None:
                yield connection
                return
            begun = self._begun = time.monotonic()
            errors: tuple[type[BaseException], ...] = (DBAPIError, *driver_errors())
            try:
                with _until(connection, begun + self._left_s):
                    yield connection
            except errors as error:
                if _is_interrupted(getattr(error, "orig", error)):
                    raise self._too_broad() from error
                raise
            finally:
                self._begun = None
                self._left_s -= time.monotonic() - begun

    def _timeout_ms(self) -> int:
        """What is left for PostgreSQL, in steps of a twentieth: telling it another time costs as much as a look-up."""
        if self._left_s is None or self._deadline_s is None:
            return 0
        step = max(1, int(self._deadline_s * 1000) // 20)
        return max(1, -(-int(self._left_s * 1000) // step)) * step

    def check(self) -> None:
        """Also between statements of one connection, each of which PostgreSQL gives the time that there was at first.

        Raises:
            TooBroad: the time is over.
        """
        taken_s = time.monotonic() - self._begun if self._begun is not None else 0.0
        if self._left_s is not None and self._left_s <= taken_s:
            raise self._too_broad()

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time of what is done within."""
        begun = time.monotonic()
        try:
            yield
        finally:
            if self._left_s is not None:
                self._left_s -= time.monotonic() - begun

    def _too_broad(self) -> TooBroad:
        return TooBroad(
            f"the search was ended after {self._deadline_s:g} s (search.deadline_s); narrow it, for example by patient,"
            " accession number or a range of study dates"
        )


@contextmanager
def _until(connection: Connection, end: float) -> Iterator[None]:
    """Let the database end what runs past `end`, on the monotonic clock."""
    if connection.dialect.name == "postgresql":  # it was told when the connection was taken
        yield
        return
    driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
    driver.set_progress_handler(lambda: time.monotonic() > end, _INSTRUCTIONS)
    try:
        yield
    finally:
        with suppress(sqlite3.ProgrammingError):  # closed, when it was interrupted
            driver.set_progress_handler(None, 0)


def _is_interrupted(cause: BaseException | None) -> bool:
    is_canceled = getattr(cause, "sqlstate", "") == _QUERY_CANCELED
    return is_canceled or getattr(cause, "sqlite_errorname", "") == "SQLITE_INTERRUPT"

"""Core statements on the driver's own connection, for the few that every stored instance and most searches need.

SQLAlchemy takes 29 us or more to execute what SQLite answers in 3, and the threads that receive wait for it.
So these statements are written with Core and compiled by it as all others, but once, and run without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Dialect, Executable, Insert
from sqlalchemy.engine.interfaces import DBAPIConnection

from pacs.index.engine import driver_errors


class _Compiled(NamedTuple):
    text: str
    arguments: Callable[[Mapping[str, Any]], Any]
    """Values by name to what the driver wants for them."""


_compiled: dict[tuple[Executable, str, tuple[str, ...], int], _Compiled] = {}
"""By statement, database, names of the values given and number of values in its list. Statements are made once, so it
stays small; of lists there are as many as sizes of a batch."""


class Driver:
    """A connection inside one transaction, used by one thread. Raises the driver's errors."""

    def __init__(self, dialect: Dialect, connection: DBAPIConnection) -> None:
        self.dialect_name = dialect.name
        self._dialect = dialect
        self._cursor = connection.cursor()

    def rows(self, statement: Executable, values: Mapping[str, Any]) -> list[Any]:
        """All rows that the statement returns, as tuples. A list among `values` is that of an expanding parameter."""
        size = 0
        for value in values.values():
            if type(value) is list:
                size = len(value)
        compiled = self._compile(statement, values, size)
        self._cursor.execute(compiled.text, compiled.arguments(values))
        return self._cursor.fetchall()  # type: ignore[return-value]

    def run(self, statement: Executable, several: Sequence[Mapping[str, Any]]) -> int:
        """Execute the statement once for each of `several`; all name the same values. How many rows it concerned."""
        compiled = self._compile(statement, several[0], 0)
        self._cursor.executemany(compiled.text, [compiled.arguments(values) for values in several])
        return int(self._cursor.rowcount)

    def close(self) -> None:
        """The transaction is over."""
        self._cursor.close()

    def _compile(self, statement: Executable, values: Mapping[str, Any], size: int) -> _Compiled:
        key = (statement, self.dialect_name, tuple(values), size)
        found = _compiled.get(key)
        if found is None:
            lists = [name for name, value in values.items() if type(value) is list]
            found = _compiled[key] = _compile(statement, self._dialect, values, lists)
        return found


@contextmanager
def driver_of(connection: Connection) -> Iterator[Driver]:
    """The same connection, for statements that only read; outside of a transaction, each is one of its own."""
    try:
        driver = Driver(connection.dialect, cast(DBAPIConnection, connection.connection.dbapi_connection))
        yield driver
        driver.close()
    except driver_errors("OperationalError"):
        connection.invalidate()  # the error may be the connection's own, see `pacs.index.engine`
        raise


def _compile(statement: Any, dialect: Dialect, values: Mapping[str, Any], lists: list[str]) -> _Compiled:
    made = (statement.params(dict(values)) if lists else statement).compile(
        dialect=dialect,
        column_keys=list(values) if isinstance(statement, Insert) else None,
        compile_kwargs={"render_postcompile": bool(lists)},
    )
    # A statement with a list has no values of its own.
    literals = {} if lists else {name: value for name, value in made.params.items() if name not in values}

    def named(given: Mapping[str, Any]) -> Mapping[str, Any]:
        if not literals and not lists:
            return given
        spread = {f"{name}_{number}": one for name in lists for number, one in enumerate(given[name], start=1)}
        return {**literals, **given, **spread}

    if not made.positional:
        return _Compiled(str(made), named)
    names = made.positiontup or []
    if len(names) < 2:  # itemgetter gives a tuple from two names on
        return _Compiled(str(made), lambda given: tuple(named(given)[name] for name in names))
    in_order = itemgetter(*names)
    if not literals and not lists:
        return _Compiled(str(made), in_order)
    return _Compiled(str(made), lambda given: in_order(named(given)))

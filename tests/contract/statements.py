"""What an index asks its database, by SQLAlchemy or past it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from pacs.index.driver import Driver


@contextmanager
def noted() -> Iterator[list[str]]:
    """The statements of all engines until the end of the block, in order."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rows", "run"):
            patch.setattr(Driver, name, _noting(getattr(Driver, name), statements))
        event.listen(Engine, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            event.remove(Engine, "before_cursor_execute", note)


def _noting(real: Callable[..., Any], statements: list[str]) -> Callable[..., Any]:
    def driven(driver: Driver, statement: object, values: object) -> Any:
        statements.append(str(statement))
        return real(driver, statement, values)

    return driven

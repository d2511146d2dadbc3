"""A table at the end of the run: how often everything was broken, and what was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Tell = Callable[..., None]
_ROWS = pytest.StashKey[list[tuple[str, ...]]]()
_HEAD = ("what", "rounds", "acknowledged", "lost", "altered")


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Adds a row: what was done, rounds, acknowledged instances that were looked for, lost, altered."""

    def add(*row: object) -> None:
        request.config.stash.setdefault(_ROWS, []).append(tuple(str(value) for value in row))

    return add


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("crashes")
        for row in (_HEAD, tuple("---" for _ in _HEAD), *rows):
            terminalreporter.write_line(f"| {' | '.join(row)} |")

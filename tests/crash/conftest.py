"""A table at the end of the run: how often everything was broken, and what was lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Tell = Callable[..., None]
_ROW = "crash"
_HEAD = ("what", "rounds", "acknowledged", "lost", "altered")


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Adds a row: what was done, rounds, acknowledged instances that were looked for, lost, altered."""

    def add(*row: object) -> None:
        request.node.user_properties.append((_ROW, [str(value) for value in row]))

    return add


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    rows = [row for report in reports for name, row in getattr(report, "user_properties", ()) if name == _ROW]
    if rows:
        terminalreporter.section("crashes")
        for row in (_HEAD, tuple("---" for _ in _HEAD), *rows):
            terminalreporter.write_line(f"| {' | '.join(row)} |")

"""The budgets on the machine of the tests: told as a report, a failure only when they are far away."""

from __future__ import annotations

import sys

import pytest

from benchmarks.budgets import GROSS, Row, report, table


@pytest.mark.alone
def test_no_budget_is_breached_grossly(capsys: pytest.CaptureFixture[str]) -> None:
    rows = report()
    with capsys.disabled():
        sys.stdout.write(f"\n{table(rows)}\nothers on this machine: {rows[0].contention:.1f}\n")
    assert {row.kind for row in rows} >= {"c_store", "frame", "thumbnail", "metadata", "search", "search_infix"}
    assert all(row.per_second > 0 for row in rows)
    assert [row for row in rows if row.is_gross_breach] == []


def test_a_gross_breach_is_seen() -> None:
    kept = Row("frame", 1000, 1, 2, 9, 0, 10, 0)
    assert not kept.is_gross_breach
    assert not Row("frame", 10, 1, GROSS * 10 + 1, 200, 0, 10, 50, contention=2.0).is_gross_breach
    for slow in (Row("frame", 10, 1, GROSS * 10 + 1, 200, 0, 10, 50), Row("frame", 10, 1, 1, 1, 1, 10, 0)):
        assert slow.is_gross_breach
        assert "**breach**" in table([kept, slow])

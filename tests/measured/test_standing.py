"""Figures of a board, told as its `/metrics` tells them, are read back and put into words."""

from __future__ import annotations

import pytest

from pacs.budget_settings import BudgetSettings
from pacs.http_settings import HttpSettings
from pacs.measured.board import Board
from pacs.measured.counts import Counts
from pacs.measured.kinds import kind
from pacs.measured.prometheus import as_text
from pacs.measured.standing import lines, standing, told
from pacs.settings import Settings


@pytest.fixture
def board() -> Board:
    return Board.private("web-1", ["north", "south"])


def sentences(board: Board, budgets: BudgetSettings) -> dict[str, str]:
    return dict(lines(told(as_text(board, budgets), budgets.give_way)))


def test_answers_of_all_hospitals_are_put_together(board: Board) -> None:
    budgets = BudgetSettings()
    counts = Counts(board, "web-1", budgets)
    for number in range(200):
        counts.finished(kind("frame"), 0.0008, 200, ("north", "south")[number % 2])
    for _ in range(100):
        counts.finished(kind("thumbnail"), 0.002, 200, "north")
    for _ in range(3):
        counts.finished(kind("thumbnail"), 0.3, 200, "south")
    found = told(as_text(board, budgets), budgets.give_way)
    by_kind = {one["kind"]: one for one in found["budgets"]}
    assert (by_kind["frame"]["answers"], by_kind["frame"]["p99_ms"], by_kind["frame"]["budget_ms"]) == (200, 1, 10)
    assert by_kind["thumbnail"]["over_budget"] == 3
    assert by_kind["c_store"]["answers"] == 0
    said = sentences(board, budgets)
    assert said["  frames as they are stored"] == "kept: 100 % of 200 within 10 ms; 99 of 100 within 1 ms"
    assert said["  thumbnails"] == "NOT KEPT: 97.09 % of 103 within 5 ms; 99 of 100 within 500 ms"
    assert said["budgets"] == "nothing has to give way now"
    assert "  C-STORE" not in said


def test_one_late_answer_of_very_many_is_not_rounded_away(board: Board) -> None:
    budgets = BudgetSettings()
    counts = Counts(board, "web-1", budgets)
    for number in range(30_000):
        counts.finished(kind("frame"), 1 if number == 7 else 0.001, 200, "north")
    assert "kept: 99.99 % of 30,000" in sentences(board, budgets)["  frames as they are stored"]


def test_what_gives_way_is_named(board: Board) -> None:
    budgets = BudgetSettings()
    Counts(board, "web-1", budgets).set("give_way_level", 2)
    assert sentences(board, budgets)["budgets"] == "instances of a series or a study, rendered pictures: give way now"


def test_without_a_running_archive_it_says_so() -> None:
    found = standing(Settings(http=HttpSettings(host="::", port=1, behind_authenticating_proxy=True)))
    assert found["running"] is False
    ((_, text),) = lines(found)
    assert "nothing answers at [::1]:1" in text

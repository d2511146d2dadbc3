"""When budgets burn, and what gives way: the clock and the counts are the test's."""

from __future__ import annotations

import itertools

from pacs.budget_settings import BudgetSettings
from pacs.measured.burn import Burn
from pacs.measured.kinds import KINDS, kind

FRAME = kind("frame").number
TICK_S = 0.25


class Played:
    """Answers of one kind, so many a tick, some of them over budget."""

    def __init__(self, settings: BudgetSettings | None = None, number: int = FRAME) -> None:
        self.now = 0.0
        self.burn = Burn(settings or BudgetSettings(), self.now)
        self.number = number
        self.answers = [0] * len(KINDS)
        self.over = [0] * len(KINDS)

    def for_s(self, seconds: float, *, answers: int = 100, over: int = 0) -> list[int]:
        levels = []
        for _ in range(int(seconds / TICK_S)):
            self.now += TICK_S
            self.answers[self.number] += answers
            self.over[self.number] += over
            levels.append(self.burn.look(self.now, self.answers, self.over))
        return levels


def test_while_budgets_are_kept_nothing_gives_way() -> None:
    played = Played()
    assert set(played.for_s(30, over=1)) == {0}
    assert played.burn.burning == ()


def test_one_after_the_other_gives_way_while_it_burns_and_no_more_than_there_are() -> None:
    played = Played()
    levels = played.for_s(30, over=50)
    assert played.burn.burning == ("frame",)
    assert levels[-1] == len(BudgetSettings().give_way)
    assert all(0 <= after - before <= 1 for before, after in itertools.pairwise(levels))
    # A second at least between two steps.
    assert levels.count(1) >= 4


def test_a_step_that_helps_is_the_last() -> None:
    played = Played()
    while played.burn.level == 0:
        played.for_s(TICK_S, over=50)
    assert set(played.for_s(4, over=0)) == {1}


def test_it_lets_in_again_slowly_and_more_slowly_when_that_burns() -> None:
    played = Played()
    pauses = []
    for _ in range(4):
        while played.burn.level == 0:
            played.for_s(TICK_S, over=50)
        began = played.now
        while played.burn.level:
            played.for_s(TICK_S)
        pauses.append(played.now - began)
    assert pauses[0] >= 5
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 4 * pauses[0]
    played.for_s(200)
    assert played.burn.calm_s == BudgetSettings().calm_s, "what was long ago is forgotten"


def test_between_burning_and_calm_nothing_changes() -> None:
    played = Played()
    while played.burn.level == 0:
        played.for_s(TICK_S, over=50)
    assert set(played.for_s(60, over=3)) == {1}, "3 of 100 are over: not burning, not calm"


def test_a_few_slow_answers_say_nothing() -> None:
    few = Played(BudgetSettings(least_answers=50))
    assert set(few.for_s(30, answers=1, over=1)) == {0}


def test_a_late_event_loop_harms_nobody_while_nobody_asks() -> None:
    loop = kind("event_loop").number
    played = Played(number=loop)
    assert set(played.for_s(30, over=100)) == {0}
    for _ in range(100):
        played.answers[FRAME] += 100
        played.for_s(TICK_S, over=100)
    assert played.burn.level > 0


def test_kinds_that_are_not_defended_may_burn() -> None:
    assert set(Played(number=kind("rendered").number).for_s(30, over=100)) == {0}


def test_control_without_anything_to_give_way_nothing_does() -> None:
    played = Played(BudgetSettings(give_way=()))
    assert set(played.for_s(30, over=100)) == {0}
    assert played.burn.burning == ("frame",)

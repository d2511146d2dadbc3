"""Whether budgets are kept, and how much gives way when they are not. Pure: who asks brings counts and time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from pacs.budget_settings import BudgetSettings
from pacs.measured.kinds import KINDS, kind

_CALM_SHARE: Final = 0.01
"""A budget is for 99 of 100."""
_LOOP: Final = kind("event_loop").number
_BETWEEN_STEPS_S: Final = 1.0
"""What was refused last must have had time to help before more is."""


class Burn:
    """Goes up one level when a defended kind burns, and down again, more slowly, when all are calm.

    At level n the first n kinds of ``budgets.give_way`` give way.
    """

    def __init__(self, settings: BudgetSettings, now: float) -> None:
        self._settings = settings
        self._defended = [kind(name).number for name in settings.defended]
        self._seen: deque[tuple[float, list[int], list[int]]] = deque()
        self._changed_at = now
        self._let_in_at = float("-inf")
        self._calm_since = now
        self.calm_s = settings.calm_s
        """How long all must be calm until the next kind is let in again."""
        self.level = 0
        self.burning: tuple[str, ...] = ()
        """Names of the defended kinds that are over their budgets now."""

    def look(self, now: float, answers: Sequence[int], over: Sequence[int]) -> int:
        """Tell what was counted so far, by number of kind: all answers, and those over budget. Returns the level.

        Call it a few times a second. `now` is a clock that never goes back.
        """
        self._seen.append((now, list(answers), list(over)))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self._settings.window_s:
            self._seen.popleft()
        shares = {number: self._share(number) for number in self._defended}
        asked_for = [number for number in self._defended if number != _LOOP]
        if not any(self._answers(number) >= self._settings.least_answers for number in asked_for):
            shares.pop(_LOOP, None)
        self.burning = tuple(
            KINDS[number].name for number, share in shares.items() if share >= self._settings.burning_share
        )
        if any(share > _CALM_SHARE for share in shares.values()):
            self._calm_since = now
        if self.burning:
            if self.level < len(self._settings.give_way) and now - self._changed_at >= _BETWEEN_STEPS_S:
                self._raise(now)
        elif self.level and now - max(self._calm_since, self._changed_at) >= self.calm_s:
            self._lower(now)
        elif not self.level and now - self._let_in_at > 2 * self.calm_s:
            self.calm_s = self._settings.calm_s
        return self.level

    def _answers(self, number: int) -> int:
        return self._seen[-1][1][number] - self._seen[0][1][number]

    def _share(self, number: int) -> float:
        """Of the answers in the window that were over budget; 0 when there are too few to say."""
        answers, over = self._answers(number), self._seen[-1][2][number] - self._seen[0][2][number]
        return over / answers if answers >= self._settings.least_answers else 0.0

    def _raise(self, now: float) -> None:
        if now - self._let_in_at <= 2 * self.calm_s:
            self.calm_s = min(2 * self.calm_s, self._settings.longest_calm_s)
        self.level += 1
        self._begin_anew(now)

    def _lower(self, now: float) -> None:
        self.level -= 1
        self._let_in_at = now
        self._begin_anew(now)

    def _begin_anew(self, now: float) -> None:
        """What was answered before the change says nothing of what the change does."""
        self._changed_at = self._calm_since = now
        last = self._seen[-1]
        self._seen.clear()
        self._seen.append(last)

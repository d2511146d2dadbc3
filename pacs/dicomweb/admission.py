"""Who is answered now, who waits, and who gives way: so that what cannot wait keeps its budget, and no queue grows."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import Final

from pacs import log
from pacs.budget_settings import BudgetSettings
from pacs.errors import Busy
from pacs.measured.burn import Burn
from pacs.measured.counts import Counts
from pacs.measured.kinds import KINDS, Kind, kind

_MOST_RETRY_AFTER_S: Final = 30
_HOLD_S: Final = 0.5
_NEXT_S: Final = 0.1
"""Who asks for one thing after the other has the last byte, and asks again, before its place is given back."""
_MOST_HELD: Final = 512
_ANY_NUMBER: Final = 1 << 30


class Admission:
    """Of one web process; used by the thread of its event loop alone.

    Kinds that are in neither ``budgets.at_once`` nor ``budgets.give_way`` are let in without a look.
    """

    def __init__(self, counts: Counts, settings: BudgetSettings) -> None:
        self._counts = counts
        self._settings = settings
        self._burn = Burn(settings, time.monotonic())
        self._turns = {
            kind(name).number: _Turns(settings.at_once.get(name, _ANY_NUMBER))
            for name in (*settings.at_once, *settings.give_way)
        }
        self._held = 0
        self._give_way = [kind(name).number for name in settings.give_way]
        self.limited = frozenset(self._turns)
        """Numbers of the kinds that `enter` must be asked for."""

    def look(self, now: float) -> None:
        """Look at what all processes counted, and decide what gives way. To be called a few times a second."""
        board = self._counts.board
        layout, kinds = board.layout, len(KINDS)
        outcomes = board.totals(layout.outcomes, kinds * 4)
        answers = [sum(outcomes[4 * number : 4 * number + 4]) for number in range(kinds)]
        before = self._burn.level
        level = self._burn.look(now, answers, board.totals(layout.over, kinds))
        if level == before:
            return
        for place, number in enumerate(self._give_way):
            self._turns[number].narrow(is_narrow=place < level)
        self._counts.set("give_way_level", level)
        names = ", ".join(self._settings.give_way[:level])
        if level > before:
            log.warning("budget burns", burning=", ".join(self._burn.burning), gives_way=names)
        else:
            log.event("budgets are kept again", gives_way=names)

    async def enter(self, kind: Kind) -> Busy | None:
        """Wait until the request may be answered: then None, and `leave` must be called. Else why it is refused."""
        turns = self._turns.get(kind.number)
        if turns is None or turns.take():
            return None
        if turns.is_narrow:
            if not turns.waiting and await turns.wait(_NEXT_S):
                return None
            self._counts.gave_way(kind)
            await self._hold()
            return Busy(
                f"Answers that cannot wait take too long, so these give way for a while: {kind.what}",
                retry_after_s=min(_MOST_RETRY_AFTER_S, math.ceil(self._burn.calm_s)),
            )
        if len(turns.waiting) >= self._settings.waiting:
            self._counts.gave_way(kind)
            return Busy(f"Too many requests of one kind wait already: {kind.what}", retry_after_s=2)
        self._counts.add("requests_waiting", 1)
        try:
            is_turn = await turns.wait(self._settings.wait_s)
        finally:
            self._counts.add("requests_waiting", -1)
        if is_turn:
            return None
        self._counts.gave_way(kind)
        return Busy(f"Requests of this kind have to wait too long: {kind.what}", retry_after_s=5)

    async def _hold(self) -> None:
        """A little later, so that who does not heed Retry-After and asks again at once does not add to what burns."""
        if self._held < _MOST_HELD:
            self._held += 1
            try:
                await asyncio.sleep(_HOLD_S)
            finally:
                self._held -= 1

    def leave(self, kind: Kind) -> None:
        """The request that `enter` let in has been answered whole, or its peer is gone."""
        turns = self._turns.get(kind.number)
        if turns is not None:
            turns.give_back()


class _Turns:
    """Places for one kind of request, taken in the order asked."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self.is_narrow = False
        self.waiting: deque[asyncio.Future[None]] = deque()

    def narrow(self, *, is_narrow: bool) -> None:
        """One place alone, so that nobody who asks for one thing after the other is shut out; or all of them again."""
        self.is_narrow = is_narrow
        self._call_next()

    def take(self) -> bool:
        if self._taken >= (1 if self.is_narrow else self._most):
            return False
        self._taken += 1
        return True

    async def wait(self, seconds: float) -> bool:
        """Whether a place became free in time."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await asyncio.wait_for(asyncio.shield(turn), seconds)
        except (TimeoutError, asyncio.CancelledError) as gone:
            if turn.done():  # given at the same moment
                if isinstance(gone, TimeoutError):
                    return True
                self.give_back()
            else:
                turn.cancel()
                self.waiting.remove(turn)
            if isinstance(gone, TimeoutError):
                return False
            raise
        return True

    def give_back(self) -> None:
        self._taken -= 1
        self._call_next()

    def _call_next(self) -> None:
        while self.waiting and self.take():
            self.waiting.popleft().set_result(None)

"""The pulse of an event loop: how late it looks after its connections, and whether budgets are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from pacs.measured.counts import Counts
from pacs.measured.kinds import kind

_BEAT_S: Final = 0.05
_LOOK_EVERY: Final = 5
"""Beats."""
_EVENT_LOOP: Final = kind("event_loop")


class Pulse:
    """Beats on the running loop from `start` on, for as long as the loop runs."""

    def __init__(self, counts: Counts, look: Callable[[float], None]) -> None:
        """`look` is called a few times a second, with the time of the loop."""
        self._counts = counts
        self._look = look
        self._beats = 0

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._expect(loop)

    def _expect(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _BEAT_S
        loop.call_at(due, self._beat, loop, due)

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._counts.finished(_EVENT_LOOP, max(0.0, now - due))
        self._beats += 1
        try:
            if self._beats % _LOOK_EVERY == 0:
                self._look(now)
        finally:
            self._expect(loop)

"""Who goes first: while a higher priority sends, a lower one is read less."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import IntEnum


class Priority(IntEnum):
    LOW = 0
    NORMAL = 1
    HIGH = 2


_STILL_SENDING_S = 0.1
"""After an answer: a scanner's next slice comes within this time."""
_LONGEST_PAUSE_S = {Priority.LOW: 1.0, Priority.NORMAL: 0.05}
"""Per message, or per `STEP_BYTES` of a large one: so much goes on however long others send, and no peer times out."""
STEP_BYTES = 1 << 20


class Priorities:
    """The messages that are being received by one server; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._in_hand = dict.fromkeys(Priority, 0)
        self._last = dict.fromkeys(Priority, float("-inf"))
        self._pause = threading.Event()  # never set

    def message(self, priority: Priority) -> _Message:
        """While a message of this priority is received and answered; begins when those above leave room."""
        return _Message(self, priority)

    @property
    def messages(self) -> int:
        """How many are in hand."""
        with self._lock:
            return sum(self._in_hand.values())

    def begin(self, priority: Priority) -> None:
        self.give_way(priority)
        with self._lock:
            self._in_hand[priority] += 1

    def end(self, priority: Priority) -> None:
        with self._lock:
            self._in_hand[priority] -= 1
            self._last[priority] = self._clock()

    def give_way(self, priority: Priority) -> None:
        """Wait, without reading, while a higher priority sends; bounded."""
        longest_s = _LONGEST_PAUSE_S.get(priority)
        if longest_s is None:
            return
        deadline = self._clock() + longest_s
        while (wait_s := min(self.busy_s(priority), deadline - self._clock())) > 0:
            self._pause.wait(wait_s)

    def busy_s(self, priority: Priority) -> float:
        """How much longer a higher priority is taken to be sending; 0 when none is."""
        with self._lock:
            above = [higher for higher in Priority if higher > priority]
            if any(self._in_hand[higher] for higher in above):
                return _STILL_SENDING_S
            return max(
                0.0,
                max((self._last[higher] for higher in above), default=float("-inf")) + _STILL_SENDING_S - self._clock(),
            )


class _Message:
    """The time of one message; written out, because a generator of `contextlib` costs each image 4 us."""

    __slots__ = ("_priorities", "_priority")

    def __init__(self, priorities: Priorities, priority: Priority) -> None:
        self._priorities = priorities
        self._priority = priority

    def __enter__(self) -> None:
        self._priorities.begin(self._priority)

    def __exit__(self, *_: object) -> None:
        self._priorities.end(self._priority)

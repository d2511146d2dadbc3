"""Turns of the hospitals: so that one which asks much cannot keep the others waiting. Pure but for its lock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pacs.errors import Busy


class Turns:
    """At most `at_once` of a hospital work at a time, and at most `waiting` wait, each no longer than `wait_s`.

    Hospitals do not wait for each other. Threads may share it; each process has its own.
    """

    def __init__(self, *, at_once: int, waiting: int, wait_s: float) -> None:
        self._at_once = at_once
        self._waiting = waiting
        self._wait_s = wait_s
        self._condition = threading.Condition()
        self._working: dict[str, int] = {}
        self._queued: dict[str, int] = {}

    @contextmanager
    def of(self, hospital: str) -> Iterator[None]:
        """Work of the hospital, when it is its turn.

        Raises:
            Busy: too many wait already, or the wait was too long.
        """
        self._begin(hospital)
        try:
            yield
        finally:
            with self._condition:
                _count(self._working, hospital, -1)
                self._condition.notify_all()

    def _begin(self, hospital: str) -> None:
        with self._condition:
            if not self._is_free(hospital):
                if self._queued.get(hospital, 0) >= self._waiting:
                    raise Busy("too many searches of this hospital at once; try again shortly", retry_after_s=2)
                _count(self._queued, hospital, 1)
                try:
                    is_turn = self._condition.wait_for(lambda: self._is_free(hospital), self._wait_s)
                finally:
                    _count(self._queued, hospital, -1)
                if not is_turn:
                    raise Busy("the searches of this hospital take too long; try again shortly", retry_after_s=5)
            _count(self._working, hospital, 1)

    def _is_free(self, hospital: str) -> bool:
        return self._working.get(hospital, 0) < self._at_once


def _count(counts: dict[str, int], hospital: str, change: int) -> None:
    """Only hospitals with something to count are kept."""
    counts[hospital] = counts.get(hospital, 0) + change
    if not counts[hospital]:
        del counts[hospital]

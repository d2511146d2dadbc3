"""The memory of all receptions of one process together."""

from __future__ import annotations

import threading

_SMALL_BYTES = 1 << 20
"""Slices of CT and MR: a file of its own costs them most."""
_LARGE_SHARE = 0.75
"""What larger ones may fill together, so that a few of them do not send all slices to disk."""


class MemoryInFlight:
    """Thread-safe. Never more than the limit is given out; who gets none goes on on disk, nobody waits."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._lock = threading.Lock()

    @property
    def taken_bytes(self) -> int:
        return self._taken_bytes

    def take(self, count: int, *, held: int) -> bool:
        """Whether a reception that holds `held` bytes may hold `count` more; they are counted then."""
        is_large = held + count > _SMALL_BYTES
        limit = self._limit_bytes * _LARGE_SHARE if is_large else self._limit_bytes
        with self._lock:
            if self._taken_bytes + count > limit:
                return False
            self._taken_bytes += count
        return True

    def give_back(self, count: int) -> None:
        with self._lock:
            self._taken_bytes -= count

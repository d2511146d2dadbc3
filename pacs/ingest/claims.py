"""Two receptions of one instance in one process wait for each other, so that only one makes a copy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Claims:
    """Thread-safe. Between processes the index's unique key decides instead."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0
        self._held: set[tuple[str, str]] = set()

    @contextmanager
    def held(self, hospital: str, sop_instance_uid: str) -> Iterator[None]:
        """Be the only one to store this instance, after whoever is at it now."""
        name = (hospital, sop_instance_uid)
        with self._lock:
            while name in self._held:
                self._waiting += 1
                self._changed.wait()
                self._waiting -= 1
            self._held.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._held.remove(name)
                if self._waiting:  # almost never
                    self._changed.notify_all()

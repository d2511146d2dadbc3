"""Two receptions of one instance in one process wait for each other, so that only one makes a copy."""

from __future__ import annotations

import threading


class Claims:
    """Thread-safe. Between processes the index's unique key decides instead."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0
        self._held: set[tuple[str, str]] = set()

    def held(self, hospital: str, sop_instance_uid: str) -> _Claim:
        """Be the only one to store this instance, after whoever is at it now; a context manager."""
        return _Claim(self, (hospital, sop_instance_uid))

    def take(self, name: tuple[str, str]) -> None:
        with self._lock:
            while name in self._held:
                self._waiting += 1
                self._changed.wait()
                self._waiting -= 1
            self._held.add(name)

    def give_up(self, name: tuple[str, str]) -> None:
        with self._lock:
            self._held.remove(name)
            if self._waiting:  # almost never
                self._changed.notify_all()


class _Claim:
    """One claim, while it is held."""

    __slots__ = ("_claims", "_name")

    def __init__(self, claims: Claims, name: tuple[str, str]) -> None:
        self._claims = claims
        self._name = name

    def __enter__(self) -> None:
        self._claims.take(self._name)

    def __exit__(self, *_: object) -> None:
        self._claims.give_up(self._name)

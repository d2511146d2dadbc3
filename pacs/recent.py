"""What a process holds in memory because it was used lately."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """What was used lately, up to a number of bytes. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: T, size_bytes: int) -> None:
        """In place of what was there; what is larger than a quarter of all is not held."""
        with self._lock:
            before = self._kept.pop(key, None)
            if before is not None:
                self._held -= before[1]
            if size_bytes > self._max_bytes // 4:
                return
            self._kept[key] = (value, size_bytes)
            self._held += size_bytes
            while self._held > self._max_bytes:
                _, (_, size) = self._kept.popitem(last=False)
                self._held -= size

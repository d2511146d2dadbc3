"""A number that all processes of an archive see change at once when something is taken away from what they may hold.

Eight bytes of a file that each process has mapped: to look at it costs less than a microsecond. It is odd while a
change is under way. A process that is killed then leaves it odd, which says that nothing held may be trusted, until the
next one to change something, or `mend`, makes it even.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NUMBER: Final = struct.Struct("=Q")


class ChangeStamp:
    """Thread-safe; processes share it by the file's path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._mapped: mmap.mmap | None = None

    def now(self) -> int | None:
        """The number; None while something changes, or when it cannot be seen: nothing held may be used then."""
        mapped = self._mapped
        if mapped is None:
            try:
                mapped = self._map()
            except OSError:
                return None
        (number,) = _NUMBER.unpack_from(mapped)
        return None if number & 1 else int(number)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change: before the first process can see it, and until all can. Raises OSError, before anything is
        changed."""
        mapped = self._mapped or self._map()
        with self._held():
            (number,) = _NUMBER.unpack_from(mapped)
            _NUMBER.pack_into(mapped, 0, number | 1)
            try:
                yield
            finally:
                _NUMBER.pack_into(mapped, 0, (number | 1) + 1)

    def mend(self) -> None:
        """Make the number even if whoever made it odd is dead. Raises OSError."""
        if self.now() is None:
            with self.changing():
                pass

    def _map(self) -> mmap.mmap:
        with self._lock:
            if self._mapped is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                try:
                    if os.fstat(handle).st_size < _NUMBER.size:
                        os.ftruncate(handle, _NUMBER.size)
                    self._mapped = mmap.mmap(handle, _NUMBER.size)
                finally:
                    os.close(handle)
            return self._mapped

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

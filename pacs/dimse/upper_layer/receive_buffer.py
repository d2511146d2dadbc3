"""The memory that a connection's bytes arrive in: the only copy the upper layer makes."""

from __future__ import annotations

_FIRST_BYTES = 8 << 10
"""A silent peer costs no more than this."""
_USUAL_BYTES = 256 << 10
"""Grown to while a peer keeps filling it: two large P-DATA-TF in one system call."""
_LEAST_ROOM = 4 << 10


class ReceiveBuffer:
    """Bytes between `start` and `end` have arrived and are not consumed.

    Memory grows with what has really arrived, never with what a length says. A view given out stays valid until the
    next `room()`.
    """

    __slots__ = ("_buffer", "_was_filled", "end", "start", "view")

    def __init__(self) -> None:
        self._buffer = bytearray(_FIRST_BYTES)
        self.view = memoryview(self._buffer)
        self.start = 0
        self.end = 0
        self._was_filled = False

    def __len__(self) -> int:
        return self.end - self.start

    def room(self) -> memoryview:
        """Where the next bytes go; never empty. Moves what is unconsumed to the front when that makes room."""
        waiting = self.end - self.start
        wants_more = self._was_filled and len(self._buffer) < _USUAL_BYTES
        if wants_more or waiting > len(self._buffer) - _LEAST_ROOM:
            larger = bytearray(2 * len(self._buffer))
            larger[:waiting] = self.view[self.start : self.end]
            self._buffer, self.view = larger, memoryview(larger)
            self.start, self.end = 0, waiting
        elif not waiting:
            self.start = self.end = 0
        elif len(self._buffer) - self.end < _LEAST_ROOM:
            self._buffer[:waiting] = self._buffer[self.start : self.end]
            self.start, self.end = 0, waiting
        self._was_filled = False
        return self.view[self.end :]

    def received(self, count: int) -> None:
        """`count` bytes have been written into the last `room()`."""
        self.end += count
        self._was_filled = self.end == len(self._buffer)

    def take(self, count: int) -> memoryview:
        """Consume `count` bytes that are there."""
        taken = self.view[self.start : self.start + count]
        self.start += count
        return taken

    def clear(self) -> None:
        self.start = self.end = 0

"""A place for bytes that wait until their turn: in memory while few, then in a file that has no name.

What has no name is gone with the process that holds it, whatever ends it: nothing needs to be tidied up.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pacs.errors import TooLarge
from pacs.storage.disk import Bytes, Disk, storage_error

MEMORY_BYTES: Final = 1 << 20
PIECE_BYTES: Final = 1 << 20


class Spool:
    """Append-only bytes, read back by range. Not thread-safe. Nothing of it is durable."""

    def __init__(self, folder: Path, *, max_bytes: int, memory_bytes: int = MEMORY_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        self._memory = bytearray()
        self._handle = -1
        self.length = 0
        """Bytes held now: the offset at which the next ones begin."""

    def write(self, data: Bytes) -> None:
        """Append.

        Raises:
            TooLarge: more than `max_bytes` would wait at once.
            StorageError: there is no room, or the disk failed.
        """
        if self.length + len(data) > self._max_bytes:
            raise TooLarge(
                f"more than {self._max_bytes} bytes of one request wait for the rest of their instances; send each"
                " instance's bulk data together, or fewer instances in one request"
            )
        if self._handle < 0 and self.length + len(data) <= self._memory_bytes:
            self._memory += data
        else:
            try:
                if self._handle < 0:
                    self._move_to_file(data)
                else:
                    Disk().write(self._handle, [data], self.length)
            except OSError as problem:
                raise storage_error(problem, "keep bulk data until its instance is whole") from problem
        self.length += len(data)

    def _move_to_file(self, data: Bytes) -> None:
        """Go on in a file, with `data` behind what was in memory, which is given up only when it stands there."""
        handle = _unnamed_file(self._folder)
        try:
            # A copy: the error of a full disk may be kept by who tells of it, with views of this in its traceback, and
            # what is seen through a view cannot grow any more.
            Disk().write(handle, [bytes(self._memory), data], 0)
        except BaseException:
            os.close(handle)
            raise
        self._handle, self._memory = handle, bytearray()

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes of a range in pieces of at most `PIECE_BYTES`. Raises `StorageError`."""
        end = offset + length
        while offset < end:
            size = min(PIECE_BYTES, end - offset)
            if self._handle < 0:
                piece = bytes(memoryview(self._memory)[offset : offset + size])
            else:
                try:
                    piece = os.pread(self._handle, size, offset)
                except OSError as problem:
                    raise storage_error(problem, "read back bulk data") from problem
            if not piece:
                raise storage_error(OSError("it is shorter than what was written"), "read back bulk data")
            yield piece
            offset += len(piece)

    def clear(self) -> None:
        """Forget everything, and give its room back."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._memory = bytearray()
        self.length = 0


def _unnamed_file(folder: Path) -> int:
    Disk().make_folder(folder)
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except (AttributeError, IsADirectoryError, OSError):
        # Not every system and file system has files without names; a name that goes at once does as well.
        handle, name = tempfile.mkstemp(dir=folder)
        Path(name).unlink()
        return handle

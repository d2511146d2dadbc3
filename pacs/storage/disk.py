"""The few operating-system calls on which durability rests, in one place so that tests can watch and break them."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from pacs.errors import StorageError, StorageFull

Bytes = bytes | bytearray | memoryview

_OPEN_MODE = 0o600
_SEALED_MODE = 0o400
_FOLDER_MODE = 0o700
"""Patients' data: for the archive's own user alone."""
_FOREIGN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Somebody may have put a link or a pipe where a segment is expected; neither leads away nor waits."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MAX_PARTS = 512
"""Below IOV_MAX of every system we know (1,024)."""


def storage_error(problem: OSError, doing: str) -> StorageError:
    """The archive's own error for `problem`; `doing` says what was tried ("append to segment x")."""
    if problem.errno in _NO_ROOM:
        return StorageFull(f"no room left while trying to {doing}; free space under the data folder, then send again")
    reason = os.strerror(problem.errno) if problem.errno else str(problem)
    return StorageError(f"could not {doing}: {reason}; nothing was acknowledged")


def is_sealed_mode(mode: int) -> bool:
    """Whether a segment with this file mode has been sealed, see `Disk.seal`."""
    return not mode & stat.S_IWUSR


class Disk:
    """Promises of each call; every one raises OSError as the system gives it."""

    def create(self, path: Path) -> int:
        """Open a new file for reading and writing; FileExistsError when there is one."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _OPEN_MODE)

    def open(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | _FOREIGN)

    def open_to_read(self, path: Path) -> int:
        return os.open(path, os.O_RDONLY | _FOREIGN)

    def lock(self, handle: int) -> bool:
        """Take the file for this process until `close` or its death.

        False when another holds it, or when its name is gone already.
        """
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return os.fstat(handle).st_nlink > 0

    def write(self, handle: int, parts: Sequence[Bytes], offset: int) -> None:
        """Write all of `parts`, one after the other, from `offset` on."""
        pending = [view for part in parts if (view := memoryview(part).cast("B")).nbytes]
        while pending:
            written = os.pwritev(handle, pending[:_MAX_PARTS], offset)
            if written == 0:
                raise OSError(errno.EIO, "the system wrote nothing")
            offset += written
            while pending and written >= pending[0].nbytes:
                written -= pending.pop(0).nbytes
            if written:
                pending[0] = pending[0][written:]

    def read(self, handle: int, length: int, offset: int) -> bytes:
        """Up to `length` bytes from `offset` on; fewer at the end of the file, none behind it."""
        return os.pread(handle, length, offset)

    def sync(self, handle: int) -> None:
        """Return when the file's bytes and length are on stable storage."""
        os.fdatasync(handle)

    def sync_folder(self, path: Path) -> None:
        """Return when the names in the folder are on stable storage."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def truncate(self, handle: int, length: int) -> None:
        os.ftruncate(handle, length)

    def length(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def seal(self, handle: int) -> None:
        """Mark the file as never to be written again, durably: it becomes read-only."""
        os.fchmod(handle, _SEALED_MODE)
        os.fsync(handle)

    def is_sealed(self, handle: int) -> bool:
        return is_sealed_mode(os.fstat(handle).st_mode)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Make `path` and its missing parents, durably."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        self.sync_folder(path.parent)

    def close(self, handle: int) -> None:
        """Let go of the file and its lock, also when a mapping still holds it open."""
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)

"""The few operating-system calls on which durability rests, in one place so that tests can watch and break them."""

from __future__ import annotations

import ctypes
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
_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02
_NO_HOLES = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})
_ZEROS = bytes(1 << 20)
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

    def open_to_erase(self, path: Path) -> int:
        """Open a file for writing in place, also a sealed one, which stays sealed. Nobody is locked out by it."""
        if not is_sealed_mode(path.lstat().st_mode):
            return self.open(path)
        reading = self.open_to_read(path)
        try:
            os.fchmod(reading, _OPEN_MODE)
            try:
                return self.open(path)
            finally:
                os.fchmod(reading, _SEALED_MODE)
        finally:
            os.close(reading)

    def erase(self, handle: int, offset: int, length: int) -> None:
        """Put zeros in place of a range and give its room back, where the file system can."""
        if length <= 0:
            return
        try:
            _punch_hole(handle, offset, length)
        except OSError as problem:
            if problem.errno not in _NO_HOLES:
                raise
            for start in range(offset, offset + length, len(_ZEROS)):
                self.write(handle, [memoryview(_ZEROS)[: min(len(_ZEROS), offset + length - start)]], start)

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


def _punch_hole(handle: int, offset: int, length: int) -> None:
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None:
        raise OSError(errno.ENOSYS, "this system makes no holes")
    if fallocate(handle, _KEEP_SIZE_AND_PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(length)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

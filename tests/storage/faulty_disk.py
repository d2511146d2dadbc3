"""A disk whose calls are recorded, and which fails when told."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path

from pacs.storage.disk import Bytes, Disk


class FaultyDisk(Disk):
    """Records `write`, `sync`, `sync_folder`, `truncate`, `seal` in `calls`, in order.

    `fail(call, error)` makes the next such call raise; `forever` all of them.
    """

    def __init__(self, told: Callable[[str], None] | None = None) -> None:
        self.calls: list[str] = []
        self._told = told or self.calls.append
        self._failures: dict[str, tuple[int, bool]] = {}

    def fail(self, call: str, error: int = errno.EIO, *, forever: bool = False) -> None:
        self._failures[call] = (error, forever)

    def heal(self) -> None:
        self._failures.clear()

    def _enter(self, call: str) -> None:
        self._told(call)
        if call in self._failures:
            error, forever = self._failures[call]
            if not forever:
                del self._failures[call]
            raise OSError(error, call)

    def write(self, handle: int, parts: Sequence[Bytes], offset: int) -> None:
        self._told("write")
        if "write" in self._failures:
            error, forever = self._failures["write"]
            if not forever:
                del self._failures["write"]
            # A full disk takes what fits before it says no.
            joined = b"".join(bytes(part) for part in parts)
            super().write(handle, [joined[: len(joined) // 2]], offset)
            raise OSError(error, "write")
        super().write(handle, parts, offset)

    def sync(self, handle: int) -> None:
        self._enter("sync")
        super().sync(handle)

    def sync_folder(self, path: Path) -> None:
        self._enter("sync_folder")
        super().sync_folder(path)

    def truncate(self, handle: int, length: int) -> None:
        self._enter("truncate")
        super().truncate(handle, length)

    def seal(self, handle: int) -> None:
        self._enter("seal")
        super().seal(handle)

    def unlink(self, path: Path) -> None:
        self._enter("unlink")
        super().unlink(path)

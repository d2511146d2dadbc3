"""A disk that remembers what is really on stable storage, so that a power cut can be played at any moment."""

from __future__ import annotations

import shutil
from pathlib import Path

from pacs.storage.disk import Disk


class PowerCutDisk(Disk):
    """Bytes survive the cut when they were synced since written, names when their folder was.

    This is the least a POSIX system promises; real ones keep more by luck.
    """

    def __init__(self) -> None:
        self._paths: dict[int, Path] = {}
        self._durable: dict[Path, tuple[bytes, int]] = {}
        self._names: set[Path] = set()

    def create(self, path: Path) -> int:
        handle = super().create(path)
        self._paths[handle] = path
        return handle

    def open(self, path: Path) -> int:
        handle = super().open(path)
        self._paths[handle] = path
        return handle

    def sync(self, handle: int) -> None:
        super().sync(handle)
        path = self._paths[handle]
        self._durable[path] = (path.read_bytes(), path.stat().st_mode & 0o777)

    def seal(self, handle: int) -> None:
        super().seal(handle)
        PowerCutDisk.sync(self, handle)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self._names.update(path.iterdir())

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._durable.pop(path, None)
        self._names.discard(path)

    def cut(self, folder: Path, into: Path) -> None:
        """Write what is left of `folder/objects` after a cut now to `into`, with the index as it is.

        The index is taken whole, so that a row that came before its bytes were durable shows.
        """
        shutil.copytree(folder, into, ignore=shutil.ignore_patterns("objects"))
        objects = folder / "objects"
        for path, (content, mode) in self._durable.items():
            above = [path, *path.parents]
            if set(above[: above.index(objects) + 1]) <= self._names:
                target = into / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
                target.chmod(mode)


class LyingDisk(PowerCutDisk):
    """Says that it synced the bytes and did not."""

    def sync(self, handle: int) -> None:
        pass


class ForgetfulDisk(PowerCutDisk):
    """Leaves out the sync of folders."""

    def sync_folder(self, path: Path) -> None:
        pass

"""Derived objects that may be many: kept up to a number of bytes, what was not used for longest goes first."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pacs.storage.disk import storage_error
from pacs.storage.segment_name import checked_hospital

_MARK: Final = b"PACSb1"
_HEAD_BYTES: Final = len(_MARK) + 4 + 32
"""Mark, checksum of the content, SHA-256 of whose it is and how it is named."""
_KEPT_SHARE: Final = 0.9
"""What is left after making room, so that room is not made for each object."""
_USED_AGAIN_S: Final = 60.0
"""An object used is marked so at most this often."""
_FORGOTTEN_DRAFT_S: Final = 3600.0
_TOTAL: Final = ".total"
_TURNS: Final = ".turns"


class BoundedStore:
    """One file per object under `root`. Thread-safe, and safe between processes that share the folder.

    An object is of a hospital, of a subject (an instance's digest) and has a name; `forget` takes all of a subject.
    Promises: all objects together never take more than `max_bytes` for longer than one `put` takes; an object is whole
    and that of its name and hospital, or absent. Nothing is synced; what is lost is made again.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes

    def get(self, hospital: str, subject: str, name: str) -> bytes | None:
        """What was put under `name`, or None when it has to be made (again). Raises `pacs.errors.StorageError`."""
        path, identity = self._path(hospital, subject, name)
        try:
            with path.open("rb") as file:
                kept = file.read()
                if time.time() - os.fstat(file.fileno()).st_mtime > _USED_AGAIN_S:
                    os.utime(file.fileno())
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise storage_error(problem, "read a derived object") from problem
        content = kept[_HEAD_BYTES:]
        return content if kept[:_HEAD_BYTES] == _head(identity, content) else None

    def put(self, hospital: str, subject: str, name: str, content: bytes) -> bool:
        """Keep `content` under `name`, and let others go for it; False when it is larger than all that may be kept.

        Raises:
            StorageError: there is no room on the disk, or it failed.
        """
        size = len(content) + _HEAD_BYTES
        if size > self._max_bytes:
            return False
        path, identity = self._path(hospital, subject, name)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}.new")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with draft.open("xb") as file:
                file.writelines((_head(identity, content), content))
            with self._locked(_TOTAL) as total_file:
                total = self._told(total_file) + size - _size(path)
                draft.replace(path)
                if total > self._max_bytes:
                    total = self._make_room(path)
                os.pwrite(total_file, b"%020d" % total, 0)
        except OSError as problem:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise storage_error(problem, "keep a derived object") from problem
        return True

    def forget(self, hospital: str, subject: str) -> None:
        """Delete every object of `subject`. Raises `pacs.errors.StorageError`."""
        path, _ = self._path(hospital, subject, "")
        beginning = path.name.partition("-")[0]
        try:
            if not path.parent.is_dir():
                return
            with self._locked(_TOTAL) as total_file:
                found = [each for each in path.parent.iterdir() if each.name.startswith(beginning)]
                total = self._told(total_file) - sum(_size(each) for each in found if each.suffix != ".new")
                for each in found:
                    each.unlink(missing_ok=True)
                os.pwrite(total_file, b"%020d" % max(0, total), 0)
        except OSError as problem:
            raise storage_error(problem, "delete derived objects") from problem

    @contextlib.contextmanager
    def turn(self, hospital: str, subject: str, name: str) -> Iterator[None]:
        """Hold the right to make the object: whoever else wants to waits here, also in another process, and then finds
        it made. A few other names share one turn. What ends the process ends the turn. Raises `StorageError`.
        """
        _, identity = self._path(hospital, subject, name)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._locked(f"{_TURNS}/{identity[0]:02x}"))
            except OSError as problem:
                raise storage_error(problem, "take a turn at making a derived object") from problem
            yield

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[int]:
        path = self._root / name
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)

    def _told(self, total_file: int) -> int:
        """The sum that was written last. It is counted anew when there is none, and each time room is made: a process
        that was killed between an object and its sum leaves a small error until then."""
        text = os.pread(total_file, 20, 0)
        return int(text) if len(text) == 20 and text.isdigit() else sum(size for _, size, _ in self._objects())

    def _make_room(self, newest: Path) -> int:
        """Let the objects go that were not used for longest, but not `newest`; what the others take."""
        objects = sorted(each for each in self._objects() if each[2] != newest)
        total = sum(size for _, size, _ in objects) + _size(newest)
        for _, size, path in objects:
            if total <= self._max_bytes * _KEPT_SHARE:
                break
            path.unlink(missing_ok=True)
            total -= size
        return total

    def _objects(self) -> Iterator[tuple[float, int, Path]]:
        """Time of last use, size and path of each object."""
        for folder in self._root.glob("[!.]*/??"):
            for entry in os.scandir(folder):
                try:
                    found = entry.stat()
                except FileNotFoundError:
                    continue
                if not entry.name.endswith(".new"):
                    yield found.st_mtime, found.st_size, Path(entry.path)
                elif time.time() - found.st_mtime > _FORGOTTEN_DRAFT_S:
                    Path(entry.path).unlink(missing_ok=True)

    def _path(self, hospital: str, subject: str, name: str) -> tuple[Path, bytes]:
        """Its file, and what it is known by inside."""
        # Names may come from outside; only their digests become part of a path.
        whose = _digest(checked_hospital(hospital), subject).hex()
        identity = _digest(hospital, subject, name)
        return self._root / hospital / whose[:2] / f"{whose[2:]}-{identity.hex()[:32]}", identity


def _digest(*names: str) -> bytes:
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).digest()


def _head(identity: bytes, content: bytes) -> bytes:
    return _MARK + zlib.crc32(content).to_bytes(4, "big") + identity


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

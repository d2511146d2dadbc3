"""Marks by which all processes of an archive see that something of a study has changed: without asking the database.

A process that keeps answers in memory reads the study's mark before it looks anything up, and gives the answer again
only while the mark is the same. Whoever changes rows changes the mark after the commit and before anybody is told, so
that nobody who knows of the change gets an older answer. Studies share marks: one changed for nothing costs a look-up.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pacs.errors import IndexUnavailable

_STUDIES: Final = 4096
_BYTES: Final = 8


class ChangeMark(NamedTuple):
    """A study's mark as it was when it was read."""

    place: int
    value: bytes
    """Empty when there are no marks."""


class ChangeMarks:
    """A small file that the processes of one machine map. Thread-safe."""

    def __init__(self, path: Path | None) -> None:
        """Without `path` there are no marks: their values are empty, and nothing may be kept by it."""
        self._path = path
        self._opening = threading.Lock()
        self._mapping: mmap.mmap | None = None

    @contextlib.contextmanager
    def of(self, studies: Iterable[tuple[str, str]]) -> Iterator[None]:
        """Around a transaction that changes instances of these (hospital, study): marks them, however it ends.

        Raises:
            IndexUnavailable: they cannot be marked; then before anything is changed.
        """
        self._value(0)
        try:
            yield
        finally:
            for hospital, study in set(studies):
                self.changed(hospital, study)

    @contextlib.contextmanager
    def of_all(self) -> Iterator[None]:
        """As `of`, when nobody knows which studies."""
        self._value(0)
        try:
            yield
        finally:
            self.all_changed()

    def mark(self, hospital: str, study_instance_uid: str) -> ChangeMark:
        """The study's mark now: another one after each change; to be read before what it shall tell of.

        Raises:
            IndexUnavailable: the file cannot be opened.
        """
        place = _place(hospital, study_instance_uid)
        return ChangeMark(place, self._value(place))

    def is_current(self, mark: ChangeMark) -> bool:
        """Whether nothing of its study has changed since it was read; False when that cannot be told. As `mark`."""
        return mark.value != b"" and self._value(mark.place) == mark.value

    def changed(self, hospital: str, study_instance_uid: str) -> None:
        """Something of the study has changed, or may have; call it after the commit. Raises as `mark`."""
        mapping = self._mapping or self._opened()
        if mapping is not None:
            # Not a counter: two processes that add one to the same number could leave it as it was for a third.
            place = _place(hospital, study_instance_uid)
            mapping[place : place + _BYTES] = secrets.token_bytes(_BYTES)

    def all_changed(self) -> None:
        """Anything may have: a process that ended may not have come from its commit to the mark. Raises as `mark`."""
        mapping = self._mapping or self._opened()
        if mapping is not None:
            mapping[:] = secrets.token_bytes(_STUDIES * _BYTES)

    def close(self) -> None:
        """Let go of the file."""
        with self._opening:
            self._mapping, self._path = None, None

    def _value(self, place: int) -> bytes:
        mapping = self._mapping or self._opened()
        return mapping[place : place + _BYTES] if mapping is not None else b""

    def _opened(self) -> mmap.mmap | None:
        with self._opening:
            if self._mapping is None and self._path is not None:
                self._mapping = _mapped(self._path)
            return self._mapping


def _place(hospital: str, study_instance_uid: str) -> int:
    return zlib.crc32(f"{hospital}\n{study_instance_uid}".encode()) % _STUDIES * _BYTES


def _mapped(path: Path) -> mmap.mmap:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # With room of its own: to write to a mapped hole of a full disk would kill the process.
            os.posix_fallocate(handle, 0, _STUDIES * _BYTES)
            return mmap.mmap(handle, _STUDIES * _BYTES)
        finally:
            os.close(handle)
    except OSError as problem:
        raise IndexUnavailable(f"the change marks in {path.name!r} cannot be opened: {problem.strerror}") from problem

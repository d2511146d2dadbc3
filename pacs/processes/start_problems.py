"""Why an archive cannot start, in words that say what to do: folders, room, and an index that cannot be used."""

from __future__ import annotations

import errno
import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pacs.errors import PacsError, StorageError
from pacs.settings import Settings

_PROBE_BYTES = 1 << 18
"""More than SQLite writes when it opens a database."""
_SQLITE = "sqlite:///"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
_CLOSED = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")


def require_usable_folders(settings: Settings) -> None:
    """Look whether everything that an archive writes is there to be written.

    Raises:
        StorageError: a folder or the index is not ours to write; the message names it, and its owner.
    """
    for path in _written(settings):
        wanted = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
        if path.exists() and not os.access(path, wanted):
            raise StorageError(f"cannot write {path}: {whose(path)}")


def whose(path: Path) -> str:
    """Why `path` cannot be used by this process, and what to do."""
    try:
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return "its file system is read-only; see why (the system's log, a failing disk?), and mount it for writing"
        owner = path.stat().st_uid
    except OSError as problem:
        return f"{problem.strerror or problem}; choose a folder that this user may write (data)"
    return (
        f"it belongs to {_name(owner)}, and this runs as {_name(os.geteuid())}; start it as that user, or change them"
    )


def explained(problem: PacsError, settings: Settings) -> str:
    """What to tell the person who started the archive."""
    index = _index_file(settings)
    for folder in {settings.data, index.parent if index is not None else settings.data}:
        if _is_full(folder):
            return f"no room is left on the disk of {folder}: make room and start again; what is stored is safe"
    code = _sqlite_code(problem)
    if index is not None and code.startswith(_DAMAGED):
        return (
            f"the index {index} is damaged or no index ({code}). Move it and its -wal and -shm files away, then run"
            f" `pacs check --repair --data {settings.data}`: it makes a new index from the images, which lost nothing"
        )
    if index is not None and code.startswith(_CLOSED):
        return f"cannot write the index {index}: {whose(index if index.exists() else index.parent)}"
    return str(problem)


def _written(settings: Settings) -> Iterator[Path]:
    data = settings.data
    yield data
    for name in ("objects", "derived"):
        yield data / name
        if (data / name).is_dir() and os.access(data / name, os.R_OK | os.X_OK):
            yield from (path for path in sorted((data / name).iterdir()) if path.is_dir())
    index = _index_file(settings)
    if index is not None:
        yield index.parent
        yield from (index.with_name(index.name + suffix) for suffix in ("", "-wal", "-shm"))


def _index_file(settings: Settings) -> Path | None:
    """The file of a SQLite index; this runs in a process that must not load SQLAlchemy."""
    _, is_sqlite, name = settings.index_url.partition(_SQLITE)
    return Path(name.partition("?")[0]) if is_sqlite and name else None


def _sqlite_code(problem: BaseException | None) -> str:
    while problem is not None:
        original = getattr(problem, "orig", None) or problem
        if name := getattr(original, "sqlite_errorname", None):
            return str(name)
        problem = problem.__cause__
    return ""


def _is_full(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as problem:
        return problem.errno in _FULL
    return False


def _name(user: int) -> str:
    try:
        return f"user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"user {user}"

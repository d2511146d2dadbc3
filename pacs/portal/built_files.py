"""The files that the viewer's build left: a fixed table of names, so that no path ever comes from a request."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

BUILT = Path(__file__).parent / "built"
"""Where `npm run build` in `viewer/` writes; absent until it ran once."""

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".png": "image/png",
}


@dataclass(frozen=True)
class BuiltFile:
    """One file of the build."""

    path: Path
    media_type: str
    is_immutable: bool
    """True for files whose name holds a digest of their content."""
    is_compressed_beside: bool
    """True when ``<name>.gz`` lies beside it."""

    @cached_property
    def body(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def compressed_body(self) -> bytes:
        return self.path.with_name(self.path.name + ".gz").read_bytes()

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:16]


class BuiltFiles:
    """The current build, read again when its `index.html` is another one.

    Thread-safe. Files are read when first asked for, then kept in memory: about 10 MB for the whole viewer.
    """

    def __init__(self, folder: Path = BUILT) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._files: dict[str, BuiltFile] = {}
        self._seen: tuple[int, int] | None = None

    def get(self, name: str) -> BuiltFile | None:
        """The file named as in a URL (``assets/index-x.js``), or None when the build has no such file."""
        self._refresh()
        return self._files.get(name)

    def _refresh(self) -> None:
        try:
            found = (self._folder / "index.html").stat()
        except OSError:
            self._files, self._seen = {}, None
            return
        seen = (found.st_mtime_ns, found.st_ino)
        if seen == self._seen:
            return
        with self._lock:
            self._files = _listed(self._folder)
            self._seen = seen


def _listed(folder: Path) -> dict[str, BuiltFile]:
    files: dict[str, BuiltFile] = {}
    for path in folder.rglob("*"):
        media_type = _MEDIA_TYPES.get(path.suffix)
        if media_type is None or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        files[name] = BuiltFile(
            path=path,
            media_type=media_type,
            is_immutable=name.startswith("assets/"),
            is_compressed_beside=path.with_name(path.name + ".gz").is_file(),
        )
    return files

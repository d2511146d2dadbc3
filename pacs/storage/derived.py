"""Small hot objects that can always be made again from the instances: thumbnails, metadata."""

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

from pacs.storage.bounded_store import BoundedStore
from pacs.storage.disk import storage_error
from pacs.storage.segment_name import checked_hospital

_MARK = b"PACSd1"
_CHECK_BYTES = 4
_DRAFTS: Final = ".drafts"
"""One folder for all drafts, so that those of a process that was killed are found without going through all objects."""
_JUST_MADE_S: Final = 60.0
"""So long an empty draft may wait for its writer to hold it."""


def thumbnail_name(digest: str, frame_number: int) -> str:
    """Name of the JPEG thumbnail of one frame; `digest` is the data set's, so that it can never be of other bytes."""
    return f"thumbnail/{digest}/{frame_number}"


def chosen_thumbnail_name(study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str = "") -> str:
    """Name of what is kept of the frame that stands for a series, or for an instance of several frames; the object
    itself says of which revision or bytes it is."""
    return f"chosen/{study_instance_uid}/{series_instance_uid}/{sop_instance_uid}"


def metadata_name(study_instance_uid: str, series_instance_uid: str) -> str:
    """Name of what is kept of a series' metadata; the object itself says of which revision of the series it is."""
    return f"metadata/{study_instance_uid}/{series_instance_uid}"


def xml_metadata_name(study_instance_uid: str, series_instance_uid: str) -> str:
    """As `metadata_name`, of the same as XML."""
    return f"metadata-xml/{study_instance_uid}/{series_instance_uid}"


FRAMES: Final = ".frames"
"""Folder, among those of hospitals, of the `BoundedStore` of frames in other transfer syntaxes."""


class DerivedStore:
    """One file per object under `root`, in 256 folders per hospital. Thread-safe, and safe between processes.

    An object is whole or absent: it is renamed into place, and its checksum is read with it, so that a power cut
    leaves no half object that anybody would be shown. Nothing here is synced; what is lost is made again.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, hospital: str, name: str, content: bytes) -> None:
        """Keep `content` under `name`, in place of what was there. Raises `pacs.errors.StorageError`."""
        path = self._path(hospital, name)
        draft = self._root / _DRAFTS / secrets.token_hex(16)
        check = zlib.crc32(content).to_bytes(_CHECK_BYTES, "big")
        try:
            for folder in (draft.parent, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with draft.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # ends with the process: a draft that nobody holds is nobody's
                file.writelines((_MARK, check, content))
                file.flush()
                draft.replace(path)
        except OSError as problem:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise storage_error(problem, "keep a derived object") from problem

    def sweep(self) -> int:
        """Delete what was being written when its process was killed; how many there were. Processes may be at work:
        their drafts stay. Raises `pacs.errors.StorageError`."""
        try:
            return sum(self._is_swept(path) for path in self._drafts())
        except OSError as problem:
            raise storage_error(problem, "sweep drafts of derived objects") from problem

    def _drafts(self) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root / _DRAFTS) as entries:
            for entry in entries:
                yield Path(entry.path)

    def _is_swept(self, draft: Path) -> bool:
        try:
            with draft.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found = os.fstat(file.fileno())
                is_just_made = not found.st_size and abs(time.time() - found.st_mtime) < _JUST_MADE_S
                if found.st_nlink and not is_just_made:
                    draft.unlink()
                    return True
        except (BlockingIOError, FileNotFoundError):
            pass  # it is being written, or has just been
        return False

    def get(self, hospital: str, name: str) -> bytes | None:
        """What was put under `name`, or None when it has to be made (again). Raises `pacs.errors.StorageError`."""
        try:
            kept = self._path(hospital, name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise storage_error(problem, "read a derived object") from problem
        head, content = kept[: len(_MARK) + _CHECK_BYTES], kept[len(_MARK) + _CHECK_BYTES :]
        return content if head == _MARK + zlib.crc32(content).to_bytes(_CHECK_BYTES, "big") else None

    def delete(self, hospital: str, name: str) -> None:
        """Forget `name`; nothing happens when it is not there. Raises `pacs.errors.StorageError`."""
        try:
            self._path(hospital, name).unlink(missing_ok=True)
        except OSError as problem:
            raise storage_error(problem, "delete a derived object") from problem

    def delete_frames(self, hospital: str, digest: str) -> None:
        """Forget the frames that were made of the instance of this digest. Raises `pacs.errors.StorageError`."""
        BoundedStore(self._root / FRAMES, 0).forget(hospital, digest)

    def _path(self, hospital: str, name: str) -> Path:
        # The name holds UIDs from outside; only its digest becomes part of a path.
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        return self._root / checked_hospital(hospital) / digest[:2] / digest[2:]

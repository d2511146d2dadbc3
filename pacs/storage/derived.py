"""Small hot objects that can always be made again from the instances: thumbnails, metadata."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import zlib
from pathlib import Path
from typing import Final

from pacs.storage.bounded_store import BoundedStore
from pacs.storage.disk import storage_error
from pacs.storage.segment_name import checked_hospital

_MARK = b"PACSd1"
_CHECK_BYTES = 4


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
        draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}.new")
        check = zlib.crc32(content).to_bytes(_CHECK_BYTES, "big")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("xb") as file:
                file.writelines((_MARK, check, content))
            draft.replace(path)
        except OSError as problem:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise storage_error(problem, "keep a derived object") from problem

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

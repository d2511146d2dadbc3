"""Reading through what is kept without a mapping."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pacs.errors import NotFound, StorageError, StoredBytesDamaged
from pacs.model import Location
from pacs.storage.disk import Disk
from pacs.storage.segments import SegmentStore

CONTENT = bytes(range(256)) * 10_000


class BadDisk(Disk):
    """Reads a little at a time, and nothing behind a byte."""

    def __init__(self, bad_from: int) -> None:
        self._bad_from = bad_from

    def read(self, handle: int, length: int, offset: int) -> bytes:
        if offset >= self._bad_from:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(handle, min(length, 1000), offset)


def _kept(root: Path) -> Location:
    path = root / "default" / "0123456789abcdef0123456789abcdef.tar"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"before" + CONTENT + b"after")
    return Location("default/0123456789abcdef0123456789abcdef", 6, len(CONTENT), 100)


def test_every_byte_and_no_other(tmp_path: Path) -> None:
    location = _kept(tmp_path)
    pieces = list(SegmentStore(tmp_path).pieces(location, 100))
    assert len(pieces) > 1
    assert b"".join(pieces) == CONTENT[100:]
    assert b"".join(SegmentStore(tmp_path, disk=BadDisk(1 << 30)).pieces(location, 0)) == CONTENT


def test_a_place_that_cannot_be_read(tmp_path: Path) -> None:
    location = _kept(tmp_path)
    with pytest.raises(StoredBytesDamaged, match="cannot be read at byte"):
        list(SegmentStore(tmp_path, disk=BadDisk(50_000)).pieces(location, 0))


def test_a_segment_that_ends_too_soon(tmp_path: Path) -> None:
    _kept(tmp_path)
    with pytest.raises(StoredBytesDamaged, match="ends at byte"):
        list(
            SegmentStore(tmp_path).pieces(
                Location("default/0123456789abcdef0123456789abcdef", 6, len(CONTENT) + 100, 0), 0
            )
        )


def test_a_segment_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        list(SegmentStore(tmp_path).pieces(Location("default/0123456789abcdef0123456789abcdef", 0, 10, 0), 0))


def test_a_segment_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "0123456789abcdef0123456789abcdef.tar").symlink_to("/etc/hostname")
    with pytest.raises(StorageError, match="open segment"):
        list(SegmentStore(tmp_path).pieces(Location("default/0123456789abcdef0123456789abcdef", 0, 10, 0), 0))

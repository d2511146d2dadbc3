from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pacs.errors import StorageError, StorageFull
from pacs.storage.disk import Disk, storage_error


@pytest.fixture
def handle(tmp_path: Path):
    handle = Disk().create(tmp_path / "file")
    yield handle
    Disk().close(handle)


def test_parts_are_written_one_after_the_other_whatever_the_system_takes_at_once(
    handle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwritev = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda h, parts, offset: pwritev(h, [bytes(parts[0])[:3]], offset))
    Disk().write(handle, [b"abcdefgh", b"", bytearray(b"ij"), memoryview(b"klmno")], 2)
    assert os.pread(handle, 100, 0) == b"\0\0abcdefghijklmno"


def test_more_parts_than_one_call_takes(handle: int) -> None:
    Disk().write(handle, [b"x"] * 3000, 0)
    assert os.fstat(handle).st_size == 3000


def test_a_system_that_writes_nothing_is_an_error_not_a_loop(handle: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    with pytest.raises(OSError, match="wrote nothing"):
        Disk().write(handle, [b"abc"], 0)


def test_a_lock_is_held_by_one_and_given_back(tmp_path: Path, handle: int) -> None:
    disk = Disk()
    assert disk.lock(handle)
    other = disk.open(tmp_path / "file")
    assert not disk.lock(other)
    third = os.dup(handle)
    disk.close(third)
    assert disk.lock(other)
    disk.close(other)


def test_a_file_whose_name_is_gone_cannot_be_taken(tmp_path: Path, handle: int) -> None:
    Disk().unlink(tmp_path / "file")
    assert not Disk().lock(handle)


def test_a_sealed_file_is_read_only(tmp_path: Path, handle: int) -> None:
    disk = Disk()
    assert not disk.is_sealed(handle)
    disk.seal(handle)
    assert disk.is_sealed(handle)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o400


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for opened in (Disk().open, Disk().open_to_read, Disk().create):
        with pytest.raises(OSError):
            opened(tmp_path / "link")


def test_errors_of_the_system_become_ours() -> None:
    assert isinstance(storage_error(OSError(errno.ENOSPC, "x"), "append"), StorageFull)
    assert isinstance(storage_error(OSError(errno.EDQUOT, "x"), "append"), StorageFull)
    failed = storage_error(OSError(errno.EIO, "x"), "append to a segment")
    assert type(failed) is StorageError
    assert "append to a segment" in str(failed)

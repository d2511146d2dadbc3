"""Bytes that wait: in memory, then in a file without a name."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pacs.errors import StorageFull, TooLarge
from pacs.storage.disk import Disk
from pacs.storage.spool import Spool


@pytest.mark.parametrize("memory_bytes", [0, 10, 1 << 20])
def test_what_is_written_is_read_by_range(tmp_path: Path, memory_bytes: int) -> None:
    spool = Spool(tmp_path / "objects", max_bytes=1 << 20, memory_bytes=memory_bytes)
    content = bytes(range(256)) * 20
    for start in range(0, len(content), 7):
        spool.write(content[start : start + 7])
    assert spool.length == len(content)
    assert b"".join(spool.read(100, 3000)) == content[100:3100]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    spool.clear()
    spool.write(b"again")
    assert b"".join(spool.read(0, 5)) == b"again"
    spool.clear()


def test_more_than_may_wait(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=10)
    spool.write(b"12345678")
    with pytest.raises(TooLarge, match="10 bytes"):
        spool.write(b"abc")
    assert b"".join(spool.read(0, 8)) == b"12345678"


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    spool = Spool(tmp_path, max_bytes=1 << 20, memory_bytes=4)
    monkeypatch.setattr(Disk, "write", full)
    with pytest.raises(StorageFull):
        spool.write(b"12345678")
    assert spool.length == 0
    spool.clear()


def test_what_waits_stays_what_it_was_when_the_disk_is_full_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one whose bytes found no room is told; those of others in the same request are never read as zeros."""
    is_full = True
    write = Disk.write

    def full_at_first(disk: Disk, *arguments: Any) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "full")
        write(disk, *arguments)

    monkeypatch.setattr(Disk, "write", full_at_first)
    spool = Spool(tmp_path, max_bytes=1 << 20, memory_bytes=8)
    spool.write(b"before")
    with pytest.raises(StorageFull):
        spool.write(b"too many")
    assert b"".join(spool.read(0, 6)) == b"before"
    is_full = False
    spool.write(b"after that")
    assert b"".join(spool.read(0, 16)) == b"beforeafter that"
    spool.clear()


def test_it_goes_on_while_the_error_of_a_full_disk_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    spool = Spool(tmp_path, max_bytes=1 << 20, memory_bytes=10)
    spool.write(b"before")
    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(StorageFull) as kept:
        spool.write(b"too many")
    spool.write(b"!!")
    assert b"".join(spool.read(0, 8)) == b"before!!"
    assert kept.value.__cause__ is not None
    spool.clear()


def test_without_files_that_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)
    spool = Spool(tmp_path, max_bytes=100, memory_bytes=0)
    spool.write(b"ab")
    assert b"".join(spool.read(0, 2)) == b"ab"
    assert list(tmp_path.iterdir()) == []
    spool.clear()

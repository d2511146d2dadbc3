from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from pacs.errors import InvalidIdentity, StorageError
from pacs.storage.derived import DerivedStore


def test_put_get_replace_delete(tmp_path: Path) -> None:
    store = DerivedStore(tmp_path)
    assert store.get("default", "thumbnail/1.2.3") is None
    store.put("default", "thumbnail/1.2.3", b"first")
    store.put("default", "thumbnail/1.2.3", b"")
    assert store.get("default", "thumbnail/1.2.3") == b""
    assert store.get("other", "thumbnail/1.2.3") is None
    store.delete("default", "thumbnail/1.2.3")
    store.delete("default", "thumbnail/1.2.3")
    assert store.get("default", "thumbnail/1.2.3") is None


def test_no_name_leaves_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "derived"
    store = DerivedStore(root)
    for name in ("../../x", "/etc/passwd", "a\0b", "\udc80", "x" * 5000):
        store.put("default", name, name.encode("utf-8", "replace"))
        assert store.get("default", name) == name.encode("utf-8", "replace")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["derived"]
    with pytest.raises(InvalidIdentity):
        store.put("../x", "name", b"")


def test_a_half_written_object_is_absent(tmp_path: Path) -> None:
    store = DerivedStore(tmp_path)
    store.put("default", "name", b"content")
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], whole[:-1], bytes(len(whole))):
        path.write_bytes(damaged)
        assert store.get("default", "name") is None
    store.put("default", "name", b"again")
    assert store.get("default", "name") == b"again"


def test_a_disk_that_fails_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "default").write_bytes(b"a file where a folder should be")
    store = DerivedStore(tmp_path)
    with pytest.raises(StorageError):
        store.put("default", "name", b"content")


def test_only_drafts_that_nobody_writes_are_swept(tmp_path: Path) -> None:
    store = DerivedStore(tmp_path)
    assert store.sweep() == 0, "nothing was ever kept"
    store.put("default", "name", b"content")
    drafts = tmp_path / ".drafts"
    assert not list(drafts.iterdir())
    for name, content in (("held", b"x"), ("left", b"x"), ("just made", b""), ("empty", b"")):
        (drafts / name).write_bytes(content)
    os.utime(drafts / "empty", (1, 1))
    with (drafts / "held").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert store.sweep() == 2
    assert sorted(path.name for path in drafts.iterdir()) == ["held", "just made"]
    assert store.get("default", "name") == b"content"


def test_a_draft_that_fails_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DerivedStore(tmp_path)
    store.put("default", "name", b"content")

    def full(_: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "no room", str(target))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError):
        store.put("default", "name", b"other")
    assert not list((tmp_path / ".drafts").iterdir())
    assert store.get("default", "name") == b"content"

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs.errors import InvalidIdentity, StorageError
from pacs.storage.bounded_store import BoundedStore

HEAD = 42


def taken(root: Path) -> int:
    """Bytes of all objects in the folder."""
    return sum(path.stat().st_size for path in root.glob("*/??/*"))


def objects(root: Path) -> Iterator[Path]:
    return root.glob("*/??/*")


def put_at(store: BoundedStore, root: Path, name: str, content: bytes, last_used: int) -> None:
    before = set(objects(root))
    store.put("default", "s", name, content)
    (path,) = set(objects(root)) - before
    os.utime(path, (last_used, last_used))


def test_put_get_replace(tmp_path: Path) -> None:
    store = BoundedStore(tmp_path, 10_000)
    assert store.get("default", "s", "a") is None
    assert store.put("default", "s", "a", b"first")
    assert store.put("default", "s", "a", b"second")
    assert store.get("default", "s", "a") == b"second"
    assert store.get("other", "s", "a") is None


def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    store = BoundedStore(tmp_path, 4 * (100 + HEAD))
    for number in range(4):
        put_at(store, tmp_path, f"{number}", bytes(100), 1000 + number)
    assert store.get("default", "s", "0") == bytes(100), "used again, so it stays"
    store.put("default", "s", "4", bytes(100))
    assert [store.get("default", "s", f"{number}") is not None for number in range(5)] == [
        True,
        False,
        False,
        True,
        True,
    ]
    assert taken(tmp_path) <= 4 * (100 + HEAD)


def test_the_limit_holds_whatever_comes(tmp_path: Path) -> None:
    store = BoundedStore(tmp_path, 5000)
    for number in range(200):
        store.put("default", "s", f"{number % 90}", bytes(number * 7 % 1500))
        assert taken(tmp_path) <= 5000
    assert store.get("default", "s", f"{199 % 90}") == bytes(199 * 7 % 1500), "the newest is there"


def test_what_is_larger_than_all_is_not_kept(tmp_path: Path) -> None:
    store = BoundedStore(tmp_path, 1000)
    store.put("default", "s", "small", b"small")
    assert not store.put("default", "s", "large", bytes(1000))
    assert store.get("default", "s", "large") is None
    assert store.get("default", "s", "small") == b"small"


def test_a_smaller_limit_counts_from_the_next_object_on(tmp_path: Path) -> None:
    BoundedStore(tmp_path, 10_000).put("default", "s", "a", bytes(5000))
    BoundedStore(tmp_path, 1000).put("default", "s", "b", b"b")
    assert taken(tmp_path) < 1000


@pytest.mark.parametrize("total", [b"", b"nonsense", b"9" * 30, b"-0000000000000000001"])
def test_a_damaged_sum_is_counted_anew(tmp_path: Path, total: bytes) -> None:
    store = BoundedStore(tmp_path, 2000)
    for number in range(10):
        (tmp_path / ".total").write_bytes(total)
        store.put("default", "s", f"{number}", bytes(500))
        assert taken(tmp_path) <= 2000


def test_other_bytes_are_never_given(tmp_path: Path) -> None:
    """An object in another's place, as a fault of the file system could leave it, is absent."""
    store = BoundedStore(tmp_path, 10_000)
    store.put("default", "s", "a", b"of a")
    (of_a,) = objects(tmp_path)
    store.put("default", "s", "b", b"of b")
    (of_b,) = set(objects(tmp_path)) - {of_a}
    of_b.write_bytes(of_a.read_bytes())
    assert store.get("default", "s", "b") is None
    assert store.get("default", "s", "a") == b"of a"
    whole = of_a.read_bytes()
    for damaged in (b"", whole[:10], whole[:-1], whole + b"\0", bytes(len(whole))):
        of_a.write_bytes(damaged)
        assert store.get("default", "s", "a") is None


def test_no_name_leaves_the_folder(tmp_path: Path) -> None:
    store = BoundedStore(tmp_path / "root", 10_000)
    for name in ("../../x", "/etc/passwd", "a\0b", "\udc80", "x" * 5000):
        store.put("default", "s", name, b"kept")
        assert store.get("default", "s", name) == b"kept"
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    with pytest.raises(InvalidIdentity):
        store.put("../x", "s", "name", b"")


def test_all_of_a_subject_goes_at_once(tmp_path: Path) -> None:
    store = BoundedStore(tmp_path, 10_000)
    store.forget("default", "erased")
    for number in range(5):
        for subject in ("erased", "kept", "erased2"):
            store.put("default", subject, f"{number}", b"content")
    store.put("other", "erased", "0", b"content")
    store.forget("default", "erased")
    assert all(store.get("default", "erased", f"{number}") is None for number in range(5))
    assert all(store.get("default", subject, f"{number}") for subject in ("kept", "erased2") for number in range(5))
    assert store.get("other", "erased", "0")
    assert int((tmp_path / ".total").read_bytes()) == taken(tmp_path)


def test_a_disk_that_fails_is_a_storage_error(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.write_bytes(b"a file where a folder should be")
    store = BoundedStore(root, 1000)
    with pytest.raises(StorageError):
        store.put("default", "s", "name", b"content")
    with pytest.raises(StorageError), store.turn("default", "s", "name"):
        pytest.fail("nobody has the turn")


def test_one_makes_and_the_others_find_it(tmp_path: Path) -> None:
    store = BoundedStore(tmp_path, 10_000)
    made: list[int] = []
    ready = threading.Barrier(8)

    def ask() -> None:
        ready.wait()
        with store.turn("default", "s", "a"):
            if store.get("default", "s", "a") is None:
                made.append(1)
                store.put("default", "s", "a", b"a")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


_FILL = """
import sys
from pathlib import Path
from pacs.storage.bounded_store import BoundedStore
store = BoundedStore(Path(sys.argv[1]), 20_000)
for number in range(150):
    name = f"{number}-{sys.argv[2]}" if number % 2 else f"{number}"
    with store.turn("default", "s", name):
        store.put("default", "s", name, name.encode() * 100)
    assert store.get("default", "s", name) in (None, name.encode() * 100)
"""


def test_processes_share_one_limit(tmp_path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", _FILL, str(tmp_path), str(number)]) for number in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert 0 < taken(tmp_path) <= 20_000
    assert int((tmp_path / ".total").read_bytes()) == taken(tmp_path), "the sum is right"


_HOLD = """
import sys, time
from pathlib import Path
from pacs.storage.bounded_store import BoundedStore
with BoundedStore(Path(sys.argv[1]), 1000).turn("default", "s", "a"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_turn_ends_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        entered = threading.Event()

        def wait_for_it() -> None:
            with BoundedStore(tmp_path, 1000).turn("default", "s", "a"):
                entered.set()

        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        assert not entered.wait(0.2), "somebody else's turn"
        holder.kill()
        assert entered.wait(20)
        waiting.join()

"""kill -9 while derived objects are written: what was kept is whole, and the next start leaves no half of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from pacs.app import open_archive
from pacs.settings import Settings
from pacs.storage.derived import DerivedStore
from tests.crash.derive_forever import NAMES, content_of
from tests.crash.killed import ROOT, run_until_killed

FOREVER = "tests.crash.derive_forever"
MOST_ROUNDS = 20


def drafts_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and len(path.name) != 62]


def killed_in_the_middle(folder: Path) -> None:
    for round_number in range(MOST_ROUNDS):
        assert run_until_killed(FOREVER, folder, after=5 + round_number)
        if any(path.stat().st_size for path in drafts_in(folder)):
            return
    raise AssertionError("never killed while it wrote")


def test_the_next_start_sweeps_what_was_half_written(tmp_path: Path) -> None:
    derived = tmp_path / "derived"
    killed_in_the_middle(derived)
    assert drafts_in(derived), "control: they stay until then"
    with closing(open_archive(Settings(data=tmp_path))) as archive:
        assert not [path for path in drafts_in(derived) if path.stat().st_size]
        kept = {name: archive.derived.get("default", name) for name in (f"object {n}" for n in range(NAMES))}
    assert any(kept.values())
    for name, content in kept.items():
        assert content in (None, content_of(name))


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-m", FOREVER, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    store, stopped_in_the_middle = DerivedStore(tmp_path), False
    with child.stdout:
        try:
            for _ in range(MOST_ROUNDS):
                child.stdout.readline()
                child.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, child.pid, os.WSTOPPED)
                written = [path for path in drafts_in(tmp_path) if path.stat().st_size]
                store.sweep()
                assert all(path.exists() for path in written)
                stopped_in_the_middle |= bool(written)
                child.send_signal(signal.SIGCONT)
            assert stopped_in_the_middle
        finally:
            child.kill()
            child.wait()
    left = [path for path in drafts_in(tmp_path) if path.stat().st_size]
    assert store.sweep() == len(left)
    assert not any(path.exists() for path in left), "nobody writes them any more"

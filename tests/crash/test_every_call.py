"""kill -9, EIO and ENOSPC at every system call of one store, SQLite's included: no promise is broken.

All calls under `make soak`; otherwise each N-th, another share per kind of store.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.crash.conftest import Tell
from tests.crash.privileges import SOAK, need_strace

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, scenario: str, fault: str, every: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.crash.every_call", str(folder), scenario, fault]
    command += ["--all-calls"] if SOAK and fault == "kill" else ["--every", "1" if SOAK else str(every)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(3600 if SOAK else 600)
@pytest.mark.parametrize(("scenario", "every"), [("first", 9), ("next", 3), ("large", 9)])
def test_killed_at_any_call(tmp_path: Path, tell: Tell, scenario: str, every: int) -> None:
    """A first store (new segment), a later one, and one with a segment of its own."""
    need_strace()
    found = run(tmp_path, scenario, "kill", every)
    tell(f"kill -9 at each call of a {scenario} store", found["tried"], found["acknowledged"], len(found["wrong"]), 0)
    assert found["wrong"] == {}
    assert found["outcomes"]["died"] >= 0.9 * found["tried"] > 5


@pytest.mark.timeout(3600 if SOAK else 600)
@pytest.mark.parametrize(("fault", "refusal"), [("EIO", "StorageError"), ("ENOSPC", "StorageFull")])
@pytest.mark.parametrize(("scenario", "every"), [("first", 14), ("next", 6), ("large", 14)])
def test_any_call_fails(tmp_path: Path, tell: Tell, scenario: str, every: int, fault: str, refusal: str) -> None:
    """What is refused was not stored or is stored whole; once the disk is well the same process takes everything."""
    need_strace()
    found = run(tmp_path, scenario, fault, every)
    tell(f"{fault} at each call of a {scenario} store", found["tried"], found["acknowledged"], len(found["wrong"]), 0)
    assert found["wrong"] == {}
    assert set(found["outcomes"]) <= {"stored", refusal, "IndexUnavailable"}
    assert found["outcomes"].get("stored", 0) < 0.4 * found["tried"]

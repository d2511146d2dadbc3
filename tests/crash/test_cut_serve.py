"""Power cuts under a working `pacs serve`: everything acknowledged survives, and a disk that does not sync is caught.

`PACS_POWER_CUTS` sets how many (30; 2,000 under `make soak`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.crash.conftest import Tell
from tests.crash.privileges import IN_PRIVATE_NAMESPACE, SOAK, need_disks_of_our_own, need_libeatmydata

ROOT = Path(__file__).resolve().parents[2]
CUTS = int(os.environ.get("PACS_POWER_CUTS", "2000" if SOAK else "30"))


def cut(folder: Path, cuts: int, *options: str) -> dict[str, Any]:
    command = [*IN_PRIVATE_NAMESPACE, sys.executable, "-m", "tests.crash.cut_serve", str(folder), "--cuts", str(cuts)]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(14400 if SOAK else 600)
def test_nothing_acknowledged_is_lost(tmp_path: Path, tell: Tell) -> None:
    need_disks_of_our_own(fuse=True)
    found = cut(tmp_path, CUTS, "--whole-every", "60" if SOAK else "30")
    tell("power cuts", found["cuts"], found["acknowledged"], found["lost"], found["altered"])
    assert found["acknowledged"] > 20 * found["cuts"]
    wrong = ("lost", "altered", "rows_without_bytes", "damaged_index", "failures")
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0)


@pytest.mark.parametrize("lie", ["everything", "segments"])
def test_control_without_sync_images_are_lost(tmp_path: Path, tell: Tell, lie: str) -> None:
    """Under libeatmydata nothing is synced; with `segments` all but their bytes is, and rows name what is not there."""
    need_disks_of_our_own(fuse=True)
    need_libeatmydata()
    found = cut(tmp_path, 4, "--lie", lie, "--load-s", "2")
    tell(f"control, no sync of {lie}", found["cuts"], found["acknowledged"], found["lost"], found["altered"])
    assert found["lost"] + found["altered"] > 0
    if lie == "segments":
        assert found["rows_without_bytes"] > 0

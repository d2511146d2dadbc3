"""A file system that is really full: refused with the right words at both doors, and taken again when there is room."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.privileges import IN_PRIVATE_NAMESPACE, need_disks_of_our_own

ROOT = Path(__file__).resolve().parents[2]
OUT_OF_RESOURCES = 0xA700


@pytest.mark.timeout(600)
def test_a_full_disk_refuses_and_takes_again_without_a_restart(tmp_path: Path) -> None:
    need_disks_of_our_own()
    command = [*IN_PRIVATE_NAMESPACE, sys.executable, "-m", "tests.crash.fill_disk", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found["stored_before"] > 5
    assert set(found["full"]) == {OUT_OF_RESOURCES}
    assert found["full_stow"] == [[507, [OUT_OF_RESOURCES]]] * 2
    assert found["readable_when_full"]
    assert set(found["room"]) == {0}
    assert {status for status, _ in found["room_stow"]} == {200}
    assert found["restarts"] == 0
    after = found["after"]
    assert after["acknowledged"] == after["rows"]
    assert (after["lost"], after["altered"], after["rows_without_bytes"], after["failures"]) == (0, 0, 0, 0)

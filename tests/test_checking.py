"""`pacs check` as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.dicomweb.served import DoorInMemory, archive_under, image, written


def check(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pacs", "check", "--data", str(data), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_a_lost_index_is_made_anew(tmp_path: Path) -> None:
    with archive_under(tmp_path) as services:
        for _ in range(3):
            assert DoorInMemory(*services).post("/studies", written(image())).status_code == 200
    sound = check(tmp_path)
    said = ["looked at 1 of 1 segments, with 3 images", "index and images agree"]
    assert (sound.returncode, sound.stdout.splitlines()) == (0, said)
    for path in tmp_path.glob("index.sqlite*"):
        path.write_bytes(b"no database" * 1000)
    broken = check(tmp_path)
    assert broken.returncode == 1
    assert "Traceback" not in broken.stderr
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    mended = check(tmp_path, "--repair", "--json")
    assert mended.returncode == 0, mended.stderr
    assert json.loads(mended.stdout)["rows_added"] == 3
    assert check(tmp_path).returncode == 0


def test_what_is_being_written_is_not_called_looked_at(tmp_path: Path) -> None:
    with archive_under(tmp_path) as services:
        assert DoorInMemory(*services).post("/studies", written(image())).status_code == 200
        told = check(tmp_path)
    assert told.returncode == 0
    assert told.stdout.splitlines() == [
        "looked at 0 of 1 segments, with 0 images",
        "1 segments are being written; to look at them, too, stop the archive first",
        "index and images agree, as far as they were looked at",
    ]


def test_where_there_is_no_archive(tmp_path: Path) -> None:
    told = check(tmp_path / "nothing")
    assert told.returncode == 1
    assert "there is no archive" in told.stderr
    assert not (tmp_path / "nothing").exists()

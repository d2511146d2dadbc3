"""What an archive that cannot start says: one sentence, what is wrong and what to do, never a traceback."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.privileges import IN_PRIVATE_NAMESPACE, need_disks_of_our_own
from tests.dicomweb.served import archive_under, image, written
from tests.running_archive import RunningArchive

NOBODY = 65534
FULL_DISK = """
set -e
mount -t tmpfs -o size=400k none "$1"
echo > "$1/index.sqlite.lost"
head -c 1000000 /dev/zero > "$1/ballast" || true
shift
exec "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive with one instance in it."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with archive_under(data) as services:
        from tests.dicomweb.served import DoorInMemory

        assert DoorInMemory(*services).post("/studies", written(image())).status_code == 200
    return data


@pytest.fixture
def visible() -> Iterator[Path]:
    """A folder whose parents everybody may enter."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def refusal(data: Path, *before: str) -> str:
    """What `pacs serve` says when it does not start."""
    done = subprocess.run(
        [*before, *RunningArchive(data).command()], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("pacs: ")]
    return told


def test_an_index_that_is_garbage(folder: Path) -> None:
    for path in folder.glob("index.sqlite*"):
        path.unlink()
    (folder / "index.sqlite").write_bytes(b"no database, although long enough to be looked at" * 100)
    told = refusal(folder)
    assert f"the index {folder}/index.sqlite is damaged" in told
    assert "pacs check --repair" in told


def test_an_index_with_a_damaged_page(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "index.sqlite")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")
    with (folder / "index.sqlite").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    assert "is damaged" in refusal(folder)


def test_an_index_newer_than_the_program(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "index.sqlite")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    told = refusal(folder)
    assert "written by a newer version of this program" in told
    assert "9999" in told


def test_images_that_are_gone(folder: Path) -> None:
    (folder / "objects").rename(folder / "elsewhere")
    told = refusal(folder)
    assert f"none of the 1 segments of the index is under {folder}/objects" in told
    assert "mounted" in told
    (folder / "objects").mkdir()
    assert "none of the 1 segments" in refusal(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("foreign", [".", "objects", "index.sqlite"])
def test_what_is_not_ours(visible: Path, foreign: str) -> None:
    data = visible / "data"
    data.mkdir()
    with archive_under(data):
        (data / "objects" / "default").mkdir(parents=True)
    for path in [data, *data.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    os.chown(data / foreign, 0, 0)
    (data / foreign).chmod(0o755 if (data / foreign).is_dir() else 0o644)
    told = refusal(data, "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    assert str((data / foreign).resolve()) in told
    assert "belongs to user root, and this runs as user nobody" in told


def test_a_full_disk(tmp_path: Path) -> None:
    need_disks_of_our_own()
    data = tmp_path / "data"
    data.mkdir()
    told = refusal(data, *IN_PRIVATE_NAMESPACE, "sh", "-c", FULL_DISK, sys.argv[0], str(data))
    assert f"no room is left on the disk of {data}" in told

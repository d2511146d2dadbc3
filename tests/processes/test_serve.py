"""`pacs serve` from outside: start, readiness, restart of a dead child, clean end, errors in plain words."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.running_archive import RunningArchive
from tests.waiting import wait_until


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[RunningArchive]:
    with RunningArchive(tmp_path / "data") as running:
        yield running


def test_it_starts_says_where_it_listens_and_ends_cleanly(archive: RunningArchive) -> None:
    assert httpx.get(f"{archive.origin}/health/live").status_code == 200
    wait_until(lambda: bool(archive.events("archive ready")))  # when every process serves, not only one of a kind
    ready = archive.events("archive ready")
    assert ready[0]["http"].endswith(str(archive.http_port))
    assert ready[0]["dicom"].endswith(str(archive.dicom_port))
    assert f"DICOMweb   {archive.dicomweb}" in archive.log.read_text()
    roles = {event["role"] for event in archive.events("process started")}
    assert roles == {"dimse", "web-1", "web-2", "background"}
    pids = [archive.pid_of(role) for role in roles]
    assert archive.stop() == 0
    assert not any(_is_alive(pid) for pid in pids)


@pytest.mark.parametrize("role", ["dimse", "web-1", "background"])
def test_a_child_that_dies_is_started_again(archive: RunningArchive, role: str) -> None:
    first = archive.pid_of(role)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: archive.pid_of(role) != first)
    archive.wait_until_ready()
    assert archive.stop() == 0


def test_children_end_when_the_parent_is_killed(archive: RunningArchive) -> None:
    pids = [archive.pid_of(role) for role in ("dimse", "web-1", "web-2", "background")]
    assert all(map(_is_alive, pids)), "the control: they are seen"
    archive.kill()
    wait_until(lambda: not any(_is_alive(pid) for pid in pids))
    archive.start()


def test_a_folder_is_served_once(archive: RunningArchive, tmp_path: Path) -> None:
    second = RunningArchive(archive.data)
    done = subprocess.run(second.command(), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1
    assert "another archive serves the folder" in done.stderr


def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    archive = RunningArchive(tmp_path / "data")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", archive.dicom_port))
        taken.listen()
        done = subprocess.run(archive.command(), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{archive.dicom_port} (dicom.port)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--http", "8080"], "expected HOST:PORT"),
        (["--dicom", "0.0.0.0:11112"], "dicom.peers"),
        (["--destination", "WORKSTATION"], "expected AET=HOST:PORT"),
        (["--aet", "A" * 17], "dicom.aet"),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path: Path, options: list[str], expected: str) -> None:
    command = [*RunningArchive(tmp_path / "data").command(), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()

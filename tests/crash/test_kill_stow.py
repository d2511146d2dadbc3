"""kill -9 while STOW-RS stores, and again while the next start recovers: what was acknowledged stays."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.synthetic_ct import Slice, part10
from tests.crash.senders import wait_until_each_has
from tests.ingest.small_archive import encoded
from tests.running_archive import RunningArchive
from tests.waiting import wait_until

ROUNDS = int(os.environ.get("PACS_KILL_ROUNDS", "40" if os.environ.get("PACS_SOAK") else "3"))
PARTS = 3
HEADERS = {
    "Content-Type": 'multipart/related; type="application/dicom"; boundary=B',
    "Accept": "application/dicom+json",
}
SERIES = "/studies/1.2.1/series/1.2.2/instances"


class Poster(threading.Thread):
    """Posts three instances at a time until the archive goes away; every third request has a large one."""

    def __init__(self, archive: RunningArchive, first: int) -> None:
        super().__init__()
        self._url = f"{archive.dicomweb}/studies"
        self._next = first
        self.acknowledged: list[int] = []

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while True:
                numbers = range(self._next, self._next + PARTS)
                self._next += PARTS
                body = b"".join(
                    b"--B\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % written(number) for number in numbers
                )
                try:
                    answer = client.post(self._url, content=body + b"--B--\r\n", headers=HEADERS)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    self.acknowledged += numbers


def content_of(number: int) -> bytes:
    return encoded(number, pixel_bytes=1 << 18 if number % 9 == 0 else 4096)


def written(number: int) -> bytes:
    return part10(Slice("", "", f"1.2.3.{number}", "", content_of(number), b""))


def kill_while_it_recovers(archive: RunningArchive, after_s: float) -> None:
    """`after_s` behind the moment when the process that recovers has opened the index."""
    before = len(archive.events("process started"))
    with archive.log.open("ab") as output:
        starting = subprocess.Popen(archive.command(), stdout=output, stderr=output, env=archive._environment)

    def has_begun() -> bool:
        return has_index_open(starting.pid) or len(archive.events("process started")) > before

    try:
        wait_until(has_begun, why="no start got as far as the index")
        time.sleep(after_s)
    finally:
        starting.kill()
        starting.wait()


def has_index_open(process: int) -> bool:
    """Whether a child of `process` has a file of the index open."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return any(
            "/index.sqlite" in str(file.readlink()) for one in children for file in Path(f"/proc/{one}/fd").iterdir()
        )
    except OSError:  # a file or a process that has gone in between
        return False


def lost(archive: RunningArchive, numbers: list[int]) -> list[int]:
    with httpx.Client(headers={"Accept": "application/dicom; transfer-syntax=*"}, timeout=30) as client:
        answers = {number: client.get(f"{archive.dicomweb}{SERIES}/1.2.3.{number}") for number in numbers}
    return [
        number
        for number, answer in answers.items()
        if answer.status_code != 200 or not answer.content.endswith(content_of(number))
    ]


@pytest.mark.timeout(1800)
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    archive = RunningArchive(tmp_path / "data", PACS_INGEST__MEMORY_BYTES_PER_INSTANCE=str(1 << 16)).start()
    acknowledged: list[int] = []
    try:
        for number in range(ROUNDS):
            posters = [Poster(archive, 100_000 * (2 * number + each) + 1) for each in range(2)]
            for poster in posters:
                poster.start()
            wait_until_each_has(PARTS * (2 + number), posters)
            archive.kill()
            for poster in posters:
                poster.join(60)
                acknowledged += poster.acknowledged
            for after_s in (0, 0.05):
                kill_while_it_recovers(archive, after_s)
            archive.start()
        assert len(acknowledged) > 2 * PARTS * ROUNDS
        assert lost(archive, acknowledged) == []
        assert lost(archive, [99_999_999]) == [99_999_999], "the control: the check sees a loss"
        # Never a row without bytes, acknowledged or not.
        found = httpx.get(f"{archive.dicomweb}{SERIES}", params={"limit": 5000}, timeout=60).json()
        kept = [int(one["00080018"]["Value"][0].rpartition(".")[2]) for one in found]
        assert lost(archive, kept) == []
    finally:
        if archive.process is not None:
            archive.stop()

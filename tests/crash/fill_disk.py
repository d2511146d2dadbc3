"""Fill a real, small file system with a working `pacs serve` on it, make room again, and see what it says meanwhile.

    unshare --mount --propagation private python -m tests.crash.fill_disk FOLDER

Prints one line of JSON: statuses of C-STOREs and STOW-RS requests while it was full and after a ballast file was
removed, without a restart; then the archive is started again and all that was acknowledged is read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx

from benchmarks.streaming_sender import StreamingAssociation
from tests.crash.cut_serve import MEMORY_BYTES, check, isolated, kill_all
from tests.crash.recorded_disk import make_ext4, unmount
from tests.crash.senders import Acknowledged, DicomSender, Instances, StowSender, multipart, part10
from tests.running_archive import RunningArchive

DISK_MB = 64
BALLAST_MB = 24


class Sending:
    """Both doors, one request at a time; keeps what was acknowledged."""

    def __init__(self, archive: RunningArchive) -> None:
        self._archive = archive
        self._association = StreamingAssociation("127.0.0.1", archive.dicom_port, "PACS")
        self._dicom, self._stow = DicomSender(archive.dicom_port), StowSender(archive.http_port)

    @property
    def studies(self) -> list[str]:
        return [self._dicom.instances.study, self._stow.instances.study]

    @property
    def acknowledged(self) -> list[Acknowledged]:
        return self._dicom.acknowledged + self._stow.acknowledged

    def store(self, pixel_bytes: int) -> int:
        """Status of one C-STORE."""
        uid, data_set = self._dicom.instances.make(pixel_bytes)
        status = self._association.store(uid, [data_set])
        if status == 0:
            self._dicom.keep(uid, data_set)
        return status

    def stow(self, pixel_bytes: int) -> tuple[int, list[int]]:
        """HTTP status of one STOW-RS request with one instance, and the failure reasons in its body."""
        instances: Instances = self._stow.instances
        uid, data_set = instances.make(pixel_bytes)
        answer = httpx.post(
            f"{self._archive.dicomweb}/studies",
            content=multipart([part10(uid, data_set)]),
            headers={
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=crash',
                "Accept": "application/dicom+json",
            },
            timeout=60,
        )
        if answer.status_code == 200:
            self._stow.keep(uid, data_set)
        failed = answer.json().get("00081198", {}).get("Value", []) if answer.status_code != 200 else []
        return answer.status_code, [item["00081197"]["Value"][0] for item in failed]


def main() -> int:
    folder = Path(sys.argv[1])
    image, data = folder / "small.img", folder / "small"
    data.mkdir()
    make_ext4(image, DISK_MB)
    subprocess.run(["mount", "-o", "loop", image, data], check=True)
    try:
        report = fill(data)
    finally:
        unmount(data)
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


def fill(data: Path) -> dict[str, Any]:
    ballast = data / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, BALLAST_MB << 20)
    archive = RunningArchive(data, PACS_INGEST__MEMORY_BYTES_PER_INSTANCE=str(MEMORY_BYTES), PACS_HTTP__WORKERS="1")
    archive.start()
    report: dict[str, Any] = {}
    try:
        sending = Sending(archive)
        # Large ones until there is no room, then ever smaller ones, so that the index's own file runs out of room too.
        for pixel_bytes in (2_000_000, 200_000, 20_000, 600):
            until_refused(sending, pixel_bytes)
        report["stored_before"] = len(sending.acknowledged)
        report["full"] = [sending.store(size) for size in (2_000_000, 200_000) for _ in range(3)]
        report["full_stow"] = [sending.stow(size) for size in (2_000_000, 200_000)]
        report["readable_when_full"] = readable(archive, sending)
        ballast.unlink()
        report["room"] = [sending.store(size) for size in (2_000_000, 200_000, 600) for _ in range(3)]
        report["room_stow"] = [sending.stow(size) for size in (2_000_000, 200_000)]
    finally:
        kill_all(archive)
    report["restarts"] = len(archive.events("process died"))
    report["after"] = vars(isolated(check, data, sending.acknowledged, sending.studies))
    return report


def until_refused(sending: Sending, pixel_bytes: int) -> None:
    for _ in range(2000):
        if sending.store(pixel_bytes):
            return
        threading.Event().wait(0)
    raise RuntimeError(f"{DISK_MB} MB never became full")


def readable(archive: RunningArchive, sending: Sending) -> bool:
    """Whether a full archive still answers."""
    uid = sending.acknowledged[0].sop_instance_uid
    answer = httpx.get(f"{archive.dicomweb}/instances", params={"SOPInstanceUID": uid}, timeout=30)
    return answer.status_code == 200 and len(answer.json()) == 1


if __name__ == "__main__":
    sys.exit(main())

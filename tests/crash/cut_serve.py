"""Cut the power of a working `pacs serve` again and again, and count what was acknowledged and is not there.

    unshare --mount --propagation private python -m tests.crash.cut_serve FOLDER [--cuts N] [--lie WHAT]

The archive runs on a recorded disk (`tests.crash.recorded_disk`) while senders store over DIMSE and STOW-RS. The
recording gives the disk's content for any moment; for each cut it is mounted and the archive started on it. Half of the
cuts fall right behind an acknowledgement, half anywhere. Controls, which must lose: with `--lie everything` the archive
runs under libeatmydata, whose fsync does nothing; with `--lie segments` only its own sync of segments does nothing, the
index's is real. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from pacs.app import open_archive
from pacs.errors import PacsError
from pacs.settings import Settings
from tests.crash.recorded_disk import Recording, recorded_disk, recording, unmount
from tests.crash.senders import Acknowledged, DicomSender, Sender, StowSender
from tests.running_archive import RunningArchive
from tests.waiting import wait_until

DISK_MB = 512
CUTS_PER_LOAD = 60
ENOUGH = 200
"""Instances acknowledged before the end, however slow the machine: half of the cuts fall anywhere among them."""
MEMORY_BYTES = 256 << 10
LIES = {
    "everything": {"LD_PRELOAD": "libeatmydata.so"},
    "segments": {"PYTHONPATH": str(Path(__file__).with_name("without_sync"))},
}


@dataclass
class Tally:
    """What all cuts together showed."""

    cuts: int = 0
    starts: int = 0
    """Cuts after which the whole `pacs serve` was started; after the others the archive was opened in one process."""
    acknowledged: int = 0
    """Instances acknowledged before a cut, summed over cuts."""
    lost: int = 0
    altered: int = 0
    rows: int = 0
    rows_without_bytes: int = 0
    replayed: int = 0
    """Rows that were missing at the start and were added from the segments."""
    damaged_index: int = 0
    failures: int = 0
    """Archives that did not start."""

    def add(self, other: Tally) -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--load-s", type=float, default=4)
    parser.add_argument("--whole-every", type=int, default=15, help="start the whole `pacs serve` after each N-th cut")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lie", choices=sorted(LIES))
    given = parser.parse_args()
    total = Tally()
    while total.cuts < given.cuts:
        load = given.folder / f"load-{total.cuts}"
        load.mkdir(parents=True)
        wanted = min(CUTS_PER_LOAD, given.cuts - total.cuts)
        total.add(cut_one_load(load, wanted, given.load_s, given.whole_every, given.seed + total.cuts, lie=given.lie))
        subprocess.run(["rm", "-rf", load], check=True)
        sys.stderr.write(f"{total.cuts} cuts, {total.acknowledged} acknowledged, {total.lost} lost\n")
    sys.stdout.write(json.dumps(asdict(total)) + "\n")
    return 0


def cut_one_load(folder: Path, cuts: int, load_s: float, whole_every: int, seed: int, *, lie: str | None) -> Tally:
    """Record one run of senders, then cut it at `cuts` moments."""
    with recorded_disk(folder, DISK_MB) as mounted:
        senders = load(mounted, load_s, lie=lie)
    acknowledged = sorted((one for sender in senders for one in sender.acknowledged), key=lambda one: one.moment)
    studies = [sender.instances.study for sender in senders]
    recorded = recording(folder)
    total = Tally()
    point = folder / "after"
    point.mkdir()
    for cut, image in recorded.images(moments(recorded, acknowledged, cuts, seed), folder, seed=seed):
        until = recorded.entries[cut].moment
        before = [one for one in acknowledged if one.moment < until]
        subprocess.run(["mount", "-o", "loop", image, point], check=True)
        is_whole = total.cuts % whole_every == whole_every - 1
        try:
            if is_whole:
                total.add(start_whole(point, before))
            found = isolated(check, point, before, studies)
            total.add(found)
            if found.failures:  # no archive, no instances
                total.add(Tally(acknowledged=len(before), lost=len(before)))
        finally:
            unmount(point)
        total.cuts += 1
        total.starts += is_whole
    return total


def load(data: Path, load_s: float, *, lie: str | None) -> list[Sender]:
    """Store over three associations and two STOW clients for a while, and until it is enough; then end all at once."""
    environment = {"PACS_INGEST__MEMORY_BYTES_PER_INSTANCE": str(MEMORY_BYTES), "PACS_HTTP__WORKERS": "1"}
    archive = RunningArchive(data, **environment, **LIES.get(lie or "", {}))
    archive.start()
    senders: list[Sender] = [DicomSender(archive.dicom_port) for _ in range(3)]
    senders += [StowSender(archive.http_port) for _ in range(2)]
    for sender in senders:
        sender.start()
    threading.Event().wait(load_s)
    wait_until(lambda: sum(len(one.acknowledged) for one in senders) >= ENOUGH, why="there is no load: too few stored")
    kill_all(archive)
    for sender in senders:
        sender.join(60)
    return senders


def kill_all(archive: RunningArchive) -> None:
    """SIGKILL to parent and children."""
    children = {int(event["pid"]) for event in archive.events("process started")}
    archive.kill()
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def moments(recorded: Recording, acknowledged: Sequence[Acknowledged], count: int, seed: int) -> list[int]:
    """Entries right before which the power fails."""
    chance = random.Random(seed)
    times = [entry.moment for entry in recorded.entries]
    first = min(bisect_right(times, acknowledged[0].moment), len(times) - 1)
    # Where nothing is synced, nothing may reach the disk as long as instances are acknowledged.
    last = max(bisect_right(times, acknowledged[-1].moment) - 1, first)
    cuts = [chance.randint(first, last) for _ in range(count // 2)]
    behind = chance.choices(acknowledged, k=count - len(cuts))
    return cuts + [min(bisect_right(times, one.moment), len(times) - 1) for one in behind]


def isolated(job: Callable[..., Tally], *arguments: Any) -> Tally:
    """Run in a process of its own, which lets go of all files at its end."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def run() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        theirs.send(job(*arguments))

    process = context.Process(target=run)
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return Tally(failures=1)
    finally:
        process.join()


def check(data: Path, acknowledged: Sequence[Acknowledged], studies: Sequence[str]) -> Tally:
    """Open the archive as each of its processes does, and compare all that it has with what was acknowledged."""
    found = Tally(acknowledged=len(acknowledged))
    before = row_count(data)
    archive = open_archive(Settings(data=data))
    found.replayed = row_count(data) - before
    rows = {one.key.sop_instance_uid: one for one in archive.index.instances("default", study_instance_uid=studies)}
    found.rows = len(rows)
    intact = set()
    for uid, row in rows.items():
        try:
            content = archive.store.view(row.location)[row.location.data_set_offset :]
        except PacsError:
            found.rows_without_bytes += 1
            continue
        if hashlib.sha256(content).hexdigest() == row.digest:
            intact.add((uid, row.digest))
        else:
            found.rows_without_bytes += 1
    for one in acknowledged:
        if one.sop_instance_uid not in rows:
            found.lost += 1
        elif (one.sop_instance_uid, one.digest) not in intact:
            found.altered += 1
    archive.close()
    with closing(sqlite3.connect(data / "index.sqlite")) as connection:
        found.damaged_index = int(connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok")
    return found


def row_count(data: Path) -> int:
    """Rows of instances; 0 before there is a table."""
    with closing(sqlite3.connect(data / "index.sqlite")) as connection, suppress(sqlite3.OperationalError):
        return int(connection.execute("SELECT count(*) FROM instances").fetchone()[0])
    return 0


def start_whole(data: Path, acknowledged: Sequence[Acknowledged]) -> Tally:
    """Start `pacs serve` on the image, read every acknowledged instance from it, and store again."""
    found = Tally()
    archive = RunningArchive(data, PACS_HTTP__WORKERS="1")
    try:
        archive.start()
        with httpx.Client(timeout=30) as client:
            for one in acknowledged[-200:]:
                rows = client.get(f"{archive.dicomweb}/instances", params={"SOPInstanceUID": one.sop_instance_uid})
                if rows.status_code != 200:
                    found.lost += 1
                    continue
                uids = [rows.json()[0][tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")]
                path = "{}/studies/{}/series/{}/instances/{}".format(archive.dicomweb, *uids)
                answer = client.get(path, headers={"Accept": "application/dicom; transfer-syntax=*"})
                found.altered += answer.status_code != 200 or not is_file_of(answer.content, one.digest)
        again = DicomSender(archive.dicom_port)
        again.start()
        wait_until(lambda: again.acknowledged or not again.is_alive(), why="nothing is stored after the cut")
        again.enough.set()
        again.join(60)
        found.failures += not again.acknowledged
    except AssertionError:
        found.failures += 1
    finally:
        kill_all(archive)
    return found


def is_file_of(file: bytes, digest: str) -> bool:
    """Whether a Part 10 file ends with the data set of this digest (group 0002 tells its own length, PS3.10 §7.1)."""
    if file[128:136] != b"DICM\x02\0\0\0":
        return False
    start = 144 + int.from_bytes(file[140:144], "little")
    return hashlib.sha256(file[start:]).hexdigest() == digest


if __name__ == "__main__":
    sys.exit(main())

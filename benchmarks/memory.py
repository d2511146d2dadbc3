"""Memory of the whole archive while large instances arrive: several associations, each storing one multi-frame at once.

    python -m benchmarks.memory [--associations 8] [--megabytes 2048] [--limit 512] [--folder DIR]

Exits with 1 when the resident memory passed the limit, or an instance was not stored or not read back.

The senders make their pixels on the fly. Every 0.1 s the memory of all processes of `pacs serve` is read from
``/proc/PID/smaps_rollup`` and summed up:

- resident: what the kernel calls RSS, every page mapped, shared ones counted once per process;
- proportional (PSS): the same with each shared page divided among those who share it, so that it adds up;
- anonymous: what cannot be dropped, the process's own data. The rest are pages of files: programs, and segments that
  are being read, which the kernel takes back whenever it wants.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from pydicom.uid import generate_uid

from benchmarks.free_port import free_port
from benchmarks.measure import machine
from benchmarks.peers import running
from benchmarks.streaming_sender import StreamingAssociation
from benchmarks.synthetic_ct import make_series

LIMIT_MB = 512
"""The goal: resident, summed over all processes, whatever the size of what arrives."""
_FRAME_BYTES = 512 * 512 * 2
_FIELDS = {"Rss": "resident", "Pss": "proportional", "Anonymous": "anonymous"}


@dataclass(frozen=True)
class Memory:
    """Megabytes (2**20), summed over processes."""

    resident: float = 0
    proportional: float = 0
    anonymous: float = 0

    def highest(self, other: Memory) -> Memory:
        return Memory(*(max(pair) for pair in zip(asdict(self).values(), asdict(other).values(), strict=True)))


@dataclass(frozen=True)
class MemoryFigures:
    """One run."""

    associations: int
    megabytes: int
    seconds: float
    statuses: tuple[int, ...]
    idle: Memory
    peak: Memory
    """Highest of each, not of one moment."""
    readable: int
    """Instances whose last frame was read back as sent."""

    def missed(self, limit_mb: float) -> list[str]:
        """What was not reached, in words; empty when all were stored, read back, and within `limit_mb` of RSS."""
        found = []
        stored = sum(status == 0 for status in self.statuses)
        if stored < self.associations:
            found.append(f"{stored} of {self.associations} instances were stored")
        if self.readable < self.associations:
            found.append(f"{self.readable} of {self.associations} instances were read back")
        if self.peak.resident > limit_mb:
            found.append(f"{self.peak.resident:.0f} MB were resident; {limit_mb:.0f} are the limit")
        return found


def processes(parent: int) -> list[int]:
    """The process and all that it started, directly or not."""
    found, waiting = [], [parent]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def memory_of(pids: list[int]) -> Memory:
    """What these processes have now."""
    kilobytes = dict.fromkeys(_FIELDS.values(), 0)
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in _FIELDS:
                    kilobytes[_FIELDS[name]] += int(value.split()[0])
    return Memory(**{name: value / 1024 for name, value in kilobytes.items()})


class Watch(threading.Thread):
    """Keeps the peak of each figure until `done`."""

    def __init__(self, parent: int) -> None:
        super().__init__(daemon=True)
        self._parent = parent
        self._over = threading.Event()
        self.peak = Memory()

    def run(self) -> None:
        while not self._over.wait(0.1):
            self.peak = self.peak.highest(memory_of(processes(self._parent)))

    def done(self) -> Memory:
        self._over.set()
        self.join()
        return self.peak


def pixels(megabytes: int, seed: int) -> Iterator[bytes]:
    """Frames of 512 x 512, 16 bit; no two the same."""
    frame = bytearray(bytes((seed * 31 + n * 7) % 251 for n in range(4096)) * (_FRAME_BYTES // 4096))
    for number in range((megabytes << 20) // _FRAME_BYTES):
        frame[:4] = number.to_bytes(4, "little")
        yield bytes(frame)


def multi_frame(megabytes: int, seed: int) -> tuple[tuple[str, str, str], Iterator[bytes]]:
    """(study, series, instance) and the data set's pieces, Explicit VR Little Endian."""
    model = make_series(1, seed=seed)[0]
    head = model.data_set[: model.data_set.rindex(b"\xe0\x7f\x10\x00OW")]
    frames = str((megabytes << 20) // _FRAME_BYTES).encode()
    frames += b" " * (len(frames) % 2)
    before = head.index(b"\x28\x00\x10\x00US")
    uid = str(generate_uid())
    old = model.sop_instance_uid.encode()
    position = head.index(old) - 8
    end = position + 8 + len(old) + len(old) % 2
    value = uid.encode() + b"\0" * (len(uid) % 2)
    number_of_frames = b"\x28\x00\x08\x00IS" + len(frames).to_bytes(2, "little") + frames
    pixel_data = b"\xe0\x7f\x10\x00OW\0\0" + (megabytes << 20).to_bytes(4, "little")
    head = b"".join(
        (
            head[:position],
            head[position : position + 6],
            len(value).to_bytes(2, "little"),
            value,
            head[end:before],
            number_of_frames,
            head[before:],
            pixel_data,
        )
    )

    def pieces() -> Iterator[bytes]:
        yield head
        yield from pixels(megabytes, seed)

    return (model.study_instance_uid, model.series_instance_uid, uid), pieces()


def _send(port: int, megabytes: int, seed: int, answers: multiprocessing.SimpleQueue[tuple[int, tuple[str, str, str]]]):  # type: ignore[no-untyped-def]
    uids, pieces = multi_frame(megabytes, seed)
    with StreamingAssociation("127.0.0.1", port, "PACS", timeout_s=900) as association:
        status = association.store(uids[2], pieces)
        association.release()
    answers.put((status, uids))


def measure_memory(folder: Path, associations: int, megabytes: int) -> MemoryFigures:
    """Start `pacs serve` on an empty folder below `folder` and store over all associations at once.

    Raises:
        RuntimeError: there is not room enough for all instances.
    """
    needed, free = associations * megabytes << 20, shutil.disk_usage(folder).free
    if free < needed + (1 << 30):
        raise RuntimeError(f"{folder} has {free >> 20} MB free; {(needed >> 20) + 1024} are needed")
    http, dicom = free_port(), free_port()
    command = [sys.executable, "-m", "pacs", "serve", "--data", str(folder / "data"), "--aet", "PACS"]
    command += ["--http", f"127.0.0.1:{http}", "--dicom", f"127.0.0.1:{dicom}"]
    context = multiprocessing.get_context("fork")
    with running(command, folder / "pacs.log", f"http://127.0.0.1:{http}/health/ready") as archive:
        idle = memory_of(processes(archive.pid))
        answers = context.SimpleQueue()
        senders = [context.Process(target=_send, args=(dicom, megabytes, n, answers)) for n in range(associations)]
        watch = Watch(archive.pid)
        watch.start()
        started = time.monotonic()
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        seconds = time.monotonic() - started
        peak = watch.done()
        stored = []
        while not answers.empty():
            stored.append(answers.get())
        base = f"http://127.0.0.1:{http}/dicomweb"
        readable = sum(_is_readable(base, uids, megabytes) for _, uids in stored)
    return MemoryFigures(associations, megabytes, seconds, tuple(status for status, _ in stored), idle, peak, readable)


def _is_readable(base: str, uids: tuple[str, str, str], megabytes: int) -> bool:
    """Whether the last frame comes back with its number in front."""
    last = (megabytes << 20) // _FRAME_BYTES
    url = "{}/studies/{}/series/{}/instances/{}/frames/{}".format(base, *uids, last)
    accept = 'multipart/related; type="application/octet-stream"'
    answer = httpx.get(url, headers={"Accept": accept}, timeout=60)
    start = answer.content.find(b"\r\n\r\n") + 4
    return answer.status_code == 200 and answer.content[start : start + 4] == (last - 1).to_bytes(4, "little")


def table(found: MemoryFigures) -> str:
    """Markdown."""
    lines = ["| MB of memory, all processes | resident | proportional | anonymous |", "|---|---:|---:|---:|"]
    for name, figures in (("before", found.idle), ("highest", found.peak)):
        lines.append(f"| {name} | {figures.resident:.0f} | {figures.proportional:.0f} | {figures.anonymous:.0f} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--associations", type=int, default=8)
    parser.add_argument("--megabytes", type=int, default=2048, help="of each instance [2048]")
    parser.add_argument("--folder", type=Path, help="where the archive keeps its data while it is measured")
    parser.add_argument("--limit", type=float, default=LIMIT_MB, help="MB of RSS, all processes together [512]")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = measure_memory(Path(folder), given.associations, given.megabytes)
    if given.json:
        print(json.dumps(asdict(found)))
    else:
        print(", ".join(f"{name} {value}" for name, value in machine().items()))
        stored = sum(status == 0 for status in found.statuses)
        print(
            f"{found.associations} associations at once, one instance of {found.megabytes} MB each: {stored} stored, "
            f"{found.readable} read back, {found.seconds:.0f} s\n\n{table(found)}"
        )
    missed = found.missed(given.limit)
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

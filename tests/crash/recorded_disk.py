"""A block device that writes down every write and every flush it gets, so that the power can be cut at any of them.

The kernel's loop device stands on a file whose only file system is this process (FUSE, spoken here directly: the
mount point is that one file). What ext4 sends to its disk therefore arrives as writes and flushes, in order, and not as
what the page cache of the machine knows. A disk with a volatile cache keeps after a cut every write up to the last
flush, and of the later ones any part; `Recording.image_after` makes such an image for any moment of the run.

Run only in a mount namespace of its own, as root.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import multiprocessing
import os
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_INIT, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _FSYNC = 26, 3, 4, 14, 15, 16, 20
_RELEASE, _FLUSH, _FORGET, _DESTROY = 18, 25, 2, 38
_REGULAR = 0o100600
_MAX_WRITE = 1 << 20
_PIECE = 4096
"""What a disk writes whole or not at all: its physical sector."""
_ENTRY = struct.Struct("<dQI")
"""Moment, offset, length; a flush has length 0."""


@dataclass(frozen=True)
class Entry:
    """One write or flush that reached the disk."""

    moment: float
    """`time.monotonic` when it arrived."""
    offset: int
    length: int
    """0: a flush."""
    position: int
    """Of its bytes in the recording."""


class Recording:
    """What reached the disk since it was empty, in order."""

    def __init__(self, base: Path, file: Path) -> None:
        self._base = base
        self._bytes = file
        self.entries: list[Entry] = []
        with file.open("rb") as recorded:
            while len(head := recorded.read(_ENTRY.size)) == _ENTRY.size:
                moment, offset, length = _ENTRY.unpack(head)
                self.entries.append(Entry(moment, offset, length, recorded.tell()))
                recorded.seek(length, os.SEEK_CUR)

    def images(self, cuts: list[int], into: Path, *, seed: int = 0) -> Iterator[tuple[int, Path]]:
        """Per cut, in order, what the disk holds when the power fails right before that entry arrives."""
        durable = into / "durable.img"
        shutil.copyfile(self._base, durable)
        done = 0
        with self._bytes.open("rb") as recorded:
            for cut in sorted(cuts):
                flushed = max((n for n in range(done, cut) if not self.entries[n].length), default=done)
                with durable.open("r+b") as image:
                    for entry in self.entries[done:flushed]:
                        self._apply(recorded, entry, image, None)
                done = flushed
                after = into / "after.img"
                subprocess.run(["cp", "--sparse=always", durable, after], check=True)
                chance = random.Random(f"{seed}/{cut}")
                with after.open("r+b") as image:
                    for entry in self.entries[done:cut]:
                        self._apply(recorded, entry, image, chance)
                yield cut, after
                after.unlink()
        durable.unlink()

    @staticmethod
    def _apply(recorded, entry: Entry, image, chance: random.Random | None) -> None:
        """Write `entry` to the image; with `chance` only some of its pieces: it lay in the disk's cache."""
        recorded.seek(entry.position)
        content = recorded.read(entry.length)
        if chance is None:
            image.seek(entry.offset)
            image.write(content)
            return
        kept = chance.choice((0.0, 0.5, 1.0))
        for start in range(0, entry.length, _PIECE):
            if chance.random() < kept:
                image.seek(entry.offset + start)
                image.write(content[start : start + _PIECE])


@contextlib.contextmanager
def recorded_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """A mounted ext4 of that size whose every write is recorded in `folder`; read it with `recording` afterwards."""
    base, point, mounted = folder / "base.img", folder / "device.img", folder / "mounted"
    make_ext4(base, size_mb)
    point.touch()
    mounted.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR)
    _mount("recorded", point, "fuse", f"fd={device},rootmode=100000,user_id=0,group_id=0,max_read={_MAX_WRITE}")
    context = multiprocessing.get_context("fork")
    server = context.Process(target=_serve, args=(device, base, folder / "writes.log"), daemon=True)
    server.start()
    os.close(device)
    try:
        loop = subprocess.check_output(["losetup", "--find", "--show", "--direct-io=on", point], text=True).strip()
        try:
            subprocess.run(["mount", loop, mounted], check=True)
        finally:
            # Of a mounted device: it is freed when the last mount ends, also when this process is killed.
            subprocess.run(["losetup", "--detach", loop], check=True)
        try:
            yield mounted
        finally:
            unmount(mounted)
    finally:
        unmount(point)
        server.join(30)


def recording(folder: Path) -> Recording:
    """What `recorded_disk` wrote down in `folder`."""
    return Recording(folder / "base.img", folder / "writes.log")


def make_ext4(image: Path, size_mb: int) -> None:
    """A new file system, finished at once: none of it is made later in the background."""
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", options, image], check=True)


def unmount(point: Path, limit_s: float = 60) -> None:
    """Unmount, as soon as the last process that was killed has let go."""
    deadline = time.monotonic() + limit_s
    while (done := subprocess.run(["umount", point], capture_output=True, text=True)).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{point} cannot be unmounted: {done.stderr}")
        time.sleep(0.05)


def _mount(source: str, target: Path, kind: str, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), os.fsencode(target), kind.encode(), 0, options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {kind}", str(target))


def _serve(device: int, base: Path, log: Path) -> None:
    """Answer the kernel until the file is unmounted. The bytes of the disk are in a file without a name."""
    with base.open("rb") as empty, (log.parent / "live.img").open("w+b") as live, log.open("wb", 1 << 20) as recorded:
        shutil.copyfileobj(empty, live, 1 << 20)
        live.flush()
        Path(live.name).unlink()
        image, size = live.fileno(), base.stat().st_size
        while True:
            try:
                request = os.read(device, _MAX_WRITE + 4096)
            except OSError as problem:
                if problem.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                return
            _, operation, unique = struct.unpack_from("<IIQ", request)
            if operation in (_FORGET, _DESTROY):
                continue
            error, answer = 0, b""
            body = memoryview(request)[40:]
            if operation == _WRITE:
                offset, length = struct.unpack_from("<8xQI", body)
                content = body[40 : 40 + length]
                recorded.write(_ENTRY.pack(time.monotonic(), offset, length))
                recorded.write(content)
                os.pwrite(image, content, offset)
                answer = struct.pack("<II", length, 0)
            elif operation == _READ:
                offset, length = struct.unpack_from("<8xQI", body)
                answer = os.pread(image, length, offset)
            elif operation == _FSYNC:
                recorded.write(_ENTRY.pack(time.monotonic(), 0, 0))
            elif operation == _OPEN:
                answer = struct.pack("<QII", 0, 1, 0)
            elif operation in (_GETATTR, _SETATTR):
                answer = struct.pack("<Q8x", 3600)
                answer += struct.pack("<3Q36x2I12xI4x", 1, size, size // 512, _REGULAR, 1, 4096)
            elif operation == _INIT:
                flags = 1 | 1 << 5 | 1 << 22
                answer = struct.pack("<IIIIHHIIHHI28x", 7, 31, _MAX_WRITE, flags, 64, 48, _MAX_WRITE, 1, 256, 0, 0)
            elif operation not in (_RELEASE, _FLUSH):
                error = errno.ENOSYS
            os.write(device, struct.pack("<IiQ", 16 + len(answer), -error, unique) + answer)

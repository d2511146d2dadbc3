"""Child of the crash tests: stores instances from several threads and says which were acknowledged.

``python -m tests.crash.commit_forever FOLDER FIRST THREADS [CALL N]``: with CALL and N the process kills itself right
before the N-th such call to the disk.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from pathlib import Path

from pacs.storage.disk import Disk
from tests.crash.killed import RUNNING
from tests.ingest.small_archive import encoded, open_place
from tests.storage.faulty_disk import FaultyDisk


def deadly(call: str, number: int) -> Disk:
    left = itertools.count(number - 1, -1)

    def told(name: str) -> None:
        if name == call and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return FaultyDisk(told)


def main() -> None:
    folder, first, threads, *point = sys.argv[1:]
    disk = deadly(point[0], int(point[1])) if point else Disk()
    # Small enough that some instances go through a segment of their own.
    place = open_place(Path(folder), disk=disk, memory_bytes_per_instance=1 << 16)
    place.ingest.recover()
    numbers = itertools.count(int(first))
    os.write(1, RUNNING)

    def send() -> None:
        for number in numbers:
            place.send(content_of(number))
            os.write(1, f"{number}\n".encode())

    for _ in range(int(threads) - 1):
        threading.Thread(target=send).start()
    send()


def content_of(number: int) -> bytes:
    return encoded(number, pixel_bytes=1 << 17 if number % 10 == 3 else 4096)


if __name__ == "__main__":
    main()

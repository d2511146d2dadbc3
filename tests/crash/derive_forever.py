"""Keeps derived objects in several threads, a number printed for each, until it is killed."""

from __future__ import annotations

import itertools
import sys
import threading
from pathlib import Path

from pacs.storage.derived import DerivedStore

THREADS = 4
SIZE_BYTES = 4 << 20
NAMES = 8


def content_of(name: str) -> bytes:
    return name.encode() * (SIZE_BYTES // len(name))


def main(folder: str) -> None:
    store, lock, numbers = DerivedStore(Path(folder)), threading.Lock(), itertools.count(1)

    def work(first: int) -> None:
        for number in itertools.count(first):
            name = f"object {number % NAMES}"
            store.put("default", name, content_of(name))
            with lock:
                sys.stdout.write(f"{next(numbers)}\n")
                sys.stdout.flush()

    for first in range(THREADS):
        threading.Thread(target=work, args=(first,)).start()


if __name__ == "__main__":
    main(sys.argv[1])

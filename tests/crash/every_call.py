"""One store, ended or failed at each of its system calls in turn; afterwards the promise is checked.

    python -m tests.crash.every_call FOLDER {first,next,large} {kill,EIO,ENOSPC} [--every N]

A traced run first tells which calls the thread of one store makes: it receives, and commits what it received. Then,
per call, a new process stores again and strace lets that one call kill it or fail: `kill` at the call's entry, so
that it does not happen; EIO for this one call; ENOSPC from this call on until strace lets go. SQLite's calls are among
them. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pacs.errors import PacsError
from tests.crash.test_kill import lost_or_altered
from tests.ingest.small_archive import Place, encoded, open_place

_NAMES = "openat mkdir unlink unlinkat rename ftruncate fchmod flock close"
_BYTES = "write pwrite64 pwritev pwritev2 fdatasync fsync"
CHANGING = frozenset(f"{_NAMES} {_BYTES}".split())
"""Calls that change what a later start finds, or that let go of it; between others nothing happens."""
FAILING = CHANGING - {"close", "flock", "write"}
"""Calls of which a disk that fails may say so; `write` is used for the log alone."""
_MEMORY_BYTES = 1 << 16
_context = multiprocessing.get_context("fork")


def content_of(number: int, scenario: str) -> bytes:
    return encoded(number, pixel_bytes=1 << 17 if scenario == "large" else 4096)


class Victim:
    """A process that has an archive open and stores what it is told to."""

    def __init__(self, folder: Path, scenario: str) -> None:
        self._pipe, theirs = _context.Pipe()
        self.process = _context.Process(target=_obey, args=(folder, scenario, theirs))
        self.process.start()
        theirs.close()
        self.threads: dict[str, int] = self._pipe.recv()

    def begin(self, number: int) -> None:
        self._pipe.send(number)

    def outcome(self) -> str:
        """ "stored", the name of the error, or "died"."""
        try:
            return str(self._pipe.recv())
        except (EOFError, ConnectionResetError):
            self.process.join()
            return "died"

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self._pipe.close()


def _obey(folder: Path, scenario: str, pipe: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    place = open_place(folder, memory_bytes_per_instance=_MEMORY_BYTES)
    place.ingest.recover()
    pipe.send({"receive": threading.get_native_id()})
    while True:
        number = pipe.recv()
        try:
            place.send(content_of(number, scenario))
        except PacsError as problem:
            pipe.send(type(problem).__name__)
        else:
            pipe.send("stored")


class Strace:
    """strace on threads of a running process, from the constructor's return until `stop`."""

    def __init__(self, threads: list[int], *options: str) -> None:
        attach = [word for thread in threads for word in ("-p", str(thread))]
        self._process = subprocess.Popen(["strace", *options, *attach], stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for _ in threads:
            line = self._process.stderr.readline()
            if "attached" not in line:
                raise RuntimeError(f"strace: {line}")

    def stop(self) -> None:
        """Let go of the threads."""
        assert self._process.stderr is not None
        self._process.send_signal(signal.SIGINT)
        with self._process.stderr:
            self._process.stderr.read()
        self._process.wait()


def calls_of(base: Path, work: Path, scenario: str) -> list[tuple[str, str, int]]:
    """(thread, call, number) of all calls of one store, in no order."""
    folder = fresh(base, work)
    victim = Victim(folder, scenario)
    names = {thread: name for name, thread in victim.threads.items()}
    output = work / "trace"
    trace = Strace(list(names), "-o", str(output), "-e", "signal=none")
    victim.begin(7)
    if victim.outcome() != "stored":
        raise RuntimeError("the traced store failed")
    trace.stop()
    victim.kill()
    seen: Counter[tuple[str, str]] = Counter()
    for line in output.read_text().splitlines():
        # The thread stands in front only when there are several.
        found = re.match(r"(\d+\s+)?([a-z_0-9]+)\(", line)
        thread = int(found[1]) if found and found[1] else next(iter(names))
        if found and thread in names:
            seen[names[thread], found[2]] += 1
    return [(thread, call, n) for (thread, call), count in sorted(seen.items()) for n in range(1, count + 1)]


def fresh(base: Path, work: Path) -> Path:
    folder = work / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    return folder


def prepare(folder: Path, scenario: str) -> list[int]:
    """An archive as the store finds it; with `next` there is a segment to go on with."""
    folder.mkdir()
    place = open_place(folder)
    numbers = [1, 2, 3] if scenario == "next" else []
    for number in numbers:
        place.send(content_of(number, scenario))
    place.close()
    return numbers


def survey(folder: Path, scenario: str, acknowledged: list[int]) -> str:
    """In a process of its own: start again, check all promises, store the same instance again. "" when all is well."""

    def run(pipe: Connection) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            place = open_place(folder, memory_bytes_per_instance=_MEMORY_BYTES)
            place.ingest.recover()
            examine(place, scenario, acknowledged)
            for number in (7, 8, 9):
                place.send(content_of(number, scenario))
            examine(place, scenario, [*acknowledged, 7, 8, 9])
            place.close()
            with closing(sqlite3.connect(folder / "index.sqlite")) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok", "the index is damaged"
        except BaseException as problem:  # noqa: BLE001 -- told to the parent
            pipe.send(f"{type(problem).__name__}: {problem}")
        else:
            pipe.send("")

    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=run, args=(theirs,))
    process.start()
    theirs.close()
    try:
        return str(ours.recv())
    except EOFError:
        return "the check died"
    finally:
        process.join()


def examine(place: Place, scenario: str, acknowledged: list[int]) -> None:
    assert lost_or_altered(place, acknowledged, lambda number: content_of(number, scenario)) == []


def try_one(folder: Path, scenario: str, fault: str, point: tuple[str, str, int]) -> tuple[str, list[int], list[str]]:
    """(outcome of the store with the fault, acknowledged numbers, what is wrong)."""
    thread, call, number = point
    victim = Victim(folder, scenario)
    what = {"kill": f"signal=KILL:when={number}", "EIO": f"error=EIO:when={number}"}
    inject = f"inject={call}:{what.get(fault, f'error={fault}:when={number}+')}"
    trace = Strace([victim.threads[thread]], "-o", os.devnull, "-e", f"trace={call}", "-e", inject)
    victim.begin(7)
    outcome = victim.outcome()
    trace.stop()
    acknowledged, wrong = [7] if outcome == "stored" else [], []
    if outcome != "died":
        # The disk is well again: the same process must take what it refused, and more.
        for again in (7, 8):
            victim.begin(again)
            if (second := victim.outcome()) == "stored":
                acknowledged.append(again)
            else:
                wrong.append(f"instance {again} afterwards: {second}")
    elif fault != "kill":
        wrong.append("the process died")
    victim.kill()
    return outcome, acknowledged, wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("scenario", choices=("first", "next", "large"))
    parser.add_argument("fault", choices=("kill", "EIO", "ENOSPC"))
    parser.add_argument("--every", type=int, default=1, help="only each N-th call")
    parser.add_argument("--all-calls", action="store_true", help="also those that change nothing")
    given = parser.parse_args()
    base, work = given.folder / "base", given.folder / "work"
    work.mkdir(parents=True)
    before = isolated_prepare(base, given.scenario)
    wanted = CHANGING if given.fault == "kill" else FAILING
    points = [one for one in calls_of(base, work, given.scenario) if given.all_calls or one[1] in wanted]
    outcomes: Counter[str] = Counter()
    looked_for = 0
    wrong: dict[str, list[str]] = {}
    started = time.monotonic()
    for point in points[:: given.every]:
        folder = fresh(base, work)
        outcome, acknowledged, problems = try_one(folder, given.scenario, given.fault, point)
        outcomes[outcome] += 1
        looked_for += len(before) + len(set(acknowledged))
        problem = survey(folder, given.scenario, [*before, *acknowledged])
        problems += [problem] if problem else []
        if problems:
            wrong["{} {} {}".format(*point)] = problems
    report: dict[str, Any] = {
        "calls": dict(Counter(f"{thread} {call}" for thread, call, _ in points)),
        "tried": sum(outcomes.values()),
        "acknowledged": looked_for,
        "outcomes": dict(outcomes),
        "wrong": wrong,
        "seconds": round(time.monotonic() - started, 1),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


def isolated_prepare(base: Path, scenario: str) -> list[int]:
    """`prepare` in a process of its own: no thread may be there when victims are forked."""
    process = _context.Process(target=prepare, args=(base, scenario))
    process.start()
    process.join()
    return [1, 2, 3] if scenario == "next" else []


if __name__ == "__main__":
    sys.exit(main())

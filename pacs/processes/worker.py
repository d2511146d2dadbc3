"""One child process of `pacs serve`; started by `pacs.processes.supervisor`, never by hand.

Standard input brings the settings, then the common state, one JSON value per line; its end means the parent is gone.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pacs import log
from pacs.lean_imports import without_pixel_libraries
from pacs.measured.board import Board
from pacs.measured.counts import Counts
from pacs.measured.kinds import kind
from pacs.processes.figures_board import layout_of, room, tell_again_and_again
from pacs.settings import Settings

if TYPE_CHECKING:
    from pacs.app import Archive

_GRACE_S = 15
_COMMITMENT_PAUSE_S = 0.3
"""Between looks for work: whoever asks on an open association waits for the result there."""

_ERASING_PAUSE_S = 5.0
"""Between looks for what is due to be erased."""
_ATTRIBUTES_PAUSE_S = 1.0
"""Between looks for instances whose attributes were made searchable: so long a new one is not found by them."""


_WAITING_WORK_PAUSE_S = 10.0
"""Between looks at what waits; they count rows of work to be done, not of what is kept."""


class State:
    """Which roles of the archive serve now, as the supervisor last said."""

    def __init__(self) -> None:
        self._ready: frozenset[str] = frozenset()

    def is_ready(self) -> bool:
        """Both doors serve: DIMSE, and the web worker that asks."""
        return "dimse" in self._ready

    def follow_parent(self) -> None:
        """Read the parent's lines until they end, then end this process at once: nobody watches it any more."""
        for line in sys.stdin:
            self._ready = frozenset(json.loads(line).get("ready", ()))
        os._exit(1)


def main() -> None:
    role = sys.argv[1]
    settings = Settings.model_validate_json(sys.stdin.readline())
    inherited: list[int] = json.loads(sys.stdin.readline())["inherited"]
    log.configure(process=role, format=settings.log.format, level=settings.log.level)
    state = State()
    threading.Thread(target=state.follow_parent, name="parent", daemon=True).start()
    kind = role.partition("-")[0]
    _allow_many_files()
    try:
        with without_pixel_libraries():
            from pacs.app import open_archive  # noqa: PLC0415

        counts = Counts(Board(inherited[-1], layout_of(settings)), role, settings.budgets)
        archive = open_archive(settings, is_prepared=True, counts=counts)
        try:
            _ROLES[kind](archive, state, inherited)
        finally:
            archive.close()
    except Exception as problem:  # noqa: BLE001 -- the log must say why, whatever it was
        log.failure("process failed", problem, role=role)
        sys.exit(1)


def _allow_many_files() -> None:
    """As many open files as the system allows: a thousand slow senders hold a socket and some a file each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say_ready() -> None:
    # What was loaded stays: every full collection would look through it again, 40 ms in which nobody is answered.
    gc.collect()
    gc.freeze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _run_dimse(archive: Archive, _state: State, inherited: list[int]) -> None:
    from pacs.app import dimse_server  # noqa: PLC0415

    stop = _stop_event()
    server = dimse_server(archive, socket.socket(fileno=inherited[1]))
    server.start()
    tell_again_and_again(archive.counts, server.figures)
    _say_ready()
    stop.wait()
    server.stop(_GRACE_S)


def _run_background(archive: Archive, _state: State, _inherited: list[int]) -> None:
    from pacs.app import commitment_reports  # noqa: PLC0415

    os.nice(10)
    stop = _stop_event()
    reports, commitment = commitment_reports(archive), archive.commitment
    commitment.resume()
    archive.worklist.announce_restart()
    # A thread each: bytes are read while a requester that does not answer is waited for.
    others = [
        threading.Thread(target=_repeat, args=(stop, pause_s, _counted(archive, name, work)), name=name, daemon=True)
        for name, pause_s, work in (
            ("commitment_check", _COMMITMENT_PAUSE_S, lambda: commitment.verify_next(stop.is_set)),
            ("commitment_report", _COMMITMENT_PAUSE_S, lambda: reports.tell_next(stop.is_set)),
            ("searchable_attributes", _ATTRIBUTES_PAUSE_S, archive.attributes.work_once),
            ("erasing", _ERASING_PAUSE_S, archive.deletions.erase_next),
        )
    ]
    for thread in others:
        thread.start()
    tell_again_and_again(
        archive.counts, lambda: {**room(archive.settings.data), **archive.index.waiting_work()}, _WAITING_WORK_PAUSE_S
    )
    _say_ready()
    settle_once = _counted(archive, "settle", lambda: archive.lifecycle.settle_once() > 0)

    def settle() -> bool:
        settle_once()
        commitment.forget()
        archive.worklist.forget()
        return False

    _repeat(stop, min(5.0, max(0.2, archive.settings.lifecycle.settle_after_s / 4)), settle)
    for thread in others:
        thread.join(_GRACE_S)


def _counted(archive: Archive, name: str, work: Callable[[], bool]) -> Callable[[], bool]:
    """`work`, and how long it took when there was any."""
    counts, kind_of_work = archive.counts, kind(name)

    def counted() -> bool:
        started = time.perf_counter()
        try:
            was_any = work()
        except Exception:
            counts.count(kind_of_work, time.perf_counter() - started, 500)
            raise
        if was_any:
            counts.count(kind_of_work, time.perf_counter() - started)
        return was_any

    return counted


def _repeat(stop: threading.Event, pause_s: float, work: Callable[[], bool]) -> None:
    """Call `work` again and again, at once while it says that there may be more."""
    while not stop.is_set():
        is_more = False
        try:
            is_more = work()
        except Exception as problem:  # noqa: BLE001 -- background work is repeated from its tables, never lost
            log.failure("background work failed; it is tried again", problem)
        if not is_more:
            stop.wait(pause_s)


def _run_web(archive: Archive, state: State, inherited: list[int]) -> None:
    from pacs.processes.web_server import run  # noqa: PLC0415 -- the other processes must not carry the web stack

    tell_again_and_again(archive.counts, dict)
    run(archive, state.is_ready, socket.socket(fileno=inherited[1]), _say_ready, grace_s=_GRACE_S)


def _stop_event() -> threading.Event:
    stop = threading.Event()

    def ask(_signal: int, _frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return stop


_ROLES: dict[str, Callable[[Archive, State, list[int]], None]] = {
    "dimse": _run_dimse,
    "web": _run_web,
    "background": _run_background,
}

if __name__ == "__main__":
    main()

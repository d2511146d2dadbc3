"""Starts and watches the processes of one archive: the DIMSE door, the web workers, the background worker.

The parent opens the listening sockets, so that a port in use is said at once and no connection is refused while a
child restarts. Each child gets its settings on standard input, one JSON line, and afterwards the common state; the end
of that pipe means the parent is gone, and the child ends too. On standard output a child says that it is ready.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pacs import log
from pacs.processes.start_problems import whose
from pacs.settings import Settings

STOP_GRACE_S = 25.0
"""How long the children may finish what they have in hand after SIGTERM."""
LOCK_WAIT_S = 10.0
"""How long a new archive waits for the processes of one that was killed to vanish."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


class CannotStart(Exception):
    """The archive cannot be started; the message says why and what to do."""


@dataclass(frozen=True)
class Running:
    """A started process and the two pipes to it."""

    process: subprocess.Popen[str]
    to: IO[str]
    back: IO[str]

    @classmethod
    def start(cls, role: str, inherited: tuple[int, ...]) -> Running:
        to_read, to_write = os.pipe()
        back_read, back_write = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "pacs.processes.worker", role],
            stdin=to_read,
            stdout=back_write,
            pass_fds=inherited,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the parent only, which stops the children in order
        )
        os.close(to_read)
        os.close(back_write)
        return cls(process, os.fdopen(to_write, "w"), os.fdopen(back_read))

    def tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.to.write(line + "\n")
            self.to.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.to.close()
        self.back.close()


@dataclass
class Child:
    """One role that is kept filled."""

    role: str
    inherited: tuple[int, ...] = ()
    """File descriptors its process takes over: folder lock and listening socket."""
    running: Running | None = None
    is_ready: bool = False
    pause_s: float = _FIRST_PAUSE_S
    restart_at: float = 0.0


def listen(host: str, port: int, setting: str, *, wait_s: float = 5.0) -> socket.socket:
    """Open a listening TCP socket; `setting` names it in the error. Waits a little for a predecessor to vanish."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + wait_s
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(512)
        except OSError as problem:
            listener.close()
            if time.monotonic() >= deadline:
                raise CannotStart(
                    f"cannot listen on {host}:{port} ({setting}): {problem.strerror or problem}. "
                    "Is another archive running? Choose another port or end it."
                ) from problem
            time.sleep(0.1)
        else:
            listener.set_inheritable(True)
            return listener


def lock_folder(data: Path) -> IO[bytes]:
    """Take the folder for this archive alone.

    The lock lives as long as any process that inherited it, so an archive whose children still run cannot be doubled.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "serve.lock").open("a+b")
    except OSError as problem:
        why = f"; {whose(data)}" if isinstance(problem, PermissionError) and data.exists() else ""
        raise CannotStart(f"cannot use the folder {data} (data): {problem.strerror or problem}{why}") from problem
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise CannotStart(
                    f"another archive serves the folder {data} already; end it or choose another"
                ) from None
            time.sleep(0.1)
        else:
            os.set_inheritable(lock.fileno(), True)
            return lock


class Supervisor:
    """Keeps one process per role alive until `stop`, and tells all of them which are ready."""

    def __init__(self, settings: Settings, children: list[Child], on_ready: Callable[[], None]) -> None:
        self._settings = settings
        self._children = children
        self._on_ready = on_ready
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._stopping = threading.Event()
        self._was_ready = False

    def stop(self) -> None:
        """Ask for a clean end; safe to call from a signal handler."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b".")

    def run(self) -> int:
        """Run until `stop`; returns the exit status: 0 when every child ended cleanly."""
        for child in self._children:
            self._start(child)
        while not self._stopping.is_set():
            self._look(timeout_s=0.5)
            self._mend()
        return self._end()

    def _start(self, child: Child) -> None:
        running = child.running = Running.start(child.role, child.inherited)
        child.is_ready = False
        running.tell(self._settings.model_dump_json())
        running.tell(json.dumps({"inherited": child.inherited}))
        self._selector.register(running.back, selectors.EVENT_READ, child)
        log.event("process started", role=child.role, pid=running.process.pid)

    def _look(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            child: Child | None = key.data
            if child is None or child.running is None:
                os.read(self._wake_read, 64)
                continue
            line = child.running.back.readline()
            if not line:
                self._selector.unregister(child.running.back)
            elif line.strip() == "ready":
                child.is_ready = True
                child.pause_s = _FIRST_PAUSE_S
                self._announce()

    def _announce(self) -> None:
        """Tell every child which roles serve now: the web workers answer /health/ready from it."""
        state = json.dumps({"ready": sorted(child.role for child in self._children if child.is_ready)})
        for child in self._children:
            if child.running is not None:
                child.running.tell(state)
        if not self._was_ready and all(child.is_ready for child in self._children):
            self._was_ready = True
            self._on_ready()

    def _mend(self) -> None:
        now = time.monotonic()
        for child in self._children:
            running = child.running
            if running is not None and running.process.poll() is not None:
                log.warning(
                    "process died", role=child.role, status=running.process.returncode, again_in_s=child.pause_s
                )
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(running.back)
                running.close()
                child.running, child.is_ready = None, False
                child.restart_at = now + child.pause_s
                child.pause_s = min(child.pause_s * 2, _LONGEST_PAUSE_S)
                self._announce()
            if child.running is None and now >= child.restart_at:
                self._start(child)

    def _end(self) -> int:
        alive = [(child, child.running) for child in self._children if child.running is not None]
        for _, running in alive:
            running.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_S
        status = 0
        for child, running in alive:
            try:
                returned = running.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process did not end in time and is killed", role=child.role, pid=running.process.pid)
                running.process.kill()
                returned = running.process.wait()
            running.close()
            # One that was still starting had nothing in hand, and no handler for the signal yet.
            is_clean = returned == 0 or (returned == -signal.SIGTERM and not child.is_ready)
            status = status or int(not is_clean)
            log.event("process ended", role=child.role, status=returned)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        return status

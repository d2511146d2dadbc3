"""Decoder processes as the archive's process sees them."""

from __future__ import annotations

import array
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from pacs.decoding import messages
from pacs.decoding.messages import Kind, Piece
from pacs.decoding.nursery import ANSWER, END, FORK, REQUEST

_START_S = 120.0
"""For loading everything, on a machine that is busy."""
_KEPT_OF_THE_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV",
)  # fmt: skip
"""A decoder must not know what else stands there, such as the password of the index."""
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Lost(Exception):
    """A decoder did not answer; the message says why, for a sentence that begins with what was decoded."""


class Decoder:
    """One process. For one thread at a time; after `Lost` it is of no use any more."""

    def __init__(self, process: int, connection: socket.socket) -> None:
        self.process = process
        self._connection = connection

    def is_waiting(self) -> bool:
        """Whether it lives and has nothing to say, as one should that was asked nothing."""
        self._connection.settimeout(0)
        try:
            self._connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def ask(self, work: Sequence[Piece], deadline_s: float) -> tuple[Kind, object]:
        """Send a message of `messages.message` and wait for its answer.

        Raises:
            Lost: the process crashed, took longer than `deadline_s`, or answered nonsense.
        """
        # The timeout is of each call; a decoder that answers in drips is found out in between.
        self._connection.settimeout(deadline_s)
        end = time.monotonic() + deadline_s
        try:
            messages.send(self._connection, work)
            self._connection.settimeout(max(0.001, end - time.monotonic()))
            kind, pickled, buffers = messages.receive(self._connection)
        except TimeoutError as problem:
            raise Lost(f"took longer than {deadline_s:g} s (setting decoding.deadline_s)") from problem
        except (messages.Ended, OSError) as problem:
            raise Lost("") from problem
        if time.monotonic() > end + deadline_s:
            raise Lost(f"took longer than {deadline_s:g} s (setting decoding.deadline_s)")
        try:
            return kind, messages.untrusted(pickled, buffers)
        except messages.Ended as problem:
            raise Lost(f"was answered with nonsense: {problem}") from problem

    def close(self) -> None:
        self._connection.close()


class Nursery:
    """The process of `pacs.decoding.nursery`. Thread-safe."""

    def __init__(self, memory_bytes: int, processor_s: float, modules: Sequence[str] = ()) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_START_S)
        kept = {name: os.environ[name] for name in _KEPT_OF_THE_ENVIRONMENT if name in os.environ}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pacs.decoding.nursery", str(memory_bytes), str(processor_s), *modules],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=kept | _ONE_THREAD,
            )

    def decoder(self) -> Decoder:
        """A new one. Raises `Lost` when there is no nursery any more."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = self._ask(REQUEST.pack(FORK, 0), theirs.fileno())
            except Lost:
                ours.close()
                raise
        return Decoder(process, ours)

    def end(self, decoder: Decoder) -> str:
        """End its process if it has not ended yet, and tell how it ended; "" when nobody knows."""
        decoder.close()
        try:
            status = os.waitstatus_to_exitcode(self._ask(REQUEST.pack(END, decoder.process)))
        except (Lost, ValueError):
            return ""
        if status == -signal.SIGXCPU:
            return "took more processor time than one image may (setting decoding.processor_s)"
        return f"ended the decoder ({signal.Signals(-status).name})" if status < 0 else "ended the decoder"

    def close(self) -> None:
        """End it and all of its decoders."""
        self._control.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, request: bytes, descriptor: int | None = None) -> int:
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))] if descriptor else []
        with self._lock, contextlib.suppress(OSError):
            self._control.sendmsg([request], passed)
            answer = self._control.recv(ANSWER.size)
            if len(answer) == ANSWER.size:
                (number,) = ANSWER.unpack(answer)
                return int(number)
        raise Lost("could not be begun: the process that makes decoders has ended")

"""What decoders are given in tests, in place of a codec and a damaged frame."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np


def crash(*_arguments: Any, **_named: Any) -> bytes:
    """As a wild pointer does."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)
    return b""


def give_up() -> None:
    """As the C library does when its heap is damaged."""
    os.abort()


def compute_forever() -> None:
    """As a decoder whose loop does not end."""
    while True:
        pass


def wait_forever() -> None:
    """As a lock that nobody opens: no processor time is used."""
    signal.pause()


def take(size_bytes: int) -> int:
    """As a frame that inflates."""
    return len(bytearray(size_bytes))


def echo(value: Any) -> Any:
    """What it is given."""
    return bytes(value) if isinstance(value, memoryview) else value


def fail(message: str) -> None:
    """As a mistake in our own code."""
    raise ValueError(message)


def compute_for(seconds: float) -> None:
    """As a large frame does."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def leave() -> None:
    """As a library that calls exit."""
    os._exit(3)


def answer_nonsense() -> None:
    """As a decoder that was taken over."""
    os.write(3, struct.pack("<BII", 1, 4, 0) + b"\x80\x05X.")
    signal.pause()


class NoValue:
    """Can be sent to a decoder, and not back."""


def harms(folder: str, parent: int) -> dict[str, str]:
    """What a decoder that was taken over tries, and what came of it: an error's name, or "done"."""
    tries: dict[str, Callable[[], object]] = {
        "raise its limits": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
        "read a file": lambda: os.open(__file__, os.O_RDONLY),
        "read a file in place of another": lambda: (os.close(0), os.open(__file__, os.O_RDONLY)),
        "connect": lambda: socket.create_connection(("127.0.0.1", 1)),
        "open a socket": lambda: socket.socket(socket.AF_UNIX),
        "make a pipe": os.pipe,
        "signal the archive": lambda: os.kill(parent, 0),
        "remove a folder": lambda: Path(folder).rmdir(),
        "run a program": lambda: os.execv("/bin/true", ["true"]),
    }
    found = {}
    for name, attempt in tries.items():
        try:
            attempt()
            found[name] = "done"
        except (OSError, ValueError) as problem:
            found[name] = type(problem).__name__
    return found


def open_files() -> list[int]:
    """Descriptors in use; those are found without opening a folder."""
    found = []
    for descriptor in range(64):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            found.append(descriptor)
    return found


def environment() -> str:
    return repr(dict(os.environ))


def read_on() -> str:
    """A real one: a JPEG-LS frame cut in the middle, on which the codec computes for seconds."""
    ramp = np.add.outer(np.arange(2048), 3 * np.arange(2048)).astype(np.uint16) % 4096
    noise = np.random.default_rng(1).integers(0, 64, ramp.shape, dtype=np.uint16)
    frame = imagecodecs.jpegls_encode(ramp + noise)
    with contextlib.suppress(imagecodecs.JpeglsError):
        imagecodecs.jpegls_decode(frame[: len(frame) // 2])
    return "read to its end"

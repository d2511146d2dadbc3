"""What decoders are given in tests, in place of a codec and a damaged frame."""

from __future__ import annotations

import os
import resource
import signal
from typing import Any


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

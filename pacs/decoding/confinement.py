"""What a decoder process may: compute on what it is sent, and nothing else. Only for a process of one thread."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with(parent: int) -> None:
    """Be killed when the process `parent`, which started this one, ends."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def outlive_signals() -> None:
    """Leave the end to whoever holds the other end of the connection: what asks all to stop would break answers."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def confine(connection: int, memory_bytes: int) -> None:
    """Give away what is not needed: all files but `connection`, further files, processes, privileges and memory.

    `memory_bytes` is the address space on top of what is in use now.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    if connection != 3:
        os.dup2(connection, 3, inheritable=False)
    os.closerange(4, _open_files())
    with contextlib.suppress(OSError):
        # When the machine runs out of memory, this process goes first.
        Path("/proc/self/oom_score_adj").write_text("1000")
    if _libc is not None:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_AS: _address_space() + memory_bytes,
        resource.RLIMIT_NOFILE: 4,
    }
    for what, most in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))


def allow_processor_time(seconds: float) -> None:
    """End this process (SIGXCPU) once it has computed for `seconds` more, rounded up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def _address_space() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 1 << 30
    return pages * resource.getpagesize()


def _open_files() -> int:
    """One more than the highest descriptor in use."""
    try:
        return max(int(name) for name in os.listdir("/proc/self/fd")) + 1  # noqa: PTH208
    except (OSError, ValueError):
        return 1024

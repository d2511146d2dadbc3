"""What a decoder process may: compute on what it is sent, and nothing else. Only for a process of one thread."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

CONNECTION = 3
"""The one file descriptor of a confined process; 0, 1 and 2 are the null device."""

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_NOBODY = 65534
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights on files that a version of Landlock knows, from this version on."""
_TCP_RIGHTS, _TCP_VERSION = 0b11, 4
_SCOPES, _SCOPE_VERSION = 0b11, 6
"""Abstract sockets and signals."""

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with(parent: int) -> None:
    """Be killed when the process `parent`, which started this one, ends; call it after `confine`."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def outlive_signals() -> None:
    """Leave the end to whoever holds the other end of the connection: what asks all to stop would break answers."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def confine(connection: int, memory_bytes: int) -> socket.socket:
    """Give away all files but the socket `connection`, which is returned, and all ways to new ones; bound memory.

    `memory_bytes` is the address space on top of what is in use now. Afterwards no file, socket or pipe can be opened,
    and where the kernel knows Landlock (Linux 5.13, some of it later) no file can be removed, renamed, cut or
    executed, and no other process be traced or signalled. Root becomes nobody.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    if connection != CONNECTION:
        os.dup2(connection, CONNECTION, inheritable=False)
    os.closerange(CONNECTION + 1, _open_files())
    with contextlib.suppress(OSError):
        # When the machine runs out of memory, this process goes first.
        Path("/proc/self/oom_score_adj").write_text("1000")
    address_space = _address_space() + memory_bytes
    confined = socket.socket(fileno=CONNECTION)
    if _libc is not None:
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        _forbid_files(_libc)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_AS: address_space,
        resource.RLIMIT_NOFILE: 0,
    }
    for what, most in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
    if os.geteuid() == 0:
        # Root could take its limits away again.
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    return confined


def allow_processor_time(seconds: float) -> None:
    """End this process (SIGXCPU) once it has computed for `seconds` more, rounded up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def _forbid_files(libc: ctypes.CDLL) -> None:
    """Landlock without a rule: nothing that it knows is allowed."""
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return
    rights = [_FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= version)]]
    if version >= _TCP_VERSION:
        rights.append(_TCP_RIGHTS)
    if version >= _SCOPE_VERSION:
        rights.append(_SCOPES)
    attributes = struct.pack(f"={len(rights)}Q", *rights)
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules >= 0:
        libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0)
        os.close(rules)


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

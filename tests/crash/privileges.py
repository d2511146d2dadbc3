"""What the crash tests need of the machine; where it is missing they are skipped, and say what was missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

IN_PRIVATE_NAMESPACE = (
    *("unshare", "--mount", "--propagation", "private"),
    *("--pid", "--fork", "--kill-child", "--mount-proc"),  # with the first process all others end, and the mounts
)
SOAK = bool(os.environ.get("PACS_SOAK"))


def need_disks_of_our_own(*, fuse: bool = False) -> None:
    """Loop devices and mounts that nobody else sees."""
    missing = [tool for tool in ("unshare", "mount", "losetup", "mkfs.ext4") if not shutil.which(tool)]
    if os.geteuid() != 0:
        missing.append("root")
    elif not Path("/dev/loop-control").exists():
        missing.append("loop devices")
    elif fuse and not Path("/dev/fuse").exists():
        missing.append("/dev/fuse")
    elif not missing and subprocess.run([*IN_PRIVATE_NAMESPACE, "true"], capture_output=True).returncode:
        missing.append("leave to make a mount namespace")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def need_strace() -> None:
    """strace that may trace its own children."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    if subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode:
        pytest.skip("needs leave to trace processes (strace)")


def need_libeatmydata() -> None:
    """The library whose fsync does nothing."""
    tried = subprocess.run(
        ["true"], env={**os.environ, "LD_PRELOAD": "libeatmydata.so"}, capture_output=True, text=True
    )
    if tried.stderr:
        pytest.skip("needs libeatmydata (Debian package eatmydata)")

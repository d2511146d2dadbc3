"""A process that stores until it is killed, and what it had said before."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNNING = b"running\n"
"""Said by a child whose clock is to start here."""


def run_until_killed(
    module: str, *arguments: object, after: int | None = None, after_s: float | None = None
) -> list[int]:
    """Run `module`, which prints a number for each thing acknowledged; the numbers that were printed whole.

    It kills itself or is killed: once it has printed `after` of them, or `after_s` seconds after it said `RUNNING`.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    acknowledged: list[int] = []
    assert child.stdout is not None
    with child.stdout, ExitStack() as stack:
        for line in child.stdout:
            if line == RUNNING.decode():
                if after_s is not None:
                    timer = threading.Timer(after_s, child.kill)
                    timer.start()
                    stack.callback(timer.join)
                continue
            if line.endswith("\n"):
                acknowledged.append(int(line))
            if after is not None and len(acknowledged) == after:
                child.kill()
    assert child.wait() == -9
    return acknowledged

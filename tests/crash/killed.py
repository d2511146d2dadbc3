"""A process that stores until it is killed, and what it had said before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_until_killed(module: str, *arguments: object, after: int | None = None) -> list[int]:
    """Run `module`, which prints a number for each thing acknowledged and kills itself or, once it has printed
    `after` of them, is killed; the numbers that were printed whole."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    acknowledged: list[int] = []
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            if line.endswith("\n"):
                acknowledged.append(int(line))
            if after is not None and len(acknowledged) == after:
                child.kill()
    assert child.wait() == -9
    return acknowledged

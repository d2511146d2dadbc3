"""Memory while large instances arrive is bounded, whatever their size. The whole (8 x 2 GB) is `make soak`'s."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import memory
from benchmarks.memory import LIMIT_MB, Memory, MemoryFigures, measure_memory, memory_of
from tests.crash.privileges import SOAK
from tests.running_archive import OF_THE_TESTS

ASSOCIATIONS, MEGABYTES = (8, 2048) if SOAK else (3, 200)
MEMORY_MB_PER_INSTANCE = 16
"""The default of ``ingest.memory_bytes_per_instance``."""


@pytest.mark.timeout(1800 if SOAK else 600)
def test_memory_does_not_grow_with_what_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_THE_TESTS:
        monkeypatch.delenv(name, raising=False)
    if shutil.disk_usage(tmp_path).free < (ASSOCIATIONS * MEGABYTES + 1024) << 20:
        pytest.skip(f"needs {ASSOCIATIONS * MEGABYTES + 1024} MB of free disk")
    try:
        found = measure_memory(tmp_path, ASSOCIATIONS, MEGABYTES)
    finally:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
    sys.stderr.write(f"{ASSOCIATIONS} x {MEGABYTES} MB: {found.peak.resident:.0f} MB resident at most\n")
    assert found.statuses == (0,) * ASSOCIATIONS
    assert found.readable == ASSOCIATIONS
    # What stays of each association is its buffer; the pages of segments are the kernel's to take back.
    growth = found.peak.anonymous - found.idle.anonymous
    assert growth < ASSOCIATIONS * MEMORY_MB_PER_INSTANCE + 32
    assert found.peak.resident <= LIMIT_MB
    assert found.missed(LIMIT_MB) == []


def test_the_measure_sees_memory() -> None:
    """The control: memory that is really held is seen."""
    before = memory_of([os.getpid()])
    held = bytearray(os.urandom(1 << 20) * 64)
    after = memory_of([os.getpid()])
    assert after.anonymous - before.anonymous > 60
    assert len(held) == 64 << 20


@pytest.mark.parametrize(
    ("statuses", "resident", "readable", "exits", "says"),
    [
        ((0, 0), 512.0, 2, 0, ""),
        ((0, 0), 512.1, 2, 1, "512 MB were resident; 512 are the limit"),
        ((0, 0xA700), 400.0, 1, 1, "1 of 2 instances were stored"),
        ((0,), 400.0, 1, 1, "1 of 2 instances were stored"),  # a sender died
        ((0, 0), 400.0, 1, 1, "1 of 2 instances were read back"),
    ],
)
def test_the_benchmark_fails_when_the_goal_is_missed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    statuses: tuple[int, ...],
    resident: float,
    readable: int,
    exits: int,
    says: str,
) -> None:
    peak = Memory(resident=resident, proportional=300, anonymous=200)
    figures = MemoryFigures(2, 2048, 1.0, statuses, Memory(), peak, readable)
    monkeypatch.setattr(memory, "measure_memory", lambda *_: figures)
    monkeypatch.setattr(sys, "argv", ["memory"])
    assert memory.main() == exits
    assert says in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["memory", "--json", "--limit", "100"])
    assert memory.main() == 1

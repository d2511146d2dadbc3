"""An emergency scanner beside a migration of old data, and in an empty house; the control is without priorities."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest

from benchmarks.dimse_load import store
from benchmarks.synthetic_ct import Slice, make_series
from tests.hostile import migration
from tests.running_archive import RunningArchive
from tests.waiting import wait_until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]

MIGRATING = 16
IMAGES = 40
ROUNDS = 9 if os.environ.get("PACS_SOAK") else 5
MOST_SLOWED = 1.5
EMERGENCY = "EMERGENCY"


@dataclass
class Rounds:
    """Median acknowledgement of the emergency's images in each round, milliseconds."""

    empty_ms: list[float] = field(default_factory=list)
    """Nobody else sends."""
    beside_ms: list[float] = field(default_factory=list)
    """Old data pour in."""
    old_images: list[int] = field(default_factory=list)
    """Acknowledged to the migration while the emergency sent."""

    @property
    def slowed(self) -> float:
        """How many times as long it takes beside the migration, in the median round; a pair had the same machine."""
        return median(beside / empty for beside, empty in zip(self.beside_ms, self.empty_ms, strict=True))


@contextmanager
def _migrating(archive: RunningArchive) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", migration.__name__, str(archive.dicom_port), str(MIGRATING)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _measure(data: Path, peers: list[dict[str, str]]) -> Rounds:
    """In each round the emergency sends twice: while the migration is stopped, and while it goes on."""
    found = Rounds()
    series = [make_series(IMAGES, seed=number) for number in range(2 * ROUNDS)]
    with RunningArchive(data, PACS_DICOM__PEERS=json.dumps(peers)) as archive, _migrating(archive) as migrating:
        for alone, beside in zip(series[::2], series[1::2], strict=True):
            _wait_for_old_images(archive, _old_images(archive) + MIGRATING)
            migrating.send_signal(signal.SIGSTOP)
            _wait_until_quiet(archive)
            found.empty_ms.append(_emergency_ms(archive, alone))
            migrating.send_signal(signal.SIGCONT)
            _wait_for_old_images(archive, _old_images(archive) + MIGRATING)
            before = _old_images(archive)
            found.beside_ms.append(_emergency_ms(archive, beside))
            found.old_images.append(_old_images(archive) - before)
        _wait_for_old_images(archive, _old_images(archive) + MIGRATING)
    return found


def _emergency_ms(archive: RunningArchive, images: list[Slice]) -> float:
    figures = store("127.0.0.1", archive.dicom_port, archive.aet, images, 1, calling_aet=EMERGENCY)
    assert figures.failures == 0
    return median(figures.acknowledgement_ms)


def _old_images(archive: RunningArchive) -> int:
    return sum(event["principal"] == migration.AET for event in archive.events("instance stored"))


def _wait_for_old_images(archive: RunningArchive, count: int) -> None:
    wait_until(lambda: _old_images(archive) >= count, 60)


def _wait_until_quiet(archive: RunningArchive) -> None:
    """What was sent before the migration stopped is stored."""
    seen, waiting = -1, threading.Event()
    while (now := _old_images(archive)) != seen:
        seen = now
        waiting.wait(0.3)


def test_an_emergency_is_not_slowed_by_a_migration(tmp_path: Path) -> None:
    titles = {EMERGENCY: "high", migration.AET: "low"}
    ordered = _measure(
        tmp_path / "ordered", [{"aet": title, "priority": priority} for title, priority in titles.items()]
    )
    control = _measure(tmp_path / "control", [{"aet": title} for title in titles])
    sys.stderr.write(
        f"median acknowledgement: {median(ordered.empty_ms):.1f} ms in an empty house; beside {MIGRATING} migrating "
        f"associations {median(ordered.beside_ms):.1f} ms with priorities ({ordered.slowed:.2f} times), "
        f"{median(control.beside_ms):.1f} ms without ({control.slowed:.2f} times); old images meanwhile "
        f"{ordered.old_images}, without {control.old_images}\n"
    )
    assert ordered.slowed < MOST_SLOWED
    assert sum(ordered.old_images) > 0, "the migration goes on, slowly"
    assert control.slowed > 2 * ordered.slowed, "the control: without priorities it is slowed"

"""An emergency scanner beside a migration of old data; the control is the same without priorities."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

import pytest

from benchmarks.dimse_load import store
from benchmarks.synthetic_ct import make_series
from tests.running_archive import RunningArchive

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]

MIGRATING = 16
IMAGES = 60
ROUNDS = 5 if os.environ.get("PACS_SOAK") else 3


_MIGRATION = """
import sys
from benchmarks.dimse_load import store
from benchmarks.synthetic_ct import make_series
old = make_series(30, seed=1)
while True:
    store("127.0.0.1", int(sys.argv[1]), "PACS", old, int(sys.argv[2]), calling_aet="MIGRATION")
"""


def _median_ms(data: Path, peers: list[dict[str, str]]) -> float:
    """Acknowledgement of the emergency's images while old data pours in, which goes on afterwards."""
    with RunningArchive(data, PACS_DICOM__PEERS=json.dumps(peers)) as archive:
        # A session of its own, so that it ends with all its senders.
        migration = subprocess.Popen(
            [sys.executable, "-c", _MIGRATION, str(archive.dicom_port), str(MIGRATING)],
            start_new_session=True,
            cwd=Path(__file__).parents[2],
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for_old_images(archive, 60)
            before = _old_images(archive)
            medians = []
            for number in range(ROUNDS):
                images = make_series(IMAGES, seed=10 + number)
                figures = store("127.0.0.1", archive.dicom_port, "PACS", images, 1, calling_aet="EMERGENCY")
                assert figures.failures == 0
                medians.append(median(figures.acknowledgement_ms))
            _wait_for_old_images(archive, before + 1)
            return min(medians)
        finally:
            os.killpg(migration.pid, signal.SIGKILL)
            migration.wait()


def _old_images(archive: RunningArchive) -> int:
    stored = archive.events("instance stored") + archive.events("instance was there")
    return sum(event["principal"] == "MIGRATION" for event in stored)


def _wait_for_old_images(archive: RunningArchive, count: int) -> None:
    deadline, waiting = time.monotonic() + 60, threading.Event()
    while _old_images(archive) < count:
        assert time.monotonic() < deadline
        waiting.wait(0.1)


def test_an_emergency_is_not_slowed_by_a_migration(tmp_path: Path) -> None:
    titles = {"EMERGENCY": "high", "MIGRATION": "low"}
    control_ms = _median_ms(tmp_path / "control", [{"aet": title} for title in titles])
    ordered_ms = _median_ms(
        tmp_path / "ordered", [{"aet": title, "priority": priority} for title, priority in titles.items()]
    )
    sys.stderr.write(f"median acknowledgement {ordered_ms:.1f} ms with priorities, {control_ms:.1f} ms without\n")
    assert ordered_ms < 0.75 * control_ms

"""Under real load: what cannot wait stays quick while the rest gives way, and does not when nothing gives way."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from benchmarks.http_load import HttpFigures, load
from benchmarks.synthetic_ct import Slice, make_series
from pacs.part10.file_meta import write_file_meta
from tests.running_archive import RunningArchive

pytestmark = pytest.mark.alone
GIVES_WAY = ["export", "rendered", "study_metadata", "search_infix", "bulk_data"]
SETTLING_S, STORM_S = 3.5, 6.0
BUDGET_MS = 1
"""About what a frame takes alone; 3 to 6 in the storm, as the median: the storm surely burns it, however fast the
machine. At 4 it once did not."""
FACTOR = 2.0
"""So much longer, at least, 19 of 20 frames take when nothing gives way. Seen: 2.9 to 3.3 times."""
ATTEMPTS = 3
"""A run in which another program took the processor thirty times, once in twenty frames, says nothing."""


@dataclass(frozen=True)
class Storm:
    """What a viewer saw while others asked for much."""

    p50_ms: float
    p95_ms: float
    refused: float
    rendered: HttpFigures


def frame_times(archive: RunningArchive, paths: list[str], seconds: float) -> list[float]:
    """Milliseconds, about 100 requests a second: a viewer that scrolls."""
    connection = http.client.HTTPConnection("127.0.0.1", archive.http_port, timeout=30)
    headers = {"Accept": 'multipart/related; type="application/octet-stream"'}
    times: list[float] = []
    until = time.perf_counter() + seconds
    while (started := time.perf_counter()) < until:
        connection.request("GET", paths[len(times) % len(paths)], headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(max(0.0, 0.01 - (time.perf_counter() - started)))
    connection.close()
    return sorted(times)


@pytest.fixture(autouse=True)
def one_processor() -> Iterator[None]:
    """Archive, viewer and storm share one: with two, frames are quick whatever else is asked."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def storm(data: Path, give_way: list[str]) -> Storm:
    images = make_series(40, seed=7)
    settings = {
        "PACS_HTTP__WORKERS": "1",
        "PACS_BUDGETS__GIVE_WAY": json.dumps(give_way),
        "PACS_BUDGETS__FRAME": str(BUDGET_MS),
        "PACS_BUDGETS__LONGEST_CALM_S": "60",
        "PACS_BUDGETS__CALM_S": "20",
    }
    with RunningArchive(data, **settings) as archive:
        for image in images:
            stored = httpx.post(
                f"{archive.dicomweb}/studies", content=file_of(image), headers={"Content-Type": "application/dicom"}
            )
            assert stored.status_code == 200
        urls = [
            f"/dicomweb/studies/{image.study_instance_uid}/series/{image.series_instance_uid}"
            f"/instances/{image.sop_instance_uid}"
            for image in images
        ]
        frames = [f"{url}/frames/1" for url in urls]
        frame_times(archive, frames, 1.0)  # found once, and kept
        pictures = [f"{url}/rendered?window={40 + step},{400 + step},linear" for step in range(50) for url in urls]
        series = [f"/dicomweb/studies/{images[0].study_instance_uid}/series/{images[0].series_instance_uid}"]
        found: list[HttpFigures] = []

        def others(paths: list[str], connections: int, accept: str) -> None:
            found.append(
                load(
                    archive.origin,
                    paths,
                    headers={"Accept": accept},
                    connections=connections,
                    seconds=SETTLING_S + STORM_S,
                )
            )

        storms = [
            threading.Thread(target=others, args=(pictures, 24, "image/jpeg")),
            threading.Thread(target=others, args=(series, 8, 'multipart/related; type="application/dicom"')),
        ]
        for thread in storms:
            thread.start()
        frame_times(archive, frames, SETTLING_S)
        times = frame_times(archive, frames, STORM_S - 1)
        refused = httpx.get(f"{archive.origin}/metrics").text
        for thread in storms:
            thread.join()
        lines = [line for line in refused.splitlines() if line.startswith("pacs_gave_way_total")]
        return Storm(
            times[len(times) // 2],
            times[len(times) * 95 // 100],
            sum(float(line.rpartition(" ")[2]) for line in lines),
            found[0],
        )


def file_of(image: Slice) -> bytes:
    meta = write_file_meta(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=image.sop_instance_uid,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    return meta + image.data_set


def test_frames_stay_quick_while_others_give_way(tmp_path: Path) -> None:
    for attempt in range(ATTEMPTS):
        control = storm(tmp_path / f"control{attempt}", [])
        defended = storm(tmp_path / f"defended{attempt}", GIVES_WAY)
        print(f"\nnothing gives way: {control}\nothers give way: {defended}")  # noqa: T201
        assert control.refused == 0
        assert defended.refused > 0
        if control.p95_ms > FACTOR * defended.p95_ms:
            return
    pytest.fail(f"{ATTEMPTS} times, 19 of 20 frames were not {FACTOR:g} times as quick as when nothing gives way")

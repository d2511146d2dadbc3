"""The budgets of the settings beside what an archive takes on this machine, in ten seconds.

    python -m benchmarks.budgets [--seconds 1]

40 synthetic CT images are stored over 4 associations; then each kind of request is asked for by `wrk`, closed-loop. The
client's percentiles stand beside the share of answers that the archive itself counted as over budget (``/metrics``).
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks import dimse_load
from benchmarks.http_load import load
from benchmarks.measure import machine
from benchmarks.peers import Peer, our_archive
from benchmarks.synthetic_ct import Slice, make_series
from pacs.budget_settings import BudgetSettings

GROSS = 10
"""So many times its budget no more than one answer in twenty may take."""
_MULTIPART = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


@dataclass(frozen=True)
class Row:
    """One kind of request."""

    kind: str
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    failures: int
    budget_ms: float
    over_percent: float
    """Of the answers that the archive counted."""
    contention: float = 1.0
    """How many times as long as its computing everything takes, because others use the machine, too."""

    @property
    def is_gross_breach(self) -> bool:
        return self.p95_ms > GROSS * self.budget_ms * self.contention or self.failures > 0


def measured(archive: Peer, images: list[Slice], seconds: int) -> Iterator[Row]:
    """Store `images`, then ask; one row after the other."""
    budgets, url = BudgetSettings(), urlsplit(archive.dicomweb)
    origin = f"{url.scheme}://{url.netloc}"
    stored = dimse_load.store(*archive.address, archive.aet, images, 4)
    times = stored.acknowledgement_ms
    p50, p95, p99 = (times[len(times) * percent // 100] for percent in (50, 95, 99))
    yield Row(
        "c_store", stored.per_second, p50, p95, p99, stored.failures, budgets.c_store, _over_percent(origin, "c_store")
    )
    for kind, connections, accept, paths in _questions(url.path, images):
        with httpx.Client(base_url=origin, headers={"accept": accept}, timeout=60) as client:
            for path in paths:
                client.get(path).raise_for_status()  # found, and made, once
        figures = load(origin, paths, headers={"Accept": accept}, connections=connections, seconds=seconds)
        yield Row(
            kind,
            figures.per_second,
            figures.p50_ms,
            figures.p95_ms,
            figures.p99_ms,
            figures.failures,
            getattr(budgets, kind),
            _over_percent(origin, kind),
        )


def _questions(base: str, images: list[Slice]) -> Iterator[tuple[str, int, str, list[str]]]:
    """Kind, connections, Accept and paths."""
    series = f"{base}/studies/{images[0].study_instance_uid}/series/{images[0].series_instance_uid}"
    urls = [f"{series}/instances/{image.sop_instance_uid}" for image in images]
    json, patient = "application/dicom+json", images[0].patient_id
    yield "frame", 16, _MULTIPART, [f"{url}/frames/1" for url in urls]
    yield "thumbnail", 16, "image/jpeg", [f"{url}/thumbnail" for url in urls]
    yield "metadata", 4, json, [f"{series}/metadata"]
    yield "search", 1, json, [f"{base}/studies?PatientID={patient}"]
    yield "search_infix", 1, json, [f"{base}/studies?PatientName=*atient*"]
    yield "rendered", 1, "image/jpeg", [f"{url}/rendered" for url in urls]


def _over_percent(origin: str, kind: str) -> float:
    text = httpx.get(f"{origin}/metrics").text
    over, all_of_them = (
        sum(float(value) for value in re.findall(rf'^{name}\{{[^}}]*kind="{kind}"[^}}]*\}} (\S+)$', text, re.MULTILINE))
        for name in ("pacs_over_budget_total", "pacs_requests_total")
    )
    return 100 * over / all_of_them if all_of_them else 0.0


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| kind | per second | p50 ms | p95 ms | p99 ms | budget ms | over, % of those counted | |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        verdict = "**breach**" if row.is_gross_breach else "" if row.p99_ms <= row.budget_ms else "over"
        lines.append(
            f"| {row.kind} | {row.per_second:,.0f} | {row.p50_ms:.1f} | {row.p95_ms:.1f} | {row.p99_ms:.1f} "
            f"| {row.budget_ms:g} | {row.over_percent:.1f} | {verdict} |"
        )
    return "\n".join(lines)


def report(seconds: int = 1) -> list[Row]:
    """Start an archive in a passing folder and measure it."""
    before = contention()
    with tempfile.TemporaryDirectory() as folder, our_archive(Path(folder)) as archive:
        rows = list(measured(archive, make_series(40, seed=5), seconds))
    most = max(before, contention())
    return [replace(row, contention=most) for row in rows]


def contention(processor_s: float = 0.3) -> float:
    """Time by the clock for each second of computing; 1 on a machine that nobody else uses."""
    started, until = time.perf_counter(), time.process_time() + processor_s
    while time.process_time() < until:
        pass
    return max(1.0, (time.perf_counter() - started) / processor_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=1, help="of each kind of request")
    rows = report(parser.parse_args().seconds)
    print(f"{machine()}; others take {100 - 100 / rows[0].contention:.0f} % of it\n\n{table(rows)}")
    return int(any(row.is_gross_breach for row in rows))


if __name__ == "__main__":
    sys.exit(main())

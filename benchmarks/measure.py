"""Measure one archive: ingest over 1 and 4 associations, QIDO, metadata, frames, rendered, thumbnails.

    python -m benchmarks.measure --dicom 127.0.0.1:11112 --aet PACS --dicomweb http://127.0.0.1:8080/dicomweb

It stores synthetic CT slices (525 KB each) under patient IDs that begin with ``B`` and asks for them again. Everything
runs on one machine, sender and receiver share its cores: compare ratios of one run, not figures of two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import dimse_load, http_load
from benchmarks.synthetic_ct import Slice, make_series

_MULTIPART = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    per_second: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    count: int
    failures: int
    note: str = ""


def measure(
    *, dicom: str, aet: str, dicomweb: str, instances: int = 400, seconds: float = 5.0, connections: int = 16
) -> list[Row]:
    """All measurements of one archive, ingest first."""
    host, _, port = dicom.rpartition(":")
    seed = random.SystemRandom().randrange(1 << 30)
    images = make_series(instances, seed=seed, patients=max(1, instances // 100))
    rows = [
        _store_row(f"C-STORE, {n} association{'s' * (n > 1)}", dimse_load.store(host, int(port), aet, share, n))
        for n, share in ((1, images[: instances // 2]), (4, images[instances // 2 :]))
    ]
    fresh = make_series(instances // 2, seed=seed + 1)
    rows.append(_store_row("C-STORE, storescu unmodified", dimse_load.storescu(host, int(port), aet, fresh)))
    _wait_for_last(dicomweb, images[-1])
    return rows + _web_rows(dicomweb, images, seconds, connections)


def _web_rows(dicomweb: str, images: list[Slice], seconds: float, connections: int) -> list[Row]:
    parts = urlsplit(dicomweb)
    origin, root = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    series = sorted({(image.study_instance_uid, image.series_instance_uid) for image in images})
    instance_paths = [
        f"{root}/studies/{i.study_instance_uid}/series/{i.series_instance_uid}/instances/{i.sop_instance_uid}"
        for i in images
    ]
    random.Random(1).shuffle(instance_paths)
    json_type = {"Accept": "application/dicom+json"}
    plans = (
        ("QIDO by patient ID", [f"{root}/studies?PatientID={i.patient_id}" for i in images], json_type, connections),
        ("QIDO study list, 25", [f"{root}/studies?limit=25"], json_type, connections),
        (
            "metadata, series of 100",
            [f"{root}/studies/{study}/series/{one}/metadata" for study, one in series],
            json_type,
            4,
        ),
        ("frame 512 KB, multipart", [f"{p}/frames/1" for p in instance_paths], {"Accept": _MULTIPART}, connections),
        ("rendered 512 x 512 JPEG", [f"{p}/rendered" for p in instance_paths], {"Accept": "image/jpeg"}, 4),
        ("thumbnail", [f"{p}/thumbnail" for p in instance_paths], {"Accept": "image/jpeg"}, connections),
    )
    rows = []
    for what, paths, headers, at_once in plans:
        # One pass over everything first: a cache that a viewer would find warm is warm for every archive.
        http_load.load(origin, paths, headers=headers, connections=min(4, at_once), seconds=min(2.0, seconds))
        found = http_load.load(origin, paths, headers=headers, connections=at_once, seconds=seconds)
        rows.append(http_row(f"{what}, {at_once} connections", found))
    return rows


def http_row(what: str, found: http_load.HttpFigures) -> Row:
    if found.failures >= found.requests:
        return Row(what, 0, None, None, None, found.requests, found.failures, "no such answer")
    return Row(what, found.per_second, found.p50_ms, found.p95_ms, found.p99_ms, found.requests, found.failures)


def _store_row(what: str, found: dimse_load.StoreFigures) -> Row:
    taken = found.acknowledgement_ms

    def at(share: float) -> float | None:
        return taken[min(len(taken) - 1, int(share * len(taken)))] if taken else None

    return Row(what, found.per_second, at(0.5), at(0.95), at(0.99), found.instances, found.failures)


def _wait_for_last(dicomweb: str, image: Slice, limit_s: float = 60) -> None:
    """Some archives answer before they can be asked; give them time."""
    import httpx  # noqa: PLC0415 -- only the benchmark of a whole archive needs it

    deadline = time.monotonic() + limit_s
    url = f"{dicomweb}/studies/{image.study_instance_uid}/series/{image.series_instance_uid}/instances"
    while True:
        answer = httpx.get(url, params={"SOPInstanceUID": image.sop_instance_uid})
        if answer.status_code == 200 and answer.json():
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{url} never answered the stored instance: {answer.status_code}")
        time.sleep(0.1)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def table(rows: list[Row]) -> str:
    """Markdown, as in `benchmarks/README.md`."""

    def ms(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}" if value >= 1 else f"{value:.2f}"

    lines = ["| what | per second | p50 ms | p95 ms | p99 ms | failures |", "|---|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {row.what} | {row.note or f'{row.per_second:,.0f}'} | {ms(row.p50_ms)} | {ms(row.p95_ms)} "
        f"| {ms(row.p99_ms)} | {row.failures} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dicom", required=True, metavar="HOST:PORT")
    parser.add_argument("--aet", required=True, metavar="TITLE", help="the archive's application entity title")
    parser.add_argument("--dicomweb", required=True, metavar="URL")
    parser.add_argument("--instances", type=int, default=400, help="slices stored per run [400]")
    parser.add_argument("--seconds", type=float, default=5, help="length of each HTTP measurement [5]")
    parser.add_argument("--connections", type=int, default=16, help="HTTP connections at once [16]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    given = parser.parse_args()
    rows = measure(
        dicom=given.dicom,
        aet=given.aet,
        dicomweb=given.dicomweb.rstrip("/"),
        instances=given.instances,
        seconds=given.seconds,
        connections=given.connections,
    )
    print(table(rows))
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=2))
    return 0 if not any(row.failures for row in rows if not row.note) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Metadata of one series of 1,000 CT images: this archive and Orthanc in one run, each alone on the machine in turn.

    python -m benchmarks.metadata [--instances 1000] [--seconds 5]

``arriving`` is the first request after the last image came, in a process that has seen nothing of the series; with
``settled`` the archive was quiet for longer than ``lifecycle.settle_after_s``. gzip is what browsers ask for. Orthanc
makes it anew for each request, so it is asked over one connection.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks import dimse_load, http_load
from benchmarks.measure import Row, http_row, machine, table
from benchmarks.peers import Peer, orthanc, our_archive
from benchmarks.synthetic_ct import Slice, make_series

_JSON = {"Accept": "application/dicom+json"}
_GZIP = {**_JSON, "Accept-Encoding": "gzip"}
_XML = {"Accept": 'multipart/related; type="application/dicom+xml"'}
_XML_GZIP = {**_XML, "Accept-Encoding": "gzip"}
_SETTLE_AFTER_S = 2.0


def measure(peer: Peer, images: list[Slice], seconds: float, *, settles: bool) -> list[Row]:
    """All rows of one archive."""
    found = dimse_load.store(*peer.address, peer.aet, images, 4)
    if found.failures:
        raise RuntimeError(f"{peer.name}: {found.failures} images were not stored")
    parts = urlsplit(peer.dicomweb)
    path = f"{parts.path}/studies/{images[0].study_instance_uid}/series/{images[0].series_instance_uid}/metadata"
    url = f"{parts.scheme}://{parts.netloc}{path}"
    rows = [
        _once("arriving, first request, JSON", url, _GZIP, len(images)),
        _once("arriving, first request, XML", url, _XML_GZIP, len(images)),
    ]
    if settles:
        time.sleep(2 * _SETTLE_AFTER_S + 3)
    origin = f"{parts.scheme}://{parts.netloc}"
    for headers, coding in (
        (_JSON, "JSON, plain"),
        (_GZIP, "JSON, gzip"),
        (_XML, "XML, plain"),
        (_XML_GZIP, "XML, gzip"),
    ):
        for connections in (1, 4, 16) if settles else (1,):
            http_load.load(origin, [path], headers=headers, connections=connections, seconds=min(2.0, seconds))
            figures = http_load.load(origin, [path], headers=headers, connections=connections, seconds=seconds)
            size = figures.bytes // max(1, figures.requests)
            rows.append(http_row(f"settled, {coding}, {size / 1e6:.2f} MB, {connections} connections", figures))
    return rows


def _once(what: str, url: str, headers: dict[str, str], instances: int) -> Row:
    begun = time.perf_counter()
    answer = httpx.get(url, headers=headers, timeout=120)
    taken_ms = (time.perf_counter() - begun) * 1000
    told = answer.content.count(b"</NativeDicomModel>") if headers is _XML_GZIP else len(answer.json())
    if told != instances:
        raise RuntimeError(f"{url} told {told} of {instances} instances")
    return Row(what, 1000 / taken_ms, taken_ms, taken_ms, taken_ms, 1, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=1000, help="images in the series [1000]")
    parser.add_argument("--seconds", type=float, default=5, help="length of each measurement [5]")
    given = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    images = make_series(given.instances, seed=20)
    os.environ["PACS_LIFECYCLE__SETTLE_AFTER_S"] = str(_SETTLE_AFTER_S)
    for start in (our_archive, orthanc):
        with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as peer:
            # Who answers once a second is asked for longer.
            is_ours = start is our_archive
            rows = measure(peer, images, given.seconds * (1 if is_ours else 4), settles=is_ours)
        print(f"\n### {peer.name}\n\n{table(rows)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Start this archive, Orthanc, pynetdicom's server loop, dcmtk's storescp and nginx and measure them in one run.

    python -m benchmarks.side_by_side [--only ingest] [--json FILE]

Ingest: all receivers in turn, several rounds (`ingest_rounds`). HTTP: this archive and Orthanc, each alone. nginx
serves the same frame bytes as plain files: the floor of what serving bytes costs. `peers` says how each is started.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks import http_load, ingest_rounds
from benchmarks.measure import Row, http_row, machine, measure, table
from benchmarks.peers import nginx, orthanc, our_archive, receivers
from benchmarks.synthetic_ct import make_series


def run(*, instances: int, seconds: float, connections: int) -> dict[str, list[Row]]:
    """Measure all that have DICOMweb, each alone on the machine."""
    found: dict[str, list[Row]] = {}
    for start in receivers():
        if start not in (our_archive, orthanc):
            continue
        with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as peer:
            print(f"measuring {peer.name} ...", file=sys.stderr, flush=True)
            found[peer.name] = measure(
                dicom=peer.dicom,
                aet=peer.aet,
                dicomweb=peer.dicomweb,
                instances=instances,
                seconds=seconds,
                connections=connections,
            )
    if shutil.which("nginx"):
        print("measuring nginx ...", file=sys.stderr, flush=True)
        images = make_series(100, seed=7)
        with tempfile.TemporaryDirectory() as folder, nginx(Path(folder), images) as (peer, paths):
            random.Random(1).shuffle(paths)
            figures = http_load.load(peer.dicomweb, paths, headers={}, connections=connections, seconds=seconds)
            found["nginx"] = [http_row(f"frame 512 KB as a file, {connections} connections", figures)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("ingest", "http"), help="a part of the run")
    parser.add_argument("--instances", type=int, default=400, help="for each way of sending, a part of them per round")
    parser.add_argument("--rounds", type=int, default=5, help="of ingest [5]")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    figures: dict[str, object] = {}
    if given.only != "http":
        ingest = ingest_rounds.measure_rounds(receivers(), instances=given.instances // 2, rounds=given.rounds)
        print(
            f"\n### ingest, {given.rounds} rounds of {given.instances // 2}\n\n{ingest_rounds.tables(ingest)}",
            flush=True,
        )
        figures["ingest"] = ingest_rounds.as_json(ingest)
    if given.only != "ingest":
        found = run(instances=given.instances, seconds=given.seconds, connections=given.connections)
        for name, rows in found.items():
            print(f"\n### {name}\n\n{table(rows)}")
        figures |= {name: [asdict(row) for row in rows] for name, rows in found.items()}
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

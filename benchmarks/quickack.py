"""What TCP_QUICKACK, set again after every read, gives to a `storescu` as it is, with Nagle's algorithm.

    python -m benchmarks.quickack [--instances 100] [--rounds 5]

Slices of 128 x 128 (33 KB) and of 512 x 512 (525 KB). Two archives in the same run, in turn; the one without it is made
so for this benchmark alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.ingest_rounds import WAYS, measure_rounds, ratios, tables
from benchmarks.measure import machine
from benchmarks.peers import Peer, our_archive
from benchmarks.synthetic_ct import ROWS

_WITHOUT = Path(__file__).with_name("without_quickack")
NAME = "without TCP_QUICKACK"


@contextmanager
def archive_without(folder: Path) -> Iterator[Peer]:
    """This archive, but for the one call."""
    with our_archive(folder, NAME, PYTHONPATH=str(_WITHOUT)) as peer:
        yield peer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=100, help="of each size in each round [100]")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    failures = 0
    for edge in (128, ROWS):
        found = measure_rounds(
            [our_archive, archive_without], instances=given.instances, rounds=given.rounds, ways=(WAYS[2],), edge=edge
        )
        times = ratios(found, WAYS[2])[NAME][0]
        print(f"\n{edge} x {edge}\n\n{tables(found)}\n\n{times:.1f} times as fast with it", flush=True)
        failures += sum(series.failures for ways in found.values() for series in ways.values())
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

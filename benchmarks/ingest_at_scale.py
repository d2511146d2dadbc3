"""Whether receiving slows down as the archive grows: C-STORE with many studies in the index, and with none.

    python -m benchmarks.ingest_at_scale [--studies 1000000] [--folder FOLDER]

Two archives run with their defaults, one with an index from `synthetic_index`, and take the same images in turn
(`ingest_rounds`). The index is built once and stays in the folder (5 GB for 1,000,000 studies of 3 series with one
instance each; a quarter of an hour); images stored into it are removed at the end, their rows stay.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from benchmarks import ingest_rounds
from benchmarks.ingest_rounds import WAYS, Found
from benchmarks.measure import machine
from benchmarks.peers import Peer, our_archive
from benchmarks.synthetic_index import Contents, build_with_bar
from pacs.storage.segment_name import segment_path
from pacs.storage.tar_record import END_OF_ARCHIVE, padded

GOAL = 0.95
"""Of the rate on an empty index."""


def measure_at_scale(folder: Path, contents: Contents, *, instances: int, rounds: int) -> Found:
    """Figures of the archive with `contents`, then of the empty one; the large one's files are in `folder`."""
    data = folder / contents.name.replace("/", "-") / "data"
    data.mkdir(parents=True, exist_ok=True)
    build_with_bar(f"sqlite:///{data / 'index.sqlite'}", contents)
    _make_hollow_segments(data, contents)
    large = partial(_in_folder, data.parent, f"{contents.studies:,} studies")
    empty = partial(our_archive, name="empty")
    try:
        return ingest_rounds.measure_rounds([large, empty], instances=instances, rounds=rounds, ways=WAYS[:2])
    finally:
        shutil.rmtree(data / "objects", ignore_errors=True)


def _make_hollow_segments(data: Path, contents: Contents) -> None:
    """Sealed files without contents for the segments that the index names: without them an archive does not start."""
    with closing(sqlite3.connect(data / "index.sqlite")) as connection:
        rows = connection.execute("SELECT name, end_offset FROM segments").fetchall()
    for name, end in rows:
        if not name.startswith(contents.segments):
            continue
        path = segment_path(data / "objects", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as hollow:
            hollow.truncate(padded(end) + len(END_OF_ARCHIVE))
        path.chmod(0o400)


@contextmanager
def _in_folder(folder: Path, name: str, _unused: Path) -> Iterator[Peer]:
    with our_archive(folder, name) as peer:
        yield peer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1_000_000)
    parser.add_argument("--instances", type=int, default=200, help="per round and way of sending [200]")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "pacs-at-scale"))
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    contents = Contents(studies=given.studies)
    found = measure_at_scale(given.folder.absolute(), contents, instances=given.instances, rounds=given.rounds)
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    print(f"\n{ingest_rounds.tables(found)}")
    ratios = {way: ingest_rounds.ratios(found, way)["empty"][0] for way in WAYS[:2]}
    print("\n" + ", ".join(f"{way}: {ratio:.0%} of the empty index's rate" for way, ratio in ratios.items()))
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "figures": ingest_rounds.as_json(found)}, indent=2))
    return 0 if min(ratios.values()) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())

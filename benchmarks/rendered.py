"""Rendered frames, 512 x 512 to JPEG, beside Orthanc in one run, and what the hop to a decoder costs.

    python -m benchmarks.rendered [--rounds 3] [--seconds 3] [--connections 8]

Both programs run the whole time and are stopped when it is not their turn, in rounds that alternate (`hot_paths`). The
archive has its defaults: two web workers with two decoders each. It keeps what it answered last, so it is asked in two
ways: for pictures of 40 windows, each run under URLs of its own, so that each is made; and for the same ones again. The
hop is measured without HTTP: the same picture made in this process and by `pacs.decoding`, wall-clock time of one
caller, and processor time of the caller alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pydicom

from benchmarks import dimse_load
from benchmarks.hot_paths import Plan, measure, table
from benchmarks.http_load import HttpFigures
from benchmarks.measure import machine
from benchmarks.peers import ORTHANC_DICOMWEB, Peer, orthanc, our_archive
from benchmarks.synthetic_ct import Slice, make_series
from pacs.decoding.workers import InThisProcess, Workers
from pacs.part10.frame_table import frame_table
from pacs.part10.header import scan
from pacs.pixels.rendering import Rendering, rendered_as
from pacs.settings import DecodingSettings

_IMAGES = 100
_CALLS = 200
_CENTERS = range(20, 100, 2)


class Anew(Plan):
    """Each run asks with a parameter of its own, which means nothing to anybody, so that nothing that was kept of an
    earlier one is given again; within a run there are more pictures than are kept."""

    def run(self, tags: Sequence[str], connections: int, seconds: float) -> HttpFigures:
        paths = [f"{path}&run={time.monotonic_ns()}" for path in self.paths]
        return Plan(self.what, self.who, self.origin, paths, self.accept).run(tags, connections, seconds)


def plans_of(peer: Peer, images: Sequence[Slice]) -> list[Plan]:
    parts = urlsplit(peer.dicomweb)
    paths = [
        f"{parts.path}/studies/{image.study_instance_uid}/series/{image.series_instance_uid}"
        f"/instances/{image.sop_instance_uid}/rendered"
        for image in images
    ]
    windowed = [f"{path}?window={center},400,linear" for center in _CENTERS for path in paths]
    origin = f"{parts.scheme}://{parts.netloc}"
    return [
        Anew("rendered 512 x 512 JPEG, each made", peer.name, origin, windowed, "image/jpeg"),
        Plan("rendered 512 x 512 JPEG, the same 100 again", peer.name, origin, paths, "image/jpeg"),
    ]


def hop() -> str:
    """One picture, made here and there; microseconds."""
    pixels = pydicom.data.get_testdata_file("CT_small.dcm", read=True)
    assert isinstance(pixels, pydicom.FileDataset)
    rows = pixels.pixel_array.repeat(4, axis=0).repeat(4, axis=1)
    pixels.Rows, pixels.Columns = rows.shape
    pixels.PixelData = rows.tobytes()
    stream = pydicom.filebase.DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    pydicom.filewriter.write_dataset(stream, pixels)
    header = scan(stream.getvalue(), "1.2.840.10008.1.2.1")
    ((offset, length),) = frame_table(header).fragments(1)
    frame = (1, (header.buffer[offset : offset + length],))
    workers = Workers(DecodingSettings(workers=1))
    ways: dict[str, Callable[[], object]] = {
        "a picture, in this process": lambda: InThisProcess().run(rendered_as, header, frame, Rendering()),
        "a picture, by a decoder": lambda: workers.run(rendered_as, header, frame, Rendering()),
        "the frame there, nothing done": lambda: workers.run(len, frame),
    }
    lines = ["| what | wall-clock us, median | us of the caller's processor time |", "|---|---:|---:|"]
    for name, way in ways.items():
        way()
        walls, used = [], time.process_time()
        for _ in range(_CALLS):
            start = time.perf_counter()
            way()
            walls.append(time.perf_counter() - start)
        used = (time.process_time() - used) / _CALLS
        lines.append(f"| {name} | {1e6 * statistics.median(walls):.0f} | {1e6 * used:.0f} |")
    workers.close()
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement [3]")
    parser.add_argument("--connections", type=int, default=8)
    given = parser.parse_args()
    given.ingest = False
    images = make_series(_IMAGES, seed=31)
    with contextlib.ExitStack() as stack:

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        archives = [stack.enter_context(our_archive(folder()))]
        if ORTHANC_DICOMWEB.exists():
            archives.append(stack.enter_context(orthanc(folder())))
        peers: list[tuple[Peer, list[Plan]]] = []
        for peer in archives:
            stored = dimse_load.store(*peer.address, peer.aet, images, 4)
            if stored.failures:
                raise RuntimeError(f"{peer.name}: {stored.failures} images were not stored")
            peers.append((peer, plans_of(peer, images)))
        print(", ".join(f"{name} {value}" for name, value in machine().items()), flush=True)
        measure(peers, given, ())
        for peer, _ in peers:
            peer.go_on()
    plans = [plan for _, of_peer in peers for plan in of_peer]
    print(f"{table(plans)}\n\n{hop()}\n\nload {os.getloadavg()[0]:.1f}")
    return 1 if any(each.failures for plan in plans for each in plan.found) else 0


if __name__ == "__main__":
    sys.exit(main())

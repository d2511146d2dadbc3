"""What viewers ask for all the time: frames, thumbnails and 304 answers, beside nginx and Orthanc in one run.

    python -m benchmarks.hot_paths [--rounds 3] [--seconds 3] [--ingest]

Every program runs the whole time and is stopped (SIGSTOP) when it is not its turn; the figures are medians of rounds
that alternate. This archive has one web worker; it answers 304 with two as well, which are its default. nginx sends
the same bytes as files with sendfile, by one worker process and by two, and answers 304 to the same conditional
requests. With ``--ingest`` this archive and Orthanc also receive new images over one association meanwhile, as many as
they take, or ``--arriving`` per second: scanners send 10 to 60 slices per second, for seconds. On a busy
machine rates say little: the processor time that a program took for each request says more, because it does not count
the time in which others ran. Load comes from `wrk`, one thread; see `http_load`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks import dimse_load, http_load
from benchmarks.measure import machine
from benchmarks.peers import ORTHANC_DICOMWEB, Peer, nginx, orthanc, our_archive
from benchmarks.synthetic_ct import Slice, make_series

_MULTIPART = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
_SINGLE = "application/octet-stream"
_JPEG = "image/jpeg"
_TWO_WORKERS = "this archive, 2 web workers"
_IMAGES = 100
_SERIES = 20
"""Studies of one series each for the thumbnails of series and studies; small, so that they are stored quickly."""
_SETTLED_WITHIN_S = 60.0


@dataclass(frozen=True)
class Plan:
    """One kind of request to one program."""

    what: str
    who: str
    origin: str
    paths: Sequence[str]
    accept: str = "*/*"
    is_conditional: bool = False
    found: list[http_load.HttpFigures] = field(default_factory=list)
    processor_us: list[float] = field(default_factory=list)
    """For each request, of all processes of the program."""
    arrived: list[dimse_load.Arrived] = field(default_factory=list)

    def tags(self) -> list[str]:
        """The entity tag of each path, when the requests are to be conditional."""
        if not self.is_conditional:
            return []
        with httpx.Client(base_url=self.origin, headers={"accept": self.accept}) as client:
            return [self._tag(client, path) for path in self.paths]

    def _tag(self, client: httpx.Client, path: str) -> str:
        """A series that has not settled yet has no thumbnail to be kept, so no tag."""
        until = time.monotonic() + _SETTLED_WITHIN_S
        while (answer := client.get(path)).headers.get("etag") is None:
            if time.monotonic() > until:
                raise RuntimeError(f"{self.who}: {path} has no entity tag: {answer.status_code} {answer.text[:200]}")
            time.sleep(0.2)
        return answer.headers["etag"]

    def stored(self) -> str:
        """Images that arrived meanwhile, per second; the median of the rounds."""
        rates = [each.instances / each.seconds for each in self.arrived]
        return f"{statistics.median(rates):,.0f}" if rates else "-"

    def run(self, tags: Sequence[str], connections: int, seconds: float) -> http_load.HttpFigures:
        headers = {"Accept": self.accept}
        return http_load.load(
            self.origin, list(self.paths), headers=headers, connections=connections, seconds=seconds, tags=tags
        )


def plans_of_archive(peer: Peer, images: Sequence[Slice], series: Sequence[Slice]) -> list[Plan]:
    parts = urlsplit(peer.dicomweb)
    origin, root = f"{parts.scheme}://{parts.netloc}", parts.path

    def instance(image: Slice) -> str:
        return (
            f"{root}/studies/{image.study_instance_uid}/series/{image.series_instance_uid}"
            f"/instances/{image.sop_instance_uid}"
        )

    frames = [f"{instance(image)}/frames/1" for image in images]
    found = [Plan("frame 512 KB, multipart", peer.name, origin, frames, _MULTIPART)]
    conditional = Plan("304, frame", peer.name, origin, frames, _MULTIPART, is_conditional=True)
    if peer.name == _TWO_WORKERS:
        return [conditional]
    if peer.name == "Orthanc":
        return found
    thumbnails = [f"{instance(image)}/thumbnail" for image in images]
    of_series = [f"{root}/studies/{i.study_instance_uid}/series/{i.series_instance_uid}/thumbnail" for i in series]
    of_studies = [f"{root}/studies/{i.study_instance_uid}/thumbnail" for i in series]
    return [
        *found,
        Plan("frame 512 KB, single part", peer.name, origin, frames, _SINGLE),
        Plan("thumbnail of an instance", peer.name, origin, thumbnails, _JPEG),
        Plan("thumbnail of a series", peer.name, origin, of_series, _JPEG),
        Plan("thumbnail of a study", peer.name, origin, of_studies, _JPEG),
        conditional,
        Plan("304, thumbnail of a series", peer.name, origin, of_series, _JPEG, is_conditional=True),
    ]


def plans_of_nginx(peer: Peer, paths: Sequence[str]) -> list[Plan]:
    return [
        Plan("frame 512 KB, single part", peer.name, peer.dicomweb, paths),
        Plan("304, frame", peer.name, peer.dicomweb, paths, is_conditional=True),
    ]


def measure(peers: Sequence[tuple[Peer, list[Plan]]], given: argparse.Namespace, pool: Sequence[Slice]) -> None:
    """Fill `found` of all plans."""
    plans = [(peer, plan, plan.tags()) for peer, of_peer in peers for plan in of_peer]
    for peer, _ in peers:
        peer.pause()
    for number in range(given.rounds + 1):
        for what in dict.fromkeys(plan.what for _, plan, _ in plans):
            for peer, plan, tags in plans:
                if plan.what != what:
                    continue
                peer.go_on()
                with _receiving(peer, plan, pool, given):
                    # One round first, not counted: a cache that a viewer would find warm is warm for everybody.
                    used_s = peer.processor_s()
                    figures = plan.run(tags, given.connections, given.seconds if number else 1)
                    used_s = peer.processor_s() - used_s
                peer.pause()
                if number:
                    plan.found.append(figures)
                    plan.processor_us.append(1e6 * used_s / max(1, figures.requests))
        print(f"round {number} of {given.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _receiving(peer: Peer, plan: Plan, pool: Sequence[Slice], given: argparse.Namespace) -> Iterator[None]:
    """New images arrive for the length of the block, when they are to and the program receives any."""
    if not given.ingest or not peer.dicom:
        yield
        return
    with dimse_load.arriving(*peer.address, peer.aet, list(pool), per_second=given.arriving) as arrived:
        yield
    plan.arrived.append(arrived)


def table(plans: Sequence[Plan]) -> str:
    """Markdown, as in `benchmarks/README.md`; medians of the rounds, and the range of rates."""
    lines = [
        "| what | who | per second (range) | p50 ms | p99 ms | processor us for each | stored per second | failures |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for what in dict.fromkeys(plan.what for plan in plans):
        for plan in plans:
            if plan.what != what:
                continue
            rates = [each.per_second for each in plan.found]
            p50, p99 = (statistics.median(getattr(each, name) for each in plan.found) for name in ("p50_ms", "p99_ms"))
            lines.append(
                f"| {what} | {plan.who} | {statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f}) "
                f"| {p50:.2f} | {p99:.2f} | {statistics.median(plan.processor_us):.0f} "
                f"| {plan.stored()} | {sum(each.failures for each in (*plan.found, *plan.arrived))} |"
            )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement [3]")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--ingest", action="store_true", help="archives receive images meanwhile")
    parser.add_argument("--arriving", type=float, default=0, help="of them per second [as many as are taken]")
    parser.add_argument("--only", default="", help="a part of the names of what is measured")
    given = parser.parse_args()
    images = make_series(_IMAGES, seed=31)
    series = make_series(_SERIES * 3, seed=32, patients=_SERIES)
    pool = make_series(200, seed=33) if given.ingest else []
    os.environ |= {"PACS_LIFECYCLE__SETTLE_AFTER_S": "1", "PACS_HTTP__WORKERS": "1"}
    with contextlib.ExitStack() as stack:

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        archives = [stack.enter_context(our_archive(folder()))]
        os.environ["PACS_HTTP__WORKERS"] = "2"
        archives.append(stack.enter_context(our_archive(folder(), _TWO_WORKERS)))
        if ORTHANC_DICOMWEB.exists():
            archives.append(stack.enter_context(orthanc(folder())))
        peers: list[tuple[Peer, list[Plan]]] = []
        for peer in archives:
            stored = dimse_load.store(*peer.address, peer.aet, [*images, *series], 4)
            if stored.failures:
                raise RuntimeError(f"{peer.name}: {stored.failures} images were not stored")
            peers.append((peer, plans_of_archive(peer, images, series)))
        for workers in (1, 2):
            web, paths = stack.enter_context(nginx(folder(), images, workers=workers))
            peers.append((web, plans_of_nginx(web, paths)))
        time.sleep(6)  # series settle
        chosen = [(peer, [plan for plan in plans if given.only in plan.what]) for peer, plans in peers]
        print(", ".join(f"{name} {value}" for name, value in machine().items()), flush=True)
        measure(chosen, given, pool)
        plans = [plan for _, of_peer in chosen for plan in of_peer]
        print(table(plans), flush=True)
        for peer, _ in peers:
            peer.go_on()
    return 1 if any(each.failures for plan in plans for each in plan.found) else 0


if __name__ == "__main__":
    sys.exit(main())

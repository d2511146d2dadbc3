"""C-STORE into several receivers in the same run: all are running, one at a time has the machine, in turn.

The rounds of the receivers alternate and every receiver gets the same images, so that whatever else the machine does
hits all alike. The others are stopped (SIGSTOP) meanwhile, and what a receiver left unwritten in the kernel's memory
is written before the next one's turn.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import dimse_load
from benchmarks.peers import Peer, Start
from benchmarks.synthetic_ct import ROWS, Slice, make_series

_STORESCU_PROBE = 20
_STORESCU_SECONDS = 3.0
"""About how long the unmodified sender runs: with some receivers it takes 40 ms for each image."""


@dataclass
class Series:
    """What one receiver gave for one way of sending, over all rounds."""

    per_second: list[float] = field(default_factory=list)
    acknowledgement_ms: list[float] = field(default_factory=list)
    """Of every image of every round; empty for a sender that does not tell."""
    failures: int = 0

    def add(self, found: dimse_load.StoreFigures) -> None:
        self.per_second.append(found.per_second)
        self.acknowledgement_ms += found.acknowledgement_ms
        self.failures += found.failures

    def at(self, share: float) -> float | None:
        """That percentile of the acknowledgement, milliseconds."""
        taken = sorted(self.acknowledgement_ms)
        return taken[min(len(taken) - 1, int(share * len(taken)))] if taken else None


WAYS = ("1 association", "4 associations", "storescu unmodified")
Found = dict[str, dict[str, Series]]
"""By receiver, then by way of sending; the first receiver is ours."""


def measure_rounds(
    starts: list[Start], *, instances: int, rounds: int, ways: tuple[str, ...] = WAYS, edge: int = ROWS
) -> Found:
    """`rounds` times each receiver in turn; `instances`, of `edge` x `edge` pixels, for each way of sending."""
    images = make_series(instances, seed=secrets.randbelow(1 << 30), patients=max(1, instances // 100), edge=edge)
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        peers = []
        for number, start in enumerate(starts):
            own = Path(folder, str(number))
            own.mkdir()
            peers.append(stack.enter_context(start(own)))
            peers[-1].pause()
            stack.callback(peers[-1].go_on)
        for peer in peers:  # the first images pay for what is made only once
            _turn(peer, {way: Series() for way in ways}, {way: _renamed(images[:20]) for way in ways})
        for number in range(rounds):
            same = {way: _renamed(images) for way in ways}
            turned = peers[number % len(peers) :] + peers[: number % len(peers)]
            for peer in turned:
                print(f"round {number + 1} of {rounds}: {peer.name} ...", file=sys.stderr, flush=True)
                _turn(peer, found.setdefault(peer.name, {way: Series() for way in ways}), same)
        return {peer.name: found[peer.name] for peer in peers}


def _turn(peer: Peer, into: dict[str, Series], images: dict[str, list[Slice]]) -> None:
    os.sync()
    peer.go_on()
    try:
        for way, series in into.items():
            series.add(_send(peer, way, images[way]))
    finally:
        peer.pause()


def _send(peer: Peer, way: str, images: list[Slice]) -> dimse_load.StoreFigures:
    host, port = peer.address
    if way != WAYS[2]:
        return dimse_load.store(host, port, peer.aet, images, 1 if way == WAYS[0] else 4)
    probe = dimse_load.storescu(host, port, peer.aet, images[:_STORESCU_PROBE])
    left = images[_STORESCU_PROBE:][: int(probe.per_second * _STORESCU_SECONDS)]
    return dimse_load.storescu(host, port, peer.aet, left) if left else probe


def _renamed(images: list[Slice]) -> list[Slice]:
    """The same images with UIDs of their own, as long as those before."""
    new_uids: dict[str, str] = {}

    def new(uid: str) -> str:
        if uid not in new_uids:
            digits = str(10**20 + secrets.randbelow(9 * 10**20))[: min(21, len(uid) - 26)]
            new_uids[uid] = uid[: -len(digits)] + digits
        return new_uids[uid]

    renamed = []
    for image in images:
        old = (image.study_instance_uid, image.series_instance_uid, image.sop_instance_uid)
        data_set = image.data_set
        for uid in old:
            data_set = data_set.replace(uid.encode(), new(uid).encode(), 1)
        study, series, sop = map(new, old)
        renamed.append(
            replace(
                image, study_instance_uid=study, series_instance_uid=series, sop_instance_uid=sop, data_set=data_set
            )
        )
    return renamed


def ratios(found: Found, way: str) -> dict[str, tuple[float, float, float]]:
    """Ours to each other receiver: median, least and most over the rounds, round by round."""
    ours, *others = found
    of_each = {}
    for other in others:
        pairs = zip(found[ours][way].per_second, found[other][way].per_second, strict=True)
        per_round = [mine / theirs for mine, theirs in pairs]
        of_each[other] = (median(per_round), min(per_round), max(per_round))
    return of_each


def tables(found: Found) -> str:
    """Markdown: the figures, then ours as a multiple of the others'."""
    lines = ["| C-STORE | receiver | per second (range) | p50 ms | p95 ms | p99 ms | failures |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    ours, *others = found
    ways = list(found[ours])
    for way in ways:
        for name, series in ((name, of_peer[way]) for name, of_peer in found.items()):
            rates = series.per_second
            taken = " | ".join("-" if (ms := series.at(p)) is None else f"{ms:.1f}" for p in (0.5, 0.95, 0.99))
            lines.append(
                f"| {way} | {name} | {median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f}) | {taken} "
                f"| {series.failures} |"
            )
    lines += ["", f"| {ours} / | " + " | ".join(ways) + " |", "|---|" + "---:|" * len(ways)]
    for other in others:
        cells = ("{:.2f} ({:.2f}-{:.2f})".format(*ratios(found, way)[other]) for way in ways)
        lines.append(f"| {other} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def as_json(found: Found) -> dict[str, Any]:
    return {
        name: {
            way: asdict(series) | {"acknowledgement_ms": {str(p): series.at(p) for p in (0.5, 0.95, 0.99)}}
            for way, series in ways.items()
        }
        for name, ways in found.items()
    }

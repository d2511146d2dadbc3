"""Encoding of 512 x 512 slices of 16 bit in every transfer syntax that is made, on one core.

    python -m benchmarks.transcoding [--images FOLDER] [--rounds 7]

Slices are synthetic CT, or the uncompressed single-frame images of that size under FOLDER. Each round goes through all
transfer syntaxes in turn, so that what else the machine does meets all alike. Every frame that is made is decoded again
and compared; the time counts processor time of this process, and only of what stands in the column.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from benchmarks.synthetic_ct import make_series, part10
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, transfer_syntax
from pacs.pixels.decode import decode
from pacs.pixels.description import PixelDescription
from pacs.pixels.encode import HTJ2K_LOSSLESS, LOSSLESS_ENCODABLE
from pacs.pixels.transcode import transcoded_frame, transcoding_obstacle

_MOST_IMAGES = 60


@dataclass
class Measured:
    """One transfer syntax over all rounds."""

    uid: str
    encoding_per_s: list[float] = field(default_factory=list)
    fastest_s: list[float] = field(default_factory=list)
    """Of each image, over the rounds."""
    decoding_per_s: list[float] = field(default_factory=list)
    ratio: float = 0.0


def images(folder: Path | None) -> list[tuple[PixelDescription, bytes]]:
    """Uncompressed frames with what describes them."""
    if folder is None:
        found = [dcmread(io.BytesIO(part10(each))) for each in make_series(20, seed=1)]
    else:
        found = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            try:
                data_set = dcmread(path)
            except (InvalidDicomError, OSError):
                continue
            size = (data_set.get("Rows"), data_set.get("Columns"), data_set.get("BitsAllocated"))
            is_single = int(data_set.get("NumberOfFrames") or 1) == 1
            if size == (512, 512, 16) and is_single and not data_set.file_meta.TransferSyntaxUID.is_encapsulated:
                found.append(data_set)
    if not found:
        raise SystemExit(f"no 512 x 512 images of 16 bit below {folder}")
    step = max(1, len(found) // _MOST_IMAGES)
    return [
        (
            PixelDescription(
                EXPLICIT_VR_LITTLE_ENDIAN,
                each.Rows,
                each.Columns,
                bits_stored=each.BitsStored,
                high_bit=each.HighBit,
                is_signed=each.PixelRepresentation == 1,
            ),
            each.pixel_array.tobytes(),
        )
        for each in found[::step]
    ]


def measure(uid: str, frames: list[tuple[PixelDescription, bytes]], into: Measured) -> None:
    """One round of one transfer syntax. Raises AssertionError when a bit differs."""
    made, times = [], []
    for description, frame in frames:
        started = time.process_time()
        made.append(transcoded_frame(description, (frame,), uid))
        times.append(time.process_time() - started)
    into.encoding_per_s.append(len(frames) / sum(times))
    into.fastest_s = [min(pair) for pair in zip(times, into.fastest_s or times, strict=True)]
    back = []

    def decode_all() -> None:
        for (description, _), frame in zip(frames, made, strict=True):
            described = PixelDescription(
                uid,
                description.rows,
                description.columns,
                bits_stored=description.bits_stored,
                high_bit=description.high_bit,
                is_signed=description.is_signed,
                is_encapsulated=True,
            )
            back.append(decode(described, (frame.data,)).pixels)

    into.decoding_per_s.append(len(frames) / _processor_s(decode_all))
    for (_, frame), pixels in zip(frames, back, strict=True):
        assert np.ascontiguousarray(pixels).tobytes() == frame, f"{uid}: not bit for bit"
    into.ratio = sum(len(frame) for _, frame in frames) / sum(len(frame.data) for frame in made)


def _undisturbed(each: Measured) -> float:
    """Per second, if every image took what it took in its fastest round: what a core does that it has for itself."""
    return len(each.fastest_s) / sum(each.fastest_s)


def _processor_s(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Print the table; ends with 1 when HTJ2K is below `--least`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--least", type=float, default=0.0, help="slices per second that HTJ2K must reach")
    options = parser.parse_args()
    frames = images(options.images)
    all_of_them = [
        Measured(uid)
        for uid in LOSSLESS_ENCODABLE
        if uid != HTJ2K_LOSSLESS and not any(transcoding_obstacle(description, uid) for description, _ in frames)
    ]
    for each in all_of_them:
        measure(each.uid, frames[:2], Measured(each.uid))
    for _ in range(options.rounds):
        for each in all_of_them:
            measure(each.uid, frames, each)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{len(frames)} images, {options.rounds} rounds, load {load}\n")
    print("| transfer syntax | encoded per second and core (range) | undisturbed | decoded again | ratio |")
    print("|---|---:|---:|---:|---:|")
    for each in all_of_them:
        rates = each.encoding_per_s
        print(
            f"| {transfer_syntax(each.uid).name}"
            f" | {statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"
            f" | {_undisturbed(each):,.0f} | {statistics.median(each.decoding_per_s):,.0f} | {each.ratio:.2f} |"
        )
    if _undisturbed(all_of_them[0]) < options.least:
        raise SystemExit(f"{transfer_syntax(all_of_them[0].uid).name} is slower than {options.least:,.0f} per second")


if __name__ == "__main__":
    main()

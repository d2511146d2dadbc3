"""As much of a video as one frame needs is read, and what it does to its decoder is nobody else's matter."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pacs import video_frames
from pacs.decoding.workers import InThisProcess, Workers
from pacs.errors import NotFound, UndecodablePixels
from pacs.part10.header import scan
from pacs.pixels import video_stream
from pacs.pixels.video import measured, rgb_of_ppm, video_frame
from pacs.pixels.video_stream import Excerpt, Missing
from pacs.settings import DecodingSettings
from pacs.video_frames import asked, frame_to_show, number_of_pictures, reading
from tests.pixels.numbered_videos import COLUMNS, FRAMES, H264, KINDS, ROWS, number_on, numbered_video

ROUNDS = 2000 if os.environ.get("PACS_SOAK") else 12
"""Damaged copies of each kind of stream."""


class Counting(InThisProcess):
    """How much was sent, and how often."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def run(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
        if isinstance(arguments[0], Excerpt):
            self.sent.append(sum(len(piece) for _, piece in arguments[0].pieces))
        return super().run(function, *arguments, **named)


def header_of(uid: str, frames: int = FRAMES, rows: int = ROWS, columns: int = COLUMNS) -> Any:
    values = ((0x0002, 3), (0x0010, rows), (0x0011, columns), (0x0100, 8), (0x0101, 8), (0x0102, 7), (0x0103, 0))
    number = str(frames).encode()
    number += b" " * (len(number) % 2)
    elements = [(tag, struct.pack("<HH2sHH", 0x28, tag, b"US", 2, value)) for tag, value in values]
    elements.append((0x0008, struct.pack("<HH2sH", 0x28, 0x0008, b"IS", len(number)) + number))
    head = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    return scan(b"".join(each for _, each in sorted(elements)) + head + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), uid)


def shown(decoding: Any, stream: bytes, uid: str, number: int, *, is_near: bool = False, frames: int = FRAMES) -> int:
    (picture,) = frame_to_show(
        decoding, header_of(uid, frames), lambda _: (memoryview(stream),), number, is_near=is_near
    )
    return number_on(rgb_of_ppm(bytes(picture)))


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_stream_in_many_fragments(kind: str) -> None:
    stream, uid = numbered_video(kind), KINDS[kind][3]
    cuts = sorted({0, len(stream), *random.Random(3).sample(range(len(stream)), 20)})
    fragments = tuple(memoryview(stream)[start:end] for start, end in pairwise(cuts))
    (picture,) = frame_to_show(InThisProcess(), header_of(uid), lambda _: fragments, 17)
    assert number_on(rgb_of_ppm(bytes(picture))) == 16
    read = reading(fragments)
    for start, length in ((0, 5), (cuts[1] - 1, 2), (len(stream) - 3, 9), (0, len(stream)), (len(stream), 4)):
        assert b"".join(read(start, length)) == stream[start : start + length]


@pytest.mark.parametrize("place", ["before", "behind"])
def test_of_gigabytes_with_an_index_little_is_sent(place: str) -> None:
    """A hole of 6 GB between what tells where frames are and the frames."""
    stream, hole = numbered_video("H.264 in MP4"), 6 << 30
    start = stream.index(b"mdat") - 4
    size = struct.unpack_from(">I", stream, start)[0]
    head, data, index = stream[:start], stream[start : start + size], stream[start + size :]
    free = struct.pack(">I4sQ", 1, b"free", hole)
    parts = [(0, head + data + free), (len(head + data) + hole, index)]
    if place == "behind":
        moved = bytearray(index)
        at = moved.index(b"stco")
        (count,) = struct.unpack_from(">I", moved, at + 8)
        # Chunks are beyond 4 GB: a table of larger numbers (co64) in the place of the smaller ones.
        offsets = [each + hole for each in struct.unpack_from(f">{count}I", moved, at + 12)]
        table = struct.pack(f">I4sII{count}Q", 16 + 8 * count, b"co64", 0, count, *offsets)
        moved[at - 4 : at + 12 + 4 * count] = table
        for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            where = moved.index(box) - 4
            struct.pack_into(">I", moved, where, struct.unpack_from(">I", moved, where)[0] + 4 * count)
        before = len(head)
        parts = [(0, head + free), (before + hole, data + bytes(moved))]
    total = parts[1][0] + len(parts[1][1])

    def read(begin: int, length: int) -> list[bytes]:
        found = bytearray(min(length, total - begin))
        for where, content in parts:
            first, last = max(begin, where), min(begin + length, where + len(content))
            if first < last:
                found[first - begin : last - begin] = content[first - where : last - where]
        return [bytes(found)]

    decoding = Counting()
    picture = asked(decoding, total, read, video_frame, transfer_syntax_uid=H264, number=31, rows=ROWS, columns=COLUMNS)
    assert isinstance(picture, bytes) and number_on(rgb_of_ppm(picture)) == 30
    assert decoding.sent[-1] < 4 << 20 and len(decoding.sent) <= 6


def bound(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """So that a stream of more than `most` bytes is a large one."""
    shares = {"WHOLE_BYTES": 4, "MOST_BYTES": 1, "_FIRST_BYTES": 8, "_STEP_BYTES": 16, "_WINDOW_BYTES": 2}
    for name, share in shares.items():
        monkeypatch.setattr(video_frames, name, most // share)
    monkeypatch.setitem(video_stream._OPTIONS, "probesize", "4096")


@pytest.mark.parametrize("kind", ["H.264 in a transport stream", "MPEG-2 in a program stream", "bare MPEG-2"])
def test_of_a_large_stream_without_index_the_beginning_is_exact_and_the_rest_near(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    stream, uid = numbered_video(kind, 250), KINDS[kind][3]
    bound(monkeypatch, len(stream) // 2)
    assert shown(InThisProcess(), stream, uid, 20, frames=250) == 19
    with pytest.raises(UndecodablePixels, match="would have to be read"):
        shown(InThisProcess(), stream, uid, 240, frames=250)
    decoding = Counting()
    assert shown(decoding, stream, uid, 1, frames=250) == 0
    assert sum(decoding.sent) < len(stream) // 2, "of the beginning little is sent"
    decoding = Counting()
    for number in (30, 125, 200, 250):
        assert abs(shown(decoding, stream, uid, number, is_near=True, frames=250) - number) < 80
    assert max(decoding.sent) <= len(stream) // 2


def test_who_asks_for_ever_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bound(monkeypatch, 60 << 10)
    asked_for: list[int] = []

    def greedy(excerpt: Excerpt) -> Missing:
        asked_for.append(sum(len(piece) for _, piece in excerpt.pieces))
        return Missing(int(random.Random(len(asked_for)).random() * excerpt.size))

    with pytest.raises(UndecodablePixels, match="retrieve it as stored"):
        asked(InThisProcess(), 1 << 40, lambda start, length: [b"\0\0\0\x18ftyp"[:length].ljust(length)], greedy)
    assert len(asked_for) <= 24 and max(asked_for) <= 60 << 10
    for nonsense in (-1, 1 << 40, 0):
        with pytest.raises(UndecodablePixels):
            asked(InThisProcess(), 1 << 30, lambda start, length: [bytes(length)], lambda _, n=nonsense: Missing(n))


def test_what_is_no_video_is_as_it_is_stored() -> None:
    header = scan(struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 4), "1.2.840.10008.1.2.1")
    assert frame_to_show(InThisProcess(), header, lambda number: (memoryview(bytes(number)),), 3) == (bytes(3),)
    with pytest.raises(NotFound):
        shown(InThisProcess(), numbered_video("bare H.264"), H264, 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(["40"], 40), ([40], 40), (["x"], 1), ([], 1), (["0"], 1), (["-3"], 1), ([None], 1), (["1e9"], 1)],
)
def test_how_many_pictures_a_video_says_it_has(value: list[Any], expected: int) -> None:
    def instance(attributes: dict[str, Any], stored: int = 1) -> Any:
        return SimpleNamespace(number_of_frames=stored, transfer_syntax_uid=H264, attributes=attributes)

    assert number_of_pictures(instance({"00280008": {"vr": "IS", "Value": value}})) == expected
    assert number_of_pictures(instance({})) == 1
    assert number_of_pictures(instance({}, 0)) == 0


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    made = Workers(DecodingSettings(workers=1))
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_streams_give_a_picture_or_a_reason(workers: Workers, kind: str) -> None:
    """In decoders, where a crash would be one, too; it is none so far."""
    stream, uid, chance = numbered_video(kind), KINDS[kind][3], random.Random(kind)
    outcomes = []
    for _ in range(ROUNDS):
        damaged = bytearray(stream[: chance.randrange(1, len(stream))] if chance.random() < 0.3 else stream)
        for _ in range(chance.randrange(1, 40)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        fragments = (memoryview(damaged),)
        try:
            outcomes.append(len(frame_to_show(workers, header_of(uid), lambda _, all_of=fragments: all_of, 25)[0]))
        except UndecodablePixels as problem:
            assert "ended the decoder" not in str(problem) and "took" not in str(problem), problem
    assert all(size == len(b"P6\n128 96\n255\n") + ROWS * COLUMNS * 3 for size in outcomes)
    assert shown(workers, stream, uid, 25) == 24


def test_frames_that_want_more_memory_than_there_is_cost_nobody_else_anything() -> None:
    large = numbered_video("H.264 in MP4", 2, rows=2400, columns=2400)
    limited = Workers(DecodingSettings(workers=1, memory_bytes=64 << 20))
    try:
        for _ in range(2):
            with pytest.raises(UndecodablePixels):
                frame_to_show(limited, header_of(H264, 2, 2400, 2400), lambda _: (memoryview(large),), 1)
            assert shown(limited, numbered_video("H.264 in MP4"), H264, 9) == 8
    finally:
        limited.close()
    picture = video_frame(Excerpt(len(large), ((0, large),)), H264, 1, 2400, 2400)
    assert isinstance(picture, bytes) and np.shape(rgb_of_ppm(picture)) == (2400, 2400, 3), (
        "the control: it can be shown"
    )


def test_it_is_decoded_where_nothing_can_be_opened(workers: Workers) -> None:
    assert shown(workers, numbered_video("HEVC in a transport stream"), KINDS["HEVC in a transport stream"][3], 9) == 8
    stream, uid = numbered_video("bare MPEG-2"), KINDS["bare MPEG-2"][3]
    found = asked(workers, len(stream), reading((memoryview(stream),)), measured, transfer_syntax_uid=uid)
    assert not isinstance(found, Missing) and (found.media_type, found.frames) == ("video/mpeg", FRAMES)

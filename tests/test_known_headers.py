"""Headers with thousands of nested elements are walked once, in each process."""

from __future__ import annotations

import pickle
import struct

import pytest

from pacs import known_headers
from pacs.known_headers import KnownHeaders
from pacs.part10 import header
from pacs.part10.header import scan

EXPLICIT = "1.2.840.10008.1.2.1"
UNDEFINED = 0xFFFFFFFF


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def sequence(tag: int, items: list[bytes]) -> bytes:
    inside = b"".join(
        struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + item + struct.pack("<HHL", 0xFFFE, 0xE00D, 0) for item in items
    )
    head = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"SQ", 0, UNDEFINED)
    return head + inside + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def multi_frame(frames: int, *, seed: int = 0) -> memoryview:
    """Per-frame functional groups of undefined length, each with the frame's window."""
    groups = [
        sequence(0x00289132, [element(0x00281050, b"DS", b"%06d" % (seed + number))]) for number in range(1, frames + 1)
    ]
    pixels = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 4) + b"\1\2\3\4"
    behind = element(0xFFFCFFFC, b"UN", b"")[:6] + struct.pack("<HL", 0, 2) + b"xx"
    rows = element(0x00280010, b"US", b"\2\0")
    return memoryview(rows + sequence(0x52009230, groups) + pixels + behind)


def centre(found: header.Header, frame: int) -> float | None:
    (voi,) = found.items(0x52009230)[frame - 1].items(0x00289132)
    return voi.number(0x00281050)


def test_it_is_walked_once_and_reads_the_bytes_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[int] = []
    monkeypatch.setattr(known_headers, "scan", lambda *asked: (walks.append(1), scan(*asked))[1])
    known, data_set = KnownHeaders(), multi_frame(600)
    for _ in range(3):
        found = known.header("one", data_set, EXPLICIT)
        assert (found.integer(0x00280010), centre(found, 600)) == (2, 600.0)
    assert len(walks) == 1
    elsewhere = known.header("one", memoryview(bytes(data_set)), EXPLICIT)
    assert centre(elsewhere, 7) == 7.0
    assert centre(known.header("two", multi_frame(600, seed=1000), EXPLICIT), 7) == 1007.0
    assert len(walks) == 2


def test_small_ones_are_not_kept_and_all_together_are_bounded() -> None:
    known = KnownHeaders(most_nested=2_000)
    known.header("small", multi_frame(3), EXPLICIT)
    assert not known._kept
    known.header("too large", multi_frame(3_000), EXPLICIT)
    assert not known._kept
    for number in range(5):
        known.header(str(number), multi_frame(600), EXPLICIT)
    nested = sum(len(each.ends) for each in known._kept.values())
    assert 0 < nested <= 2_000
    assert ("4", EXPLICIT) in known._kept


def test_it_goes_to_another_process_without_being_walked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scan(multi_frame(600), EXPLICIT)
    sent = pickle.dumps(found.__reduce__()[1][1:])
    maker, (buffer, *_) = found.__reduce__()
    monkeypatch.setattr(header, "_scanned", lambda *_: pytest.fail("walked again"))
    arrived = maker(buffer, *pickle.loads(sent))
    assert (arrived.integer(0x00280010), centre(arrived, 600)) == (2, 600.0)
    assert arrived.pixel_data == found.pixel_data
    assert 0xFFFCFFFC in found.elements
    assert 0xFFFCFFFC not in arrived.elements, "what stands behind the pixel data stays behind"

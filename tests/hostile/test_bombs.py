"""Small data sets that would cost much: elements without number, deflated zeros, fragments without number."""

from __future__ import annotations

import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacs.errors import MalformedDataSet, TooLarge
from pacs.ingest import description
from pacs.ingest.description import describe
from pacs.part10 import fragments
from pacs.part10.elements import NestedEnds
from pacs.part10.frame_table import frame_table
from pacs.part10.header import scan
from tests.ingest.small_archive import open_place

EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG = "1.2.840.10008.1.2.4.50"
UNDEFINED = 0xFFFFFFFF


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    length = struct.pack("<HI", 0, len(value)) if vr in (b"OB", b"OW", b"SQ") else struct.pack("<H", len(value))
    return head + length + value


def item(content: bytes = b"") -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def undefined(tag: int, vr: bytes, content: bytes) -> bytes:
    head = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, UNDEFINED)
    return head + content + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def identity(number: int = 9) -> bytes:
    return b"".join(
        element(tag, b"UI", value.encode())
        for tag, value in (
            (0x00080016, "1.2.840.10008.5.1.4.1.1.7"), (0x00080018, f"1.2.{number}"), (0x0020000D, "1.2.1"),
            (0x0020000E, "1.2.2"),
        )
    )  # fmt: skip


def deflated(content: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(content) + deflater.flush()


def test_many_sequences_share_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each within the limit, together far beyond: a 4 GB data set of these would hold a core for minutes."""
    one = undefined(0x00401000, b"SQ", item() * 600)
    two = undefined(0x00401002, b"SQ", item() * 600)
    monkeypatch.setattr(NestedEnds, "left", 1000)
    scan(identity() + one, EXPLICIT)
    with pytest.raises(MalformedDataSet, match="nested elements"):
        scan(identity() + one + two, EXPLICIT)


def test_the_limit_itself_is_a_matter_of_seconds() -> None:
    data_set = identity() + undefined(0x00401000, b"SQ", item(b"") * 3_000_000)
    started = time.process_time()
    with pytest.raises(MalformedDataSet, match="nested elements"):
        scan(data_set, EXPLICIT)
    assert time.process_time() - started < 30


def test_fragments_without_number_are_stored_but_are_no_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "MAX_FRAGMENTS", 100)
    image = b"".join(
        element(tag, b"US", struct.pack("<H", value))
        for tag, value in ((0x00280002, 1), (0x00280010, 1), (0x00280011, 1), (0x00280100, 8))
    )
    for count, frames in ((99, 99), (1000, 0)):
        number = element(0x00280008, b"IS", str(count).encode())
        pixels = undefined(0x7FE00010, b"OB", item() + item(b"ab") * count)
        assert len(frame_table(scan(identity() + number + image + pixels, JPEG))) == frames


def test_a_bomb_is_refused_while_it_inflates() -> None:
    bomb = deflated(identity() + element(0x7FE00010, b"OB", bytes(64 << 20)))
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge, match="max_inflated_bytes"):
        describe(memoryview(bomb), hospital="a", transfer_syntax_uid=DEFLATED, digest="0", max_inflated_bytes=1 << 20)


def test_bombs_at_the_same_time_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = 0, 0
    counting, several = threading.Lock(), threading.Event()

    def counted(*arguments: object, **options: object) -> object:
        nonlocal inside, most
        with counting:
            inside += 1
            most = max(most, inside)
            if inside > 1:
                several.set()
        several.wait(0.1)  # for others to come, or not
        try:
            return scan(*arguments, **options)  # type: ignore[arg-type]
        finally:
            with counting:
                inside -= 1

    monkeypatch.setattr(description, "scan", counted)

    def one(syntax: str) -> None:
        content = identity() if syntax == EXPLICIT else deflated(identity())
        describe(memoryview(content), hospital="a", transfer_syntax_uid=syntax, digest="0", max_inflated_bytes=1 << 20)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, [DEFLATED] * 4))
        assert most == 1
        list(pool.map(one, [EXPLICIT] * 4))
        assert most > 1, "the control: others are not held up"


def test_frames_of_one_deflated_instance_inflate_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pacs import retrieve
    from pacs.model import Principal, Source
    from pacs.retrieve import Retrieve
    from pacs.storage.derived import DerivedStore

    place = open_place(tmp_path)
    try:
        content = deflated(identity() + element(0x7FE00010, b"OB", bytes(1 << 20)))
        with place.ingest.begin(Source(Principal("CT_1"), "C-STORE", ""), DEFLATED) as reception:
            reception.write(content)
            reception.commit()
        reader = Retrieve(place.store, place.index, DerivedStore(tmp_path / "derived"))
        instance = reader.instance(Principal("x"), "1.2.1", "1.2.2", "1.2.9")
        scans = []

        def counted(*arguments: object, **options: object) -> object:
            scans.append(1)
            return scan(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(retrieve, "scan", counted)
        with ThreadPoolExecutor(4) as pool:
            headers = list(pool.map(lambda _: reader.header(instance), range(8)))
        assert len(scans) == 1
        assert all(header.data_set_length > 1 << 20 for header in headers)
    finally:
        place.close()

from __future__ import annotations

import struct

import pytest

from pacs.errors import MalformedDataSet
from pacs.part10.fragments import find_fragments, first_fragments
from pacs.part10.header import Header, scan
from tests.part10.encoding import JPEG_BASELINE, RLE, SEQUENCE_END, UNDEFINED, encapsulated, explicit, image, item

J2K = "1.2.840.10008.1.2.4.90"
MP4 = "1.2.840.10008.1.2.4.102"
JPEG = b"\xff\xd8\xff\xdb"
MORE = b"more"
END = b"xx\xff\xd9"
RLE_FRAME = struct.pack("<16L", 1, 64, *[0] * 14) + b"abcd"


def header_of(*fragments: bytes, offsets: tuple[int, ...] = (), syntax: str = JPEG_BASELINE, before: bytes = b""):
    return scan(image(before, encapsulated(*fragments, offsets=offsets)), syntax)


def firsts(header: Header, number_of_frames: int) -> list[int]:
    return first_fragments(header, find_fragments(header), number_of_frames)


@pytest.mark.parametrize(("frame", "syntax"), [(JPEG, JPEG_BASELINE), (b"\xff\x4f\xff\x51", J2K), (RLE_FRAME, RLE)])
def test_a_frame_that_stands_where_the_offset_table_belongs_is_one(frame, syntax):
    items = b"".join(map(item, (frame, MORE, frame)))
    header = scan(image(explicit(0x7FE00010, "OB", items + SEQUENCE_END, UNDEFINED)), syntax)
    found = find_fragments(header)
    parts = [bytes(header.buffer[o : o + n]) for o, n in zip(found.offsets, found.lengths, strict=True)]
    assert (parts, bytes(found.basic_offset_table)) == ([frame, MORE, frame], b"")
    assert found.offsets[0] == found.first_item + 8
    assert firsts(header, 2) == [0, 2]


def test_fragments_are_found_in_place():
    header = header_of(b"abcd", b"", b"ef", offsets=(0, 12))
    found = find_fragments(header)
    parts = [bytes(header.buffer[o : o + n]) for o, n in zip(found.offsets, found.lengths, strict=True)]
    assert parts == [b"abcd", b"", b"ef"]
    assert bytes(found.basic_offset_table) == struct.pack("<2L", 0, 12)
    assert found.offsets[0] == found.first_item + 8


@pytest.mark.parametrize(
    ("fragments", "frames", "expected"),
    [
        ((JPEG,), 1, [0]),
        ((JPEG, MORE, MORE), 1, [0]),
        ((JPEG, JPEG, JPEG), 3, [0, 1, 2]),
        ((JPEG, MORE, JPEG), 2, [0, 2]),
        ((JPEG, MORE, JPEG, MORE, MORE), 2, [0, 2]),
        ((b"\xff\x4f\xff\x51", MORE, b"\xff\x4f\xff\x51"), 2, [0, 2]),
        ((MORE, END, MORE, END + b"\0\0"), 2, [0, 2]),
        ((JPEG, JPEG), 5, [0, 1]),
        ((JPEG, MORE, JPEG, JPEG), 2, [0, 2, 3]),
        ((MORE, MORE, MORE), 2, []),
        ((), 3, []),
    ],
)
def test_without_an_offset_table(fragments, frames, expected):
    assert firsts(header_of(*fragments), frames) == expected


def test_rle_headers_mark_frames():
    assert firsts(header_of(RLE_FRAME, MORE, RLE_FRAME, syntax=RLE), 2) == [0, 2]


def test_video_is_one_entry():
    assert firsts(header_of(MORE, MORE, syntax=MP4), 250) == [0]


def test_basic_offset_table_is_believed_when_it_is_right():
    assert firsts(header_of(MORE, MORE, MORE, offsets=(0, 24)), 2) == [0, 2]


@pytest.mark.parametrize("offsets", [(0, 23), (0, 1 << 31), (12, 0), (0, 0), (4, 24), (0, 12, 24)])
def test_basic_offset_table_that_lies_is_not(offsets):
    assert firsts(header_of(JPEG, MORE, JPEG, offsets=offsets), 2) == [0, 2]


def extended(*offsets: int) -> bytes:
    return explicit(0x7FE00001, "OV", struct.pack(f"<{len(offsets)}Q", *offsets))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (extended(0, 24), [0, 2]),
        (extended(0, 1 << 40), [0, 1]),
        (explicit(0x7FE00001, "OV", b"abc"), [0, 1]),
    ],
)
def test_extended_offset_table(table, expected):
    assert firsts(header_of(JPEG, JPEG, MORE, before=table), 2) == expected


def test_delimiter_that_was_never_written():
    data = image(encapsulated(JPEG, MORE))[:-8]
    header = scan(data, JPEG_BASELINE)
    assert len(find_fragments(header).offsets) == 2
    with pytest.raises(MalformedDataSet):
        scan(data[:-1], JPEG_BASELINE)


def test_items_that_are_none():
    data = image(explicit(0x7FE00010, "OB", item(b"") + item(b"abcd")[:-2] + b"\x01"))
    with pytest.raises(MalformedDataSet):
        find_fragments(scan(data, JPEG_BASELINE))

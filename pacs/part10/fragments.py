"""The fragments of encapsulated pixel data, and which of them make which frame (PS3.5 A.4)."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from pacs.errors import MalformedDataSet
from pacs.part10.elements import ITEM, SEQUENCE_DELIMITATION, encoding, tag_text
from pacs.part10.transfer_syntax import RLE_LOSSLESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pacs.part10.header import Header

MAX_FRAGMENTS: Final = 1 << 20
"""Whole slide images have some 100,000; more than this are stored, and not told apart as frames."""
_EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
_CODESTREAM_STARTS: Final = (
    b"\xff\xd8\xff",  # JPEG, JPEG-LS: SOI and the next marker
    b"\xff\x4f\xff\x51",  # JPEG 2000, HTJ2K: SOC, SIZ
    b"\x00\x00\x00\x0cjP  ",  # JP2 file
    b"\xff\x0a",  # JPEG XL codestream
    b"\x00\x00\x00\x0cJXL ",  # JPEG XL container
)


class Fragments(NamedTuple):
    """All fragments behind the Basic Offset Table item; some writers leave that out."""

    basic_offset_table: memoryview
    first_item: int
    """Offset of the tag of the first fragment's item; offset tables count from here."""
    offsets: list[int]
    lengths: list[int]


def find_fragments(header: Header) -> Fragments:
    """Walk the items of encapsulated pixel data.

    Raises:
        MalformedDataSet: something else than an item, or a length beyond the pixel data.
    """
    pixel_data = header.pixel_data
    if pixel_data is None:
        return Fragments(memoryview(b""), 0, [], [])
    unpack = encoding(header.is_little_endian).implicit.unpack_from
    offset, end = pixel_data.value_offset, pixel_data.end
    offsets: list[int] = []
    lengths: list[int] = []
    while offset + 8 <= end:
        if len(offsets) > MAX_FRAGMENTS:
            return Fragments(memoryview(b""), offset, [], [])
        group, number, length = unpack(header.buffer, offset)
        tag = group << 16 | number
        if tag == SEQUENCE_DELIMITATION:
            break
        offset += 8
        if tag != ITEM or offset + length > end:
            raise MalformedDataSet(f"{tag_text(tag)} of {length} bytes before byte {offset} is no fragment")
        offsets.append(offset)
        lengths.append(length)
        offset += length
    if not offsets:
        return Fragments(memoryview(b""), offset, [], [])
    table = header.buffer[offsets[0] : offsets[0] + lengths[0]]
    head = bytes(table[:16])
    if head.startswith(_CODESTREAM_STARTS[:2]) or _is_rle_header(head):
        # No table begins so: its first entry is 0. Its item, though empty, was left out.
        return Fragments(memoryview(b""), offsets[0] - 8, offsets, lengths)
    return Fragments(table, offsets[0] + lengths[0], offsets[1:], lengths[1:])


def first_fragments(header: Header, fragments: Fragments, number_of_frames: int) -> list[int]:
    """Index of the first fragment of each frame; empty when the frames cannot be told apart.

    An offset table is believed only when it has one entry per frame and every entry points at a fragment. Otherwise:
    one frame takes all fragments, as many fragments as frames match one to one, and the rest is settled by the marks
    that codestreams begin with. Video is one entry of all fragments. Fewer fragments than frames are that many frames.
    """
    count = len(fragments.offsets)
    if not count:
        return []
    if number_of_frames == 1 or header.transfer_syntax.media_type.startswith("video/"):
        return [0]
    for table in (_extended_offsets(header), _basic_offsets(header, fragments)):
        found = _fragments_at(table, fragments) if len(table) == number_of_frames else []
        if found:
            return found
    if count <= number_of_frames:
        return list(range(count))
    return _starts_by_codestream(header, fragments, number_of_frames)


def _extended_offsets(header: Header) -> Sequence[int]:
    value = header.value(_EXTENDED_OFFSET_TABLE)
    if value is None or len(value) % 8:
        return ()
    return struct.unpack(f"{'<' if header.is_little_endian else '>'}{len(value) // 8}Q", value)


def _basic_offsets(header: Header, fragments: Fragments) -> Sequence[int]:
    value = fragments.basic_offset_table
    if len(value) % 4:
        return ()
    return struct.unpack(f"{'<' if header.is_little_endian else '>'}{len(value) // 4}L", value)


def _fragments_at(table: Sequence[int], fragments: Fragments) -> list[int]:
    """The fragments whose items start at the table's offsets; empty unless the table is wholly right."""
    if not table or table[0] != 0 or any(after <= before for before, after in pairwise(table)):
        return []
    index_by_offset = {offset - 8 - fragments.first_item: index for index, offset in enumerate(fragments.offsets)}
    found = [index_by_offset.get(offset) for offset in table]
    return [index for index in found if index is not None] if None not in found else []


def _starts_by_codestream(header: Header, fragments: Fragments, number_of_frames: int) -> list[int]:
    buffer = header.buffer
    heads = [
        bytes(buffer[offset : offset + min(length, 16)])
        for offset, length in zip(fragments.offsets, fragments.lengths, strict=True)
    ]
    if header.transfer_syntax.uid == RLE_LOSSLESS:
        starts = [index for index, head in enumerate(heads) if _is_rle_header(head)]
    else:
        starts = [index for index, head in enumerate(heads) if head.startswith(_CODESTREAM_STARTS)]
    if len(starts) == number_of_frames and starts[0] == 0:
        return starts
    ends = [index for index in range(len(heads)) if _ends_with_end_of_image(buffer, fragments, index)]
    if len(ends) == number_of_frames and ends[-1] == len(heads) - 1:
        return [0, *(index + 1 for index in ends[:-1])]
    return starts if starts[:1] == [0] else []


def _is_rle_header(head: bytes) -> bool:
    """RLE header: 1 to 15 segments, the first at byte 64 (PS3.5 G.5)."""
    return len(head) >= 8 and 1 <= head[0] <= 15 and head[1:8] == b"\0\0\0\x40\0\0\0"


def _ends_with_end_of_image(buffer: memoryview, fragments: Fragments, index: int) -> bool:
    end = fragments.offsets[index] + fragments.lengths[index]
    tail = bytes(buffer[max(fragments.offsets[index], end - 4) : end])
    return tail.rstrip(b"\0").endswith(b"\xff\xd9")

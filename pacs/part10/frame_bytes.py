"""The stored bytes of single frames, cut out of a data set with its frame table."""

from __future__ import annotations

from collections.abc import Sequence

from pacs.errors import NotFound, StoredBytesDamaged
from pacs.part10.frame_table import FrameTable

Fragments = tuple[memoryview, ...]


def frame_bytes(table: FrameTable, data_set: memoryview, numbers: Sequence[int]) -> list[Fragments]:
    """One view per fragment of each frame, by number from 1; item headers left out, nothing decoded.

    A frame that shares a byte with its neighbour (1 bit allocated, PS3.5 §8.1.1) is copied to start at a byte, and bits
    that are not its own are 0; one that shares a word whose bytes are swapped is copied so that its own words are, and
    a last odd byte is not. `data_set` is the inflated data set. All numbers are checked first.

    Raises:
        NotFound: a number is out of range.
        StoredBytesDamaged: the data set ends before a frame does.
    """
    count = len(table)
    for number in numbers:
        if not 1 <= number <= count:
            raise NotFound(f"frame {number} is not there: the instance has {count}, counted from 1")
    return [_one(table, data_set, number) for number in numbers]


def _one(table: FrameTable, data_set: memoryview, number: int) -> Fragments:
    parts = table.fragments(number)
    if any(offset + length > len(data_set) for offset, length in parts):
        raise StoredBytesDamaged(f"the stored data set ends before its frame {number}")
    if not table.is_encapsulated and (table.is_in_words or table.frame_bits & 7):
        ((offset, length),) = parts
        stored = bytes(data_set[offset : offset + length])
        if table.is_in_words:
            stored = _swapped(stored)
        bits = int.from_bytes(stored, "little") >> table.bit_offset(number)
        bits &= (1 << table.frame_bits) - 1
        frame = bits.to_bytes((table.frame_bits + 7) // 8, "little")
        return (memoryview(_swapped(frame) if table.is_in_words else frame),)
    return tuple(data_set[offset : offset + length] for offset, length in parts)


def _swapped(content: bytes) -> bytes:
    """The two bytes of each whole word the other way round."""
    found, even = bytearray(content), len(content) & ~1
    found[0:even:2], found[1:even:2] = content[1:even:2], content[0:even:2]
    return bytes(found)

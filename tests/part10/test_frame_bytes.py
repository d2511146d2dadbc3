from __future__ import annotations

import struct

import numpy as np
import pytest

from pacs.errors import NotFound, StoredBytesDamaged
from pacs.part10.frame_bytes import frame_bytes
from pacs.part10.frame_table import FrameTable, frame_table
from pacs.part10.header import scan
from pacs.pixels.decode import decode
from pacs.pixels.description import describe
from tests.part10.encoding import EXPLICIT_BIG, explicit


def test_native_frames_are_views_of_the_data_set() -> None:
    data_set = memoryview(b"....abcdef")
    table = FrameTable(False, first_offset=4, frame_bits=16, native_count=3)
    assert [bytes(part) for (part,) in frame_bytes(table, data_set, (3, 1))] == [b"ef", b"ab"]
    assert frame_bytes(table, data_set, (1,))[0][0].obj is data_set.obj


def test_fragments_stay_apart() -> None:
    table = FrameTable(True, offsets=(1, 4, 7), lengths=(2, 2, 1), firsts=(0, 2, 3))
    assert frame_bytes(table, memoryview(b".ab.cd.e"), (1, 2)) == [(b"ab", b"cd"), (b"e",)]


def test_one_bit_frames_that_share_bytes_are_each_put_to_a_bytes_start() -> None:
    # Three frames of 11 pixels, packed without padding, least significant bit first (PS3.5 §8.1.1).
    frames = (0b10110011101, 0b11111111111, 0b00000000001)
    packed = sum(frame << (11 * number) for number, frame in enumerate(frames))
    table = FrameTable(False, first_offset=2, frame_bits=11, native_count=3)
    found = frame_bytes(table, memoryview(b".." + packed.to_bytes(6, "little")), (1, 2, 3))
    assert [int.from_bytes(part, "little") for (part,) in found] == list(frames)
    assert [len(part) for (part,) in found] == [2, 2, 2]


@pytest.mark.parametrize(("bits", "columns"), [(8, 3), (8, 5), (8, 4), (1, 3), (1, 5), (1, 8), (1, 16)])
@pytest.mark.parametrize("vr", ["OW", "OB"])
def test_big_endian_words_that_two_frames_share(bits: int, columns: int, vr: str) -> None:
    """OW in big endian holds the bytes of its words the other way round, whatever they mean (PS3.5 §8.2)."""
    generator = np.random.default_rng(columns)
    frames = generator.integers(0, 1 << bits, (3, 3, columns), dtype=np.uint8)
    native = np.packbits(frames.reshape(-1), bitorder="little").tobytes() if bits == 1 else frames.tobytes()
    native += b"\0" * (len(native) % 2)
    value = np.frombuffer(native, ">u2").astype("<u2").tobytes() if vr == "OW" else native
    numbers = {0x00280002: 1, 0x00280010: 3, 0x00280011: columns, 0x00280100: bits}
    elements = {tag: explicit(tag, "US", struct.pack(">H", number), order=">") for tag, number in numbers.items()}
    elements[0x00280008] = explicit(0x00280008, "IS", b"3 ", order=">")
    big = b"".join(elements[tag] for tag in sorted(elements)) + explicit(0x7FE00010, vr, value, order=">")
    header = scan(big, EXPLICIT_BIG)
    table = FrameTable.decode(frame_table(header).encode())
    assert table == frame_table(header)
    description = describe(header)
    for number, right in enumerate(frames, start=1):
        (fragments,) = frame_bytes(table, header.buffer, (number,))
        assert np.array_equal(decode(description, fragments).pixels, right), number


@pytest.mark.parametrize("numbers", [(0,), (-1,), (4,), (1, 2, 99)])
def test_a_frame_that_is_not_there_fails_the_whole_request(numbers: tuple[int, ...]) -> None:
    table = FrameTable(False, first_offset=0, frame_bits=8, native_count=3)
    with pytest.raises(NotFound):
        frame_bytes(table, memoryview(b"abc"), numbers)


def test_a_data_set_that_ends_too_early_is_damage() -> None:
    table = FrameTable(False, first_offset=0, frame_bits=8, native_count=3)
    with pytest.raises(StoredBytesDamaged):
        frame_bytes(table, memoryview(b"ab"), (3,))

from __future__ import annotations

import pytest

from pacs.errors import NotFound, StoredBytesDamaged
from pacs.part10.frame_bytes import frame_bytes
from pacs.part10.frame_table import FrameTable


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


@pytest.mark.parametrize("numbers", [(0,), (-1,), (4,), (1, 2, 99)])
def test_a_frame_that_is_not_there_fails_the_whole_request(numbers: tuple[int, ...]) -> None:
    table = FrameTable(False, first_offset=0, frame_bits=8, native_count=3)
    with pytest.raises(NotFound):
        frame_bytes(table, memoryview(b"abc"), numbers)


def test_a_data_set_that_ends_too_early_is_damage() -> None:
    table = FrameTable(False, first_offset=0, frame_bits=8, native_count=3)
    with pytest.raises(StoredBytesDamaged):
        frame_bytes(table, memoryview(b"ab"), (3,))

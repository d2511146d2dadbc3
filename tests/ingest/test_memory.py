from __future__ import annotations

from pacs.ingest.memory import MemoryInFlight


def test_no_more_is_given_out_than_there_is() -> None:
    memory = MemoryInFlight(1000)
    assert memory.take(900, held=0)
    assert not memory.take(101, held=0)
    assert memory.take(100, held=900)
    memory.give_back(1000)
    assert memory.taken_bytes == 0
    assert memory.take(1000, held=0)


def test_large_ones_leave_room_for_small_ones() -> None:
    megabyte = 1 << 20
    memory = MemoryInFlight(8 * megabyte)
    assert memory.take(6 * megabyte, held=0)
    assert not memory.take(1, held=6 * megabyte)
    assert memory.take(megabyte, held=0)
    assert memory.take(megabyte, held=0)
    assert not memory.take(1, held=0)

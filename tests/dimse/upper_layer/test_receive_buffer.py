from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pacs.dimse.upper_layer.receive_buffer import ReceiveBuffer


def _receive(buffer: ReceiveBuffer, data: bytes) -> int:
    room = buffer.room()
    count = min(len(room), len(data))
    room[:count] = data[:count]
    buffer.received(count)
    return count


@given(st.lists(st.tuples(st.integers(1, 30_000), st.integers(0, 40_000)), max_size=30))
def test_bytes_come_out_in_order(steps: list[tuple[int, int]]) -> None:
    stream = bytes(range(256)) * 4000
    buffer = ReceiveBuffer()
    arrived = taken = 0
    for arriving, taking in steps:
        arrived += _receive(buffer, stream[arrived : arrived + arriving])
        count = min(taking, len(buffer))
        assert bytes(buffer.take(count)) == stream[taken : taken + count]
        taken += count
        assert len(buffer) == arrived - taken


def test_a_silent_peer_costs_little_and_a_busy_one_gets_more() -> None:
    buffer = ReceiveBuffer()
    assert len(buffer.room()) == 8 << 10
    for _ in range(10):
        _receive(buffer, bytes(1 << 20))
        buffer.take(len(buffer))
    assert len(buffer.room()) == 256 << 10


def test_a_view_stays_valid_until_room_is_asked_for() -> None:
    buffer = ReceiveBuffer()
    _receive(buffer, b"abcdef")
    first = buffer.take(3)
    assert bytes(buffer.take(3)) == b"def"
    assert bytes(first) == b"abc"

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pacs.dimse.upper_layer.events import DataReceived
from pacs.dimse.upper_layer.outgoing_data import LEAST_MAX_PDU_LENGTH, data_pdus
from tests.dimse.upper_layer.bytes_of_peers import feed, opened


@given(
    st.lists(st.binary(max_size=2000), max_size=5),
    st.one_of(st.just(0), st.integers(LEAST_MAX_PDU_LENGTH, 4000)),
    st.booleans(),
)
def test_what_is_cut_comes_together_again(buffers: list[bytes], max_pdu_length: int, is_command: bool) -> None:
    pdus = [b"".join(parts) for parts in data_pdus(1, is_command, buffers, max_pdu_length)]
    assert all(len(pdu) - 6 <= (max_pdu_length or len(pdu)) for pdu in pdus)
    received = [event for event in feed(opened(), b"".join(pdus)) if isinstance(event, DataReceived)]
    assert b"".join(event.data for event in received) == b"".join(buffers)
    assert [event.is_last for event in received].index(True) == len(received) - 1
    assert all(event.is_command is is_command for event in received)


def test_nothing_is_copied() -> None:
    data = bytearray(1000)
    head, piece = next(data_pdus(1, False, [memoryview(data)], 0))
    data[0] = 7
    assert piece[0] == 7
    assert len(head) == 12


def test_fragments_have_an_even_length() -> None:
    sizes = [sum(map(len, parts)) - 12 for parts in data_pdus(1, False, [bytes(1000)], 301)]
    assert sizes == [294, 294, 294, 118]

from __future__ import annotations

import pytest

from pacs.dimse.messages.command import MAX_COMMAND_SET_BYTES
from pacs.dimse.messages.command_builders import c_echo_rq, c_store_rq
from pacs.dimse.messages.message import CommandReceived, DataSetPiece, MessageReader
from pacs.errors import ProtocolViolation

STORE = c_store_rq(1, "1.2.840.10008.5.1.4.1.1.2", "1.2.3")


def _view(data: bytes) -> memoryview:
    return memoryview(data)


def test_a_command_in_pieces_then_its_data_set_in_pieces() -> None:
    reader = MessageReader()
    encoded = STORE.encode()
    assert reader.receive(3, True, False, _view(encoded[:10])) is None
    assert not reader.is_between_messages
    assert reader.receive(3, True, True, _view(encoded[10:])) == CommandReceived(3, STORE)
    assert reader.receive(3, False, False, _view(b"ab")) == DataSetPiece(_view(b"ab"), False)
    assert reader.receive(3, False, True, _view(b"")) == DataSetPiece(_view(b""), True)
    assert reader.is_between_messages
    assert reader.receive(1, True, True, _view(c_echo_rq(2).encode())) == CommandReceived(1, c_echo_rq(2))
    assert reader.is_between_messages


def test_a_data_set_without_a_command_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="data set fragment where a command set"):
        MessageReader().receive(1, False, True, _view(b"ab"))


def test_a_command_in_the_middle_of_a_data_set_is_refused() -> None:
    reader = MessageReader()
    reader.receive(1, True, True, _view(STORE.encode()))
    with pytest.raises(ProtocolViolation, match="command set fragment where a data set"):
        reader.receive(1, True, True, _view(STORE.encode()))


def test_fragments_of_two_contexts_are_not_mixed() -> None:
    reader = MessageReader()
    reader.receive(1, True, True, _view(STORE.encode()))
    with pytest.raises(ProtocolViolation, match="context 3 in the middle of a message of context 1"):
        reader.receive(3, False, True, _view(b"ab"))


def test_a_command_set_without_end_is_refused_before_it_fills_memory() -> None:
    reader = MessageReader()
    piece = _view(bytes(MAX_COMMAND_SET_BYTES // 4))
    for _ in range(4):
        reader.receive(1, True, False, piece)
    with pytest.raises(ProtocolViolation, match="longer than"):
        reader.receive(1, True, False, piece)

from __future__ import annotations

import pytest

from pacs.dimse.upper_layer.items import ProposedContextReader, decode_user_information, encode_item, iter_items
from pacs.errors import ProtocolViolation

MAXIMUM = encode_item(0x51, b"\0\0\x40\0")


def test_items_follow_each_other() -> None:
    body = memoryview(encode_item(0x40, b"1.2") + encode_item(0x99, b""))
    assert [(kind, bytes(content)) for kind, content in iter_items(body)] == [(0x40, b"1.2"), (0x99, b"")]


@pytest.mark.parametrize("body", [b"\x40", b"\x40\0\0\x04abc", b"\x40\0\xff\xffabc"])
def test_an_item_longer_than_what_is_left_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="left"):
        list(iter_items(memoryview(body)))


def test_user_identity_and_unknown_sub_items_are_read_over() -> None:
    read = decode_user_information(memoryview(MAXIMUM + encode_item(0x58, b"\1\0\0\1x\0\0") + encode_item(0xEE, b"?")))
    assert read.max_pdu_length == 16384


@pytest.mark.parametrize(
    "sub_items",
    [
        b"",
        encode_item(0x51, b"\0\0"),
        MAXIMUM + encode_item(0x54, b"\0\x031.2\1"),
        MAXIMUM + encode_item(0x54, b"\0\x091.2\1\1"),
        MAXIMUM + encode_item(0x56, b"\0"),
        MAXIMUM + encode_item(0x53, b"\0\1"),
    ],
)
def test_torn_sub_items_are_refused(sub_items: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_user_information(memoryview(sub_items))


def test_an_item_that_cannot_be_written_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="65535"):
        encode_item(0x50, bytes(70_000))


ABSTRACT, TRANSFER = encode_item(0x30, b"1.2.3"), encode_item(0x40, b"1.2")


@pytest.mark.parametrize(
    "items", [b"", TRANSFER, TRANSFER + ABSTRACT, ABSTRACT + TRANSFER + ABSTRACT, ABSTRACT + b"\x40"]
)
def test_a_presentation_context_has_one_abstract_syntax_and_then_transfer_syntaxes(items: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        ProposedContextReader().read(memoryview(b"\1\0\0\0" + items))


def test_transfer_syntaxes_that_were_read_before_are_known() -> None:
    reader = ProposedContextReader()
    first = reader.read(memoryview(b"\1\0\0\0" + ABSTRACT + TRANSFER))
    second = reader.read(memoryview(b"\3\0\0\0" + encode_item(0x30, b"1.2.4") + TRANSFER))
    assert (first.abstract_syntax, second.abstract_syntax, second.context_id) == ("1.2.3", "1.2.4", 3)
    assert first.transfer_syntaxes is second.transfer_syntaxes

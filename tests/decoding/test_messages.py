"""Messages between processes: what travels arrives as it was, and a decoder's answer can be nothing but data."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pacs.decoding import messages
from pacs.decoding.messages import Ended, Kind
from pacs.part10.header import Header, scan
from pacs.pixels.description import describe
from pacs.pixels.display import Window, display_attributes
from pacs.pixels.rendering import RawPicture
from tests.part10.encoding import EXPLICIT_LITTLE
from tests.pixels.images import compressed, data_set, decimal, gradient

JPEG_LS = "1.2.840.10008.1.2.4.80"
LARGE = bytes(range(256)) * 4096


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        theirs.settimeout(20)
        yield ours, theirs


def carried(ends: tuple[socket.socket, socket.socket], kind: Kind, value: Any) -> tuple[Any, list[bytearray]]:
    """Over the socket and back to a value; and the buffers that travelled beside it."""
    sending = threading.Thread(target=messages.send, args=(ends[0], messages.message(kind, value)))
    sending.start()
    try:
        found, pickled, buffers = messages.receive(ends[1])
    finally:
        sending.join()
    assert found is kind
    read = messages.trusted if kind is Kind.WORK else messages.untrusted
    return read(pickled, buffers), buffers


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "text",
        b"bytes",
        LARGE,
        (1, LARGE, [b"", LARGE]),
        {"a": 1.5},
        Window(40, 400),
        RawPicture(1, 2, 3, LARGE),
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("kind", [Kind.WORK, Kind.RESULT])
def test_values_arrive_as_they_were(ends: Any, kind: Kind, value: Any) -> None:
    arrived, _ = carried(ends, kind, value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_large_bytes_and_views_travel_beside_the_message(ends: Any) -> None:
    view = memoryview(LARGE)[100:]
    arrived, buffers = carried(ends, Kind.WORK, (LARGE, view, RawPicture(1, 2, 3, LARGE), b"small"))
    assert arrived == (LARGE, view, RawPicture(1, 2, 3, LARGE), b"small")
    assert [len(buffer) for buffer in buffers] == [len(LARGE), len(view), len(LARGE)]
    assert isinstance(arrived[1], memoryview)


def test_more_pieces_than_the_kernel_takes_at_once(ends: Any) -> None:
    views = tuple(memoryview(LARGE)[number : number + 20_000] for number in range(1500))
    assert carried(ends, Kind.WORK, views)[0] == views


class TestHeader:
    """What stands before the pixel data travels, and tells the same there."""

    @pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, JPEG_LS])
    def test_it_describes_the_same_pixels(self, ends: Any, syntax: str) -> None:
        pixels, window = gradient(), (decimal(0x00281050, 300), decimal(0x00281051, 100))
        content = (
            data_set(pixels, *window) if syntax == EXPLICIT_LITTLE else compressed(pixels, b"\xff" * 9000, extra=window)
        )
        header = scan(content, syntax)
        arrived, buffers = carried(ends, Kind.WORK, header)
        assert isinstance(arrived, Header)
        assert describe(arrived) == describe(header)
        assert display_attributes(arrived) == display_attributes(header)
        assert arrived.is_encapsulated is header.is_encapsulated
        assert arrived.elements == {tag: header.elements[tag] for tag in arrived.elements}
        assert sum(map(len, buffers)) < 1000 < len(content), "the pixels stay where they are"

    def test_a_data_set_that_was_deflated_is_not_inflated_again(self, ends: Any) -> None:
        import zlib

        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        content = deflater.compress(data_set(gradient())) + deflater.flush()
        header = scan(content, "1.2.840.10008.1.2.1.99")
        arrived, _ = carried(ends, Kind.WORK, header)
        assert describe(arrived) == describe(header)

    def test_without_pixels_all_of_it_travels(self, ends: Any) -> None:
        header = scan(decimal(0x00281050, 300), EXPLICIT_LITTLE)
        arrived, _ = carried(ends, Kind.WORK, header)
        assert arrived.number(0x00281050) == 300
        assert arrived.pixel_data is None

    def test_pixels_alone_can_travel(self, ends: Any) -> None:
        header = scan(data_set(np.zeros((2, 2), np.uint16))[-20:], EXPLICIT_LITTLE)
        assert header.header_length == 0, "the control: nothing stands before the pixels"
        arrived, _ = carried(ends, Kind.WORK, header)
        assert arrived.pixel_data == header.pixel_data


class TestAnswersAreData:
    def test_control_the_same_message_runs_code_where_it_is_trusted(self, ends: Any) -> None:
        pickled = pickle.dumps(NotCalled(), 5)
        assert pickle.loads(pickled) == "called"

    @pytest.mark.parametrize("function", ["NotCalled", "os.system", "builtins.bytes", "pickle.loads", "Header"])
    def test_nothing_is_called(self, ends: Any, function: str) -> None:
        answers = {
            "NotCalled": NotCalled(),
            "os.system": Calling(os.system, "true"),
            "builtins.bytes": Calling(bytes, 1 << 40),
            "pickle.loads": Calling(pickle.loads, pickle.dumps(1)),
            "Header": scan(data_set(gradient()), EXPLICIT_LITTLE),
        }
        with pytest.raises(Ended):
            carried(ends, Kind.RESULT, answers[function])

    def test_a_number_is_no_buffer(self) -> None:
        pickled = pickle.dumps(Calling(messages._bytes_of, 1 << 40), 5)
        with pytest.raises(Ended):
            messages.untrusted(pickled, [])

    @pytest.mark.parametrize("pickled", [b"", b"\x80\x05", b"\x80\x05X\xff\xff\xff\xff", b"\x80\x05\x97."])
    def test_nonsense_is_refused(self, pickled: bytes) -> None:
        with pytest.raises(Ended):
            messages.untrusted(pickled, [])


class Calling:
    def __init__(self, function: Any, argument: Any) -> None:
        self._called = function, (argument,)

    def __reduce__(self) -> Any:
        return self._called


class NotCalled:
    def __reduce__(self) -> Any:
        return called, ()


def called() -> str:
    return "called"


class TestBounds:
    """Before memory is taken."""

    @pytest.mark.parametrize(
        "head",
        [
            struct.pack("<BII", 9, 1, 0),
            struct.pack("<BII", Kind.RESULT, 0xFFFFFFFF, 0),
            struct.pack("<BII", Kind.RESULT, 1, 0xFFFFFFFF),
            struct.pack("<BIIQ", Kind.RESULT, 1, 1, 1 << 62),
            struct.pack("<BIIQQ", Kind.RESULT, 1, 2, (1 << 64) - 1, 2),
        ],
    )
    def test_a_message_that_claims_too_much_is_refused(self, ends: Any, head: bytes) -> None:
        ends[0].sendall(head)
        with pytest.raises(Ended):
            messages.receive(ends[1])

    @pytest.mark.parametrize("sent", [b"", b"\1\2", struct.pack("<BII", Kind.RESULT, 10, 0) + b"abc"])
    def test_a_message_that_breaks_off_is_noticed(self, ends: Any, sent: bytes) -> None:
        ends[0].sendall(sent)
        ends[0].close()
        with pytest.raises(Ended):
            messages.receive(ends[1])


@pytest.mark.parametrize("value", [lambda: None, threading.Lock()])
def test_what_cannot_travel_is_said_where_it_was_sent(value: Any) -> None:
    with pytest.raises((pickle.PicklingError, TypeError, AttributeError)):
        messages.message(Kind.WORK, value)

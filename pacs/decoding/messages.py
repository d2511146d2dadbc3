"""What a process of the archive and its decoders say to each other: one message each way, over a stream socket.

Large values travel beside the pickled message, as the buffers they are (pickle protocol 5): a frame goes from the
mapped segment into the socket without a copy in between. What a decoder answers is read as data only: a decoder that
was taken over through a codec must not become the process that asked it.
"""

from __future__ import annotations

import copyreg
import dataclasses
import io
import pickle
import socket
import struct
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

Piece = bytes | bytearray | memoryview

MAX_PICKLED_BYTES = 64 << 20
"""Of a message without its buffers."""
MAX_BUFFER_BYTES = 1 << 31
"""Of all buffers of a message."""
MAX_BUFFERS = 1 << 16
_OUT_OF_BAND_BYTES = 16 << 10
"""Smaller byte strings are cheaper inside the message."""
_AT_ONCE = 512
"""Pieces given to one sendmsg; the kernel takes 1,024."""
_VALUES_OF = "pacs.pixels."
_HEAD = struct.Struct("<BII")


class Kind(IntEnum):
    """What a message is."""

    WORK = 0
    """``(function, arguments, keyword arguments)``."""
    RESULT = 1
    """What the function returned."""
    REFUSAL = 2
    """``(class name, message)`` of an error of `pacs.errors`."""
    FAULT = 3
    """``(class name, message, traceback)`` of another error."""


class Ended(Exception):
    """The other end is closed, or said what nobody may say."""


def message(kind: Kind, value: object) -> list[Piece]:
    """The pieces of a message, to be sent one after the other; `value` may hold memoryviews.

    Raises:
        pickle.PicklingError, TypeError, AttributeError: something in `value` can't travel.
    """
    stream = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler = pickle.Pickler(stream, 5, buffer_callback=buffers.append)
    pickler.dispatch_table = _DISPATCH
    pickler.dump(_travelling(value))
    views = [buffer.raw() for buffer in buffers]
    head = _HEAD.pack(kind, stream.tell(), len(views)) + struct.pack(f"<{len(views)}Q", *map(len, views))
    return [head, stream.getbuffer(), *views]


def send(connection: socket.socket, pieces: Sequence[Piece]) -> None:
    """Send all of them. Raises `OSError`, also for a timeout set on `connection`."""
    waiting = [memoryview(piece) for piece in pieces if len(piece)]
    waiting.reverse()
    while waiting:
        sent = connection.sendmsg(waiting[: -_AT_ONCE - 1 : -1])
        while waiting and sent >= len(waiting[-1]):
            sent -= len(waiting.pop())
        if sent:
            waiting[-1] = waiting[-1][sent:]


def receive(connection: socket.socket) -> tuple[Kind, Piece, list[bytearray]]:
    """The next message: its kind, its pickled value and the buffers beside it.

    Raises:
        Ended: the other end is closed, or the message is larger than any may be.
        OSError: the connection broke, or a timeout set on it passed.
    """
    kind, size, count = _HEAD.unpack(_exactly(connection, _HEAD.size))
    if kind >= len(Kind) or size > MAX_PICKLED_BYTES or count > MAX_BUFFERS:
        raise Ended("a message of no known form")
    lengths: tuple[int, ...] = struct.unpack(f"<{count}Q", _exactly(connection, 8 * count)) if count else ()
    if sum(lengths) > MAX_BUFFER_BYTES:
        raise Ended("a message larger than any may be")
    pickled = _exactly(connection, size)
    return Kind(kind), pickled, [_exactly(connection, length) for length in lengths]


def trusted(pickled: Piece, buffers: list[bytearray]) -> Any:
    """The value of a message from a process that is trusted, as a decoder does its archive."""
    return pickle.loads(pickled, buffers=buffers)  # noqa: S301 -- the archive is who sends it


def untrusted(pickled: Piece, buffers: list[bytearray]) -> Any:
    """The value of a decoder's message: None, numbers, text, bytes, and tuples, lists, dictionaries of them,
    and dataclasses of `pacs.pixels`.

    Raises:
        Ended: anything else.
    """
    try:
        return _Data(io.BytesIO(pickled), buffers=buffers).load()
    except Exception as problem:
        raise Ended(f"an answer that can't be read: {type(problem).__name__}") from problem


class _Data(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) == (__name__, _bytes_of.__name__):
            return _bytes_of
        found = vars(sys.modules[module_name]).get(global_name) if module_name.startswith(_VALUES_OF) else None
        if not (isinstance(found, type) and dataclasses.is_dataclass(found) and found.__module__ == module_name):
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is no plain value")
        return found


def _exactly(connection: socket.socket, length: int) -> bytearray:
    found = bytearray(length)
    view, got = memoryview(found), 0
    while got < length:
        more = connection.recv_into(view[got:])
        if not more:
            raise Ended("the connection is closed")
        got += more
    return found


class _Large:
    """Bytes that travel beside the message and arrive as bytes."""

    __slots__ = ("_content",)

    def __init__(self, content: Piece) -> None:
        self._content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return _bytes_of, (pickle.PickleBuffer(self._content),)


def _bytes_of(buffer: object) -> bytes:
    # bytes() of a number would be as many zeros.
    if not isinstance(buffer, memoryview | bytearray):
        raise pickle.UnpicklingError("no buffer")
    return bytes(buffer)


def _travelling(value: Any) -> Any:
    """`value` with its larger byte strings marked to travel beside the message."""
    kind = type(value)
    if kind is bytes or kind is bytearray:
        return _Large(value) if len(value) >= _OUT_OF_BAND_BYTES else bytes(value)
    if kind is tuple or kind is list:
        return kind(map(_travelling, value))
    if names := getattr(kind, "__dataclass_fields__", ()):
        large = {name: field for name in names if _is_large(field := getattr(value, name))}
        return dataclasses.replace(value, **{name: _Large(field) for name, field in large.items()}) if large else value
    return value


def _is_large(value: object) -> bool:
    return type(value) is bytes and len(value) >= _OUT_OF_BAND_BYTES


def _travelling_view(view: memoryview) -> tuple[Any, ...]:
    return memoryview, (pickle.PickleBuffer(view),)


_DISPATCH = {**copyreg.dispatch_table, memoryview: _travelling_view}

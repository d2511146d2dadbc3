"""An association that stores data sets piece by piece, so that an instance may be larger than the sender's memory."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from types import TracebackType

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

_PDU_BYTES = 131072
_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"


class ConnectionLost(Exception):
    """The receiver closed the connection, aborted, or refused the association."""


class StreamingAssociation:
    """One association with CT Image Storage in Explicit VR Little Endian; not thread-safe."""

    def __init__(self, host: str, port: int, called_aet: str, *, calling_aet: str = "STREAMER", timeout_s: float = 60):
        try:
            self._connection = socket.create_connection((host, port), timeout=timeout_s)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.sendall(_associate_rq(called_aet, calling_aet))
            accept = self._receive_pdu()
        except OSError as problem:
            raise ConnectionLost(str(problem)) from problem
        if accept[0] != 2:
            self.close()
            raise ConnectionLost(f"no association: PDU type {accept[0]}, {accept[6:10].hex()}")
        self._message_id = 0

    def store(self, sop_instance_uid: str, pieces: Iterable[bytes]) -> int:
        """Send one data set, encoded as its pieces; returns the status of the response (0000,0900)."""
        self._message_id = self._message_id % 65535 + 1
        try:
            self._connection.sendall(_pdu(3, _c_store_rq(self._message_id, sop_instance_uid)))
            for flags, content in _fragments(pieces):
                self._connection.sendall(_pdu(flags, content))
            return _status(self._receive_pdu())
        except OSError as problem:
            raise ConnectionLost(str(problem)) from problem

    def release(self) -> None:
        """Ask for release, wait for the answer, close."""
        try:
            self._connection.sendall(struct.pack(">BxIxxxx", 5, 4))
            self._receive_pdu()
        except (OSError, ConnectionLost):
            pass
        self.close()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> StreamingAssociation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _receive_pdu(self) -> bytes:
        head = self._receive(6)
        return head + self._receive(struct.unpack(">I", head[2:])[0])

    def _receive(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            part = self._connection.recv(count - len(received))
            if not part:
                raise ConnectionLost("the receiver closed the connection")
            received += part
        return received


def _fragments(pieces: Iterable[bytes]) -> Iterator[tuple[int, memoryview]]:
    """(message control header, content): data set fragments, the last one marked (PS3.8 §E.2)."""
    step = _PDU_BYTES - 6
    waiting: memoryview | None = None
    for piece in pieces:
        for start in range(0, len(piece), step):
            if waiting is not None:
                yield 0, waiting
            waiting = memoryview(piece)[start : start + step]
    if waiting is not None:
        yield 2, waiting


def _pdu(flags: int, content: bytes | memoryview) -> bytes:
    """One P-DATA-TF with one presentation data value of context 1 (PS3.8 §9.3.5)."""
    return struct.pack(">BxIIBB", 4, len(content) + 6, len(content) + 2, 1, flags) + content


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _associate_rq(called_aet: str, calling_aet: str) -> bytes:
    """PS3.8 §9.3.2."""
    context = _item(0x30, CTImageStorage.encode()) + _item(0x40, ExplicitVRLittleEndian.encode())
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"2.25.1")
    body = struct.pack(">Hxx16s16s32x", 1, called_aet.ljust(16).encode(), calling_aet.ljust(16).encode())
    body += _item(0x10, _APPLICATION_CONTEXT) + _item(0x20, b"\x01\0\0\0" + context) + _item(0x50, user)
    return struct.pack(">BxI", 1, len(body)) + body


def _element(element: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, element, len(value)) + value


def _c_store_rq(message_id: int, sop_instance_uid: str) -> bytes:
    """PS3.7 §9.3.1.1."""
    command = b"".join(
        (
            _element(0x0002, CTImageStorage.encode()),
            _element(0x0100, struct.pack("<H", 1)),
            _element(0x0110, struct.pack("<H", message_id)),
            _element(0x0700, struct.pack("<H", 0)),
            _element(0x0800, struct.pack("<H", 1)),
            _element(0x1000, sop_instance_uid.encode()),
        )
    )
    return _element(0x0000, struct.pack("<I", len(command))) + command


def _status(answer: bytes) -> int:
    """(0000,0900) of a C-STORE-RSP."""
    position = answer.find(b"\0\0\0\x09\x02\0\0\0")
    if answer[0] != 4 or position < 0:
        raise ConnectionLost(f"no C-STORE response but PDU type {answer[0]}")
    return int(struct.unpack_from("<H", answer, position + 8)[0])

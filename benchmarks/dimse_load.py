"""A lean C-STORE sender: everything is encoded before the clock starts, so that the receiver is what is measured.

Each association is a process of its own with TCP_NODELAY; `storescu` of dcmtk is timed beside it as the unmodified
sender that hospitals have.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import socket
import ssl
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from benchmarks.synthetic_ct import Slice, part10

_OUR_PDU = 16384
_CHANGED = 8
"""Digits at the end of a SOP Instance UID that are others each time it is sent."""
_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"


@dataclass(frozen=True)
class StoreFigures:
    """What one run of C-STOREs gave."""

    associations: int
    instances: int
    seconds: float
    acknowledgement_ms: tuple[float, ...]
    """One per instance, sorted."""
    failures: int

    @property
    def per_second(self) -> float:
        return self.instances / self.seconds


def store(
    host: str,
    port: int,
    called_aet: str,
    images: list[Slice],
    associations: int,
    *,
    calling_aet: str = "BENCHMARK",
    tls: ssl.SSLContext | None = None,
) -> StoreFigures:
    """Send `images` over `associations` associations at once; the clock runs from the first byte to the last answer.

    With `tls` they are dialled under TLS.
    """
    shares = [images[number::associations] for number in range(associations)]
    spawn = multiprocessing.get_context("fork")
    senders: list[tuple[multiprocessing.context.ForkProcess, Connection]] = []
    for share in shares:
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_sender, args=(host, port, (called_aet, calling_aet), share, theirs, tls))
        process.start()
        senders.append((process, ours))
    for _, pipe in senders:
        pipe.recv()
    started = time.perf_counter()
    for _, pipe in senders:
        pipe.send("go")
    latencies: list[float] = []
    failures = 0
    for _, pipe in senders:
        taken, failed = pipe.recv()
        latencies += taken
        failures += failed
    seconds = time.perf_counter() - started
    for process, _ in senders:
        process.join()
    return StoreFigures(associations, len(images), seconds, tuple(sorted(latencies)), failures)


def storescu(host: str, port: int, called_aet: str, images: list[Slice]) -> StoreFigures:
    """The same images through dcmtk's `storescu`, unmodified: Nagle on, 16 KB PDUs."""
    environment = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(images):
            Path(folder, f"{number:05}.dcm").write_bytes(part10(image))
        command = ["storescu", "-R", "-aec", called_aet, "+sd", host, str(port), folder]
        started = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        seconds = time.perf_counter() - started
    failures = done.stderr.count("Store Failed") + (len(images) if done.returncode else 0)
    return StoreFigures(1, len(images), seconds, (), failures)


def _sender(
    host: str, port: int, titles: tuple[str, str], images: list[Slice], pipe: Connection, tls: ssl.SSLContext | None
) -> None:
    connection, limit = _associated(host, port, titles, tls)
    messages = [_c_store_rq(number % 65535 + 1, image, limit) for number, image in enumerate(images)]
    pipe.send("ready")
    pipe.recv()
    latencies, failures = [], 0
    for message in messages:
        started = time.perf_counter()
        connection.sendall(message)
        answer = _receive_pdu(connection)
        latencies.append(1000 * (time.perf_counter() - started))
        failures += _status(answer) != 0
    pipe.send((latencies, failures))
    connection.sendall(struct.pack(">BxIxxxx", 5, 4))
    connection.close()


@dataclass
class Arrived:
    """What was stored beside something else that is measured."""

    instances: int = 0
    failures: int = 0
    seconds: float = 0.0


@contextlib.contextmanager
def arriving(
    host: str, port: int, called_aet: str, images: list[Slice], *, per_second: float = 0.0
) -> Iterator[Arrived]:
    """New instances arrive over one association for the length of the block: `images` in turn, each time under another
    SOP Instance UID; `per_second` of them, 0 for as many as the receiver takes. Encoded before the block begins."""
    spawn = multiprocessing.get_context("fork")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_send_until_told, args=(host, port, called_aet, images, per_second, theirs))
    process.start()
    ours.recv()
    arrived, started = Arrived(), time.perf_counter()
    ours.send("go")
    try:
        yield arrived
    finally:
        ours.send("end")
        arrived.instances, arrived.failures = ours.recv()
        arrived.seconds = time.perf_counter() - started
        process.join()


def _send_until_told(
    host: str, port: int, called_aet: str, images: list[Slice], per_second: float, pipe: Connection
) -> None:
    connection, limit = _associated(host, port, (called_aet, "BENCHMARK"))
    messages = [bytearray(_c_store_rq(number + 1, image, limit)) for number, image in enumerate(images)]
    ends = [
        [found.end() for found in re.finditer(re.escape(image.sop_instance_uid.encode()), message)]
        for image, message in zip(images, messages, strict=True)
    ]
    first = time.time_ns() // 1_000_000 % 80_000_000 + 10_000_000
    pipe.send("ready")
    pipe.recv()
    started, count, failures = time.perf_counter(), 0, 0
    while not pipe.poll(max(0.0, started + count / per_second - time.perf_counter()) if per_second else 0.0):
        message = messages[count % len(messages)]
        for end in ends[count % len(messages)]:
            message[end - _CHANGED : end] = b"%d" % (first + count)
        connection.sendall(message)
        failures += _status(_receive_pdu(connection)) != 0
        count += 1
    pipe.send((count, failures))
    connection.sendall(struct.pack(">BxIxxxx", 5, 4))
    connection.close()


def _associated(
    host: str, port: int, titles: tuple[str, str], tls: ssl.SSLContext | None = None
) -> tuple[socket.socket, int]:
    """The connection, and how long a PDU may be."""
    connection = socket.create_connection((host, port), timeout=120)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is not None:
        connection = tls.wrap_socket(connection, server_hostname=host)
    connection.sendall(_associate_rq(*titles))
    accept = _receive_pdu(connection)
    if accept[0] != 2:
        raise RuntimeError(f"the association was refused: PDU type {accept[0]}, {accept[6:10].hex()}")
    return connection, min(_peer_maximum(accept) or 131072, 131072)


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _associate_rq(called_aet: str, calling_aet: str = "BENCHMARK") -> bytes:
    """PS3.8 §9.3.2 with one presentation context: CT Image Storage in Explicit VR Little Endian."""
    context = _item(0x30, CTImageStorage.encode()) + _item(0x40, ExplicitVRLittleEndian.encode())
    user = _item(0x51, struct.pack(">I", _OUR_PDU)) + _item(0x52, b"2.25.1")
    body = struct.pack(">Hxx16s16s32x", 1, called_aet.ljust(16).encode(), calling_aet.ljust(16).encode())
    body += _item(0x10, _APPLICATION_CONTEXT) + _item(0x20, b"\x01\0\0\0" + context) + _item(0x50, user)
    return struct.pack(">BxI", 1, len(body)) + body


def _peer_maximum(accept: bytes) -> int:
    """Maximum PDU length of an A-ASSOCIATE-AC (PS3.8 D.1)."""
    position = 74
    while position + 4 <= len(accept):
        kind, length = struct.unpack_from(">BxH", accept, position)
        if kind == 0x50:
            inner = position + 4
            while inner < position + 4 + length:
                sub_kind, sub_length = struct.unpack_from(">BxH", accept, inner)
                if sub_kind == 0x51:
                    return int(struct.unpack_from(">I", accept, inner + 4)[0])
                inner += 4 + sub_length
        position += 4 + length
    return 0


def _element(tag: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0, tag, len(value)) + value


def _c_store_rq(message_id: int, image: Slice, limit: int) -> bytes:
    """The whole message as P-DATA-TF PDUs (PS3.7 §9.3.1, PS3.8 §9.3.5)."""
    command = b"".join(
        (
            _element(0x0002, CTImageStorage.encode()),
            _element(0x0100, struct.pack("<H", 1)),
            _element(0x0110, struct.pack("<H", message_id)),
            _element(0x0700, struct.pack("<H", 0)),
            _element(0x0800, struct.pack("<H", 1)),
            _element(0x1000, image.sop_instance_uid.encode()),
        )
    )
    command = _element(0x0000, struct.pack("<I", len(command))) + command
    pdus = [struct.pack(">BxIIBB", 4, len(command) + 6, len(command) + 2, 1, 3) + command]
    step = limit - 6
    for start in range(0, len(image.data_set), step):
        part = image.data_set[start : start + step]
        last = 2 if start + step >= len(image.data_set) else 0
        pdus.append(struct.pack(">BxIIBB", 4, len(part) + 6, len(part) + 2, 1, last) + part)
    return b"".join(pdus)


def _receive_pdu(connection: socket.socket) -> bytes:
    head = _receive(connection, 6)
    return head + _receive(connection, struct.unpack(">I", head[2:])[0])


def _receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise RuntimeError("the receiver closed the connection")
        received += part
    return received


def _status(answer: bytes) -> int:
    """(0000,0900) of a C-STORE-RSP; -1 when there is none. From the end, for message ID 0x0209 looks the same."""
    position = answer.rfind(b"\0\0\0\x09\x02\0\0\0")
    return -1 if position < 0 else int(struct.unpack_from("<H", answer, position + 8)[0])

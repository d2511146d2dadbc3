"""What makes the wire fast, each held by a test that fails without it: no timers of the kernel, no needless copies."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.dimse_load import storescu
from benchmarks.synthetic_ct import make_series
from pacs.dimse.connection import Connection
from pacs.dimse.messages.command_builders import c_store_rq
from pacs.dimse.upper_layer.association import Association
from pacs.dimse.upper_layer.events import DataReceived
from pacs.dimse.wire import PlainWire
from pacs.ingest.reception import Reception
from pacs.storage.disk import Bytes, Disk
from tests.crash.every_call import Strace
from tests.crash.privileges import need_strace
from tests.dimse.connected import established, sockets_connected
from tests.dimse.served import CT, CT_CONTEXT, RawPeer, serving
from tests.dimse.upper_layer.bytes_of_peers import data_pdu
from tests.ingest.small_archive import encoded, open_place
from tests.running_archive import RunningArchive

needs_quickack = pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="this system has no TCP_QUICKACK")
MAX_PDU = 131072
QUIETLY = ("-e", "signal=none")


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(ours, the peer's), connected."""
    with sockets_connected() as ends:
        yield ends


@pytest.fixture
def connection(sockets: tuple[socket.socket, socket.socket]) -> Connection:
    """Our end, with the association established."""
    return established(*sockets, max_pdu_length=MAX_PDU, send_timeout_s=5)


def _option(of: socket.socket, name: int) -> int:
    return of.getsockopt(socket.IPPROTO_TCP, name)


@pytest.mark.parametrize("is_tls", [False, True])
def test_our_small_answers_wait_for_nothing(sockets: tuple[socket.socket, socket.socket], is_tls: bool) -> None:
    """TCP_NODELAY, also on what TLS makes of the accepted socket."""
    accepted, peer = sockets
    assert _option(accepted, socket.TCP_NODELAY) == 0, "the control: the system's default"
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if is_tls else None
    ours = Connection(accepted, Association(max_pdu_length=MAX_PDU), send_timeout_s=5, tls=tls)
    assert _option(ours._socket, socket.TCP_NODELAY) == 1
    assert _option(peer, socket.TCP_NODELAY) == 0, "what the peer does is its own affair"
    ours.cut()
    ours._socket.close()


@needs_quickack
def test_acknowledgements_are_at_once_again_after_every_read(
    connection: Connection, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """The kernel goes back to delaying them as soon as we answer; TCP_QUICKACK reads as 0 then."""
    accepted, peer = sockets
    for _ in range(5):
        peer.sendall(data_pdu(b"request"))
        assert isinstance(connection.next_event(5), DataReceived)
        assert _option(accepted, socket.TCP_QUICKACK) == 1
        connection.send_message(1, b"answer")
        assert peer.recv(10_000)
        assert _option(accepted, socket.TCP_QUICKACK) == 0, "the control: the kernel has forgotten it"


def test_bytes_are_received_where_they_are_used(
    connection: Connection, sockets: tuple[socket.socket, socket.socket]
) -> None:
    """`recv_into`: from the kernel to the event nothing is allocated that is as large as what came."""
    _, peer = sockets
    pdu = data_pdu(bytes(MAX_PDU - 100), control=0)

    def receive(count: int) -> int:
        left = count * (MAX_PDU - 100)
        while left:
            event = connection.next_event(5)
            assert isinstance(event, DataReceived)
            left -= len(event.data)
        return count

    sending = threading.Thread(target=peer.sendall, args=(pdu * 40,))
    sending.start()
    receive(20)  # the buffer has grown to its size
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        receive(20)
        _, peak = tracemalloc.get_traced_memory()
        assert peak - before < 4096
        tracemalloc.reset_peak()
        held = bytes(memoryview(pdu)[:8192])
        _, peak = tracemalloc.get_traced_memory()
        assert peak - before > len(held), "the control: the smallest copy of a read is seen"
    finally:
        tracemalloc.stop()
        sending.join()


class WatchedDisk(Disk):
    """Remembers the objects whose memory it was given."""

    def __init__(self) -> None:
        self.given: list[object] = []

    def write(self, handle: int, parts: list[Bytes], offset: int) -> None:  # type: ignore[override]
        self.given += [memoryview(part).obj for part in parts]
        super().write(handle, parts, offset)


def test_the_payload_is_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the buffer that the kernel fills into the instance's own, and from there the kernel takes it."""
    filled: list[object] = []
    taken: list[object] = []
    kept: list[object] = []
    receive, write = PlainWire.receive, Reception.write

    def watched_receive(wire: PlainWire, room: memoryview, timeout_s: float) -> int | None:
        filled.append(room.obj)
        return receive(wire, room, timeout_s)

    def watched_write(reception: Reception, fragment: Bytes) -> None:
        taken.append(fragment.obj if isinstance(fragment, memoryview) else fragment)
        write(reception, fragment)
        kept.append(reception.in_memory)

    monkeypatch.setattr(PlainWire, "receive", watched_receive)
    monkeypatch.setattr(Reception, "write", watched_write)
    disk = WatchedDisk()
    place = open_place(tmp_path, disk=disk)
    content = encoded(pixel_bytes=1 << 20)
    try:
        with serving(place.ingest, max_pdu=MAX_PDU) as server, RawPeer(server) as peer:
            peer.associate()
            assert peer.ask(CT_CONTEXT, c_store_rq(1, CT, "1.2.3.1"), content).status == 0
            assert peer.release() is not None
        assert len(taken) > 8
        assert {id(one) for one in taken} <= {id(one) for one in filled}, "what was received is handed on where it lies"
        [whole] = {id(one): one for one in kept}.values()
        assert isinstance(whole, bytearray) and bytes(whole) == content, "one buffer, filled by one copy"
        assert any(one is whole for one in disk.given), "which is what the disk is given"
        large = [one for one in disk.given if isinstance(one, bytes | bytearray) and len(one) > 100_000]
        assert large == [whole]
    finally:
        place.close()


@needs_quickack
@pytest.mark.dcmtk
def test_an_unmodified_sender_is_acknowledged_after_every_read(tmp_path: Path) -> None:
    """The calls of a whole archive while a `storescu` with Nagle's algorithm stores to it."""
    if not shutil.which("storescu"):
        pytest.skip("needs dcmtk")
    need_strace()
    images = make_series(4, seed=1)
    trace = tmp_path / "calls"
    with RunningArchive(tmp_path / "data", PACS_HTTP__WORKERS="1") as archive:
        tracing = Strace([archive.pid_of("dimse")], "-f", "-o", str(trace), "-e", "trace=setsockopt,recvfrom", *QUIETLY)
        try:
            found = storescu("127.0.0.1", archive.dicom_port, archive.aet, images)
        finally:
            tracing.stop()
    assert found.failures == 0
    calls = trace.read_text()
    reads = [int(count) for count in re.findall(r"recvfrom(?:\(| resumed>).* = (\d+)$", calls, re.MULTILINE)]
    assert sum(reads) > sum(len(image.data_set) for image in images)
    assert len(re.findall(r"TCP_NODELAY, \[1\]", calls)) == 1, "once, for the one connection"
    assert len(re.findall(r"TCP_QUICKACK, \[1\]", calls)) == sum(count > 0 for count in reads)

"""Peers that lie, drip, go away and flood: only they feel it (CVE-2026-5440, CVE-2026-50254 and their kind)."""

from __future__ import annotations

import random
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs.dimse.messages.command_builders import c_echo_rq, c_store_rq
from pacs.dimse.server import DimseServer
from pacs.dimse.upper_layer import pdu
from tests.dimse.served import CT, CT_CONTEXT, ECHO_CONTEXT, MemoryIngest, RawPeer, serving

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def ingest() -> MemoryIngest:
    return MemoryIngest()


@pytest.fixture
def server(ingest: MemoryIngest) -> Iterator[DimseServer]:
    with serving(ingest, acse_timeout_s=20.0) as running:
        yield running


@pytest.fixture
def honest(server: DimseServer, ingest: MemoryIngest) -> Iterator[RawPeer]:
    """Stores before, and on the same association after, whatever the others did."""
    with RawPeer(server) as peer:
        peer.associate(calling="HONEST")
        assert peer.ask(CT_CONTEXT, c_store_rq(1, CT, "1.2.1"), bytes(200_000)).status == 0
        yield peer
        assert peer.ask(CT_CONTEXT, c_store_rq(2, CT, "1.2.2"), bytes(200_000)).status == 0
        assert peer.release() is not None
    assert {"1.2.1", "1.2.2"} <= ingest.kept.keys()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _lie(kind: int, length: int) -> bytes:
    return pdu.HEADER.pack(kind, length)


@pytest.mark.parametrize("kind", range(9))
@pytest.mark.parametrize("length", [0, 1, 5, 1 << 20, (1 << 31) - 1, (1 << 32) - 1])
@pytest.mark.parametrize("is_associated", [False, True])
def test_a_length_is_believed_by_nobody(
    honest: RawPeer, server: DimseServer, kind: int, length: int, is_associated: bool
) -> None:
    before = _resident_bytes()
    with RawPeer(server) as liar:
        if is_associated:
            liar.associate()
        liar.socket.sendall(_lie(kind, length) + b"x" * 64)
        liar.socket.shutdown(socket.SHUT_WR)
        assert liar.is_closed_by_server()
    assert _resident_bytes() - before < 32 << 20


@pytest.mark.parametrize("seed", range(20))
def test_garbage_in_the_middle_of_an_honest_stream(
    honest: RawPeer, server: DimseServer, ingest: MemoryIngest, seed: int
) -> None:
    chance = random.Random(seed)
    recorded = bytearray()
    for context_id, command, data in (
        (ECHO_CONTEXT, c_echo_rq(1), None),
        (CT_CONTEXT, c_store_rq(2, CT, "1.9.9"), chance.randbytes(30_000)),
    ):
        recorded += _recorded(context_id, command.encode(), is_command=True)
        if data is not None:
            recorded += _recorded(context_id, data, is_command=False)
    at = chance.randrange(len(recorded))
    recorded[at : at + chance.randrange(1, 40)] = chance.randbytes(chance.randrange(0, 40))
    with RawPeer(server) as liar:
        liar.associate()
        liar.socket.sendall(recorded)
        liar.socket.shutdown(socket.SHUT_WR)
        assert liar.is_closed_by_server()


def _recorded(context_id: int, data: bytes, *, is_command: bool) -> bytes:
    from pacs.dimse.upper_layer.outgoing_data import data_pdus

    return b"".join(b"".join(buffers) for buffers in data_pdus(context_id, is_command, [data], 16384))


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_store_that_is_cut_off_leaves_nothing(
    honest: RawPeer, server: DimseServer, ingest: MemoryIngest, part: float, how: str
) -> None:
    message = _recorded(CT_CONTEXT, c_store_rq(1, CT, "1.6.6").encode(), is_command=True)
    message += _recorded(CT_CONTEXT, bytes(300_000), is_command=False)
    with RawPeer(server) as liar:
        liar.associate()
        liar.socket.sendall(message[: int(len(message) * part)])
        if how == "resets":
            liar.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            liar.socket.close()
        else:
            liar.socket.shutdown(socket.SHUT_WR)
            assert liar.is_closed_by_server()
    assert "1.6.6" not in ingest.kept


def test_two_hundred_half_sent_requests_block_nobody(honest: RawPeer, server: DimseServer) -> None:
    before = _resident_bytes()
    slow = [RawPeer(server) for _ in range(200)]
    for peer in slow:
        peer.socket.sendall(_lie(1, 1 << 20) + b"\0\1")
    with RawPeer(server) as newcomer:
        newcomer.associate()
        assert newcomer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0
    assert _resident_bytes() - before < 64 << 20
    for peer in slow:
        peer.socket.close()


def test_a_command_set_without_end_is_cut(honest: RawPeer, server: DimseServer) -> None:
    with RawPeer(server) as liar:
        liar.associate()
        endless = pdu.PDV_HEADER.pack(16002, ECHO_CONTEXT, 1) + bytes(16000)
        try:
            for _ in range(20):
                liar.socket.sendall(pdu.HEADER.pack(4, len(endless)) + endless)
        except OSError:
            pass
        assert liar.is_closed_by_server()


def test_a_flood_of_empty_fragments_is_no_message(honest: RawPeer, server: DimseServer, ingest: MemoryIngest) -> None:
    with RawPeer(server) as liar:
        liar.associate()
        liar.send(CT_CONTEXT, c_store_rq(1, CT, "1.7.7"))
        empty = pdu.HEADER.pack(4, 6) + pdu.PDV_HEADER.pack(2, CT_CONTEXT, 0)
        liar.socket.sendall(empty * 20_000)
        liar.socket.shutdown(socket.SHUT_WR)
        assert liar.is_closed_by_server()
    assert "1.7.7" not in ingest.kept


def test_as_many_contexts_as_there_are_bytes_for(honest: RawPeer, server: DimseServer) -> None:
    """Items that say nothing, up to the limit of an A-ASSOCIATE-RQ."""
    information = b"\x50\0\0\x08\x51\0\0\x04\0\0\x40\0"
    fixed = bytes((0, 1, 0, 0)) + b"PACS".ljust(16) + b"LIAR".ljust(16) + bytes(32)
    body = fixed + b"\x10\0\0\x151.2.840.10008.3.1.1.1" + b"\x99\0\0\0" * 200_000 + information
    with RawPeer(server) as liar:
        liar.socket.sendall(pdu.HEADER.pack(1, len(body)) + body)
        assert liar.is_closed_by_server()

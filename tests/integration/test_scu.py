"""Our associations with destinations that refuse, lie, stop or go away: always `DestinationLost`, never a hang."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pacs.dimse import scu
from pacs.dimse.messages.command_builders import c_store_rq, response_to
from pacs.dimse.scu import DestinationLost, Destinations, StorageAssociation
from pacs.dimse.upper_layer.items import ContextResult, ProposedContext, UserInformation
from pacs.dimse.upper_layer.pdu import (
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    AssociateAccept,
    encode_associate_ac,
    encode_associate_rj,
)
from pacs.settings import DestinationSettings, DicomSettings

pytestmark = pytest.mark.real_time(0.3)

CT, EXPLICIT, IMPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
CONTEXTS = [ProposedContext(1, CT, (EXPLICIT,)), ProposedContext(3, CT, (EXPLICIT, IMPLICIT))]
SETTINGS = DicomSettings(acse_timeout_s=1, data_timeout_s=1)
REQUEST = c_store_rq(1, CT, "1.2.3")

Peer = Callable[[socket.socket], None]


def accept(*, max_pdu_length: int = 16384, first: str = EXPLICIT) -> bytes:
    results = (ContextResult(1, 0, first), ContextResult(3, 3, IMPLICIT))
    return encode_associate_ac(AssociateAccept("WS", "PACS", results, UserInformation(max_pdu_length=max_pdu_length)))


@pytest.fixture
def connect() -> Iterator[Callable[[Peer], StorageAssociation]]:
    """Connect to a peer that does what the given function does with its socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as ending:

        def connect(peer: Peer) -> StorageAssociation:
            def serve() -> None:
                accepted, _ = listening.accept()
                with accepted, contextlib.suppress(OSError):
                    accepted.recv(65536)
                    peer(accepted)

            thread = threading.Thread(target=serve)
            thread.start()
            ending.callback(thread.join, 10)
            destination = DestinationSettings(aet="WS", host="127.0.0.1", port=listening.getsockname()[1])
            return Destinations(SETTINGS).connect(destination, CONTEXTS)

        yield connect


def stay(peer: socket.socket) -> None:
    while peer.recv(65536):
        pass


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(DestinationLost, match=r"WS at 127\.0\.0\.1:\d+ cannot be reached"):
        Destinations(SETTINGS).connect(DestinationSettings(aet="WS", host="127.0.0.1", port=port), CONTEXTS)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (encode_associate_rj(CALLED_AE_TITLE_NOT_RECOGNIZED), "rejected"),
        (b"", "closed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "WS at"),
        (struct.pack(">BxI", 2, 0xFFFFFFF0), "WS at"),
        (struct.pack(">BxI4x", 7, 4), "aborted"),
        (accept(max_pdu_length=7), "too short"),
    ],
    ids=["reject", "close", "another protocol", "4 GB", "abort", "tiny PDUs"],
)
def test_no_association(connect: Callable[[Peer], StorageAssociation], answer: bytes, why: str) -> None:
    with pytest.raises(DestinationLost, match=why):
        connect(lambda peer: peer.sendall(answer))


def test_silence_instead_of_an_answer(connect: Callable[[Peer], StorageAssociation]) -> None:
    with pytest.raises(DestinationLost, match="no more bytes"):
        connect(stay)


def test_only_what_was_proposed_counts_as_accepted(connect: Callable[[Peer], StorageAssociation]) -> None:
    def take_another(peer: socket.socket) -> None:
        peer.sendall(accept(first=IMPLICIT))
        peer.recv(65536)
        peer.sendall(struct.pack(">BxI4x", 6, 4))

    association = connect(take_another)
    assert association.contexts == ()
    association.release()


@pytest.mark.parametrize(
    "response",
    [
        b"",
        struct.pack(">BxI4x", 7, 4),
        struct.pack(">BxI4x", 5, 4),
        struct.pack(">BxIIBB", 4, 8, 4, 1, 3) + b"\0\0",
        struct.pack(">BxIIBB", 4, 6, 0xFFFFFFFF, 1, 3),
    ],
    ids=["close", "abort", "release request", "torn command", "fragment that lies"],
)
def test_the_end_in_the_middle_of_a_store(connect: Callable[[Peer], StorageAssociation], response: bytes) -> None:
    def lose(peer: socket.socket) -> None:
        peer.sendall(accept())
        peer.recv(65536)
        peer.sendall(response)

    association = connect(lose)
    [context] = association.contexts
    with pytest.raises(DestinationLost):
        association.store(context, REQUEST, memoryview(bytes(100_000)))
    association.release()
    with pytest.raises(DestinationLost):
        association.store(context, REQUEST, memoryview(b"12"))


def test_no_response_in_time(connect: Callable[[Peer], StorageAssociation]) -> None:
    def accept_and_stay(peer: socket.socket) -> None:
        peer.sendall(accept())
        stay(peer)

    association = connect(accept_and_stay)
    with pytest.raises(DestinationLost, match="no more bytes"):
        association.store(association.contexts[0], REQUEST, memoryview(b"1234"))
    association.release()


def test_a_response_that_drips_is_no_response(connect: Callable[[Peer], StorageAssociation]) -> None:
    """A byte now and then is no silence, and would hold whoever waits for hours."""
    response = response_to(REQUEST, 0).encode()

    def drip(peer: socket.socket) -> None:
        peer.sendall(accept())
        for byte in struct.pack(">BxIIBB", 4, len(response) + 6, len(response) + 2, 1, 3) + response:
            peer.sendall(bytes((byte,)))
            is_over.wait(0.3)

    is_over = threading.Event()
    association = connect(drip)
    begun = time.monotonic()
    with pytest.raises(DestinationLost, match="hardly any"):
        association.store(association.contexts[0], REQUEST, memoryview(b"1234"))
    assert time.monotonic() - begun < 10
    is_over.set()
    association.release()


def test_a_response_without_end_is_no_response(
    connect: Callable[[Peer], StorageAssociation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scu, "MAX_REPLY_BYTES", 16 << 20)
    response = response_to(REQUEST, 0, has_data_set=True).encode()

    def go_on(peer: socket.socket) -> None:
        peer.sendall(accept())
        peer.sendall(struct.pack(">BxIIBB", 4, len(response) + 6, len(response) + 2, 1, 3) + response)
        for _ in range(10_000):
            peer.sendall(struct.pack(">BxIIBB", 4, 10_006, 10_002, 1, 0) + bytes(10_000))

    association = connect(go_on)
    with pytest.raises(DestinationLost, match="more than"):
        association.store(association.contexts[0], REQUEST, memoryview(b"1234"))
    association.release()

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from pacs.dimse.connection import Connection, Silence
from pacs.dimse.scp.service import AssociationLost
from pacs.dimse.upper_layer.events import Aborted, DataReceived, ReleaseRequested
from tests.dimse.connected import established, sockets_connected
from tests.dimse.upper_layer.bytes_of_peers import ABORT, RELEASE_RQ, data_pdu, feed, opened


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """Our end, with the association established, and the peer's bare socket."""
    with sockets_connected() as (accepted, peer):
        yield established(accepted, peer, max_pdu_length=16384, send_timeout_s=0.3), peer


def test_events_come_in_order_and_can_be_put_back(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    peer.sendall(data_pdu(b"abcd") + RELEASE_RQ)
    event = connection.next_event(5)
    assert isinstance(event, DataReceived)
    connection.put_back(event)
    assert connection.next_event(5) is event
    assert isinstance(connection.next_event(5), ReleaseRequested)


@pytest.mark.real_time(1.0)
def test_silence_ends_the_wait(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    with pytest.raises(Silence):
        connection.next_event(0.05)
    started = time.monotonic()
    with pytest.raises(Silence):
        connection.next_event(30, deadline=started + 0.05)
    assert time.monotonic() - started < 5
    peer.sendall(RELEASE_RQ)
    assert isinstance(connection.next_event(5), ReleaseRequested)


def test_looking_does_not_wait(pair: tuple[Connection, socket.socket]) -> None:
    connection, _peer = pair
    assert connection.event_if_any() is None


def test_a_long_message_arrives_whole(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    data_set = bytes(range(256)) * 200
    connection.send_message(1, b"command!", [memoryview(data_set)[:7], memoryview(data_set)[7:]])
    ours = opened(is_requestor=True)
    received = b""
    while received[-1:] != data_set[-1:] or len(received) < len(data_set) + 8:
        events = feed(ours, peer.recv(65536))
        received += b"".join(event.data for event in events if isinstance(event, DataReceived))
    assert received == b"command!" + data_set


def test_a_peer_that_takes_nothing_is_silence_too(pair: tuple[Connection, socket.socket]) -> None:
    connection, _peer = pair
    with pytest.raises(Silence):
        connection.send_message(1, b"command!", [bytes(50_000_000)])
    with pytest.raises(AssociationLost):
        connection.send_message(1, b"command!")


@pytest.mark.parametrize("last", [ABORT, b""], ids=["abort", "close"])
def test_after_the_end_nothing_is_sent_or_waited_for(pair: tuple[Connection, socket.socket], last: bytes) -> None:
    connection, peer = pair
    peer.sendall(last)
    peer.close()
    assert isinstance(connection.next_event(5), Aborted)
    with pytest.raises(AssociationLost):
        connection.next_event(5)
    with pytest.raises(AssociationLost):
        connection.send_message(1, b"command!")


def test_another_thread_can_end_the_wait(pair: tuple[Connection, socket.socket]) -> None:
    connection, _peer = pair
    connection.interrupt()
    assert isinstance(connection.next_event(5), Aborted)


def test_the_end_is_said_before_the_close(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    peer.sendall(b"\xff" * 100_000)
    assert isinstance(connection.next_event(5), Aborted)
    connection.finish(0.1, is_released=False)
    assert peer.recv(100)[0] == 7

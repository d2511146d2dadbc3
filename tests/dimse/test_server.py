from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

import pytest

from pacs.dimse import conversation as conversation_module
from pacs.dimse import server as server_module
from pacs.dimse.messages.command_builders import c_echo_rq, c_store_rq
from pacs.dimse.server import DimseServer
from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.events import Aborted, AssociationAccepted, AssociationRejected, ReleaseConfirmed
from pacs.dimse.upper_layer.outgoing_data import data_pdus
from pacs.model import Stored
from tests.dimse.served import CT, CT_CONTEXT, ECHO_CONTEXT, MemoryIngest, MemoryReception, RawPeer, serving
from tests.patience import PATIENCE_S
from tests.waiting import wait_until

CT_STORE_BEGUN = b"".join(
    b"".join(parts) for parts in data_pdus(CT_CONTEXT, True, [c_store_rq(1, CT, "1.2.3").encode()], 16384)
) + pdu.HEADER.pack(4, 16006)


class SlowIngest(MemoryIngest):
    """Commits when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.is_committing = threading.Event()
        self.may_commit = threading.Event()

    def begin(self, _source: object, _syntax: str, *, sop_class_uid: str, sop_instance_uid: str) -> MemoryReception:
        ingest = self

        class Slow(MemoryReception):
            def commit(self) -> Stored:
                ingest.is_committing.set()
                assert ingest.may_commit.wait(PATIENCE_S)
                return super().commit()

        return Slow(self, sop_instance_uid)


def test_many_peers_are_answered_at_the_same_time(server: DimseServer) -> None:
    peers = [RawPeer(server) for _ in range(20)]
    for peer in peers:
        assert isinstance(peer.associate(), AssociationAccepted)
    for peer in peers:
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0
        peer.socket.close()


def test_one_association_too_many_is_told_to_come_back(ingest: MemoryIngest) -> None:
    with serving(ingest, max_associations=1) as server:
        with RawPeer(server) as first:
            first.associate()
            with RawPeer(server) as second:
                assert second.associate() == AssociationRejected(pdu.LOCAL_LIMIT_EXCEEDED)
            first.release()
        with RawPeer(server) as third:
            assert isinstance(third.associate(), AssociationAccepted)


def test_one_peer_does_not_fill_the_house(ingest: MemoryIngest) -> None:
    with serving(ingest, max_associations_per_peer=2) as server:
        greedy = [RawPeer(server) for _ in range(2)]
        for peer in greedy:
            assert isinstance(peer.associate(calling="GREEDY"), AssociationAccepted)
        with RawPeer(server) as third, RawPeer(server) as other:
            assert third.associate(calling="GREEDY") == AssociationRejected(pdu.LOCAL_LIMIT_EXCEEDED)
            assert isinstance(other.associate(calling="OTHER"), AssociationAccepted)
        greedy[0].release()
        with RawPeer(server) as again:
            assert isinstance(again.associate(calling="GREEDY"), AssociationAccepted)
        for peer in greedy:
            peer.socket.close()


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_module, "_USUAL_BEGINNING_S", 0.2)
    monkeypatch.setattr(conversation_module, "_USUAL_QUIET_S", 1.5)


def _associated_within(server: DimseServer, calling: str, seconds: float) -> float | None:
    """How long a peer that asks again and again was kept out; None when it never came in."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        with RawPeer(server) as peer:
            if isinstance(peer.associate(calling=calling), AssociationAccepted):
                assert peer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0
                peer.release()
                return time.monotonic() - started
        time.sleep(0.02)
    return None


@pytest.mark.real_time(0.03)
@pytest.mark.parametrize("titles", [("S1", "S2", "S3"), ("HONEST",) * 3], ids=["other titles", "its own title"])
@pytest.mark.parametrize("drip", [b"", CT_STORE_BEGUN], ids=["silent", "in the middle of an instance"])
def test_associations_held_for_nothing_make_room(
    ingest: MemoryIngest, short_patience: None, titles: tuple[str, ...], drip: bytes
) -> None:
    with serving(ingest, max_associations=3, max_associations_per_peer=3) as server, ExitStack() as stack:
        for title in titles:
            slow = stack.enter_context(RawPeer(server))
            assert isinstance(slow.associate(calling=title), AssociationAccepted)
            slow.socket.sendall(drip)
        kept_out_s = _associated_within(server, "HONEST", 5)
        assert kept_out_s is not None
        assert kept_out_s > 0.1, "the control: at first there is no room"


@pytest.mark.real_time(0.03)
def test_who_was_answered_or_is_sending_keeps_its_place_longer(ingest: MemoryIngest, short_patience: None) -> None:
    with serving(ingest, max_associations=2) as server, RawPeer(server) as scanner, RawPeer(server) as migration:
        scanner.associate(calling="SCANNER")
        assert scanner.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0
        migration.associate(calling="MIGRATION")
        migration.send(CT_CONTEXT, c_store_rq(1, CT, "1.2.3"))
        until = time.monotonic() + 0.8
        sent = 0
        while time.monotonic() < until:
            for buffers in migration.association.data(CT_CONTEXT, is_command=False, buffers=[bytes(40_000)]):
                message = b"".join(buffers)
                # Never the last fragment: the instance goes on.
                migration.socket.sendall(message[:11] + bytes([message[11] & 1]) + message[12:])
                sent += 1
            with RawPeer(server) as other:
                assert other.associate(calling="OTHER") == AssociationRejected(pdu.LOCAL_LIMIT_EXCEEDED)
            time.sleep(0.05)
        assert sent > 5
        assert scanner.ask(ECHO_CONTEXT, c_echo_rq(2)).status == 0
        assert _associated_within(server, "OTHER", 5) is not None, "in the end a quiet one makes room"


def test_silent_connections_make_room_for_honest_ones(ingest: MemoryIngest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_UNASSOCIATED", 3)
    with serving(ingest, max_associations=1) as server:
        silent = [RawPeer(server) for _ in range(3)]
        with RawPeer(server) as honest:
            assert isinstance(honest.associate(), AssociationAccepted)
        assert silent[0].is_closed_by_server()
        for peer in silent:
            peer.socket.close()


@pytest.mark.parametrize("said", [b"\xff\0\0\0\0\4\0\0\0\0", b""], ids=["aborted", "released"])
def test_peers_that_do_not_close_at_the_end_do_not_add_up(
    ingest: MemoryIngest, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(server_module, "MAX_UNASSOCIATED", 3)
    monkeypatch.setattr(conversation_module, "_ABORT_LINGER_S", 600.0)  # it is not the time that ends them
    with serving(ingest, acse_timeout_s=600) as server:
        peers = []
        for _ in range(12):
            peers.append(RawPeer(server))
            if said:
                peers[-1].socket.sendall(said)
                assert peers[-1].is_closed_by_server()  # for writing: our side of the connection stays open
            else:
                assert isinstance(peers[-1].associate(), AssociationAccepted)
                assert isinstance(peers[-1].release(), ReleaseConfirmed)
        wait_until(lambda: _association_threads() <= 4, why="too many threads are left")
        for peer in peers:
            peer.socket.close()


def _association_threads() -> int:
    return sum(each.name == "association" for each in threading.enumerate())


def test_each_connection_too_many_closes_another_one(ingest: MemoryIngest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while those that were closed have not ended yet."""
    monkeypatch.setattr(server_module, "MAX_UNASSOCIATED", 3)
    closed: list[object] = []
    monkeypatch.setattr(server_module.Conversation, "cut", lambda conversation, _why: closed.append(conversation))
    with serving(ingest) as server:
        silent = [RawPeer(server) for _ in range(8)]
        wait_until(lambda: len(closed) >= 5)
        assert len(closed) == len(set(closed)) == 5
        for peer in silent:
            peer.socket.close()


def test_stopping_finishes_the_store_in_hand() -> None:
    ingest = SlowIngest()
    with serving(ingest) as server, RawPeer(server) as peer, RawPeer(server) as idle, RawPeer(server) as silent:
        peer.associate()
        idle.associate()
        peer.send(CT_CONTEXT, c_store_rq(1, CT, "1.2.3"), bytes(300_000))
        assert ingest.is_committing.wait(PATIENCE_S)
        stopping = threading.Thread(target=server.stop, args=(PATIENCE_S,))
        stopping.start()
        assert isinstance(idle.event(), Aborted)
        assert silent.is_closed_by_server()
        ingest.may_commit.set()
        assert peer.receive()[0].status == 0
        assert isinstance(peer.event(), Aborted)
        stopping.join(PATIENCE_S)
        assert not stopping.is_alive()
    assert len(ingest.kept["1.2.3"]) == 300_000


def test_stopping_does_not_wait_longer_than_its_grace() -> None:
    ingest = MemoryIngest()
    with serving(ingest) as server, RawPeer(server) as peer:
        peer.associate()
        peer.send(CT_CONTEXT, c_store_rq(1, CT, "1.2.3"))
        peer.socket.sendall(b"\x04\0\0\0\x10\0")
        wait_until(lambda: ingest.begun)
        server.stop(0.1)
        assert peer.is_closed_by_server()
        assert ingest.aborted == 1


def test_nobody_is_accepted_after_the_stop(ingest: MemoryIngest) -> None:
    with serving(ingest) as server:
        address = server.address
        server.stop(1)
        with pytest.raises(OSError):
            socket.create_connection(address, timeout=2)


def test_associations_leave_no_thread_behind(server: DimseServer) -> None:
    before = threading.active_count()
    for number in range(100):
        with RawPeer(server) as peer:
            peer.associate()
            if number % 2:
                peer.abort()
            else:
                peer.release()
    server.stop(10)
    assert threading.active_count() <= before

"""What a service tells later, between the peer's requests, on a real association."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pacs.dimse import follow_ups
from pacs.dimse.messages.command import CommandField, CommandSet, Element
from pacs.dimse.messages.command_builders import c_echo_rq, c_store_rq, n_event_report_rq, response_to
from pacs.dimse.scp.service import Exchange
from pacs.dimse.server import DimseServer
from pacs.dimse.upper_layer.events import Aborted, ReleaseConfirmed
from pacs.errors import IndexUnavailable, PacsError
from tests.dimse.served import CT, CT_CONTEXT, ECHO_CONTEXT, FIND, FIND_CONTEXT, MemoryIngest, RawPeer, serving
from tests.patience import SHORT_OF_ANY_TIMEOUT_S

SAID = b"\x08\x00\x95\x11\x04\x00\x00\x001.2\0"


class Later:
    """Says one thing as soon as `is_known`."""

    context_id = FIND_CONTEXT

    def __init__(self) -> None:
        self.is_known = threading.Event()
        self.is_closed = threading.Event()
        self.fails_with: PacsError | None = None
        self.status: int | None = None
        self.is_over = False

    def message(self, message_id: int) -> tuple[CommandSet, bytes] | None:
        if self.fails_with:
            raise self.fails_with
        return (n_event_report_rq(message_id, FIND, "1.2", 1), SAID) if self.is_known.is_set() else None

    def answered(self, status: int) -> None:
        self.status, self.is_over = status, True

    def close(self) -> None:
        self.is_closed.set()


class Asked:
    def __init__(self) -> None:
        self.later: list[Later] = []

    def serve(self, exchange: Exchange) -> None:
        exchange.respond(response_to(exchange.command, 0))
        exchange.afterwards(self.later[exchange.command.message_id - 1])


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def server(asked: Asked) -> Iterator[DimseServer]:
    with serving(MemoryIngest(), {FIND: asked}) as started:
        yield started


def ask(peer: RawPeer, asked: Asked) -> Later:
    later = Later()
    asked.later.append(later)
    request = CommandSet({**c_echo_rq(len(asked.later)), Element.AFFECTED_SOP_CLASS_UID: FIND})
    assert peer.ask(FIND_CONTEXT, request).status == 0
    return later


def answer(peer: RawPeer, request: CommandSet, status: int = 0, data_set: bytes | None = None) -> None:
    peer.send(FIND_CONTEXT, response_to(request, status, has_data_set=data_set is not None), data_set)


def test_it_is_said_in_a_quiet_moment_and_the_association_goes_on(server: DimseServer, asked: Asked) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        later = ask(peer, asked)
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(2)).status == 0
        later.is_known.set()
        request, data_set = peer.receive()
        assert (request.command_field, data_set) == (CommandField.N_EVENT_REPORT_RQ, SAID)
        answer(peer, request, 0x0107)
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(3)).status == 0
        assert later.status == 0x0107
        assert isinstance(peer.release(), ReleaseConfirmed)
    assert not later.is_closed.is_set()


def test_an_answer_with_a_data_set_is_read_over(server: DimseServer, asked: Asked) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        ask(peer, asked).is_known.set()
        answer(peer, peer.receive()[0], data_set=bytes(50_000))
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(2)).status == 0


def test_an_answer_without_an_end_ends_the_association(
    server: DimseServer, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_ups, "MAX_REPLY_BYTES", 49_999)
    with RawPeer(server) as peer:
        peer.associate()
        later = ask(peer, asked)
        later.is_known.set()
        answer(peer, peer.receive()[0], data_set=bytes(50_000))
        assert isinstance(peer.event(), Aborted)
        assert later.status == 0


def test_the_peer_may_ask_before_it_answers(server: DimseServer, asked: Asked) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        later = ask(peer, asked)
        later.is_known.set()
        request, _ = peer.receive()
        assert peer.ask(CT_CONTEXT, c_store_rq(2, CT, "1.2.3"), bytes(100_000)).status == 0
        answer(peer, request)
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(3)).status == 0
        assert later.status == 0


def test_one_thing_is_said_at_a_time(server: DimseServer, asked: Asked) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        several = [ask(peer, asked) for _ in range(20)]
        for later in several:
            later.is_known.set()
        numbers = []
        for _ in several:
            request, _ = peer.receive()
            numbers.append(request.message_id)
            answer(peer, request)
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(99)).status == 0
        assert numbers == list(range(1, 21))
        assert all(later.status == 0 for later in several)


def test_release_before_there_is_anything_to_say(server: DimseServer, asked: Asked) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        later = ask(peer, asked)
        assert isinstance(peer.release(), ReleaseConfirmed)
    assert later.is_closed.wait(SHORT_OF_ANY_TIMEOUT_S)


def test_release_instead_of_an_answer(server: DimseServer, asked: Asked) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        later = ask(peer, asked)
        later.is_known.set()
        peer.receive()
        assert isinstance(peer.release(), ReleaseConfirmed)
    assert later.is_closed.wait(SHORT_OF_ANY_TIMEOUT_S)
    assert later.status is None


def test_an_answer_to_what_was_not_said_ends_the_association(server: DimseServer, asked: Asked) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        later = ask(peer, asked)
        answer(peer, n_event_report_rq(1, FIND, "1.2", 1))
        assert peer.is_closed_by_server()
    assert later.is_closed.wait(SHORT_OF_ANY_TIMEOUT_S)


def test_a_failure_of_the_index_ends_nothing(server: DimseServer, asked: Asked) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        later = ask(peer, asked)
        later.fails_with = IndexUnavailable("away")
        later.is_known.set()
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(2)).status == 0
        later.fails_with = None
        answer(peer, peer.receive()[0])
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(3)).status == 0
        assert later.status == 0


def test_stop_does_not_wait_for_what_is_still_to_be_said(server: DimseServer, asked: Asked) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        later = ask(peer, asked)
        stopping = threading.Thread(target=server.stop, args=(60,))
        stopping.start()
        assert peer.is_closed_by_server()
        stopping.join(SHORT_OF_ANY_TIMEOUT_S)
        assert not stopping.is_alive()
    assert later.is_closed.is_set()

"""C-GET's shape: C-STORE sub-operations towards the peer on the association that asked."""

from __future__ import annotations

import contextlib

import pytest

from pacs.dimse import exchange as exchange_module
from pacs.dimse.messages.command import CommandSet, Element
from pacs.dimse.messages.command_builders import c_cancel_rq, c_find_rq, c_store_rq, response_to
from pacs.dimse.scp.service import AssociationLost, Exchange
from pacs.dimse.upper_layer.events import Aborted
from pacs.dimse.upper_layer.items import RoleSelection
from tests.dimse.served import CT, CT_CONTEXT, ECHO_CONTEXT, FIND, FIND_CONTEXT, MemoryIngest, RawPeer, serving
from tests.waiting import wait_until

SENT = bytes(range(256)) * 2000


class Giving:
    """Sends two instances, then says how many went well."""

    def __init__(self) -> None:
        self.was_cancelled = False
        self.was_lost = False

    def serve(self, exchange: Exchange) -> None:
        try:
            exchange.read_data_set(1000)
            context = next(one for one in exchange.peer.contexts.values() if one.is_scu)
            completed = 0
            for number in (1, 2):
                request = c_store_rq(number, CT, f"1.2.{number}")
                halves = [memoryview(SENT)[:1000], memoryview(SENT)[1000:]]
                completed += exchange.sub_operation(context, request, halves).status == 0
            self.was_cancelled = exchange.is_cancelled()
            exchange.respond(response_to(exchange.command, 0, remaining=0, completed=completed))
        except AssociationLost:
            self.was_lost = True
            raise


def _open(peer: RawPeer) -> None:
    peer.associate(roles=(RoleSelection(CT, is_scu=True, is_scp=True),))
    peer.send(FIND_CONTEXT, c_find_rq(1, FIND), b"keys")


def test_instances_go_out_on_the_same_association(ingest: MemoryIngest) -> None:
    giving = Giving()
    with serving(ingest, {FIND: giving}) as server, RawPeer(server) as peer:
        _open(peer)
        for number in (1, 2):
            request, data_set = peer.receive()
            assert request.affected_sop_instance_uid == f"1.2.{number}"
            assert data_set == SENT
            peer.send(CT_CONTEXT, response_to(request, 0 if number == 1 else 0xA700))
        final, _ = peer.receive()
        assert (final.status, final.completed_sub_operations) == (0, 1)
    assert not giving.was_cancelled


def test_a_cancel_between_the_responses_is_noticed(ingest: MemoryIngest) -> None:
    giving = Giving()
    with serving(ingest, {FIND: giving}) as server, RawPeer(server) as peer:
        _open(peer)
        for _ in (1, 2):
            request, _data_set = peer.receive()
            peer.send(FIND_CONTEXT, c_cancel_rq(1))
            peer.send(CT_CONTEXT, response_to(request, 0))
        peer.receive()
    assert giving.was_cancelled


@pytest.mark.parametrize(
    ("context_id", "answer"),
    [
        (CT_CONTEXT, response_to(c_store_rq(77, CT, "1.2"), 0)),
        (CT_CONTEXT, CommandSet({**response_to(c_store_rq(1, CT, "1.2"), 0), Element.COMMAND_DATA_SET_TYPE: 1})),
        (CT_CONTEXT, CommandSet({Element.COMMAND_FIELD: 0x8001, Element.COMMAND_DATA_SET_TYPE: 0x0101})),
        (ECHO_CONTEXT, CommandSet({Element.COMMAND_DATA_SET_TYPE: 0x0101})),
    ],
    ids=["not asked", "with a data set", "without status", "without command field"],
)
def test_an_answer_that_is_none_ends_the_association(ingest: MemoryIngest, context_id: int, answer: CommandSet) -> None:
    giving = Giving()
    with serving(ingest, {FIND: giving}) as server, RawPeer(server) as peer:
        _open(peer)
        peer.receive()
        peer.send(context_id, answer)
        assert isinstance(peer.event(), Aborted)
        assert peer.is_closed_by_server()
    assert giving.was_lost


def test_a_peer_that_aborts_instead_of_answering(ingest: MemoryIngest) -> None:
    giving = Giving()
    with serving(ingest, {FIND: giving}) as server, RawPeer(server) as peer:
        _open(peer)
        peer.receive()
        peer.abort()
    assert giving.was_lost


class Refusing:
    """Answers without a look at the data set."""

    def serve(self, exchange: Exchange) -> None:
        exchange.respond(response_to(exchange.command, 0xA700))


@pytest.mark.parametrize(("rest", "is_aborted"), [(90_000, False), (200_000, True)])
def test_a_refused_data_set_is_read_over_only_so_far(
    ingest: MemoryIngest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rest: int,
    is_aborted: bool,
) -> None:
    monkeypatch.setattr(exchange_module, "MAX_READ_OVER_BYTES", 100_000)
    caplog.set_level("INFO", "pacs")

    def is_told() -> bool:
        return any("is not read over" in getattr(record, "fields", {}).get("why", "") for record in caplog.records)

    with serving(ingest, {FIND: Refusing()}) as server, RawPeer(server) as peer:
        peer.associate()
        with contextlib.suppress(OSError):  # an aborted sender may not get rid of all of it
            peer.send(FIND_CONTEXT, c_find_rq(1, FIND), bytes(rest))
        if is_aborted:
            assert isinstance(peer.event(), Aborted)
            wait_until(is_told)
        else:
            assert peer.receive()[0].status == 0xA700
            assert not is_told()

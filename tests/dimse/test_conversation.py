from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from pacs import errors
from pacs.dimse.messages.command import CommandField, CommandSet, Element
from pacs.dimse.messages.command_builders import c_cancel_rq, c_echo_rq, c_find_rq, c_store_rq, response_to
from pacs.dimse.scp.service import Exchange
from pacs.dimse.server import DimseServer
from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.events import Aborted, AssociationAccepted, AssociationRejected, ReleaseConfirmed
from tests.dimse.served import CT, CT_CONTEXT, ECHO_CONTEXT, FIND, FIND_CONTEXT, MemoryIngest, RawPeer, serving


class Acting:
    """A service that does what a test says."""

    def __init__(self, act: Callable[[Exchange], None]) -> None:
        self.serve = act


def _store(uid: str, message_id: int = 1) -> CommandSet:
    return c_store_rq(message_id, CT, uid)


def test_echo_store_release(server: DimseServer, ingest: MemoryIngest) -> None:
    with RawPeer(server) as peer:
        accepted = peer.associate()
        assert isinstance(accepted, AssociationAccepted)
        assert [context.result for context in accepted.accept.contexts] == [0, 0, 3]
        assert accepted.accept.user_information.max_pdu_length == 131072
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0
        instance = bytes(range(256)) * 1000
        answer = peer.ask(CT_CONTEXT, _store("1.2.3", 2), instance)
        assert (answer.status, answer.message_id_being_responded_to) == (0, 2)
        assert answer.affected_sop_instance_uid == "1.2.3"
        assert ingest.kept == {"1.2.3": instance}
        assert isinstance(peer.release(), ReleaseConfirmed)


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (errors.IdentityMismatch("the data set is another instance"), 0xA900),
        (errors.MalformedDataSet("torn"), 0xC000),
        (errors.StorageFull("no room is left"), 0xA700),
        (errors.Conflict("other bytes are kept"), 0x0111),
    ],
)
def test_a_refusal_is_told_with_its_reason_and_the_association_lives_on(
    server: DimseServer, ingest: MemoryIngest, problem: Exception, status: int
) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        ingest.fail_with = problem
        answer = peer.ask(CT_CONTEXT, _store("1.2.3"), bytes(100_000))
        assert (answer.status, answer.error_comment) == (status, str(problem))
        ingest.fail_with = None
        assert peer.ask(CT_CONTEXT, _store("1.2.4"), b"ab").status == 0
        assert (ingest.kept, ingest.aborted) == ({"1.2.4": b"ab"}, 1)


def test_an_unexpected_error_is_logged_but_not_told(
    server: DimseServer, ingest: MemoryIngest, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.fail_with = RuntimeError("secret path")
    with RawPeer(server) as peer:
        peer.associate()
        answer = peer.ask(CT_CONTEXT, _store("1.2.3"), b"ab")
        assert answer.status == 0x0110
        assert "secret" not in str(answer.error_comment)
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0
    assert "request failed" in caplog.text


@pytest.mark.parametrize(
    ("context_id", "command", "data_set", "status"),
    [
        (CT_CONTEXT, c_find_rq(1, CT), b"ab", 0x0211),
        (ECHO_CONTEXT, c_store_rq(1, CT, "1.2"), b"ab", 0x0211),
        (CT_CONTEXT, CommandSet({**_store("1.2.3"), Element.COMMAND_DATA_SET_TYPE: 0x0101}), None, 0xC000),
        (CT_CONTEXT, CommandSet({**_store("1.2.3"), Element.AFFECTED_SOP_INSTANCE_UID: ""}), b"ab", 0xC000),
    ],
)
def test_a_request_that_does_not_fit_is_refused(
    server: DimseServer, context_id: int, command: CommandSet, data_set: bytes | None, status: int
) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        assert peer.ask(context_id, command, data_set).status == status
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0


def test_a_service_that_forgets_to_answer_does_not_leave_the_peer_waiting(ingest: MemoryIngest) -> None:
    with serving(ingest, {FIND: Acting(lambda _: None)}) as server, RawPeer(server) as peer:
        peer.associate()
        assert peer.ask(FIND_CONTEXT, c_find_rq(1, FIND), bytes(50_000)).status == 0x0110


@pytest.mark.parametrize(
    "message",
    [
        CommandSet({Element.COMMAND_FIELD: CommandField.C_ECHO_RQ, Element.COMMAND_DATA_SET_TYPE: 0x0101}),
        CommandSet({Element.MESSAGE_ID: 1, Element.COMMAND_DATA_SET_TYPE: 0x0101}),
        CommandSet({Element.COMMAND_FIELD: CommandField.C_ECHO_RQ, Element.MESSAGE_ID: 1}),
        response_to(c_echo_rq(1), 0),
    ],
    ids=["no message id", "no command field", "no data set type", "a response"],
)
def test_what_cannot_be_answered_is_aborted(server: DimseServer, message: CommandSet) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        peer.send(ECHO_CONTEXT, message)
        assert isinstance(peer.event(), Aborted)
        assert peer.is_closed_by_server()


@pytest.mark.parametrize(
    ("arguments", "reject"),
    [
        ({"called": "OTHER"}, pdu.CALLED_AE_TITLE_NOT_RECOGNIZED),
        ({"calling": "A\\B"}, pdu.CALLING_AE_TITLE_NOT_RECOGNIZED),
        ({"max_pdu_length": 7}, pdu.NO_REASON_GIVEN),
    ],
)
def test_a_rejection_says_why(
    server: DimseServer, arguments: dict[str, str], reject: pdu.AssociateReject, caplog: pytest.LogCaptureFixture
) -> None:
    with RawPeer(server) as peer:
        assert peer.associate(**arguments) == AssociationRejected(reject)  # type: ignore[arg-type]
    assert "association rejected" in caplog.text


def test_a_cancel_reaches_the_service_while_it_answers(ingest: MemoryIngest) -> None:
    answered = threading.Semaphore(0)

    def find(exchange: Exchange) -> None:
        exchange.read_data_set(1000)
        while not exchange.is_cancelled():
            exchange.respond(response_to(exchange.command, 0xFF00, has_data_set=True), b"match")
            answered.acquire()
        exchange.respond(response_to(exchange.command, 0xFE00))

    with serving(ingest, {FIND: Acting(find)}) as server, RawPeer(server) as peer:
        peer.associate()
        peer.send(FIND_CONTEXT, c_find_rq(9, FIND), b"keys")
        assert peer.receive()[1] == b"match"
        peer.send(FIND_CONTEXT, c_cancel_rq(8))  # another message's
        answered.release()
        assert peer.receive()[0].status == 0xFF00
        peer.send(FIND_CONTEXT, c_cancel_rq(9))
        for _ in range(100):
            answered.release()
        while (status := peer.receive()[0].status) == 0xFF00:
            pass
        assert status == 0xFE00
        peer.send(FIND_CONTEXT, c_cancel_rq(9))  # too late: nothing happens
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0


@pytest.mark.real_time(0.05)
def test_who_cancels_too_late_may_be_quiet_as_long_as_before(ingest: MemoryIngest) -> None:
    def find(exchange: Exchange) -> None:
        exchange.read_data_set(1000)
        exchange.respond(response_to(exchange.command, 0))

    with (
        serving(ingest, {FIND: Acting(find)}, data_timeout_s=0.2, idle_timeout_s=30) as server,
        RawPeer(server) as peer,
    ):
        peer.associate()
        assert peer.ask(FIND_CONTEXT, c_find_rq(9, FIND), b"keys").status == 0
        peer.send(FIND_CONTEXT, c_cancel_rq(9))
        threading.Event().wait(0.6)
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0


@pytest.mark.real_time(1.0)
def test_a_stop_ends_who_cancelled_too_late_at_once(ingest: MemoryIngest) -> None:
    def never_asked(exchange: Exchange) -> None:
        raise AssertionError(exchange)

    with serving(ingest, {FIND: Acting(never_asked)}) as server, RawPeer(server) as peer:
        peer.associate()
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0
        (conversation,) = server._alive
        before = conversation._connection.received_bytes
        peer.send(FIND_CONTEXT, c_cancel_rq(9))
        begun = time.monotonic()
        while conversation._connection.received_bytes == before:
            assert time.monotonic() - begun < 10, "it was not read"
            threading.Event().wait(0.01)
        server.stop(20)
        assert time.monotonic() - begun < 10


def test_a_request_that_comes_too_early_waits_its_turn(ingest: MemoryIngest) -> None:
    has_come = threading.Event()

    def find(exchange: Exchange) -> None:
        exchange.read_data_set(1000)
        has_come.wait(10)
        exchange.is_cancelled()
        exchange.respond(response_to(exchange.command, 0))

    with serving(ingest, {FIND: Acting(find)}) as server, RawPeer(server) as peer:
        peer.associate()
        peer.send(FIND_CONTEXT, c_find_rq(1, FIND), b"keys")
        peer.send(CT_CONTEXT, _store("1.2.3", 2), bytes(100_000))
        has_come.set()
        assert peer.receive()[0].message_id_being_responded_to == 1
        assert peer.receive()[0].message_id_being_responded_to == 2
    assert len(ingest.kept["1.2.3"]) == 100_000


def test_a_release_in_the_middle_of_an_instance_is_answered_with_an_abort(
    server: DimseServer, ingest: MemoryIngest
) -> None:
    with RawPeer(server) as peer:
        peer.associate()
        peer.send(CT_CONTEXT, _store("1.2.3"))
        assert isinstance(peer.release(), Aborted)
    assert not ingest.kept


def test_a_release_in_the_middle_of_an_answer_is_confirmed(ingest: MemoryIngest) -> None:
    released = threading.Event()

    def find(exchange: Exchange) -> None:
        exchange.read_data_set(1000)
        released.wait(10)
        while not exchange.is_cancelled():
            pass
        exchange.respond(response_to(exchange.command, 0xFE00))

    with serving(ingest, {FIND: Acting(find)}) as server, RawPeer(server) as peer:
        peer.associate()
        peer.send(FIND_CONTEXT, c_find_rq(1, FIND), b"keys")
        peer.association.release()
        peer.flush()
        released.set()
        assert peer.receive()[0].status == 0xFE00
        assert isinstance(peer.event(), ReleaseConfirmed)


def test_a_data_set_beyond_the_services_limit_is_refused_and_read_over(ingest: MemoryIngest) -> None:
    def find(exchange: Exchange) -> None:
        exchange.read_data_set(1000)

    with serving(ingest, {FIND: Acting(find)}) as server, RawPeer(server) as peer:
        peer.associate()
        assert peer.ask(FIND_CONTEXT, c_find_rq(1, FIND), bytes(500_000)).status == 0xA700
        assert peer.ask(ECHO_CONTEXT, c_echo_rq(1)).status == 0


def test_silence_before_the_association_is_ended(ingest: MemoryIngest) -> None:
    with serving(ingest, acse_timeout_s=0.2) as server, RawPeer(server) as peer:
        peer.socket.sendall(b"\x01\0\0\0\x01\0half of it")
        assert peer.is_closed_by_server()


def test_a_request_that_comes_drop_by_drop_has_a_deadline(ingest: MemoryIngest) -> None:
    with serving(ingest, acse_timeout_s=0.3) as server, RawPeer(server) as peer:
        peer.socket.settimeout(0.05)
        closed = False
        for _ in range(200):
            try:
                peer.socket.sendall(b"\x01")
                closed = peer.socket.recv(100) in (b"",) or closed
            except TimeoutError:
                continue
            except OSError:
                closed = True
            if closed:
                break
        assert closed


@pytest.mark.real_time(0.05)
def test_silence_in_the_middle_of_a_message_is_aborted_and_leaves_nothing(
    ingest: MemoryIngest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pacs")
    with serving(ingest, data_timeout_s=0.2) as server, RawPeer(server) as peer:
        peer.associate()
        peer.send(CT_CONTEXT, _store("1.2.3"))
        peer.socket.sendall(b"\x04\0\0\0\x10\0")
        assert isinstance(peer.event(), Aborted)
        deadline = time.monotonic() + 10
        while "association lost" not in caplog.text and time.monotonic() < deadline:
            threading.Event().wait(0.01)  # it is written after the peer was told
    assert (ingest.begun, ingest.aborted, ingest.kept) == (1, 1, {})
    assert "association lost" in caplog.text


def test_silence_of_an_idle_association_is_aborted(ingest: MemoryIngest) -> None:
    with serving(ingest, idle_timeout_s=0.2) as server, RawPeer(server) as peer:
        peer.associate()
        assert isinstance(peer.event(), Aborted)


def test_a_peer_that_takes_nothing_is_given_up(ingest: MemoryIngest) -> None:
    ended = threading.Event()

    def find(exchange: Exchange) -> None:
        try:
            exchange.read_data_set(1000)
            while True:
                exchange.respond(response_to(exchange.command, 0xFF00, has_data_set=True), bytes(1 << 20))
        finally:
            ended.set()

    with serving(ingest, {FIND: Acting(find)}, data_timeout_s=0.3) as server, RawPeer(server) as peer:
        peer.associate()
        peer.send(FIND_CONTEXT, c_find_rq(1, FIND), b"keys")
        assert ended.wait(10)


@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_peer_that_goes_away_in_the_middle_of_a_store_leaves_nothing(ingest: MemoryIngest, how: str) -> None:
    with serving(ingest) as server:
        with RawPeer(server) as peer:
            peer.associate()
            peer.send(CT_CONTEXT, _store("1.2.3"))
            peer.socket.sendall(b"\x04\0\0\0\x10\0" + b"\0\0\x0f\xfc\x03\0" + bytes(1000))
            if how == "abort":
                peer.socket.sendall(bytes(0xFFA - 1000))
                peer.abort()
        with RawPeer(server) as other:
            other.associate()
            assert other.ask(CT_CONTEXT, _store("1.2.4"), b"ab").status == 0
    assert ingest.kept == {"1.2.4": b"ab"}
    assert ingest.aborted == 1


def _abort_while_dripping(peer: RawPeer, drip: bytes) -> bool:
    """Whether an A-ABORT comes although a byte is sent every tenth of a second."""
    peer.socket.settimeout(0.1)
    for byte in drip:
        peer.socket.sendall(bytes((byte,)))
        try:
            return peer.socket.recv(10)[:1] == b"\x07"
        except TimeoutError:
            pass
    return False


def test_a_drip_ends_as_silence_does(ingest: MemoryIngest) -> None:
    with serving(ingest, data_timeout_s=0.4, least_bytes_per_s=1000.0) as server, RawPeer(server) as peer:
        peer.associate()
        peer.send(CT_CONTEXT, _store("1.2.3"))
        peer.socket.sendall(pdu.HEADER.pack(4, 10006) + pdu.PDV_HEADER.pack(10002, CT_CONTEXT, 2))
        assert _abort_while_dripping(peer, bytes(40))
    assert ingest.kept == {}


@pytest.mark.real_time(0.05)
def test_a_slow_line_is_no_drip(ingest: MemoryIngest) -> None:
    """The control: the same pauses, more bytes, for three times the limit."""
    with serving(ingest, data_timeout_s=0.4, least_bytes_per_s=1000.0) as server, RawPeer(server) as peer:
        peer.associate()
        peer.send(CT_CONTEXT, _store("1.2.3"))
        peer.socket.sendall(pdu.HEADER.pack(4, 6006) + pdu.PDV_HEADER.pack(6002, CT_CONTEXT, 2))
        waiting = threading.Event()
        for _ in range(12):
            waiting.wait(0.1)
            peer.socket.sendall(bytes(500))
        assert peer.receive()[0].status == 0


def test_a_drip_of_a_header_ends_the_idle_association(ingest: MemoryIngest) -> None:
    with serving(ingest, idle_timeout_s=0.4) as server, RawPeer(server) as peer:
        peer.associate()
        assert _abort_while_dripping(peer, pdu.HEADER.pack(4, 100) + pdu.PDV_HEADER.pack(94, CT_CONTEXT, 2))


def test_a_window_of_operations_is_served_in_order(ingest: MemoryIngest) -> None:
    with serving(ingest) as server, RawPeer(server) as peer:
        accepted = peer.associate(operations=(8, 8))
        assert isinstance(accepted, AssociationAccepted)
        assert accepted.accept.user_information.asynchronous_operations == (8, 1)
        for number in range(1, 9):
            peer.send(CT_CONTEXT, _store(f"1.2.{number}", number), bytes((number,)) * 50_000)
        peer.send(ECHO_CONTEXT, c_echo_rq(9))
        answers = [peer.receive()[0] for _ in range(9)]
    assert [(answer.message_id_being_responded_to, answer.status) for answer in answers] == [
        (number, 0) for number in range(1, 10)
    ]
    assert {uid: data[0] for uid, data in ingest.kept.items()} == {f"1.2.{number}": number for number in range(1, 9)}


def test_requests_during_a_search_wait_their_turn(ingest: MemoryIngest) -> None:
    """The search looks for a cancellation, so it reads; it reads no further than it has places for."""
    may_end = threading.Event()

    def find(exchange: Exchange) -> None:
        exchange.read_data_set(1000)
        while not may_end.wait(0.01):
            assert not exchange.is_cancelled()
        exchange.is_cancelled()
        exchange.respond(response_to(exchange.command, 0))

    with serving(ingest, {FIND: Acting(find)}) as server, RawPeer(server) as peer:
        peer.associate(operations=(4, 1))
        peer.send(FIND_CONTEXT, c_find_rq(1, FIND), b"keys")
        for number in (2, 3):
            peer.send(ECHO_CONTEXT, c_echo_rq(number))
        peer.send(CT_CONTEXT, _store("1.2.4", 4), bytes(300_000))
        for number in range(5, 30):
            peer.send(ECHO_CONTEXT, c_echo_rq(number))
        may_end.set()
        assert [peer.receive()[0].message_id_being_responded_to for _ in range(29)] == list(range(1, 30))
    assert ingest.kept == {"1.2.4": bytes(300_000)}

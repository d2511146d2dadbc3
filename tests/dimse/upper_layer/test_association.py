"""Two associations joined in memory, read as a sequence diagram; then what one does with bad bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.association import MAX_ASSOCIATE_BYTES, Association
from pacs.dimse.upper_layer.events import (
    Aborted,
    AssociationAccepted,
    AssociationRejected,
    AssociationRequested,
    DataReceived,
    Event,
    ReleaseConfirmed,
    ReleaseRequested,
)
from pacs.dimse.upper_layer.items import UserInformation
from pacs.dimse.upper_layer.state_table import State
from tests.dimse.upper_layer.bytes_of_peers import (
    ABORT,
    AC,
    ACCEPT,
    RELEASE_RP,
    RELEASE_RQ,
    REQUEST,
    RJ,
    RQ,
    UNKNOWN,
    data_pdu,
    feed,
    opened,
    output,
)


class Wire:
    """A scanner and an archive, each an association, and the bytes between them."""

    def __init__(self) -> None:
        self.scanner = Association(max_pdu_length=16384, is_requestor=True)
        self.archive = Association(max_pdu_length=16384)

    def to_archive(self) -> list[Event]:
        return feed(self.archive, output(self.scanner))

    def to_scanner(self) -> list[Event]:
        return feed(self.scanner, output(self.archive))

    def open(self) -> None:
        self.scanner.request(REQUEST)
        self.archive.connection_arrived()
        self.scanner.connected()
        assert self.to_archive() == [AssociationRequested(REQUEST)]
        self.archive.accept(ACCEPT)
        assert self.to_scanner() == [AssociationAccepted(ACCEPT)]


def test_a_scanner_sends_and_releases() -> None:
    wire = Wire()
    wire.open()

    sent = bytes(range(256)) * 200
    for buffers in wire.scanner.data(1, is_command=False, buffers=[sent[:1000], memoryview(sent)[1000:]]):
        wire.scanner._output += buffers
    received = wire.to_archive()
    assert b"".join(event.data for event in received if isinstance(event, DataReceived)) == sent
    assert [event.is_last for event in received if isinstance(event, DataReceived)][-1]

    wire.scanner.release()
    assert wire.to_archive() == [ReleaseRequested()]
    wire.archive.respond_to_release()
    assert wire.to_scanner() == [ReleaseConfirmed()]

    assert wire.scanner.wants_close
    wire.archive.received(0)
    assert wire.archive.state is State.IDLE


def test_an_archive_rejects() -> None:
    wire = Wire()
    wire.scanner.request(REQUEST)
    wire.archive.connection_arrived()
    wire.scanner.connected()
    wire.to_archive()
    wire.archive.reject(pdu.CALLED_AE_TITLE_NOT_RECOGNIZED)
    assert wire.to_scanner() == [AssociationRejected(pdu.CALLED_AE_TITLE_NOT_RECOGNIZED)]
    assert wire.scanner.wants_close


def test_a_scanner_aborts_in_the_middle_of_a_message() -> None:
    wire = Wire()
    wire.open()
    wire.scanner._output += [data_pdu(b"half", control=0)]
    wire.scanner.abort()
    half, end = wire.to_archive()
    assert isinstance(half, DataReceived)
    assert not half.is_last
    assert isinstance(end, Aborted)
    assert wire.archive.wants_close


def test_both_release_at_once() -> None:
    wire = Wire()
    wire.open()
    wire.scanner.release()
    wire.archive.release()
    from_scanner, from_archive = output(wire.scanner), output(wire.archive)
    assert feed(wire.scanner, from_archive) == [ReleaseRequested()]
    assert feed(wire.archive, from_scanner) == [ReleaseRequested()]
    wire.scanner.respond_to_release()
    assert wire.to_archive() == [ReleaseConfirmed()]
    wire.archive.respond_to_release()
    assert wire.to_scanner() == [ReleaseConfirmed()]
    assert wire.scanner.wants_close


def test_another_protocol_version_is_rejected_by_the_provider() -> None:
    archive = Association(max_pdu_length=16384)
    archive.connection_arrived()
    newer = pdu.AssociateRequest("PACS", "CT1", REQUEST.contexts, REQUEST.user_information, protocol_version=2)
    assert feed(archive, pdu.encode_associate_rq(newer)) == []
    assert output(archive) == pdu.encode_associate_rj(pdu.PROTOCOL_VERSION_NOT_SUPPORTED)
    assert archive.state is State.AWAITING_CLOSE


def test_another_application_context_is_rejected() -> None:
    archive = Association(max_pdu_length=16384)
    archive.connection_arrived()
    other = pdu.AssociateRequest("PACS", "CT1", REQUEST.contexts, REQUEST.user_information, "1.2.3")
    feed(archive, pdu.encode_associate_rq(other))
    assert output(archive) == pdu.encode_associate_rj(pdu.APPLICATION_CONTEXT_NOT_SUPPORTED)


@pytest.mark.parametrize(
    ("sent", "reason", "complaint"),
    [
        (b"\x04\0\xff\xff\xff\xff", 6, "4294967295"),
        (b"\x04\0\0\0\0\0", 6, "says 0 bytes"),
        (b"\x04\0\0\0\0\x05", 6, "says 5 bytes"),
        (b"\x04\0\0\0\x40\x40", 6, "16384"),
        (b"\x01\0\xff\xff\xff\xff", 6, "4294967295"),
        (b"\x05\0\0\0\0\x05", 6, "at most 4"),
        (b"\x05\0\0\0\0\x02ab", 6, "2 bytes after its header"),
        (UNKNOWN, 1, "unknown type 0x63"),
        (b"GET / HTTP/1.1\r\n\r\n", 1, "unknown type 0x47"),
        (RQ, 2, "ASSOCIATE_RQ_PDU"),
        (RELEASE_RP, 2, "RELEASE_RP_PDU"),
        (data_pdu(b"abcd", context_id=3), 6, "context 3, which was not accepted"),
        (b"\x04\0\0\0\0\x0a\xff\xff\xff\xff\x01\x02abcd", 6, "fragment says 4294967295"),
        (b"\x04\0\0\0\0\x0a\0\0\0\x01\x01\x02abcd", 6, "fragment says 1 bytes"),
        (b"\x04\0\0\0\0\x0c\0\0\0\x04\x01\x02abcdef", 6, "4 bytes are left"),
    ],
)
def test_what_breaks_the_protocol_is_aborted_with_its_reason(sent: bytes, reason: int, complaint: str) -> None:
    association = opened()
    events = feed(association, sent)
    assert isinstance(events[-1], Aborted)
    assert output(association) == pdu.encode_abort(pdu.Abort(2, reason))
    assert complaint in str(association.violation)
    assert association.state is State.AWAITING_CLOSE
    assert association.is_artim_running
    # Nothing after it is believed.
    assert feed(association, data_pdu(b"abcd") + RELEASE_RQ + b"\xff" * 100_000) == []


def test_a_length_is_refused_before_memory_is_used() -> None:
    association = Association(max_pdu_length=16384)
    association.connection_arrived()
    feed(association, b"\x01\0" + (MAX_ASSOCIATE_BYTES + 1).to_bytes(4, "big"))
    assert association.state is State.AWAITING_CLOSE
    assert len(association.room()) < 100_000


def test_memory_grows_with_what_arrives_not_with_what_is_said() -> None:
    association = Association(max_pdu_length=16384)
    association.connection_arrived()
    assert feed(association, b"\x01\0" + MAX_ASSOCIATE_BYTES.to_bytes(4, "big") + bytes(10)) == []
    assert association.state is State.AWAITING_ASSOCIATE_RQ
    assert len(association.room()) < 20_000


def test_a_long_message_is_given_on_piece_by_piece() -> None:
    association = opened()
    pdus = data_pdu(bytes(16000), control=0)
    for _ in range(200):
        assert sum(len(event.data) for event in feed(association, pdus) if isinstance(event, DataReceived)) == 16000
    assert len(association.room()) <= 512 << 10


def test_an_empty_last_fragment_ends_a_message() -> None:
    (event,) = feed(opened(), data_pdu(b""))
    assert isinstance(event, DataReceived)
    assert event.is_last
    assert len(event.data) == 0


def test_two_fragments_in_one_pdu() -> None:
    fragments = pdu.PDV_HEADER.pack(5, 1, 3) + b"abc" + pdu.PDV_HEADER.pack(4, 1, 2) + b"de"
    sent = pdu.HEADER.pack(4, len(fragments)) + fragments
    first, second = feed(opened(), sent)
    assert (first.is_command, bytes(first.data), first.is_last) == (True, b"abc", True)  # type: ignore[union-attr]
    assert (second.is_command, bytes(second.data), second.is_last) == (False, b"de", True)  # type: ignore[union-attr]


def test_a_confirmation_must_answer_what_was_proposed() -> None:
    association = Association(max_pdu_length=16384, is_requestor=True)
    association.request(REQUEST)
    association.connected()
    other = pdu.AssociateAccept("PACS", "CT1", (ACCEPT.contexts[0].__class__(5, 0, "1.2"),), UserInformation(16384))
    assert isinstance(feed(association, pdu.encode_associate_ac(other))[0], Aborted)


_PDUS = st.sampled_from(
    [RQ, AC, RJ, RELEASE_RQ, RELEASE_RP, ABORT, UNKNOWN, data_pdu(b"ab"), data_pdu(b"c", control=0)]
)


@st.composite
def _streams(draw: st.DrawFn) -> bytes:
    """PDUs in any order, with bytes changed, cut out and put in."""
    stream = bytearray(b"".join(draw(st.lists(_PDUS, max_size=6))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(stream)))
        match draw(st.integers(0, 2)):
            case 0:
                stream[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del stream[at : at + draw(st.integers(1, 20))]
            case 2:
                stream[at:at] = draw(st.binary(max_size=20))
    return bytes(stream)


def _take(association: Association, data: bytes) -> list[object]:
    """What happened, with the pieces of data put together."""
    seen: list[object] = []
    for event in feed(association, data):
        if isinstance(event, DataReceived):
            last = seen[-1] if seen else None
            if isinstance(last, list) and last[0] == event.context_id and not last[2]:
                last[1] += bytes(event.data)
                last[2] = event.is_last
            else:
                seen.append([event.context_id, bytes(event.data), event.is_last])
        else:
            seen.append(event)
    return seen


def _fresh(kind: int) -> Association:
    if kind == 0:
        association = Association(max_pdu_length=16384)
        association.connection_arrived()
        return association
    return opened(is_requestor=kind == 2)


@given(_streams(), st.integers(0, 2), st.integers(1, 40))
def test_any_bytes_in_any_pieces_give_the_same_end(stream: bytes, kind: int, size: int) -> None:
    whole, pieces = _fresh(kind), _fresh(kind)
    for association in (whole, pieces):
        association.take_output()
    _take(whole, stream)
    for start in range(0, len(stream), size):
        _take(pieces, stream[start : start + size])
    assert pieces.state is whole.state
    assert output(pieces) == output(whole)
    assert pieces.violation == whole.violation
    assert pieces.wants_close == whole.wants_close


@given(st.binary(max_size=200), st.integers(0, 2))
def test_any_garbage_ends_in_an_abort_or_in_waiting(garbage: bytes, kind: int) -> None:
    association = _fresh(kind)
    feed(association, garbage)
    association.received(0)
    assert association.state is State.IDLE

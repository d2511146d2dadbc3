"""One association as an object without I/O (PS3.8 §9.2): the state table joined to the grammar of PDUs.

A shell with a socket does four things: reads into `room()` and says `received(count)`; takes `next_event()` until
it is None; sends `take_output()`; and obeys `is_artim_running` and `wants_close`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from pacs.dimse.upper_layer import pdu
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
from pacs.dimse.upper_layer.outgoing_data import data_pdus
from pacs.dimse.upper_layer.pdu import Abort, AbortReason, PduType
from pacs.dimse.upper_layer.receive_buffer import ReceiveBuffer
from pacs.dimse.upper_layer.state_table import NEXT_STATE, TABLE, Action, State, Trigger
from pacs.errors import ProtocolViolation

MAX_ASSOCIATE_BYTES = 1 << 20
"""More than 128 contexts with every transfer syntax there is."""
_PDU_LENGTH_SLACK = 12
"""Some senders count the maximum length without headers."""
_CAN_RECEIVE_DATA = frozenset({State.ESTABLISHED, State.AWAITING_RELEASE_RP})
_OVER = frozenset({State.IDLE, State.AWAITING_CLOSE})
_ESTABLISHED = State.ESTABLISHED
_DATA_TF = int(PduType.DATA_TF)

Output = bytes | memoryview


class InvalidPrimitive(RuntimeError):
    """The local user asked for what Table 9-10 does not allow in this state: a defect of ours, not of the peer."""


class Association:
    """One association, from connection to close.

    Args:
        max_pdu_length: bytes of a P-DATA-TF's variable field that we say we take; longer ones end the association.
        is_requestor: whether we opened the connection.
    """

    def __init__(self, *, max_pdu_length: int, is_requestor: bool = False) -> None:
        self.state = State.IDLE
        self.is_requestor = is_requestor
        self.is_artim_running = False
        """The shell calls `artim_expired` when this has been true for its time-out."""
        self.wants_close = False
        """The shell closes the connection after it has sent the output."""
        self.violation: str | None = None
        """What the peer did wrong, for the log."""
        self._max_pdu_length = max_pdu_length
        self._peer_max_pdu_length = 0
        self._request: pdu.AssociateRequest | None = None
        self._accepted_ids: frozenset[int] = frozenset()
        self._buffer = ReceiveBuffer()
        self._events: deque[Event] = deque()
        self._output: list[Output] = []
        self._abort_reason = AbortReason.NOT_SPECIFIED
        self._is_torn = False
        self._data_left = 0  # bytes left of the P-DATA-TF being read
        self._fragment_left = 0  # of them, bytes left of its current fragment
        self._fragment = (0, False, False)

    # -- for the shell: bytes

    def room(self) -> memoryview:
        """Where the next received bytes go. Data of events given out before is no longer valid after this."""
        return self._buffer.room()

    def received(self, count: int) -> None:
        """`count` bytes were written into `room()`; 0 when the connection is closed."""
        if count == 0:
            self._do(Trigger.CONNECTION_CLOSED)
        else:
            self._buffer.received(count)

    def take_output(self) -> list[Output]:
        """Bytes to send now, in order."""
        output, self._output = self._output, []
        return output

    @property
    def has_output(self) -> bool:
        """Whether `take_output` has something."""
        return bool(self._output)

    @property
    def is_over(self) -> bool:
        """No association exists, or will again, on this connection."""
        return self.state in _OVER

    def next_event(self) -> Event | None:
        """The next event in what was received, or None when more bytes are needed."""
        if self._buffer.start == self._buffer.end and not self._events:
            return None
        if self.state is _ESTABLISHED and not self._events and not self._is_torn:
            data = self._usual_data()
            if data is not None:
                return data
        while not self._events:
            if self._is_torn or self.state is State.IDLE:
                self._buffer.clear()
                return None
            if self._fragment_left:
                return self._next_data()
            try:
                event = self._next_fragment() if self._data_left else self._next_pdu()
            except ProtocolViolation as problem:
                self._refuse(str(problem), AbortReason.INVALID_PARAMETER_VALUE)
                continue
            if event is None:
                return None
            if isinstance(event, DataReceived):
                return event
        return self._events.popleft()

    # -- for the local user: primitives (PS3.8 §7)

    def connection_arrived(self) -> None:
        """Transport connection indication: a peer has connected to us."""
        self._do(Trigger.CONNECTION_ARRIVED)

    def request(self, request: pdu.AssociateRequest) -> None:
        """A-ASSOCIATE request; the shell connects next."""
        self._require(Trigger.ASSOCIATE_REQUEST)
        self._request = request

    def connected(self) -> None:
        """Transport connection confirmation: we have connected to a peer."""
        self._require(Trigger.CONNECTED)

    def accept(self, accept: pdu.AssociateAccept) -> None:
        """A-ASSOCIATE response (accept)."""
        self._require(Trigger.ACCEPT, accept)
        self._accepted_ids = frozenset(context.context_id for context in accept.contexts if context.result == 0)

    def reject(self, reject: pdu.AssociateReject) -> None:
        """A-ASSOCIATE response (reject)."""
        self._require(Trigger.REJECT, reject)

    def data(self, context_id: int, *, is_command: bool, buffers: Sequence[Output]) -> Iterator[list[Output]]:
        """P-DATA request: a whole command set or data set, as one list of buffers to send per P-DATA-TF.

        The buffers are given on, not copied. The state is looked at before every P-DATA-TF.
        """
        for output in data_pdus(context_id, is_command, buffers, self._peer_max_pdu_length):
            self._require(Trigger.DATA_REQUEST)
            yield output

    def release(self) -> None:
        """A-RELEASE request."""
        self._require(Trigger.RELEASE_REQUEST)

    def respond_to_release(self) -> None:
        """A-RELEASE response."""
        self._require(Trigger.RELEASE_RESPONSE)

    def abort(self, abort: Abort | None = None) -> None:
        """A-ABORT request. Nothing happens where there is no association (Sta1, Sta2, Sta13)."""
        self._do(Trigger.ABORT_REQUEST, abort or Abort(0))

    def artim_expired(self) -> None:
        self._do(Trigger.ARTIM_EXPIRED)

    # -- reading

    def _usual_data(self) -> DataReceived | None:
        """The next bytes of data, while all is as it mostly is: established, one fragment in each P-DATA-TF, its head
        whole and within the limits. None leaves everything as it was, to be looked at step by step.

        The images of a study come this way, so it is one step instead of six. In the state Established a P-DATA-TF
        is DT-2, which changes no state.
        """
        buffer = self._buffer
        start = buffer.start
        available = buffer.end - start
        left = self._fragment_left
        if not left:
            if self._data_left or available <= pdu.DATA_HEAD.size:
                return None
            kind, length, fragment_length, context_id, control = pdu.DATA_HEAD.unpack_from(buffer.view, start)
            if (
                kind != _DATA_TF
                or length != fragment_length + 4
                or fragment_length <= 2
                or length > self._max_pdu_length
                or context_id not in self._accepted_ids
            ):
                return None
            start += pdu.DATA_HEAD.size
            available -= pdu.DATA_HEAD.size
            left = self._data_left = fragment_length - 2
            self._fragment = (context_id, control & 1 == 1, control & 2 == 2)
        elif not available:
            return None
        count = available if available < left else left
        self._fragment_left = left = left - count
        self._data_left -= count
        buffer.start = start + count
        context_id, is_command, is_last = self._fragment
        return DataReceived(context_id, is_command, is_last and not left, buffer.view[start : start + count])

    def _next_pdu(self) -> Event | bool | None:
        """Read one PDU. None: more bytes are needed; True: its events, if any, are in the queue."""
        buffer = self._buffer
        if len(buffer) < pdu.HEADER.size:
            return None
        kind, length = pdu.HEADER.unpack_from(buffer.view, buffer.start)
        if kind == PduType.DATA_TF:
            buffer.start += pdu.HEADER.size
            return self._begin_data(length)
        if kind not in _READERS:
            self._refuse(f"PDU of unknown type {kind:#04x} (PS3.8 §9.3.1)", AbortReason.UNRECOGNIZED_PDU)
            return True
        limit = MAX_ASSOCIATE_BYTES if kind in (PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC) else 4
        if length > limit:
            raise ProtocolViolation(f"{PduType(kind).name} PDU says {length} bytes; at most {limit} are taken")
        if len(buffer) < pdu.HEADER.size + length:
            return None
        buffer.start += pdu.HEADER.size
        _READERS[kind](self, buffer.take(length))
        return True

    def _begin_data(self, length: int) -> bool:
        # A P-DATA-TF without any value is forbidden (PS3.8 §9.3.5); limits are checked before its content is read.
        if length < pdu.PDV_HEADER.size or length > self._max_pdu_length + _PDU_LENGTH_SLACK:
            raise ProtocolViolation(
                f"P-DATA-TF says {length} bytes; between {pdu.PDV_HEADER.size} and {self._max_pdu_length} are taken"
            )
        self._data_left = length
        self._do(Trigger.DATA_PDU)
        return True

    def _next_fragment(self) -> Event | bool | None:
        """Read the head of the next presentation data value. None: more bytes are needed."""
        buffer = self._buffer
        if self.state not in _CAN_RECEIVE_DATA:
            skipped = min(len(buffer), self._data_left)
            buffer.start += skipped
            self._data_left -= skipped
            return True if skipped else None
        if self._data_left < pdu.PDV_HEADER.size:
            raise ProtocolViolation(f"{self._data_left} bytes are left where a fragment's header should be")
        if len(buffer) < pdu.PDV_HEADER.size:
            return None
        length, context_id, control = pdu.PDV_HEADER.unpack_from(buffer.view, buffer.start)
        if length < 2 or length > self._data_left - 4:
            raise ProtocolViolation(f"fragment says {length} bytes, its P-DATA-TF has {self._data_left - 4} left")
        if context_id not in self._accepted_ids:
            raise ProtocolViolation(f"fragment on presentation context {context_id}, which was not accepted")
        buffer.start += pdu.PDV_HEADER.size
        self._data_left -= pdu.PDV_HEADER.size
        self._fragment = (context_id, bool(control & 1), bool(control & 2))
        self._fragment_left = length - 2
        return True if self._fragment_left else DataReceived(*self._fragment, buffer.take(0))

    def _next_data(self) -> Event | None:
        buffer = self._buffer
        count = min(len(buffer), self._fragment_left)
        if not count:
            return None
        self._fragment_left -= count
        self._data_left -= count
        data = buffer.take(count)
        if self.state not in _CAN_RECEIVE_DATA:
            return self.next_event()
        context_id, is_command, is_last = self._fragment
        return DataReceived(context_id, is_command, is_last and not self._fragment_left, data)

    def _read_associate_rq(self, body: memoryview) -> None:
        # Where no request is expected its content does not matter.
        if self.state is State.AWAITING_ASSOCIATE_RQ:
            self._request = pdu.decode_associate_rq(body)
        self._do(Trigger.ASSOCIATE_RQ_PDU)

    def _read_associate_ac(self, body: memoryview) -> None:
        accept = None
        if self.state is State.AWAITING_ASSOCIATE_ANSWER:
            accept = pdu.decode_associate_ac(body)
            proposed = {context.context_id for context in self._request.contexts} if self._request else set()
            unknown = {context.context_id for context in accept.contexts} - proposed
            if unknown:
                raise ProtocolViolation(f"A-ASSOCIATE-AC answers contexts {sorted(unknown)}, which were not proposed")
            self._accepted_ids = frozenset(context.context_id for context in accept.contexts if context.result == 0)
        self._do(Trigger.ASSOCIATE_AC_PDU, accept)

    def _read_associate_rj(self, body: memoryview) -> None:
        self._do(Trigger.ASSOCIATE_RJ_PDU, pdu.decode_associate_rj(body))

    def _read_release_rq(self, body: memoryview) -> None:
        pdu.decode_release(body)
        self._do(Trigger.RELEASE_RQ_PDU)

    def _read_release_rp(self, body: memoryview) -> None:
        pdu.decode_release(body)
        self._do(Trigger.RELEASE_RP_PDU)

    def _read_abort(self, body: memoryview) -> None:
        self._do(Trigger.ABORT_PDU, pdu.decode_abort(body))

    def _refuse(self, why: str, reason: AbortReason) -> None:
        """Evt19. Where the next PDU begins is no longer known: nothing more is read."""
        self.violation = self.violation or why
        self._abort_reason = reason
        self._is_torn = True
        self._do(Trigger.INVALID_PDU)

    # -- the state machine

    def _require(self, trigger: Trigger, argument: object = None) -> None:
        if (self.state, trigger) not in TABLE:
            raise InvalidPrimitive(f"{trigger.name} in state {self.state.name} (PS3.8 Table 9-10)")
        self._do(trigger, argument)

    def _do(self, trigger: Trigger, argument: object = None) -> None:
        """Take the action of Table 9-10 for `trigger`, if there is one, and change the state."""
        action = TABLE.get((self.state, trigger))
        if action is None:
            return
        if action in (Action.AA1, Action.AA8) and trigger not in (Trigger.INVALID_PDU, Trigger.ABORT_REQUEST):
            self.violation = self.violation or f"{trigger.name} in state {self.state.name} (PS3.8 Table 9-10)"
            self._abort_reason = AbortReason.UNEXPECTED_PDU
        next_state = NEXT_STATE[action]
        if action is Action.AR8 and self.is_requestor:
            next_state = State.COLLISION_REQUESTOR_AWAITING_RESPONSE
        if action is Action.AE6:
            next_state = self._indicate_request()
        elif action in _EFFECTS:
            _EFFECTS[action](self, argument)
        self.state = next_state

    def _indicate_request(self) -> State:
        """AE-6."""
        self.is_artim_running = False
        request = self._request
        if request is None:
            raise InvalidPrimitive("an A-ASSOCIATE-RQ PDU without its content")
        self._peer_max_pdu_length = request.user_information.max_pdu_length
        reject = None
        if not request.protocol_version & 1:
            reject = pdu.PROTOCOL_VERSION_NOT_SUPPORTED
        elif request.application_context != pdu.APPLICATION_CONTEXT:
            reject = pdu.APPLICATION_CONTEXT_NOT_SUPPORTED
        if reject is None:
            self._events.append(AssociationRequested(request))
            return State.AWAITING_ASSOCIATE_RESPONSE
        self.violation = f"protocol version {request.protocol_version}, context {request.application_context[:64]!r}"
        self._send_reject(reject)
        return State.AWAITING_CLOSE

    def _send(self, encoded: bytes) -> None:
        self._output.append(encoded)

    def _start_artim(self, _argument: object = None) -> None:
        self.is_artim_running = True

    def _stop_artim(self, _argument: object = None) -> None:
        self.is_artim_running = False

    def _close(self, _argument: object = None) -> None:
        self.is_artim_running = False
        self.wants_close = True

    def _send_request(self, _argument: object) -> None:
        if self._request is not None:
            self._send(pdu.encode_associate_rq(self._request))

    def _confirm_accept(self, argument: object) -> None:
        if isinstance(argument, pdu.AssociateAccept):
            self._peer_max_pdu_length = argument.user_information.max_pdu_length
            self._events.append(AssociationAccepted(argument))

    def _confirm_reject(self, argument: object) -> None:
        if isinstance(argument, pdu.AssociateReject):
            self._events.append(AssociationRejected(argument))
        self._close()

    def _send_accept(self, argument: object) -> None:
        if isinstance(argument, pdu.AssociateAccept):
            self._send(pdu.encode_associate_ac(argument))

    def _send_reject(self, argument: object) -> None:
        if isinstance(argument, pdu.AssociateReject):
            self._send(pdu.encode_associate_rj(argument))
        self._start_artim()

    def _send_release_rp(self, _argument: object) -> None:
        self._send(pdu.encode_release_rp())

    def _send_release_rp_and_wait(self, _argument: object) -> None:
        self._send(pdu.encode_release_rp())
        self._start_artim()

    def _send_release_rq(self, _argument: object) -> None:
        self._send(pdu.encode_release_rq())

    def _indicate_release(self, _argument: object) -> None:
        self._events.append(ReleaseRequested())

    def _confirm_release(self, _argument: object) -> None:
        self._events.append(ReleaseConfirmed())

    def _confirm_release_and_close(self, _argument: object) -> None:
        self._events.append(ReleaseConfirmed())
        self._close()

    def _send_abort(self, argument: object) -> None:
        self._send(pdu.encode_abort(argument if isinstance(argument, Abort) else Abort(0)))
        self._start_artim()

    def _send_abort_again(self, _argument: object) -> None:
        self._send(pdu.encode_abort(Abort(2, self._abort_reason)))

    def _send_provider_abort(self, _argument: object) -> None:
        abort = Abort(2, self._abort_reason)
        self._send(pdu.encode_abort(abort))
        self._start_artim()
        self._events.append(Aborted(abort, self.violation or "protocol violation"))

    def _indicate_abort(self, argument: object) -> None:
        abort = argument if isinstance(argument, Abort) else Abort(2)
        source = "the peer's user" if abort.source == 0 else "the peer's protocol machine"
        self._events.append(Aborted(abort, f"aborted by {source}, reason {abort.reason}"))
        self._close()

    def _indicate_lost(self, _argument: object) -> None:
        self._events.append(Aborted(Abort(2), "the peer closed the connection"))
        self._close()


_READERS: dict[int, Callable[[Association, memoryview], None]] = {
    PduType.ASSOCIATE_RQ: Association._read_associate_rq,
    PduType.ASSOCIATE_AC: Association._read_associate_ac,
    PduType.ASSOCIATE_RJ: Association._read_associate_rj,
    PduType.RELEASE_RQ: Association._read_release_rq,
    PduType.RELEASE_RP: Association._read_release_rp,
    PduType.ABORT: Association._read_abort,
}

_EFFECTS: dict[Action, Callable[[Association, object], None]] = {
    Action.AE2: Association._send_request,
    Action.AE3: Association._confirm_accept,
    Action.AE4: Association._confirm_reject,
    Action.AE5: Association._start_artim,
    Action.AE7: Association._send_accept,
    Action.AE8: Association._send_reject,
    Action.AR1: Association._send_release_rq,
    Action.AR2: Association._indicate_release,
    Action.AR3: Association._confirm_release_and_close,
    Action.AR4: Association._send_release_rp_and_wait,
    Action.AR5: Association._stop_artim,
    Action.AR8: Association._indicate_release,
    Action.AR9: Association._send_release_rp,
    Action.AR10: Association._confirm_release,
    Action.AA1: Association._send_abort,
    Action.AA2: Association._close,
    Action.AA3: Association._indicate_abort,
    Action.AA4: Association._indicate_lost,
    Action.AA5: Association._stop_artim,
    Action.AA7: Association._send_abort_again,
    Action.AA8: Association._send_provider_abort,
}
"""What an action does beside changing the state; data (DT-1, DT-2, AR-6, AR-7) goes around the queue, uncopied."""

"""pynetdicom's upper layer without its threads and sockets: its DUL and state machine, run step by step.

Only what surrounds it is replaced: the socket by bytes in memory, the reactor's loop by `feed`, its DIMSE provider by a
list. What is read, decoded, refused and answered is its own code.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.fsm import TRANSITION_TABLE
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_RELEASE
from pynetdicom.presentation import build_context
from pynetdicom.transport import AddressInformation


class _Socket:
    """What the DUL calls of an `AssociationSocket`."""

    def __init__(self) -> None:
        self.arrived = bytearray()
        self.sent: list[bytes] = []
        self.is_closed = False

    @property
    def ready(self) -> bool:
        return bool(self.arrived)

    def recv(self, count: int) -> bytes:
        taken = bytes(self.arrived[:count])
        del self.arrived[:count]
        return taken

    def send(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True


class _Dimse:
    """Keeps the presentation data values in place of pynetdicom's DIMSE provider."""

    def __init__(self) -> None:
        self.values: list[tuple[int, bytes]] = []
        self.msg_queue: queue.Queue[Any] = queue.Queue()

    def receive_primitive(self, primitive: Any) -> None:
        self.values += [(context_id, bytes(value)) for context_id, value in primitive.presentation_data_value_list]


class TheirAssociation:
    """One association of pynetdicom; `indications` are the primitives that its user would get, oldest first."""

    def __init__(self, *, is_requestor: bool) -> None:
        self._assoc = Association(AE(), "requestor" if is_requestor else "acceptor")
        self._dul = self._assoc.dul
        self._socket = _Socket()
        self._dul.socket = self._socket  # type: ignore[assignment]
        self._dimse = _Dimse()
        self._assoc.dimse = self._dimse  # type: ignore[assignment]
        self._assoc.requestor.address_info = self._assoc.acceptor.address_info = AddressInformation("127.0.0.1", 104)
        self._request: Any = None
        self.broken: str | None = None
        """Its state machine has ended with this exception: in a running archive its thread would have died."""
        self.refused: str | None = None
        """Why it last took what had arrived for an invalid PDU."""
        self._decode, self._dul._decode_pdu = self._dul._decode_pdu, self._noting_refusals  # type: ignore[method-assign, assignment]
        # The connection stands already; how it came to be is no part of the byte stream.
        self._dul.state_machine.current_state = "Sta5" if is_requestor else "Sta1"
        if not is_requestor:
            self._act("Evt5")

    @property
    def state(self) -> int:
        return int(self._dul.state_machine.current_state[3:])

    @property
    def sent(self) -> list[bytes]:
        return self._socket.sent

    @property
    def is_closed(self) -> bool:
        return self._socket.is_closed

    @property
    def is_artim_running(self) -> bool:
        timer = self._dul.artim_timer
        return timer._start_time is not None and timer._end_time is None

    @property
    def unread(self) -> int:
        return len(self._socket.arrived)

    @property
    def indications(self) -> list[Any]:
        return list(self._dul.to_user_queue.queue)

    @property
    def values(self) -> list[tuple[int, bytes]]:
        """(context ID, message control header and fragment) of each presentation data value."""
        return self._dimse.values

    def feed(self, data: bytes, react: Callable[[], None]) -> None:
        """Read all PDUs that are whole (it would wait for the others); `react` is called after each."""
        self._socket.arrived += data
        while self.broken is None and not self.is_closed and self._is_pdu_whole():
            self._read()
            react()

    def _noting_refusals(self, wire: bytearray) -> tuple[Any, str]:
        try:
            return self._decode(wire)
        except Exception as problem:
            self.refused = f"{type(problem).__name__}: {problem}"
            raise

    def end(self) -> None:
        """The connection is closed by the peer: what is torn is read now."""
        while self.broken is None and not self.is_closed:
            at_end = not self._socket.arrived
            self._read()
            if at_end:
                break

    def _is_pdu_whole(self) -> bool:
        arrived = self._socket.arrived
        if len(arrived) < 6:
            return False
        return arrived[0] not in range(1, 8) or len(arrived) >= 6 + int.from_bytes(arrived[2:6], "big")

    def _read(self) -> None:
        try:
            self._dul._read_pdu_data()
            self._drain()
        except Exception as problem:  # noqa: BLE001 -- whatever it is, its reactor would have died of it
            self.broken = f"{type(problem).__name__}: {problem}"

    def _drain(self) -> None:
        while not self._dul.event_queue.empty():
            event = self._dul.event_queue.get(False)
            if (event, self._dul.state_machine.current_state) in TRANSITION_TABLE:
                self._dul.state_machine.do_action(event)

    # -- the local user

    def allows(self, event: str) -> bool:
        return (event, self._dul.state_machine.current_state) in TRANSITION_TABLE

    def _act(self, event: str, primitive: Any = None) -> None:
        if primitive is not None:
            self._dul.to_provider_queue.put(primitive)
        self._dul.event_queue.put(event)
        try:
            self._drain()
        except Exception as problem:  # noqa: BLE001 -- as above
            self.broken = f"{type(problem).__name__}: {problem}"

    def _answer(self, result: int) -> A_ASSOCIATE:
        request = self._request = next(one for one in self.indications if isinstance(one, A_ASSOCIATE))
        answer = A_ASSOCIATE()
        answer.application_context_name = "1.2.840.10008.3.1.1.1"
        answer.calling_ae_title, answer.called_ae_title = request.calling_ae_title, request.called_ae_title
        answer.result, answer.result_source = result, 1
        return answer

    def accept(self) -> None:
        """Accept all contexts, in Implicit VR Little Endian."""
        answer = self._answer(0)
        results = []
        for proposed in self._request.presentation_context_definition_list:
            context = build_context("1.2.840.10008.1.1", "1.2.840.10008.1.2")
            context.context_id, context.result = proposed.context_id, 0
            results.append(context)
        answer.presentation_context_definition_results_list = results
        answer.user_information = self._assoc.acceptor.user_information
        self._act("Evt7", answer)

    def reject(self) -> None:
        answer = self._answer(1)
        answer.diagnostic = 1
        self._act("Evt8", answer)

    def release(self) -> None:
        self._act("Evt11", A_RELEASE())

    def respond_to_release(self) -> None:
        answer = A_RELEASE()
        answer.result = "affirmative"
        self._act("Evt14", answer)

    def abort(self) -> None:
        primitive = A_ABORT()
        primitive.abort_source = 0
        self._act("Evt15", primitive)

    def artim_expired(self) -> None:
        self._act("Evt18")

"""One accepted connection from its first byte to its last, in a thread of its own."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from pacs import log
from pacs.access.application_entities import UnknownApplicationEntity
from pacs.dimse.connection import Connection, HandshakeFailed, Silence
from pacs.dimse.exchange import LiveExchange
from pacs.dimse.follow_ups import LOOK_EVERY_S, FollowUps
from pacs.dimse.messages.command import CommandField
from pacs.dimse.messages.command_builders import response_to
from pacs.dimse.messages.message import CommandReceived, DataSetPiece, MessageReader
from pacs.dimse.messages.status import Status, comment, status_of
from pacs.dimse.negotiation import negotiate
from pacs.dimse.priorities import Priorities, Priority
from pacs.dimse.scp.service import AssociationLost, Peer, Service
from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.association import Association
from pacs.dimse.upper_layer.events import AssociationRequested, DataReceived, Event, ReleaseRequested
from pacs.dimse.upper_layer.outgoing_data import LEAST_MAX_PDU_LENGTH
from pacs.errors import PacsError, ProtocolViolation
from pacs.measured import stages
from pacs.measured.counts import Counts
from pacs.measured.kinds import kind
from pacs.measured.stages import Stages
from pacs.model import Principal
from pacs.pace import Pace
from pacs.settings import DicomSettings

Identify = Callable[[str, str, str], Principal]
"""(calling AE title, called AE title, IP address) -> principal, or raises `UnknownApplicationEntity`."""

_KINDS: Final[dict[int, str]] = {
    CommandField.C_STORE_RQ: "c_store",
    CommandField.C_FIND_RQ: "c_find",
    CommandField.C_MOVE_RQ: "c_move",
    CommandField.C_GET_RQ: "c_get",
    CommandField.N_ACTION_RQ: "commitment",
}
_USUAL_BEGINNING_S = 3.0
"""Between the association and the first answer, or 32 KB of the first instance; scanners need a tenth of it."""
_USUAL_QUIET_S = 30.0
"""Between two requests of a peer that was answered before."""
_ABORT_LINGER_S = 5.0
"""How long a peer that was aborted may take to close; an honest one does at once."""


class Admission(Protocol):
    """Counts associations against the limit."""

    def enter(self, conversation: Conversation, calling: str, address: str) -> str | None:
        """Count one more of this peer; when there is no room, which limit says so."""

    def leave(self, conversation: Conversation) -> None:
        """The association is over, its connection not yet."""


@dataclass(frozen=True)
class Door:
    """What every conversation of one server shares."""

    settings: DicomSettings
    identify: Identify
    services: Mapping[str, Service]
    """By abstract syntax; any storage SOP class goes to `storage`."""
    storage: Service
    admission: Admission
    priorities: Priorities
    priority: Callable[[str, str], Priority]
    """Of (calling AE title, IP address)."""
    tls: ssl.SSLContext | None = None
    counts: Counts = field(default_factory=Counts.alone)


@dataclass
class _Tally:
    """For the one log line at the end of an association."""

    opened: float = field(default_factory=time.monotonic)
    requests: int = 0
    answered: int = 0
    failed: int = 0


def _as_http(status: int) -> int:
    """The HTTP status that counts the same: success, warning or pending, refused by us, the peer's fault."""
    if status in (Status.SUCCESS, Status.CANCEL) or status >> 8 == 0xFF:
        return 200
    if status >> 12 == 0xB or status in (0x0001, 0x0107, 0x0111, 0x0116):
        return 300
    return 500 if status >> 8 == 0xA7 or status == Status.PROCESSING_FAILURE else 400


class Conversation:
    """Answers one peer. `run` is the thread; `stop` and `cut` may be called from others."""

    def __init__(self, door: Door, accepted: socket.socket, address: str, number: int) -> None:
        self._door = door
        self._settings = door.settings
        self._address = address
        self._names: dict[str, Any] = {"association": number, "peer": address}
        self._association = Association(max_pdu_length=door.settings.max_pdu)
        self._connection = Connection(
            accepted,
            self._association,
            send_timeout_s=door.settings.data_timeout_s,
            least_bytes_per_s=door.settings.least_bytes_per_s,
            tls=door.tls,
        )
        self._pace = Pace(door.settings.data_timeout_s, door.settings.least_bytes_per_s)
        self._reader = MessageReader()
        self._waiting: deque[CommandReceived] = deque()
        """Requests that came while another one was being answered; at most as many as the operations window has."""
        self._window = 1
        self._priority = Priority.NORMAL
        self._follow_ups = FollowUps(self._connection)
        self._tally = _Tally()
        self._lock = threading.Lock()
        self._is_idle = True
        self._is_stopping = False
        self._why_stopped = "the archive is being stopped"

    def idle_too_long_s(self, now: float) -> float:
        """By how many seconds the association has been of no use for longer than is usual, at `time.monotonic()`: a
        scanner asks at once, and then waits between its slices. Below zero when it has not. For another thread."""
        if not self._connection.waits_for_peer:
            return -1.0  # it is we who take our time
        quiet_s = now - self._connection.useful_at
        return quiet_s - (_USUAL_QUIET_S if self._tally.answered else _USUAL_BEGINNING_S)

    def stop(self) -> None:
        """End the association as soon as no message is being answered."""
        with self._lock:
            self._is_stopping = True
            if self._is_idle:
                self._connection.interrupt()

    def cut(self, why: str) -> None:
        """End the connection now, whatever it is doing."""
        self._why_stopped = why
        self._is_stopping = True
        self._connection.cut()

    def discard(self) -> None:
        """Close the connection instead of `run`."""
        self._connection.discard()

    def run(self) -> None:
        """Answer until the association is over; raises nothing."""
        is_released = False
        try:
            peer = self._open()
            if peer is not None:
                self._serve(peer)
                is_released = True
        except AssociationLost as lost:
            self._log_loss(lost)
        except Exception as problem:  # noqa: BLE001 -- one association must never end another
            log.failure("association failed", problem, **self._names)
            self._connection.abort()
        finally:
            self._door.admission.leave(self)
            with self._lock:
                self._is_idle = True
            self._follow_ups.close()
            linger_s = self._settings.acse_timeout_s if is_released else _ABORT_LINGER_S
            self._connection.finish(0.0 if self._is_stopping else linger_s, is_released=is_released)

    # -- opening

    def _open(self) -> Peer | None:
        """Negotiate; None when the peer was rejected."""
        timeout_s = self._settings.acse_timeout_s
        deadline = time.monotonic() + timeout_s
        self._connection.open(deadline)
        self._association.connection_arrived()
        try:
            event = self._connection.next_event(timeout_s, deadline=deadline)
        except Silence:
            self._association.artim_expired()
            raise
        if not isinstance(event, AssociationRequested):
            raise AssociationLost("no association was requested")
        request = event.request
        self._names.update(calling_ae_title=request.calling_ae_title, called_ae_title=request.called_ae_title)
        principal = self._admit(request)
        if principal is None:
            return None
        negotiated = negotiate(request, self._door.services.keys(), self._settings.max_pdu)
        operations = negotiated.accept.user_information.asynchronous_operations
        self._window = operations[0] if operations else 1
        self._priority = self._door.priority(request.calling_ae_title, self._address)
        self._association.accept(negotiated.accept)
        log.event(
            "association accepted",
            **self._names,
            contexts_proposed=len(request.contexts),
            contexts_accepted=len(negotiated.contexts),
            implementation=request.user_information.implementation_version_name,
            tls=self._connection.protection,
        )
        return Peer(request.calling_ae_title, request.called_ae_title, self._address, principal, negotiated.contexts)

    def _admit(self, request: pdu.AssociateRequest) -> Principal | None:
        """The principal, counted as one association; None when the peer was rejected."""
        try:
            principal = self._door.identify(request.calling_ae_title, request.called_ae_title, self._address)
        except UnknownApplicationEntity as unknown:
            is_called = unknown.is_called
            reject = pdu.CALLED_AE_TITLE_NOT_RECOGNIZED if is_called else pdu.CALLING_AE_TITLE_NOT_RECOGNIZED
            self._reject(reject, str(unknown))
            return None
        max_pdu_length = request.user_information.max_pdu_length
        if 0 < max_pdu_length < LEAST_MAX_PDU_LENGTH:
            self._reject(pdu.NO_REASON_GIVEN, f"a maximum PDU length of {max_pdu_length} is too short")
        elif self._is_stopping:
            self._reject(pdu.TEMPORARY_CONGESTION, self._why_stopped)
        elif limit := self._door.admission.enter(self, request.calling_ae_title, self._address):
            self._reject(pdu.LOCAL_LIMIT_EXCEEDED, limit)
        else:
            return principal
        return None

    def _reject(self, reject: pdu.AssociateReject, why: str) -> None:
        log.warning("association rejected", **self._names, why=why, reason=reject.reason, source=reject.source)
        self._association.reject(reject)

    # -- serving

    def _serve(self, peer: Peer) -> None:
        """Answer requests until the peer releases."""
        while True:
            request = self._waiting.popleft() if self._waiting else self._next_request()
            if request is None:
                self._association.respond_to_release()
                self._log_end("association released")
                return
            self._answer(peer, request)

    def _next_request(self) -> CommandReceived | None:
        """Wait for a request; None when the peer wants to release instead."""
        timeout_s = self._become_idle()
        while True:
            started = time.monotonic()
            event = self._next_event(timeout_s)
            if isinstance(event, ReleaseRequested):
                return None
            if not isinstance(event, DataReceived):
                raise AssociationLost(getattr(event, "why", ""))
            if self._is_idle:
                with self._lock:
                    self._is_idle = False
            else:
                self._pace.waited(time.monotonic() - started, len(event.data))
            timeout_s = self._pace.left_s
            try:
                received = self._reader.receive(*event)
                if self._follow_ups.take(received):
                    if not self._follow_ups.is_reading_over:
                        timeout_s = self._become_idle()
                    continue
                if isinstance(received, DataSetPiece):
                    raise ProtocolViolation("data set without its command set")
                if received is None:
                    continue
                if received.command.command_field == CommandField.C_CANCEL_RQ:
                    timeout_s = self._become_idle()  # cancels what has just been answered: too late, and no fault
                    continue
                if received.command.is_response:
                    raise ProtocolViolation("response to no request of ours")
                received.command.message_id  # noqa: B018 -- without it nothing can be answered
            except ProtocolViolation as problem:
                self._connection.abort(problem)
                raise AssociationLost(str(problem)) from problem
            return received

    def _become_idle(self) -> float:
        """Nothing is being said; how long that may last. Raises `AssociationLost` when the archive is being stopped."""
        with self._lock:
            self._is_idle = True
            is_stopping = self._is_stopping
        if is_stopping:
            raise AssociationLost(self._why_stopped)
        self._pace.renew()
        return self._settings.idle_timeout_s

    def _next_event(self, timeout_s: float) -> Event:
        """Wait for the next event; while the association is quiet, the follow-ups have their turn."""
        # The deadline is for the drip of a PDU's header.
        deadline = time.monotonic() + timeout_s
        while self._follow_ups.is_any_waiting and self._reader.is_between_messages:
            if deadline - time.monotonic() <= LOOK_EVERY_S:
                break
            try:
                return self._connection.next_event(LOOK_EVERY_S, deadline=deadline)
            except Silence:
                self._follow_ups.go_on()
        return self._connection.next_event(timeout_s, deadline=deadline)

    def _answer(self, peer: Peer, request: CommandReceived) -> None:
        """Answer one request whole; what came meanwhile waits its turn."""
        context = peer.contexts[request.context_id]
        service = self._door.services.get(context.abstract_syntax, self._door.storage)
        is_storage = service is self._door.storage
        exchange = LiveExchange(
            self._connection,
            self._reader,
            peer,
            request,
            self._pace,
            window=self._window,
            give_way=self._give_way if is_storage else None,
            earlier=self._follow_ups,
        )
        self._tally.requests += 1
        command = request.command
        account = Stages()
        stages.begin(account)
        try:
            if is_storage:
                with self._door.priorities.message(self._priority):
                    service.serve(exchange)
            else:
                service.serve(exchange)
            if not exchange.is_answered:
                raise RuntimeError(f"{type(service).__name__} sent no final response")
        except AssociationLost:
            raise
        except PacsError as problem:
            status = status_of(problem, command.command_field)
            self._fail(exchange, status, str(problem))
        except Exception as problem:  # noqa: BLE001 -- answered and logged; the association goes on
            log.failure("request failed", problem, **self._names)
            self._fail(exchange, Status.PROCESSING_FAILURE, "internal error; the archive's log says more")
        finally:
            self._count(exchange, account)
        for follow_up in exchange.follow_ups:
            self._follow_ups.add(follow_up)
        self._waiting += exchange.next_requests

    def _count(self, exchange: LiveExchange, account: Stages) -> None:
        """One request, unless the peer was gone before it was answered."""
        if exchange.answered_after_s is None:
            return
        self._tally.answered += 1
        name = _KINDS.get(exchange.command.command_field, "c_echo")
        if name == "c_find" and account.kind == "wide":
            name = "c_find_infix"
        hospital = exchange.peer.principal.hospital
        self._door.counts.count(kind(name), exchange.answered_after_s, _as_http(exchange.status), hospital)

    def _give_way(self) -> None:
        self._door.priorities.give_way(self._priority)

    def _fail(self, exchange: LiveExchange, status: Status, why: str) -> None:
        self._tally.failed += 1
        command = exchange.command
        log.warning(
            "request refused",
            **self._names,
            command_field=f"{command.command_field:#06x}",
            sop_instance_uid=command.affected_sop_instance_uid,
            status=f"{status:#06x}",
            why=why,
        )
        if exchange.is_answered:
            raise AssociationLost("failed after its final response")
        exchange.respond(response_to(command, status, error_comment=comment(why)))

    # -- the log

    def _log_loss(self, lost: AssociationLost) -> None:
        if self._is_stopping:
            self._connection.abort()
            self._log_end("association ended", why=self._why_stopped)
            return
        if isinstance(lost, HandshakeFailed):
            log.warning("connection refused", **self._names, why=str(lost))
            return
        if isinstance(lost, Silence) or not self._association.is_over:
            self._connection.abort()  # a release in the middle of a message, too
        # What the peer did is an event; that it went away before it asked for anything is none (port scans, probes).
        why = self._association.violation or str(lost)
        if "calling_ae_title" in self._names or self._association.violation or isinstance(lost, Silence):
            self._log_end("association lost", why=why)

    def _log_end(self, what: str, **fields: Any) -> None:
        tally = self._tally
        seconds = round(time.monotonic() - tally.opened, 3)
        log.event(what, **self._names, requests=tally.requests, failed=tally.failed, seconds=seconds, **fields)

"""We as client: associations for C-MOVE's sub-operations and for reports. Only configured addresses are dialled.

The same pure core and socket shell as the server: a stored data set goes to the kernel where it lies.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence

from pacs.dimse.connection import Connection, Silence
from pacs.dimse.follow_ups import MAX_REPLY_BYTES
from pacs.dimse.messages.command import CommandSet
from pacs.dimse.messages.message import CommandReceived, DataSetPiece, MessageReader
from pacs.dimse.scp.service import AssociationLost, PresentationContext
from pacs.dimse.tls import client_context
from pacs.dimse.upper_layer.association import Association
from pacs.dimse.upper_layer.events import (
    Aborted,
    AssociationAccepted,
    AssociationRejected,
    DataReceived,
    Event,
    ReleaseConfirmed,
)
from pacs.dimse.upper_layer.items import ProposedContext, RoleSelection, UserInformation
from pacs.dimse.upper_layer.outgoing_data import LEAST_MAX_PDU_LENGTH
from pacs.dimse.upper_layer.pdu import AssociateReject, AssociateRequest
from pacs.errors import ProtocolViolation
from pacs.pace import Pace
from pacs.part10.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacs.settings import DestinationSettings, DicomSettings

CONNECT_TIMEOUT_S = 10.0
"""A destination on a hospital's network answers in milliseconds; whoever waits for the C-MOVE should hear of it."""
RELEASE_TIMEOUT_S = 5.0
"""Everything has been answered by then; a peer that does not confirm is aborted."""

_REASONS = {
    (1, 2): "application context name not supported",
    (1, 3): "our AE title is not recognized there",
    (1, 7): "its AE title is not the configured one",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""(source, reason) of PS3.8 Table 9-21 that an operator can do something about."""


class DestinationLost(Exception):
    """The destination cannot be reached, refused the association, or ended it; the message says which."""


class Destinations:
    """Opens associations under this archive's own AE title.

    Construction raises `pacs.settings.InvalidSettings` when a file for TLS cannot be used.
    """

    def __init__(self, settings: DicomSettings) -> None:
        self._settings = settings
        self._tls = {destination: client_context(settings, destination) for destination in settings.destinations}

    def connect(
        self,
        destination: DestinationSettings,
        contexts: Sequence[ProposedContext],
        roles: Sequence[RoleSelection] = (),
    ) -> StorageAssociation:
        """An established association with `destination`, on which `contexts` (at most 128) were proposed.

        `roles` ask for another role than that of the user. A context whose role was refused counts as not accepted; an
        acceptor that says nothing of roles is believed to agree, because older equipment never does (PS3.7 D.3.3.4).

        Raises:
            DestinationLost: not reachable in `CONNECT_TIMEOUT_S`, silent, or it refused; or TLS was asked for and is
                not to be had with the right certificate.
        """
        where = f"{destination.aet} at {destination.host}:{destination.port}"
        settings = self._settings
        association = Association(max_pdu_length=settings.max_pdu, is_requestor=True)
        try:
            connection = Connection(
                socket.create_connection((destination.host, destination.port), CONNECT_TIMEOUT_S),
                association,
                send_timeout_s=settings.data_timeout_s,
                least_bytes_per_s=settings.least_bytes_per_s,
                tls=self._tls[destination] if destination in self._tls else client_context(settings, destination),
                server_name=destination.certificate_name or destination.host,
            )
        except OSError as problem:
            raise DestinationLost(f"{where} cannot be reached: {problem.strerror or problem}") from problem
        request = AssociateRequest(
            called_ae_title=destination.aet,
            calling_ae_title=settings.aet,
            contexts=tuple(contexts),
            user_information=UserInformation(
                max_pdu_length=settings.max_pdu,
                implementation_class_uid=IMPLEMENTATION_CLASS_UID,
                implementation_version_name=IMPLEMENTATION_VERSION_NAME,
                roles=tuple(roles),
            ),
        )
        try:
            association.request(request)
            deadline = time.monotonic() + settings.acse_timeout_s
            connection.open(deadline)
            association.connected()
            accepted = _accepted(connection.next_event(settings.acse_timeout_s, deadline=deadline), contexts, roles)
        except (AssociationLost, DestinationLost) as lost:
            connection.abort()
            connection.finish(0.0, is_released=False)
            raise DestinationLost(f"{where}: {lost}") from lost
        pace = Pace(settings.data_timeout_s, settings.least_bytes_per_s)
        return StorageAssociation(connection, accepted, where, pace)


class StorageAssociation:
    """One open association that we asked for; used by one thread."""

    def __init__(self, connection: Connection, contexts: Sequence[PresentationContext], where: str, pace: Pace) -> None:
        """`pace` is how long a response may be waited for, and how slowly it may come."""
        self._connection = connection
        self._contexts = tuple(contexts)
        self._where = where
        self._pace = pace
        self._reader = MessageReader()

    @property
    def contexts(self) -> Sequence[PresentationContext]:
        """Accepted contexts."""
        return self._contexts

    def store(self, context: PresentationContext, request: CommandSet, data_set: memoryview) -> int:
        """Send one request with `data_set` exactly as it is, C-STORE or N-EVENT-REPORT; returns the response's status.

        Raises:
            DestinationLost: the association ended, or no valid response came in time.
        """
        try:
            self._connection.send_message(context.context_id, request.encode(), [data_set])
            self._pace.renew()
            response = self._response_to(request)
            if response.has_data_set:
                self._read_over()
            return response.status  # noqa: TRY300 -- a response without it is a violation, too
        except (AssociationLost, ProtocolViolation) as lost:
            self._connection.abort(lost if isinstance(lost, ProtocolViolation) else None)
            raise DestinationLost(f"{self._where}: {lost}") from lost

    def _next_event(self) -> Event:
        try:
            return self._connection.next_event_at(self._pace)
        except Silence as silence:
            raise Silence(f"{silence}, or hardly any") from silence

    def _response_to(self, request: CommandSet) -> CommandSet:
        while True:
            event = self._next_event()
            if not isinstance(event, DataReceived):
                raise AssociationLost(event.why if isinstance(event, Aborted) else "it wants to release")
            received = self._reader.receive(*event)
            if received is None:
                continue
            if not isinstance(received, CommandReceived) or not received.command.is_response:
                raise ProtocolViolation("it sent something else than a response")
            if received.command.message_id_being_responded_to != request.message_id:
                raise ProtocolViolation("it answered a message that was not sent")
            return received.command

    def _read_over(self) -> None:
        """The Event Reply (PS3.7 §10.3.1.1), which says nothing that is needed."""
        read_bytes = 0
        while True:
            event = self._next_event()
            if not isinstance(event, DataReceived):
                raise AssociationLost("it ended in the middle of its response")
            read_bytes += len(event.data)
            if read_bytes > MAX_REPLY_BYTES:
                raise ProtocolViolation(f"its response goes on for more than {MAX_REPLY_BYTES} bytes")
            piece = self._reader.receive(*event)
            if isinstance(piece, DataSetPiece) and piece.is_last:
                return

    def release(self) -> None:
        """End the association in order, abort it when the peer does not play along, close; never raises."""
        is_released = False
        with contextlib.suppress(AssociationLost):
            is_released = not self._connection.association.is_over and self._release()
        self._connection.finish(0.0, is_released=is_released)

    def _release(self) -> bool:
        """Whether the peer confirmed."""
        self._connection.association.release()
        deadline = time.monotonic() + RELEASE_TIMEOUT_S
        try:
            while not isinstance(self._connection.next_event(RELEASE_TIMEOUT_S, deadline=deadline), ReleaseConfirmed):
                pass
        except Silence:
            self._connection.abort()
            return False
        return True


def _accepted(
    event: Event, proposed: Sequence[ProposedContext], roles: Sequence[RoleSelection]
) -> list[PresentationContext]:
    """The accepted contexts. Raises `DestinationLost` when there is no association, or none that can carry data."""
    if isinstance(event, AssociationRejected):
        raise DestinationLost(f"it rejected the association: {_reason(event.reject)}")
    if isinstance(event, Aborted):
        raise DestinationLost(event.why)
    if not isinstance(event, AssociationAccepted):
        raise DestinationLost("it answered something else than A-ASSOCIATE")
    if 0 < event.accept.user_information.max_pdu_length < LEAST_MAX_PDU_LENGTH:
        raise DestinationLost("its maximum PDU length is too short to send anything")
    by_id = {context.context_id: context for context in proposed}
    asked = {role.sop_class_uid for role in roles if role.is_scp}
    refused = {role.sop_class_uid for role in event.accept.user_information.roles if not role.is_scp} & asked
    return [
        PresentationContext(
            result.context_id, by_id[result.context_id].abstract_syntax, result.transfer_syntax, is_scu=True
        )
        for result in event.accept.contexts
        # What was not proposed cannot be accepted: the bytes would be of another transfer syntax.
        if result.result == 0
        and result.transfer_syntax in by_id[result.context_id].transfer_syntaxes
        and by_id[result.context_id].abstract_syntax not in refused
    ]


def _reason(reject: AssociateReject) -> str:
    known = _REASONS.get((reject.source, reject.reason))
    return known or f"result {reject.result}, source {reject.source}, reason {reject.reason} (PS3.8 Table 9-21)"

"""Our association and pynetdicom's on the same stream, and what an observer sees of each."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from pynetdicom import pdu_primitives as words

from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.association import Association
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
from pacs.dimse.upper_layer.items import ContextResult, UserInformation
from pacs.dimse.upper_layer.state_table import TABLE, Trigger
from pacs.errors import ProtocolViolation
from tests.dimse.upper_layer.byte_streams import Local, Stream, pieces
from tests.dimse.upper_layer.bytes_of_peers import REQUEST
from tests.dimse.upper_layer.pynetdicom_steps import TheirAssociation

ANSWERED = "1.2.840.10008.1.2"
LOCAL: dict[Local, int] = {"release": 11, "respond": 14, "abort": 15, "artim": 18}
"""The events of Table 9-10 that the local user, or the timer, makes."""


@dataclass(frozen=True)
class Snapshot:
    """What an observer sees of an association."""

    state: int
    told: tuple[object, ...]
    values: tuple[tuple[int, bool, bytes, bool], ...]
    sent: tuple[tuple[object, ...], ...]
    is_closed: bool
    is_artim_running: bool


def _sent(wire: bytes) -> tuple[object, ...]:
    """A PDU that was sent, without what the standard leaves to the sender."""
    match wire[0]:
        case pdu.PduType.ASSOCIATE_AC:
            try:
                accept = pdu.decode_associate_ac(memoryview(wire)[6:])
            except ProtocolViolation as problem:
                return "AC", str(problem)
            return "AC", accept.called_ae_title.strip(), accept.calling_ae_title.strip(), accept.contexts
        case pdu.PduType.ASSOCIATE_RJ:
            return "RJ", *wire[7:10]
        case pdu.PduType.ABORT:
            return "ABORT", wire[8]
    return (pdu.PduType(wire[0]).name,)


class Values:
    """Presentation data values as messages' parts: pieces of one, however cut, are joined."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, bool, bytearray, bool]] = []

    def add(self, context_id: int, is_command: bool, data: bytes | memoryview, is_last: bool) -> None:
        if self._parts and self._parts[-1][:2] == (context_id, is_command) and not self._parts[-1][3]:
            self._parts[-1][2].extend(data)
            self._parts[-1] = (*self._parts[-1][:3], is_last)
        else:
            self._parts.append((context_id, is_command, bytearray(data), is_last))

    def joined(self) -> tuple[tuple[int, bool, bytes, bool], ...]:
        return tuple((one, command, bytes(data), last) for one, command, data, last in self._parts)


class Ours:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._association = Association(max_pdu_length=1 << 31, is_requestor=stream.is_requestor)
        self._told: list[object] = []
        self._values = Values()
        self._sent: list[tuple[object, ...]] = []
        if stream.is_requestor:
            self._association.request(REQUEST)
            self._association.connected()
        else:
            self._association.connection_arrived()
        self._association.take_output()

    @property
    def state(self) -> int:
        return int(self._association.state)

    @property
    def violation(self) -> str | None:
        return self._association.violation

    @property
    def is_torn(self) -> bool:
        return self._association._is_torn

    def allows(self, number: int) -> bool:
        return (self._association.state, Trigger(number)) in TABLE

    def feed(self, data: bytes, random: Random) -> None:
        for piece in pieces(random, data):
            left = piece
            while left:
                room = self._association.room()
                count = min(len(room), len(left))
                room[:count] = left[:count]
                self._association.received(count)
                left = left[count:]
                self.drain()

    def end(self) -> None:
        self._association.received(0)
        self.drain()

    def local(self, what: Local) -> None:
        {
            "release": self._association.release,
            "respond": self._association.respond_to_release,
            "abort": self._association.abort,
            "artim": self._association.artim_expired,
        }[what]()
        self.drain()

    def drain(self) -> None:
        while (event := self._association.next_event()) is not None:
            self._note(event)
            if isinstance(event, AssociationRequested):
                self._answer(event.request)
            if self._stream.answers_release and self.allows(14):
                self._association.respond_to_release()

    def _answer(self, request: pdu.AssociateRequest) -> None:
        if self._stream.rejects:
            self._association.reject(pdu.NO_REASON_GIVEN)
        else:
            contexts = tuple(ContextResult(one.context_id, 0, ANSWERED) for one in request.contexts)
            self._association.accept(
                pdu.AssociateAccept(
                    request.called_ae_title, request.calling_ae_title, contexts, UserInformation(16382, "1.2.4", "US")
                )
            )

    def _note(self, event: Event) -> None:
        match event:
            case DataReceived(context_id, is_command, is_last, data):
                self._values.add(context_id, is_command, data, is_last)
            case AssociationRequested(request):
                self._told.append(
                    (
                        "request",
                        request.called_ae_title.strip(),
                        request.calling_ae_title.strip(),
                        request.application_context,
                        tuple((one.context_id, one.abstract_syntax, one.transfer_syntaxes) for one in request.contexts),
                        _information(request.user_information),
                    )
                )
            case AssociationAccepted(accept):
                self._told.append(
                    (
                        "accept",
                        tuple(
                            (one.context_id, one.result, one.transfer_syntax if not one.result else "")
                            for one in accept.contexts
                        ),
                        _information(accept.user_information),
                    )
                )
            case AssociationRejected(reject):
                self._told.append(("reject", reject.result, reject.source, reject.reason))
            case ReleaseRequested():
                self._told.append("release asked")
            case ReleaseConfirmed():
                self._told.append("release confirmed")
            case Aborted():
                self._told.append("aborted")

    def snapshot(self) -> Snapshot:
        self._sent += [_sent(bytes(one)) for one in self._association.take_output()]
        return Snapshot(
            self.state,
            tuple(self._told),
            self._values.joined(),
            tuple(self._sent),
            self._association.wants_close or self._association.state == 1,
            self._association.is_artim_running,
        )


def _information(information: UserInformation) -> object:
    return (
        information.max_pdu_length,
        information.implementation_class_uid,
        information.implementation_version_name,
        information.asynchronous_operations,
        tuple((r.sop_class_uid, r.is_scu, r.is_scp) for r in information.roles),
        tuple((e.sop_class_uid, e.information) for e in information.extended),
    )


class Theirs:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.association = TheirAssociation(is_requestor=stream.is_requestor)

    def feed(self, data: bytes) -> None:
        self.association.feed(data, self.react)

    def react(self) -> None:
        if self.association.broken is None and self.association.state == 3:
            if self._stream.rejects:
                self.association.reject()
            else:
                self.association.accept()
        if self.association.broken is None and self._stream.answers_release and self.association.allows("Evt14"):
            self.association.respond_to_release()

    def local(self, what: Local) -> None:
        {
            "release": self.association.release,
            "respond": self.association.respond_to_release,
            "abort": self.association.abort,
            "artim": self.association.artim_expired,
        }[what]()
        self.react()

    def end(self) -> None:
        self.association.end()

    def snapshot(self) -> Snapshot:
        values = Values()
        for context_id, value in self.association.values:
            values.add(context_id, bool(value[0] & 1), value[1:], bool(value[0] & 2))
        return Snapshot(
            self.association.state,
            tuple(map(_their_word, self.association.indications)),
            values.joined(),
            tuple(map(_sent, self.association.sent)),
            self.association.is_closed or self.association.state == 1,
            self.association.is_artim_running,
        )


def _their_word(primitive: Any) -> object:
    if isinstance(primitive, words.A_RELEASE):
        return "release asked" if primitive.result is None else "release confirmed"
    if isinstance(primitive, (words.A_ABORT, words.A_P_ABORT)):
        return "aborted"
    if primitive.result is None:
        contexts = tuple(
            (one.context_id, str(one.abstract_syntax), tuple(map(str, one.transfer_syntax)))
            for one in primitive.presentation_context_definition_list
        )
        return (
            "request",
            primitive.called_ae_title.strip(),
            primitive.calling_ae_title.strip(),
            str(primitive.application_context_name),
            contexts,
            _their_information(primitive.user_information),
        )
    if primitive.result == 0:
        results = tuple(
            (one.context_id, one.result, str(one.transfer_syntax[0]) if not one.result else "")
            for one in primitive.presentation_context_definition_results_list
        )
        return ("accept", results, _their_information(primitive.user_information))
    return ("reject", primitive.result, primitive.result_source, primitive.diagnostic)


def _their_information(items: list[Any]) -> object:
    found: dict[str, Any] = {"size": 0, "class": "", "version": "", "window": None}
    roles, extended = [], []
    for item in items:
        match item:
            case words.MaximumLengthNotification():
                found["size"] = item.maximum_length_received
            case words.ImplementationClassUIDNotification():
                found["class"] = str(item.implementation_class_uid)
            case words.ImplementationVersionNameNotification():
                found["version"] = item.implementation_version_name
            case words.AsynchronousOperationsWindowNegotiation():
                found["window"] = (item.maximum_number_operations_invoked, item.maximum_number_operations_performed)
            case words.SCP_SCU_RoleSelectionNegotiation():
                roles.append((str(item.sop_class_uid).strip("\0 "), item.scu_role, item.scp_role))
            case words.SOPClassExtendedNegotiation():
                extended.append((str(item.sop_class_uid).strip("\0 "), item.service_class_application_information))
    return (*found.values(), tuple(roles), tuple(extended))

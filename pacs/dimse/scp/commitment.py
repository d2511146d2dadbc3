"""Storage Commitment Push Model, the SCP's side (PS3.4 Annex J): N-ACTION in, N-EVENT-REPORT out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from pacs import log
from pacs.commitment import Commitment, Report
from pacs.dimse.messages.command import CommandField, CommandSet
from pacs.dimse.messages.command_builders import n_event_report_rq, response_to
from pacs.dimse.messages.status import Status, comment, is_failure
from pacs.dimse.scp.identifier_writer import encode_identifier
from pacs.dimse.scp.service import Exchange
from pacs.errors import Conflict, InvalidIdentity, InvalidRequest, NotFound, TooLarge
from pacs.model import CommitmentKey, DicomJson, ReferencedInstance
from pacs.part10.header import Header, scan
from pacs.part10.sequence_items import elements_by_tag, iter_items

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""
WELL_KNOWN_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Its one SOP Instance (PS3.4 J.3.5)."""

_REQUEST_STORAGE_COMMITMENT = 1
_ALL_COMMITTED, _SOME_FAILED = 1, 2
"""Event Type ID (PS3.4 Table J.3-2)."""

_TRANSACTION_UID, _REFERENCED_SOP_SEQUENCE = 0x00081195, 0x00081199
_REFERENCED_SOP_CLASS_UID, _REFERENCED_SOP_INSTANCE_UID = 0x00081150, 0x00081155
_BYTES_PER_REFERENCE = 192
"""Two UIDs of 64 characters and four element heads fill 168."""
_BYTES_BESIDE = 64 << 10
_ELEMENTS_PER_ITEM = 64
_OFTEN_S, _OFTEN_FOR_S, _SELDOM_S = 0.2, 20.0, 2.0


class StorageCommitment:
    """Answers N-ACTION once the request is durable; the result follows on this association, or on another."""

    def __init__(self, commitment: Commitment) -> None:
        self._commitment = commitment

    def serve(self, exchange: Exchange) -> None:
        request = exchange.command
        problem = _problem(request)
        if problem is not None:
            status, text = problem
            exchange.respond(response_to(request, status, error_comment=comment(text)))
            return
        try:
            key = self._ask(exchange)
        except (InvalidIdentity, InvalidRequest) as invalid:
            self._refuse(exchange, Status.INVALID_ARGUMENT_VALUE, invalid)
        except Conflict as in_use:
            self._refuse(exchange, Status.DUPLICATE_TRANSACTION_UID, in_use)
        else:
            exchange.respond(response_to(request, Status.SUCCESS))
            exchange.afterwards(ResultOnSameAssociation(self._commitment, key, exchange))

    def _ask(self, exchange: Exchange) -> CommitmentKey:
        most = self._commitment.max_references
        data_set = exchange.read_data_set(_BYTES_BESIDE + most * _BYTES_PER_REFERENCE)
        transaction_uid, references = action_information(data_set, exchange.context.transfer_syntax, most)
        peer = exchange.peer
        return self._commitment.ask(peer.principal, peer.calling_ae_title.strip(), transaction_uid, references)

    @staticmethod
    def _refuse(exchange: Exchange, status: Status, why: Exception) -> None:
        log.warning(
            "storage commitment refused",
            calling_ae_title=exchange.peer.calling_ae_title,
            status=f"{status:#06x}",
            why=str(why),
        )
        exchange.respond(response_to(exchange.command, status, error_comment=comment(why)))


def _problem(request: CommandSet) -> tuple[Status, str] | None:
    """What is wrong with the command set, if anything (PS3.7 §10.1.4.1.10)."""
    if request.command_field != CommandField.N_ACTION_RQ:
        return Status.UNRECOGNIZED_OPERATION, "storage commitment is asked for by N-ACTION"
    if request.requested_sop_class_uid != STORAGE_COMMITMENT:
        return Status.NO_SUCH_SOP_CLASS, f"not the SOP class of this context: {request.requested_sop_class_uid}"
    if request.requested_sop_instance_uid != WELL_KNOWN_INSTANCE:
        return Status.NO_SUCH_SOP_INSTANCE, f"the one instance is {WELL_KNOWN_INSTANCE}"
    if request.action_type_id != _REQUEST_STORAGE_COMMITMENT:
        return Status.NO_SUCH_ACTION, f"Action Type ID {request.action_type_id}; 1 is known"
    if not request.has_data_set:
        return Status.INVALID_ARGUMENT_VALUE, "N-ACTION-RQ without Action Information"
    return None


def action_information(
    data_set: bytes, transfer_syntax_uid: str, max_references: int
) -> tuple[str, list[ReferencedInstance]]:
    """Transaction UID and instances of an N-ACTION-RQ (PS3.4 Table J.3-1), as sent; memory grows with instances only.

    Raises:
        MalformedDataSet: it cannot be walked.
        InvalidRequest: an attribute is missing.
        TooLarge: more than `max_references` instances, or an item that is no reference.
    """
    header = scan(data_set, transfer_syntax_uid, max_inflated_bytes=len(data_set))
    transaction_uid = header.uid(_TRANSACTION_UID)
    if not transaction_uid:
        raise InvalidRequest("(0008,1195) Transaction UID is missing")
    references: list[ReferencedInstance] = []
    for item in _items(header):
        if len(references) == max_references:
            raise TooLarge(f"more than {max_references} instances in one request (commitment.max_references)")
        sop_class_uid, sop_instance_uid = item.uid(_REFERENCED_SOP_CLASS_UID), item.uid(_REFERENCED_SOP_INSTANCE_UID)
        if not sop_class_uid or not sop_instance_uid:
            raise InvalidRequest(f"item {len(references) + 1} of (0008,1199) lacks its SOP Class or Instance UID")
        references.append(ReferencedInstance(sop_class_uid, sop_instance_uid))
    return transaction_uid, references


def _items(header: Header) -> Iterator[Header]:
    sequence = header.elements.get(_REFERENCED_SOP_SEQUENCE)
    if sequence is None or sequence.vr != "SQ":
        return
    for item in iter_items(header.buffer, sequence, header.is_little_endian, header.ends):
        elements = elements_by_tag(
            header.buffer, item, header.is_little_endian, 1, header.ends, limit=_ELEMENTS_PER_ITEM
        )
        yield Header(
            buffer=header.buffer,
            elements=elements,
            transfer_syntax=header.transfer_syntax,
            is_implicit_vr=item.is_implicit_vr,
            is_little_endian=header.is_little_endian,
            pixel_data=None,
            header_length=item.end,
            ends=header.ends,
        )


def event_report(report: Report, message_id: int, transfer_syntax_uid: str) -> tuple[CommandSet, bytes]:
    """N-EVENT-REPORT-RQ and its Event Information (PS3.4 Table J.3-2)."""
    committed, failed = report.committed, report.failed
    information: DicomJson = {"00081195": {"vr": "UI", "Value": [report.key.transaction_uid]}}
    if committed:
        information["00081199"] = {"vr": "SQ", "Value": [_reference(one) for one in committed]}
    if failed:
        items = [{**_reference(one), "00081197": {"vr": "US", "Value": [reason]}} for one, reason in failed]
        information["00081198"] = {"vr": "SQ", "Value": items}
    event_type = _SOME_FAILED if failed else _ALL_COMMITTED
    command = n_event_report_rq(message_id, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, event_type)
    return command, encode_identifier(information, transfer_syntax_uid)


def _reference(one: ReferencedInstance) -> DicomJson:
    return {
        "00081150": {"vr": "UI", "Value": [one.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [one.sop_instance_uid]},
    }


class ResultOnSameAssociation:
    """Implements `FollowUp`: the result of one transaction, as soon as it is known and nobody else tells it."""

    def __init__(self, commitment: Commitment, key: CommitmentKey, exchange: Exchange) -> None:
        self._commitment = commitment
        self._key = key
        self._transfer_syntax = exchange.context.transfer_syntax
        self._report: Report | None = None
        self._often_until = time.monotonic() + _OFTEN_FOR_S
        self._next_look = 0.0
        self.context_id: int = exchange.context.context_id
        self.is_over = False

    def message(self, message_id: int) -> tuple[CommandSet, bytes] | None:
        now = time.monotonic()
        if now < self._next_look:
            return None
        self._next_look = now + (_OFTEN_S if now < self._often_until else _SELDOM_S)
        if not self._commitment.is_open(self._key):
            self.is_over = True  # told on another association, or given up
            return None
        self._report = self._commitment.result(self._key)
        if self._report is None:
            return None
        return event_report(self._report, message_id, self._transfer_syntax)

    def answered(self, status: int) -> None:
        report, self._report = self._report, None
        self.is_over = True
        if report is None:
            raise NotFound("an answer to no report")
        if is_failure(status):
            self._commitment.not_told(report, f"answered 0x{status:04X} on the same association")
        else:
            self._commitment.told(report)

    def close(self) -> None:
        if self._report is not None:
            self._commitment.give_back(self._report)
        self._commitment.association_ended(self._key)

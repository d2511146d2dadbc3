"""Protocol data units except P-DATA-TF's content (PS3.8 §9.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from pacs.dimse.upper_layer.items import (
    ContextResult,
    ProposedContext,
    ProposedContextReader,
    UserInformation,
    decode_context_result,
    decode_uid,
    decode_user_information,
    encode_context_result,
    encode_item,
    encode_proposed_context,
    encode_user_information,
    iter_items,
)
from pacs.errors import ProtocolViolation

HEADER = struct.Struct(">BxI")
"""PDU type, a reserved byte, length of what follows."""
PDV_HEADER = struct.Struct(">IBB")
"""Length of what follows, presentation context ID, message control header (PS3.8 §9.3.5.1, Annex E.2)."""
DATA_HEAD = struct.Struct(">BxIIBB")
"""Both, of a P-DATA-TF and its first presentation data value."""
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
"""DICOM Application Context Name (PS3.7 Annex A)."""

_FIXED = struct.Struct(">H2x16s16s32x")
_AE_TITLE_BYTES = 16


class PduType(IntEnum):
    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA_TF = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class AbortReason(IntEnum):
    """Reason of an A-ABORT that the service-provider sent (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER_VALUE = 6


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ."""

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    user_information: UserInformation
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC; the AE titles are those of the request, sent back unread."""

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ContextResult, ...]
    user_information: UserInformation
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateReject:
    """A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    result: int
    """1 permanent, 2 transient."""
    source: int
    """1 service-user, 2 service-provider (ACSE), 3 service-provider (presentation)."""
    reason: int


NO_REASON_GIVEN = AssociateReject(1, 1, 1)
APPLICATION_CONTEXT_NOT_SUPPORTED = AssociateReject(1, 1, 2)
CALLING_AE_TITLE_NOT_RECOGNIZED = AssociateReject(1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNIZED = AssociateReject(1, 1, 7)
PROTOCOL_VERSION_NOT_SUPPORTED = AssociateReject(1, 2, 2)
TEMPORARY_CONGESTION = AssociateReject(2, 3, 1)
LOCAL_LIMIT_EXCEEDED = AssociateReject(2, 3, 2)


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 Table 9-26)."""

    source: int
    """0 service-user, 2 service-provider."""
    reason: int = 0
    """`AbortReason` when `source` is 2."""


def encode_associate_rq(request: AssociateRequest) -> bytes:
    contexts = b"".join(encode_proposed_context(context) for context in request.contexts)
    return _encode_associate(PduType.ASSOCIATE_RQ, request, contexts)


def encode_associate_ac(accept: AssociateAccept) -> bytes:
    contexts = b"".join(encode_context_result(context) for context in accept.contexts)
    return _encode_associate(PduType.ASSOCIATE_AC, accept, contexts)


def _encode_associate(kind: PduType, associate: AssociateRequest | AssociateAccept, contexts: bytes) -> bytes:
    body = b"".join(
        (
            _FIXED.pack(
                associate.protocol_version, _ae_title(associate.called_ae_title), _ae_title(associate.calling_ae_title)
            ),
            encode_item(0x10, associate.application_context.encode("ascii")),
            contexts,
            encode_user_information(associate.user_information),
        )
    )
    return HEADER.pack(kind, len(body)) + body


def _ae_title(title: str) -> bytes:
    return title.encode("latin-1", "replace")[:_AE_TITLE_BYTES].ljust(_AE_TITLE_BYTES)


def encode_associate_rj(reject: AssociateReject) -> bytes:
    return HEADER.pack(PduType.ASSOCIATE_RJ, 4) + bytes((0, reject.result, reject.source, reject.reason))


def encode_release_rq() -> bytes:
    return HEADER.pack(PduType.RELEASE_RQ, 4) + b"\0\0\0\0"


def encode_release_rp() -> bytes:
    return HEADER.pack(PduType.RELEASE_RP, 4) + b"\0\0\0\0"


def encode_abort(abort: Abort) -> bytes:
    return HEADER.pack(PduType.ABORT, 4) + bytes((0, 0, abort.source, abort.reason))


def decode_associate_rq(body: memoryview) -> AssociateRequest:
    """Read what follows the header of an A-ASSOCIATE-RQ (PS3.8 Table 9-11).

    Raises:
        ProtocolViolation: torn, an item twice, no presentation context, a context ID even or used twice, no user
            information.
    """
    version, called, calling, application_context, items, information = _decode_associate(body, 0x20)
    reader = ProposedContextReader()
    contexts = tuple(reader.read(item) for item in items)
    _check_context_ids([context.context_id for context in contexts])
    return AssociateRequest(called, calling, contexts, information, application_context, version)


def decode_associate_ac(body: memoryview) -> AssociateAccept:
    """Read what follows the header of an A-ASSOCIATE-AC (PS3.8 Table 9-17). Raises `ProtocolViolation`."""
    version, called, calling, application_context, items, information = _decode_associate(body, 0x21)
    contexts = tuple(decode_context_result(item) for item in items)
    _check_context_ids([context.context_id for context in contexts])
    return AssociateAccept(called, calling, contexts, information, application_context, version)


def _decode_associate(
    body: memoryview, context_item: int
) -> tuple[int, str, str, str, list[memoryview], UserInformation]:
    if len(body) < _FIXED.size:
        raise ProtocolViolation(f"A-ASSOCIATE PDU of {len(body)} bytes; at least {_FIXED.size} (PS3.8 §9.3.2)")
    version, called, calling = _FIXED.unpack_from(body)
    application_context: str | None = None
    information: UserInformation | None = None
    contexts: list[memoryview] = []
    for kind, item in iter_items(body[_FIXED.size :]):
        if kind == 0x10 and application_context is None:
            application_context = decode_uid(item)
        elif kind == context_item:
            contexts.append(item)
        elif kind == 0x50 and information is None:
            information = decode_user_information(item)
        elif kind in (0x10, 0x50):
            raise ProtocolViolation(f"item {kind:#04x} stands twice in an A-ASSOCIATE PDU (PS3.8 §9.3.2)")
    if application_context is None or information is None or not contexts:
        raise ProtocolViolation(
            "A-ASSOCIATE PDU without application context, presentation context or user information (PS3.8 §9.3.2)"
        )
    return version, _text(called), _text(calling), application_context, contexts, information


def _text(title: bytes) -> str:
    return title.decode("latin-1").strip("\0 ")


def _check_context_ids(context_ids: list[int]) -> None:
    if len(set(context_ids)) != len(context_ids):
        raise ProtocolViolation("a presentation context ID stands twice in an A-ASSOCIATE PDU (PS3.8 §9.3.2.2)")


def decode_associate_rj(body: memoryview) -> AssociateReject:
    _check_length(body)
    return AssociateReject(body[1], body[2], body[3])


def decode_release(body: memoryview) -> None:
    _check_length(body)


def decode_abort(body: memoryview) -> Abort:
    _check_length(body)
    return Abort(body[2], body[3])


def _check_length(body: memoryview) -> None:
    if len(body) != 4:
        raise ProtocolViolation(f"PDU with {len(body)} bytes after its header; this type has 4 (PS3.8 §9.3)")

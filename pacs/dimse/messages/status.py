"""The only place that turns errors into DIMSE statuses (PS3.7 Annex C; PS3.4 B.2.3, C.4.1-C.4.3)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from pacs import errors
from pacs.dimse.messages.command import CommandField


class Status(IntEnum):
    """The statuses this archive sends."""

    SUCCESS = 0x0000
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_WITH_UNSUPPORTED_KEYS = 0xFF01
    """C-FIND: an optional key was not supported for matching (PS3.4 C.4.1.1.4)."""
    SUB_OPERATIONS_WITH_FAILURES = 0xB000
    COERCION_OF_DATA_ELEMENTS = 0xB000
    """C-STORE: stored, with some attributes changed (PS3.4 Table B.2-1)."""
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    NO_SUCH_SOP_INSTANCE = 0x0112
    INVALID_ATTRIBUTE_VALUE = 0x0106
    INVALID_ARGUMENT_VALUE = 0x0115
    INVALID_SOP_INSTANCE = 0x0117
    NO_SUCH_SOP_CLASS = 0x0118
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION = 0x0123
    NOT_AUTHORIZED = 0x0124
    DUPLICATE_TRANSACTION_UID = 0x0131
    """Storage commitment: PS3.3 C.14.1.1 has the number, PS3.4 Annex J says no status of its own."""
    UNRECOGNIZED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212
    RESOURCE_LIMITATION = 0x0213
    OUT_OF_RESOURCES = 0xA700
    UNABLE_TO_COUNT_MATCHES = 0xA701
    UNABLE_TO_PERFORM_SUB_OPERATIONS = 0xA702
    MOVE_DESTINATION_UNKNOWN = 0xA801
    DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    UNABLE_TO_PROCESS = 0xC001


class _Row(NamedTuple):
    store: Status
    find: Status
    retrieve: Status
    """C-MOVE and C-GET."""
    other: Status
    """C-ECHO and the N- services, which know the general statuses only."""


_MALFORMED = _Row(
    Status.CANNOT_UNDERSTAND, Status.UNABLE_TO_PROCESS, Status.UNABLE_TO_PROCESS, Status.MISTYPED_ARGUMENT
)
_MISMATCH = _Row(
    Status.DOES_NOT_MATCH_SOP_CLASS,
    Status.DOES_NOT_MATCH_SOP_CLASS,
    Status.DOES_NOT_MATCH_SOP_CLASS,
    Status.INVALID_ATTRIBUTE_VALUE,
)
_NO_ROOM = _Row(
    Status.OUT_OF_RESOURCES, Status.OUT_OF_RESOURCES, Status.UNABLE_TO_COUNT_MATCHES, Status.RESOURCE_LIMITATION
)
_FAILED = _Row(Status.PROCESSING_FAILURE, Status.UNABLE_TO_PROCESS, Status.UNABLE_TO_PROCESS, Status.PROCESSING_FAILURE)

TABLE: dict[type[errors.PacsError], _Row] = {
    errors.PacsError: _FAILED,
    errors.PeerFault: _MALFORMED,
    errors.ProtocolViolation: _MALFORMED,
    errors.NotDicom: _MALFORMED,
    errors.MalformedDataSet: _MALFORMED,
    errors.InvalidIdentity: _MALFORMED,
    errors.IdentityMismatch: _MISMATCH,
    # A wrong key makes an identifier that does not match the SOP class (PS3.4 Table C.4-1).
    errors.InvalidRequest: _MISMATCH._replace(store=Status.CANNOT_UNDERSTAND),
    errors.TooLarge: _NO_ROOM,
    errors.TooBroad: _NO_ROOM,
    errors.UnsupportedMedia: _MALFORMED._replace(store=Status.SOP_CLASS_NOT_SUPPORTED),
    errors.Refused: _Row(Status.NOT_AUTHORIZED, Status.NOT_AUTHORIZED, Status.NOT_AUTHORIZED, Status.NOT_AUTHORIZED),
    errors.NotFound: _FAILED._replace(other=Status.NO_SUCH_SOP_INSTANCE),
    errors.Gone: _FAILED._replace(other=Status.NO_SUCH_SOP_INSTANCE),
    errors.Conflict: _FAILED._replace(store=Status.DUPLICATE_SOP_INSTANCE, other=Status.DUPLICATE_SOP_INSTANCE),
    errors.Retained: _FAILED._replace(other=Status.NOT_AUTHORIZED),
    errors.CoercionImpossible: _FAILED,
    errors.NotAcceptable: _FAILED._replace(retrieve=Status.UNABLE_TO_PERFORM_SUB_OPERATIONS),
    errors.UndecodablePixels: _FAILED._replace(retrieve=Status.UNABLE_TO_PERFORM_SUB_OPERATIONS),
    errors.Busy: _NO_ROOM,
    # Refused for want of resources: the sender keeps the instance and tries again, which is what it should do.
    errors.StorageError: _NO_ROOM,
    errors.StorageFull: _NO_ROOM,
    errors.IndexUnavailable: _NO_ROOM,
    errors.StoredBytesDamaged: _FAILED._replace(retrieve=Status.UNABLE_TO_PERFORM_SUB_OPERATIONS),
}
"""One row per class of `pacs.errors`; a test walks that tree."""

MAX_COMMENT_CHARACTERS = 64


def status_of(error: errors.PacsError, command_field: int) -> Status:
    """The status that tells a peer of `error` in the response to the request `command_field`."""
    row = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    match command_field:
        case CommandField.C_STORE_RQ:
            return row.store
        case CommandField.C_FIND_RQ:
            return row.find
        case CommandField.C_MOVE_RQ | CommandField.C_GET_RQ:
            return row.retrieve
        case _:
            return row.other


def comment(text: str | Exception) -> str:
    """`text` as an Error Comment (0000,0902): LO, at most 64 printable ASCII characters, no backslash."""
    printable = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in str(text).replace("§", ""))
    if len(printable) <= MAX_COMMENT_CHARACTERS:
        return printable
    return printable[: MAX_COMMENT_CHARACTERS - 3].rstrip() + "..."


def is_pending(status: int) -> bool:
    return status in (Status.PENDING, Status.PENDING_WITH_UNSUPPORTED_KEYS)


def is_warning(status: int) -> bool:
    """PS3.7 Annex C.1: 0x0001, 0x0107, 0x0116 and 0xBxxx."""
    return status in (0x0001, 0x0107, 0x0116) or status >> 12 == 0xB


def is_failure(status: int) -> bool:
    """Neither success, warning, pending nor cancel (PS3.7 Annex C)."""
    return status not in (Status.SUCCESS, Status.CANCEL) and not is_pending(status) and not is_warning(status)

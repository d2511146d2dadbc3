"""Command sets of the messages that are sent: requests (PS3.7 §9.3, §10.3) and the responses to them."""

from __future__ import annotations

from pacs.dimse.messages.command import (
    A_DATA_SET,
    MAX_TEXT_BYTES,
    NO_DATA_SET,
    RESPONSE,
    CommandField,
    CommandSet,
    Element,
    Priority,
    Value,
)


def c_echo_rq(message_id: int) -> CommandSet:
    return CommandSet(
        {
            Element.AFFECTED_SOP_CLASS_UID: "1.2.840.10008.1.1",
            Element.COMMAND_FIELD: CommandField.C_ECHO_RQ,
            Element.MESSAGE_ID: message_id,
            Element.COMMAND_DATA_SET_TYPE: NO_DATA_SET,
        }
    )


def c_store_rq(
    message_id: int,
    sop_class_uid: str,
    sop_instance_uid: str,
    *,
    priority: int = Priority.MEDIUM,
    move_originator_ae_title: str | None = None,
    move_originator_message_id: int | None = None,
) -> CommandSet:
    """C-STORE-RQ; the originator is named when it is a sub-operation of a C-MOVE (PS3.7 §9.1.1.1.6-7)."""
    values: dict[int, Value] = {
        Element.AFFECTED_SOP_CLASS_UID: sop_class_uid,
        Element.COMMAND_FIELD: CommandField.C_STORE_RQ,
        Element.MESSAGE_ID: message_id,
        Element.PRIORITY: priority,
        Element.COMMAND_DATA_SET_TYPE: A_DATA_SET,
        Element.AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
    }
    if move_originator_ae_title is not None:
        values[Element.MOVE_ORIGINATOR_AE_TITLE] = move_originator_ae_title
    if move_originator_message_id is not None:
        values[Element.MOVE_ORIGINATOR_MESSAGE_ID] = move_originator_message_id
    return CommandSet(values)


def c_find_rq(message_id: int, sop_class_uid: str, *, priority: int = Priority.MEDIUM) -> CommandSet:
    return _query_rq(CommandField.C_FIND_RQ, message_id, sop_class_uid, priority)


def c_get_rq(message_id: int, sop_class_uid: str, *, priority: int = Priority.MEDIUM) -> CommandSet:
    return _query_rq(CommandField.C_GET_RQ, message_id, sop_class_uid, priority)


def c_move_rq(
    message_id: int, sop_class_uid: str, move_destination: str, *, priority: int = Priority.MEDIUM
) -> CommandSet:
    request = _query_rq(CommandField.C_MOVE_RQ, message_id, sop_class_uid, priority)
    return CommandSet({**request, Element.MOVE_DESTINATION: move_destination})


def c_cancel_rq(message_id_being_responded_to: int) -> CommandSet:
    return CommandSet(
        {
            Element.COMMAND_FIELD: CommandField.C_CANCEL_RQ,
            Element.MESSAGE_ID_BEING_RESPONDED_TO: message_id_being_responded_to,
            Element.COMMAND_DATA_SET_TYPE: NO_DATA_SET,
        }
    )


def _query_rq(command_field: CommandField, message_id: int, sop_class_uid: str, priority: int) -> CommandSet:
    return CommandSet(
        {
            Element.AFFECTED_SOP_CLASS_UID: sop_class_uid,
            Element.COMMAND_FIELD: command_field,
            Element.MESSAGE_ID: message_id,
            Element.PRIORITY: priority,
            Element.COMMAND_DATA_SET_TYPE: A_DATA_SET,
        }
    )


def n_event_report_rq(message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type_id: int) -> CommandSet:
    """N-EVENT-REPORT-RQ with Event Information (PS3.7 §10.3.1)."""
    return CommandSet(
        {
            Element.AFFECTED_SOP_CLASS_UID: sop_class_uid,
            Element.COMMAND_FIELD: CommandField.N_EVENT_REPORT_RQ,
            Element.MESSAGE_ID: message_id,
            Element.COMMAND_DATA_SET_TYPE: A_DATA_SET,
            Element.AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
            Element.EVENT_TYPE_ID: event_type_id,
        }
    )


def response_to(
    request: CommandSet,
    status: int,
    *,
    has_data_set: bool = False,
    error_comment: str | None = None,
    remaining: int | None = None,
    completed: int | None = None,
    failed: int | None = None,
    warning: int | None = None,
) -> CommandSet:
    """The response message to `request` with `status`, naming the same SOP class and instance.

    `remaining`, `completed`, `failed` and `warning` are the sub-operation counts of C-MOVE and C-GET
    (PS3.7 §9.3.3, §9.3.4); counts beyond 65,535 are sent as 65,535. `error_comment` must be at most 64 characters
    (`pacs.dimse.messages.status.comment` makes it so).
    """
    values: dict[int, Value] = {
        Element.COMMAND_FIELD: request.command_field | RESPONSE,
        Element.MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
        Element.COMMAND_DATA_SET_TYPE: A_DATA_SET if has_data_set else NO_DATA_SET,
        Element.STATUS: status,
    }
    sop_class_uid = request.affected_sop_class_uid or request.requested_sop_class_uid
    if sop_class_uid:
        values[Element.AFFECTED_SOP_CLASS_UID] = sop_class_uid
    sop_instance_uid = request.affected_sop_instance_uid or request.requested_sop_instance_uid
    if sop_instance_uid:
        values[Element.AFFECTED_SOP_INSTANCE_UID] = sop_instance_uid
    if error_comment:
        values[Element.ERROR_COMMENT] = error_comment[:MAX_TEXT_BYTES]
    counts = {
        Element.REMAINING_SUB_OPERATIONS: remaining,
        Element.COMPLETED_SUB_OPERATIONS: completed,
        Element.FAILED_SUB_OPERATIONS: failed,
        Element.WARNING_SUB_OPERATIONS: warning,
    }
    values.update({element: min(count, 0xFFFF) for element, count in counts.items() if count is not None})
    return CommandSet(values)

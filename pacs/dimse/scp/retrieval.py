"""What C-MOVE and C-GET share: which instances, on which presentation context, in which bytes (PS3.4 C.4.2, C.4.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from pacs.dimse.scp.identifier import MAX_IDENTIFIER_BYTES, Identifier, decode_identifier
from pacs.dimse.scp.information_model import InformationModel, level_of, retrieve_keys
from pacs.dimse.scp.service import Exchange, PresentationContext
from pacs.errors import NotFound, TooLarge
from pacs.model import Level, Principal, StoredInstance
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacs.retrieve import Retrieve

FALLBACKS: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""What a data set is sent in when the other end does not take it as stored, the better one first."""

MAX_INSTANCES: Final = 250_000
"""Of one request, about 1 KB each: a list of UIDs may name ten thousand studies."""

_MAX_MESSAGE_ID = 0xFFFF


def read_identifier(exchange: Exchange) -> Identifier:
    """The request's identifier.

    Raises:
        MalformedDataSet, TooLarge, InvalidRequest: it cannot be read.
    """
    return decode_identifier(exchange.read_data_set(MAX_IDENTIFIER_BYTES), exchange.context.transfer_syntax)


def requested_instances(
    identifier: Identifier, retrieve: Retrieve, principal: Principal, model: InformationModel
) -> list[StoredInstance]:
    """The instances that `identifier` names; none when nothing matches, which is no error.

    Of each only what sending needs is held: identity and place, not attributes and frame table.

    Raises:
        InvalidRequest: level or unique keys are missing or wrong.
        TooLarge: more than `MAX_INSTANCES`.
    """
    keys = retrieve_keys(identifier, model, level_of(identifier, model))
    *upper, lowest = keys
    fixed = {level: keys[level][0] for level in upper}
    found: list[StoredInstance] = []
    for value in keys[lowest]:
        some = _instances(retrieve, principal, {**fixed, lowest: value})
        if len(found) + len(some) > MAX_INSTANCES:
            raise TooLarge(f"more than {MAX_INSTANCES} images at once; ask study by study")
        found.extend(replace(instance, attributes={}, frame_table=b"") for instance in some)
    return found


def _instances(retrieve: Retrieve, principal: Principal, keys: dict[Level, str]) -> list[StoredInstance]:
    try:
        return retrieve.instances(
            principal,
            patient_id=keys.get(Level.PATIENT),
            study_instance_uid=keys.get(Level.STUDY),
            series_instance_uid=keys.get(Level.SERIES),
            sop_instance_uid=keys.get(Level.IMAGE),
        )
    except NotFound:
        return []


def chosen_context(
    contexts: Iterable[PresentationContext], sop_class_uid: str, transfer_syntax_uid: str
) -> PresentationContext | None:
    """The accepted context to send an instance on: its own transfer syntax, otherwise a fallback, otherwise None."""
    of_class = {context.transfer_syntax: context for context in contexts if context.abstract_syntax == sop_class_uid}
    for accepted in (transfer_syntax_uid, *FALLBACKS):
        if accepted in of_class:
            return of_class[accepted]
    return None


def data_set_for(retrieve: Retrieve, instance: StoredInstance, transfer_syntax_uid: str) -> memoryview:
    """The data set to send: byte for byte as stored when `transfer_syntax_uid` is the stored one, else re-encoded.

    Raises:
        UndecodablePixels: it cannot be had in `transfer_syntax_uid`.
        Busy: too many others are being decoded.
        StorageError: the stored bytes cannot be read.
    """
    stored = retrieve.data_set(instance)
    if transfer_syntax_uid == instance.transfer_syntax_uid:
        return stored
    # numpy and the codecs cost 40 MB; most requesters take images as they are stored.
    from pacs.pixels.transcode import decoded_frame, to_native  # noqa: PLC0415

    made = to_native(
        stored,
        instance.transfer_syntax_uid,
        transfer_syntax_uid,
        decoded=lambda description, fragments: retrieve.decoding.run(decoded_frame, description, fragments),
    )
    return memoryview(made)


def no_context_reason(instance: StoredInstance) -> str:
    """Short, so that both UIDs fit an Error Comment of 64 characters."""
    return f"not taken: {instance.sop_class_uid} as {instance.transfer_syntax_uid}"


def sub_operation_message_id(number: int, request_message_id: int) -> int:
    """Message ID of the `number`-th sub-operation (from 0), never that of the request itself (PS3.7 §9.3.1)."""
    message_id = number % (_MAX_MESSAGE_ID - 1) + 1
    return message_id + 1 if message_id >= request_message_id else message_id

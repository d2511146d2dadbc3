"""What C-MOVE and C-GET share: which instances, on which presentation context, in which bytes (PS3.4 C.4.2, C.4.3)."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from pacs.dimse.scp.identifier import MAX_IDENTIFIER_BYTES, Identifier, decode_identifier
from pacs.dimse.scp.information_model import InformationModel, level_of, retrieve_keys
from pacs.dimse.scp.service import Exchange, PresentationContext
from pacs.errors import Busy, TooLarge
from pacs.model import Level, Principal, StoredInstance
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacs.retrieve import Retrieve

FALLBACKS: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
"""What a data set is sent in when the other end does not take it as stored, the better one first."""

MAX_INSTANCES: Final = 250_000
"""Of one request, about 1 KB each: a list of UIDs may name ten thousand studies."""

MAX_LISTED: Final = 500_000
"""Of all requests that are being answered."""
_COUNTED_AT_ONCE: Final = 100

_MAX_MESSAGE_ID = 0xFFFF


def read_identifier(exchange: Exchange) -> Identifier:
    """The request's identifier.

    Raises:
        MalformedDataSet, TooLarge, InvalidRequest: it cannot be read.
    """
    return decode_identifier(exchange.read_data_set(MAX_IDENTIFIER_BYTES), exchange.context.transfer_syntax)


class Listings:
    """How many instances all retrievals at work hold in their lists. Thread-safe."""

    def __init__(self, most: int = MAX_LISTED) -> None:
        self._most = most
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        return self._held

    @contextmanager
    def requested(
        self, identifier: Identifier, retrieve: Retrieve, principal: Principal, model: InformationModel
    ) -> Iterator[list[StoredInstance]]:
        """The instances that `identifier` names, until the retrieval is over; none when nothing matches, which is no
        error.

        Of each only what sending needs is held: identity and place. They are counted while they are read.

        Raises:
            InvalidRequest: level or unique keys are missing or wrong.
            TooLarge: more than `MAX_INSTANCES`.
            Busy: other retrievals hold so many that these find no place.
        """
        found: list[StoredInstance] = []
        counted = 0
        try:
            with closing(_named(identifier, retrieve, principal, model)) as named:
                for instance in named:
                    if len(found) == MAX_INSTANCES:
                        raise TooLarge(f"more than {MAX_INSTANCES} images at once; ask study by study")
                    if len(found) == counted:
                        self._take()
                        counted += _COUNTED_AT_ONCE
                    found.append(instance)
            yield found
        finally:
            with self._lock:
                self._held -= counted

    def _take(self) -> None:
        with self._lock:
            if self._held + _COUNTED_AT_ONCE > self._most:
                raise Busy("too many images are being retrieved by others; ask again later")
            self._held += _COUNTED_AT_ONCE


def _named(
    identifier: Identifier, retrieve: Retrieve, principal: Principal, model: InformationModel
) -> Generator[StoredInstance]:
    keys = retrieve_keys(identifier, model, level_of(identifier, model))
    *upper, lowest = keys
    fixed = {level: keys[level][0] for level in upper}
    for value in keys[lowest]:
        asked = {**fixed, lowest: value}
        yield from retrieve.listed(
            principal,
            patient_id=asked.get(Level.PATIENT),
            study_instance_uid=asked.get(Level.STUDY),
            series_instance_uid=asked.get(Level.SERIES),
            sop_instance_uid=asked.get(Level.IMAGE),
        )


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

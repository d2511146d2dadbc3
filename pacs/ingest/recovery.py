"""Rows for records that a crash left without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from pacs import log
from pacs.errors import PacsError, StorageError
from pacs.index import Index
from pacs.index.trash_hospital import is_trash, trash_of
from pacs.ingest.description import describe
from pacs.model import DeletionState, Location, NewInstance
from pacs.settings import IngestSettings
from pacs.storage.deletion_notes import Fates
from pacs.storage.segments import SegmentStore
from pacs.storage.tar_record import Record

_BATCH = 256


def replay(store: SegmentStore, index: Index, settings: IngestSettings) -> int:
    """Add the missing rows of all segments that no living writer holds; returns how many were missing.

    A record that became no instance because another was first loses again: the index keeps the first. Versions find
    their order again by what their records say, whatever the setting is now. What was deleted gets its row in the
    trash.

    Raises:
        StorageError: the index cannot be used.
    """
    added = 0
    for segment, records in store.recover(index.segment_end, index.segment_ends()):
        added += add_rows(store, index, settings, segment, records)
    if added:
        log.warning("rows added for records that a stop had left without one", instances=added)
    return added


def add_rows(
    store: SegmentStore, index: Index, settings: IngestSettings, segment: str, records: Sequence[Record]
) -> int:
    """Add the rows of `records`, which are durable; returns how many instances were not there before."""
    added = 0
    fates = store.deletions.fates() if records else Fates(())
    for start in range(0, len(records), _BATCH):
        batch = records[start : start + _BATCH]
        found = [instance for record in batch if (instance := _described(store, segment, record, settings, fates))]
        added += sum(result.added for result in index.add(found))
    return added


def hospital_of(segment: str, record: Record, fates: Fates) -> str | None:
    """Where the row of a record belongs: at its hospital, in the trash, or nowhere any more."""
    hospital, head = segment.partition("/")[0], record.head
    deletion = fates.of_place(segment, record.file_offset)
    if deletion is not None:
        is_erased = deletion.state is DeletionState.ERASED
        return None if is_erased else trash_of(deletion.name, deletion.hospital)
    is_second = fates.is_second_copy(hospital, head.key.sop_instance_uid, head.digest, head.received_at)
    return None if is_second else hospital


def _described(
    store: SegmentStore, segment: str, record: Record, settings: IngestSettings, fates: Fates
) -> NewInstance | None:
    head = record.head
    hospital = hospital_of(segment, record, fates)
    if hospital is None:
        return None
    location = Location(segment, record.file_offset, record.file_length, head.data_set_offset)
    try:
        description = describe(
            store.view(location)[head.data_set_offset :],
            hospital=segment.partition("/")[0],
            transfer_syntax_uid=head.transfer_syntax_uid,
            digest=head.digest,
            max_inflated_bytes=settings.max_inflated_bytes,
            is_kept=True,
        )
    except StorageError:
        raise
    except PacsError as problem:
        log.failure("record cannot be indexed", problem, segment=segment, offset=record.start)
        return None
    description = replace(description, succession=head.succession, received_at_us=_microseconds(head.received_at))
    if is_trash(hospital):
        description = replace(description, key=replace(description.key, hospital=hospital))
    return description.at(location)


def _microseconds(received_at: str) -> int:
    """Of a record's time; 0 when it cannot be read."""
    try:
        return round(datetime.fromisoformat(received_at).timestamp() * 1000) * 1000
    except (ValueError, OverflowError):
        return 0

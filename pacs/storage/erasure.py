"""Erasing records where they lie: their bytes become zeros, and their room is given back.

A segment stays a tar file, and every other record keeps its place. Whoever erases has noted durably which records, with
where they begin (`pacs.storage.deletion_notes`), so that a crash half way is gone over again from the note alone: what
stands at such a place then need not be readable any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from pacs import log
from pacs.errors import NotFound, StoredBytesDamaged
from pacs.model import Location
from pacs.storage.deletion_notes import DeletedRecord
from pacs.storage.disk import Disk, storage_error
from pacs.storage.segment_name import segment_path
from pacs.storage.segment_reader import SegmentReader
from pacs.storage.tar_record import NoRecord, encode_erased, padded, record_of_file


def with_starts(reader: SegmentReader, records: Sequence[DeletedRecord]) -> tuple[DeletedRecord, ...]:
    """`records`, each with where it begins, as far as its header can be read; the log says which cannot.

    Raises:
        StorageError: a segment cannot be opened.
    """
    found = []
    for record in records:
        whole = Location(record.segment, 0, record.offset + padded(record.length), 0)
        try:
            start = record_of_file(reader.view(whole), record.offset, segment=record.segment).start
        except (NoRecord, NotFound, StoredBytesDamaged) as problem:
            log.event("no record where one is to be erased", error=problem, segment=record.segment, at=record.offset)
            start = -1
        found.append(record._replace(start=start))
    return tuple(found)


def erase(disk: Disk, root: Path, records: Sequence[DeletedRecord]) -> None:
    """Erase `records`, durably; of one whose start is not known the file alone. Doing it again does no harm.

    Raises:
        StorageError: a segment cannot be written; some of them may be erased.
    """
    for segment, group in groupby(sorted(records), lambda record: record.segment):
        try:
            handle = disk.open_to_erase(segment_path(root, segment))
        except FileNotFoundError:
            log.warning("a segment to erase from is not here", segment=segment)
            continue
        except OSError as problem:
            raise storage_error(problem, f"open segment {segment} to erase") from problem
        try:
            end = disk.length(handle)
            for record in group:
                disk.erase(handle, record.offset, min(padded(record.length), end - record.offset))
                if record.start >= 0:
                    total = record.offset - record.start
                    head = encode_erased(segment=segment, file_length=record.length, total=total)
                    disk.write(handle, [head], record.start)
            disk.sync(handle)
        except OSError as problem:
            raise storage_error(problem, f"erase from segment {segment}") from problem
        finally:
            disk.close(handle)

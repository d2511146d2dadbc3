"""Whether index and segments say the same, from the headers alone; and rows anew for records that lack one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from pacs.errors import NotFound
from pacs.index import Index
from pacs.ingest.recovery import add_rows, hospital_of
from pacs.settings import IngestSettings
from pacs.storage.deletion_notes import Fates
from pacs.storage.segments import SegmentStore
from pacs.storage.tar_record import Record


@dataclass
class Findings:
    """What `compare` saw."""

    segments: int = 0
    records: int = 0
    in_use: int = 0
    """Segments that a running archive writes; they are not looked at."""
    missing_segments: list[str] = field(default_factory=list)
    """The index knows them, and they are not there."""
    rows_without_bytes: int = 0
    """Instances that cannot be read: their segment is missing, cut, or damaged at their place."""
    damaged_ranges: int = 0
    """Places in segments that are no sound record."""
    records_without_row: int = 0
    """Instances that are kept and cannot be found; of those that `rows_added` counts, they can again."""
    rows_added: int = 0

    @property
    def is_sound(self) -> bool:
        """Nothing is left to be done."""
        left = self.records_without_row - self.rows_added
        return not (self.missing_segments or self.rows_without_bytes or self.damaged_ranges or left)


def compare(
    store: SegmentStore,
    index: Index,
    settings: IngestSettings,
    *,
    repair: bool = False,
    with_digests: bool = False,
    told: Callable[[], None] = lambda: None,
) -> Findings:
    """Look at every segment that no living writer holds, and at every row.

    With `repair`, records without a row get one, the oldest first, as they did when they were received. Records that
    became no instance, because the same one was there already, are left alone. `with_digests` reads every byte, else
    only headers are read. `told` is called after each segment.

    Raises:
        StorageError: the index or a segment cannot be used; what was added stays.
    """
    findings = Findings()
    fates = store.deletions.fates()
    rows = groupby(index.places(), key=itemgetter(0))
    ahead = next(rows, None)
    for segment in store.segments():
        while ahead is not None and ahead[0] < segment:
            _note_missing(findings, ahead)
            ahead = next(rows, None)
        known: dict[int, int] = {}
        if ahead is not None and ahead[0] == segment:
            known = {offset: length for _, offset, length in ahead[1]}
            ahead = next(rows, None)
        _compare_one(store, index, settings, segment, known, fates, findings, repair=repair, with_digests=with_digests)
        told()
    while ahead is not None:
        _note_missing(findings, ahead)
        ahead = next(rows, None)
    return findings


def _note_missing(findings: Findings, group: tuple[str, Iterator[tuple[str, int, int]]]) -> None:
    findings.missing_segments.append(group[0])
    findings.rows_without_bytes += sum(1 for _ in group[1])


def _compare_one(
    store: SegmentStore,
    index: Index,
    settings: IngestSettings,
    segment: str,
    known: dict[int, int],
    fates: Fates,
    findings: Findings,
    *,
    repair: bool,
    with_digests: bool,
) -> None:
    findings.segments += 1
    try:
        with store.walked(segment, with_digests=with_digests) as found:
            if found is None:
                findings.in_use += 1
                return
            findings.records += len(found.records)
            findings.damaged_ranges += sum(not fates.is_erased(segment, *place) for place in found.damaged)
            lengths = {record.file_offset: record.file_length for record in (*found.records, *found.voided)}
            findings.rows_without_bytes += sum(
                lengths.get(offset) != length and not fates.is_erased(segment, offset, offset + length)
                for offset, length in known.items()
            )
            without = [
                record
                for record in found.records
                if record.file_offset not in known
                and hospital_of(segment, record, fates) is not None
                and not _is_elsewhere(index, segment, record)
            ]
            findings.records_without_row += len(without)
            if repair:
                findings.rows_added += add_rows(store, index, settings, segment, without)
    except NotFound:  # freed meanwhile
        findings.segments -= 1


def _is_elsewhere(index: Index, segment: str, record: Record) -> bool:
    """Whether the instance has a row that names another record: this one was second. A version that is known under no
    digest has none."""
    hospital, head = segment.partition("/")[0], record.head
    existing = index.existing(hospital, head.key.sop_instance_uid)
    if existing is None or existing.digest == head.digest:
        return existing is not None
    known = [each for each in index.versions(hospital, head.key.sop_instance_uid) if each.digest == head.digest]
    return known[0].location is not None if known else head.succession is None

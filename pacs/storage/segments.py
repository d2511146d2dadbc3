"""All segments of one archive: the only place where instances' bytes are written and read."""

from __future__ import annotations

import contextlib
import mmap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pacs import log
from pacs.errors import NotFound, StorageError
from pacs.model import Location
from pacs.storage import erasure
from pacs.storage.deletion_notes import DeletedRecord, DeletionNotes
from pacs.storage.disk import Disk, is_sealed_mode, storage_error
from pacs.storage.large_segment import LargeSegment
from pacs.storage.segment_name import checked_hospital, segment_path, segments_under
from pacs.storage.segment_reader import SegmentReader
from pacs.storage.segment_walk import Walk, walk
from pacs.storage.segment_writer import NewRecord, SegmentWriter
from pacs.storage.tar_record import END_OF_ARCHIVE, Record, padded, record_of_file

SEGMENT_BYTES = 256 << 20
"""A segment past this is sealed: small enough to be copied and freed soon, large enough to be few."""


class SegmentStore:
    """Append-only tar files under `root`, one folder per hospital.

    Several processes may have the same `root` open: each writes segments of its own, held by a lock, and all read
    everything. Thread-safe.
    """

    def __init__(self, root: Path, *, segment_bytes: int = SEGMENT_BYTES, disk: Disk | None = None) -> None:
        self.root = root
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._reader = SegmentReader(root, self._disk)
        self._writing = threading.Lock()
        self._writers: dict[str, SegmentWriter] = {}
        self.deletions = DeletionNotes(root, self._disk)
        """What was deleted, as the segments' folder knows it."""

    def keep(self, hospital: str, records: Sequence[NewRecord]) -> list[Location | StorageError]:
        """Append `records` and make them durable with one sync; per record where it lies, or why it is not kept.

        A `Location` in the answer means that a power cut can no longer take those bytes. An error means that
        nothing of that record stays; the others are not touched by it.
        """
        with self._writing:
            try:
                writer = self._writer(checked_hospital(hospital))
            except OSError as problem:
                return [storage_error(problem, "open a segment")] * len(records)
            answers = [self._append(writer, record) for record in records]
            if not writer.is_usable:
                return [
                    answer if isinstance(answer, StorageError) else StorageError("the segment failed during the write")
                    for answer in answers
                ]
            if all(isinstance(answer, StorageError) for answer in answers):
                return answers
            try:
                writer.sync()
            except OSError as problem:
                log.failure("segment cannot be made durable", problem, segment=writer.name)
                return [storage_error(problem, "make a segment durable")] * len(records)
            return answers

    def begin_large(self, hospital: str) -> LargeSegment:
        """A segment of its own for an instance too large for memory. Raises `StorageError`."""
        return LargeSegment(self._disk, self.root, checked_hospital(hospital))

    def disown(self, location: Location) -> None:
        """Note that the record at `location` became no instance: another writer stored the same one first.

        The note goes to disk with the segment's next record. Without it nothing is lost, and a rebuilt index
        would have to choose between the two.
        """
        with self._writing:
            for writer in self._writers.values():
                if writer.name == location.segment and writer.is_usable:
                    writer.disown(location.offset)

    def view(self, location: Location) -> memoryview:
        """The Part 10 file at `location`, read-only and memory-mapped; see `SegmentReader.view`."""
        return self._reader.view(location)

    def pieces(self, location: Location, start: int) -> Iterator[bytes]:
        """The Part 10 file at `location` from its byte `start` on, read anew; see `SegmentReader.pieces`."""
        return self._reader.pieces(location, start)

    def source(self, location: Location) -> str:
        """Route, principal and peer that the record at `location` came from; raises as `view`, and `NoRecord`."""
        whole = Location(location.segment, 0, location.offset + padded(location.length), 0)
        return record_of_file(self.view(whole), location.offset, segment=location.segment).head.source

    def with_starts(self, records: Sequence[DeletedRecord]) -> tuple[DeletedRecord, ...]:
        """`records` ready to be erased; see `erasure.with_starts`."""
        return erasure.with_starts(self._reader, records)

    def erase(self, records: Sequence[DeletedRecord]) -> None:
        """Make zeros of `records`, durably; see `erasure.erase`."""
        erasure.erase(self._disk, self.root, records)

    def segments(self) -> list[str]:
        """Names of all segments, oldest first in each hospital."""
        return segments_under(self.root)

    @contextlib.contextmanager
    def walked(self, segment: str, *, with_digests: bool) -> Iterator[Walk | None]:
        """What stands in a segment, which is held meanwhile; None when another process holds it.

        Of a sealed one only headers are read, unless `with_digests`; the others are read whole, and made durable.

        Raises:
            NotFound: there is no such segment.
            StorageError: it cannot be read.
        """
        with contextlib.ExitStack() as stack:
            try:
                handle = self._disk.open_to_read(segment_path(self.root, segment))
                stack.callback(self._disk.close, handle)
                if not self._disk.lock(handle):
                    found = None
                elif not (length := self._disk.length(handle)):
                    found = Walk((), 0, ())
                else:
                    is_sealed = self._disk.is_sealed(handle)
                    if not is_sealed:
                        self._disk.sync(handle)
                    with mmap.mmap(handle, length, access=mmap.ACCESS_READ) as data:
                        found = walk(data, 0, segment=segment, with_digests=with_digests or not is_sealed)
            except FileNotFoundError as problem:
                raise NotFound(f"segment {segment} is not here") from problem
            except OSError as problem:
                raise storage_error(problem, f"read segment {segment}") from problem
            yield found

    def recover(
        self, indexed_end: Callable[[str, str], int], known_ends: Mapping[str, int] | None = None
    ) -> Iterator[tuple[str, tuple[Record, ...]]]:
        """Take over what dead writers left; yields each segment that holds records behind its last row, with those.

        `indexed_end(hospital, segment)` is the end of the last indexed file in a segment now, 0 when there is none;
        `known_ends` is the same of all segments at some earlier moment: what was sealed and whole then is not even
        opened. Torn tails are cut. Records are durable when they are yielded; the segment stays held until the next
        is asked for. A segment that another process holds is left to it.

        Raises:
            StorageError: none of the known segments is here: a disk that is not mounted, not an archive to go on with.
        """
        known_ends = known_ends or {}
        found = segments_under(self.root)
        missing = set(known_ends)
        if missing and missing.isdisjoint(found):
            raise StorageError(
                f"none of the {len(missing)} segments of the index is under {self.root}. Is its disk mounted? Put the"
                " folder back; or move the index away, too, to begin an empty archive"
            )
        for segment in found:
            missing.discard(segment)
            try:
                if not self._is_whole(segment, known_ends.get(segment, 0)):
                    yield from self._recover_one(segment, indexed_end)
            except OSError as problem:
                log.failure("segment cannot be recovered; it is left as it is", problem, segment=segment)
        if missing:
            log.warning("segments are missing", missing=len(missing), first=min(missing))

    def close(self) -> None:
        """Let go of all segments; another process may take them over."""
        with self._writing:
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()
        self._reader.close()

    def _append(self, writer: SegmentWriter, record: NewRecord) -> Location | StorageError:
        if not writer.is_usable:
            return StorageError("the segment failed during the write; send again")
        try:
            return writer.append(record)
        except OSError as problem:
            log.failure("record cannot be written", problem, segment=writer.name)
            return storage_error(problem, "append to a segment")

    def _writer(self, hospital: str) -> SegmentWriter:
        writer = self._writers.get(hospital)
        if writer is not None and writer.is_usable and writer.end >= self._segment_bytes:
            try:
                writer.seal()
            except OSError as problem:
                # Everything in it is durable and indexed; recovery seals it another day.
                log.failure("full segment cannot be sealed", problem, segment=writer.name)
                writer.close()
        if writer is None or not writer.is_usable:
            writer = self._writers[hospital] = SegmentWriter.create(self._disk, self.root, hospital)
        return writer

    def _is_whole(self, segment: str, known_end: int) -> bool:
        """Whether the segment will never grow and has nothing behind its last row but what ends it."""
        found = segment_path(self.root, segment).stat()
        rest = found.st_size - padded(known_end)
        if rest < 0:
            log.warning("segment is shorter than the index says", segment=segment, bytes=found.st_size, rows=known_end)
        return known_end > 0 and rest <= len(END_OF_ARCHIVE) and is_sealed_mode(found.st_mode)

    def _recover_one(
        self, segment: str, indexed_end: Callable[[str, str], int]
    ) -> Iterator[tuple[str, tuple[Record, ...]]]:
        hospital = segment.partition("/")[0]
        # Held before the index is asked: until then its writer may still add rows.
        writer = SegmentWriter.take_over(self._disk, self.root, segment)
        if writer is None:
            records = self._sealed_behind(segment, lambda: padded(indexed_end(hospital, segment)))
            if records:
                yield segment, records
            return
        try:
            found = writer.recover(padded(indexed_end(hospital, segment)))
            if found.records:
                yield segment, found.records
            self._adopt(hospital, writer)
        finally:
            if self._writers.get(hospital) is not writer:
                writer.close()

    def _adopt(self, hospital: str, writer: SegmentWriter) -> None:
        """Go on writing the recovered segment, when there is none yet and it has room."""
        with self._writing:
            if writer.end >= self._segment_bytes:
                writer.seal()
            elif hospital not in self._writers:
                self._writers[hospital] = writer

    def _sealed_behind(self, segment: str, indexed_end: Callable[[], int]) -> tuple[Record, ...]:
        """Records of a sealed segment behind its last row: the index was lost, or is older than they are."""
        handle = self._disk.open_to_read(segment_path(self.root, segment))
        try:
            # A sealed segment is locked as long as its writer is about to add the row.
            if not self._disk.is_sealed(handle) or not self._disk.lock(handle):
                return ()
            start, length = indexed_end(), self._disk.length(handle)
            if start + len(END_OF_ARCHIVE) >= length:
                return ()
            with mmap.mmap(handle, length, access=mmap.ACCESS_READ) as data:
                return walk(data, start, segment=segment).records
        finally:
            self._disk.close(handle)

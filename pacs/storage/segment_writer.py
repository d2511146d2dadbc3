"""One open segment, held by one writer: append, make durable, seal, and recover what another writer left."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pacs import log
from pacs.model import Location
from pacs.storage.disk import Bytes, Disk
from pacs.storage.segment_name import new_segment, segment_path
from pacs.storage.segment_walk import Walk, walk
from pacs.storage.tar_record import END_OF_ARCHIVE, RecordHead, encode_head, encode_void, padded


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A Part 10 file to be kept."""

    head: RecordHead
    file_meta: bytes
    """Preamble, ``DICM`` and group 0002."""
    data_set: Bytes


class SegmentWriter:
    """Not thread-safe: one thread writes. Bytes up to `durable_end` are on stable storage, always."""

    def __init__(self, disk: Disk, path: Path, name: str, handle: int, end: int) -> None:
        self.name = name
        self._disk = disk
        self._path = path
        self._handle = handle
        self._end = end
        self._durable_end = end
        self._disowned: list[int] = []
        self.is_usable = True
        """False once its bytes can no longer be trusted to reach the disk; it is never written again."""

    @classmethod
    def create(cls, disk: Disk, root: Path, hospital: str) -> SegmentWriter:
        """Make and hold a new segment, whose name is durable when this returns. Raises OSError."""
        while True:
            name = new_segment(hospital)
            path = segment_path(root, name)
            disk.make_folder(path.parent)
            handle = disk.create(path)
            try:
                # Another process that recovers may have found the new file first; then it has it.
                if disk.lock(handle):
                    disk.sync_folder(path.parent)
                    return cls(disk, path, name, handle, 0)
            except OSError:
                disk.unlink(path)
                disk.close(handle)
                raise
            disk.close(handle)

    @classmethod
    def take_over(cls, disk: Disk, root: Path, name: str) -> SegmentWriter | None:
        """Hold an unsealed segment that nobody holds; None when somebody does or it is sealed. Raises OSError."""
        path = segment_path(root, name)
        try:
            handle = disk.open(path)
        except (PermissionError, FileNotFoundError):
            return None
        if disk.lock(handle) and not disk.is_sealed(handle):
            return cls(disk, path, name, handle, disk.length(handle))
        disk.close(handle)
        return None

    @property
    def end(self) -> int:
        return self._end

    def append(self, record: NewRecord) -> Location:
        """Write `record` behind the last one; it is durable only after `sync`.

        Raises:
            OSError: nothing of it stays, or the segment is no longer usable.
        """
        meta_length, data_length = len(record.file_meta), len(record.data_set)
        file_length = meta_length + data_length
        head = self._pending_voids() + encode_head(record.head, segment=self.name, file_length=file_length)
        file_offset = self._end + len(head)
        end = file_offset + padded(file_length)
        filling = bytes(end - file_offset - file_length)
        self._write([head, record.file_meta, record.data_set, filling], end)
        self._disowned.clear()
        return Location(self.name, file_offset, file_length, meta_length)

    def sync(self) -> None:
        """Make all that was appended durable.

        Raises:
            OSError: nothing since the last `sync` is kept, and the segment is not usable any more: what the system
                has not written it may have forgotten, and a second attempt would claim success.
        """
        try:
            self._disk.sync(self._handle)
        except OSError:
            self._retire()
            raise
        self._durable_end = self._end

    def disown(self, file_offset: int) -> None:
        """Remember that this record became no instance (another writer was first); written with the next record."""
        self._disowned.append(file_offset)

    def seal(self) -> None:
        """End the segment: nothing is ever appended again. Raises OSError."""
        closing = self._pending_voids() + END_OF_ARCHIVE
        self._write([closing], self._end + len(closing))
        self._disowned.clear()
        self.sync()
        self._disk.seal(self._handle)
        self.close()

    def close(self) -> None:
        """Let go; another writer may take the segment over."""
        if self._handle >= 0:
            self._disk.close(self._handle)
            self._handle = -1
        self.is_usable = False

    def recover(self, start: int) -> Walk:
        """Read the records from byte `start` on, make them durable, and cut what is torn behind them.

        A crash may have left records in the system's memory only, so they are made durable before anybody
        relies on them. Raises OSError.
        """
        length = self._disk.length(self._handle)
        if start > length:
            raise OSError(f"segment {self.name} has {length} bytes, but the index knows of {start}")
        found = Walk((), start, ())
        if start < length:
            with mmap.mmap(self._handle, length, access=mmap.ACCESS_READ) as data:
                found = walk(data, start, segment=self.name)
        if found.end < length:
            self._disk.truncate(self._handle, found.end)
            log.warning("torn tail cut", segment=self.name, at=found.end, bytes=length - found.end)
        for first, last in found.damaged:
            log.warning("damaged bytes in a segment", segment=self.name, first=first, last=last)
        self._end = found.end
        self.sync()
        return found

    def _pending_voids(self) -> bytes:
        return b"".join(encode_void(file_offset, segment=self.name) for file_offset in self._disowned)

    def _write(self, parts: Sequence[Bytes], end: int) -> None:
        try:
            self._disk.write(self._handle, parts, self._end)
        except OSError:
            self._cut(self._end)
            raise
        self._end = end

    def _cut(self, length: int) -> None:
        try:
            self._disk.truncate(self._handle, length)
        except OSError as problem:
            log.failure("segment cannot be cut after a failed write; it is not used again", problem, segment=self.name)
            self._retire()

    def _retire(self) -> None:
        """Take the segment out of use with only what is durable in it.

        When even that fails it stays locked until this process ends, so that nobody mistakes its tail for good.
        """
        self.is_usable = False
        try:
            self._disk.truncate(self._handle, self._durable_end)
            self._end = self._durable_end
            self._disk.seal(self._handle)
        except OSError as problem:
            log.failure("segment cannot be sealed after a failure; it stays locked", problem, segment=self.name)
            return
        self.close()

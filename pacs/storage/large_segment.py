"""A segment for one large instance, filled while the instance arrives; never whole in memory.

The first 4,096 bytes are left free for the record's headers and the file meta, which are known only at the end and
are written last: until then the segment starts with zeros, and a writer that recovers sees that it was abandoned.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from pacs import log
from pacs.model import Location
from pacs.storage.disk import Bytes, Disk, storage_error
from pacs.storage.segment_name import new_segment, segment_path
from pacs.storage.tar_record import BLOCK, END_OF_ARCHIVE, RecordHead, encode_head, padded

DATA_SET_OFFSET = 4096
FILE_META_LENGTH = 1024
_HEAD_LENGTH = DATA_SET_OFFSET - FILE_META_LENGTH
_PRIVATE_CREATOR = b"2.25.329800735698586629295641978511506172918"
_PREFIX_LENGTH = 132


class LargeSegment:
    """One instance on its way. Not thread-safe. Every method raises `pacs.errors.StorageError`."""

    def __init__(self, disk: Disk, root: Path, hospital: str) -> None:
        self._disk = disk
        self._data: mmap.mmap | None = None
        self._length = 0
        self._handle = -1
        self.is_kept = False
        """All of it is durable and sealed; it is not written again."""
        try:
            while self._handle < 0:
                self.name = new_segment(hospital)
                self._path = segment_path(root, self.name)
                disk.make_folder(self._path.parent)
                handle = disk.create(self._path)
                if disk.lock(handle):
                    self._handle = handle
                else:
                    disk.close(handle)
        except OSError as problem:
            raise storage_error(problem, "begin a segment for a large instance") from problem

    def write(self, fragment: Bytes) -> None:
        """Append bytes of the data set."""
        try:
            self._disk.write(self._handle, [fragment], DATA_SET_OFFSET + self._length)
        except OSError as problem:
            raise storage_error(problem, f"write to segment {self.name}") from problem
        self._length += len(fragment)

    def data_set(self) -> memoryview:
        """All bytes of the data set so far, memory-mapped."""
        try:
            self._data = mmap.mmap(self._handle, DATA_SET_OFFSET + self._length, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as problem:
            raise storage_error(OSError(str(problem)), f"read back segment {self.name}") from problem
        return memoryview(self._data)[DATA_SET_OFFSET:]

    def keep(self, head: RecordHead, file_meta: bytes) -> Location:
        """Write the headers and make everything durable, then seal. `head.data_set_offset` must be FILE_META_LENGTH."""
        file_length = FILE_META_LENGTH + self._length
        try:
            self._disk.write(
                self._handle,
                [
                    encode_head(head, segment=self.name, file_length=file_length, total=_HEAD_LENGTH),
                    padded_file_meta(file_meta),
                ],
                0,
            )
            end = _HEAD_LENGTH + file_length
            self._disk.write(self._handle, [bytes(padded(end) - end), END_OF_ARCHIVE], end)
            self._disk.sync(self._handle)
            self._disk.sync_folder(self._path.parent)
            self._disk.seal(self._handle)
        except OSError as problem:
            raise storage_error(problem, f"make segment {self.name} durable") from problem
        self.is_kept = True
        return Location(self.name, _HEAD_LENGTH, file_length, FILE_META_LENGTH)

    def release(self) -> None:
        """Let go of a kept segment, once its row is there: until then its lock keeps recovery away."""
        if self._handle >= 0:
            self._disk.close(self._handle)
            self._handle = -1

    def discard(self) -> None:
        """Remove the segment: its instance was not stored. Never raises; what stays is removed by recovery.

        What cannot even be emptied stays locked: recovery would sync again, and believe it, what a failed sync left.
        """
        try:
            self._disk.unlink(self._path)
        except OSError as problem:
            log.failure("abandoned segment cannot be removed", problem, segment=self.name)
            try:
                self._disk.truncate(self._handle, 0)
            except OSError:
                return
        self.release()


def padded_file_meta(file_meta: bytes) -> bytes:
    """`file_meta` (preamble, DICM, group 0002) made exactly FILE_META_LENGTH bytes long.

    PS3.10 §7.1 provides (0002,0100) and (0002,0102) for private information; its value here is zeros.
    """
    creator = _PRIVATE_CREATOR
    added = FILE_META_LENGTH - len(file_meta)
    value_length = added - 8 - len(creator) - 12
    if value_length < 0 or value_length % 2:
        raise ValueError(f"file meta of {len(file_meta)} bytes cannot be padded to {FILE_META_LENGTH}")
    group_length_value = _PREFIX_LENGTH + 8
    (group_length,) = struct.unpack_from("<I", file_meta, group_length_value)
    return b"".join(
        (
            file_meta[:group_length_value],
            struct.pack("<I", group_length + added),
            file_meta[group_length_value + 4 :],
            struct.pack("<HH2sH", 0x0002, 0x0100, b"UI", len(creator)),
            creator,
            struct.pack("<HH2sHI", 0x0002, 0x0102, b"OB", 0, value_length),
            bytes(value_length),
        )
    )


assert _HEAD_LENGTH % BLOCK == 0  # noqa: S101 -- the file entry must start on a block

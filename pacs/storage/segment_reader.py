"""Memory-mapped views of what is kept: one mapping per segment, shared by all readers of a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from pacs.errors import NotFound, StoredBytesDamaged
from pacs.model import Location
from pacs.storage.disk import Disk, storage_error
from pacs.storage.mapped_file import MappedFile
from pacs.storage.segment_name import segment_path

_MAX_MAPPINGS = 256
"""Each holds two open files (one is mmap's) and address space; 256 segments are 64 GB of the newest and most read."""

_PIECE_BYTES = 1 << 20


class SegmentReader:
    """Thread-safe. A view stays valid as long as somebody holds it, whatever happens to the mapping here."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root = root
        self._disk = disk
        self._lock = threading.Lock()
        self._mappings: OrderedDict[str, MappedFile] = OrderedDict()

    def view(self, location: Location) -> memoryview:
        """The Part 10 file at `location`, read-only, without a copy.

        Raises:
            NotFound: no such segment.
            StoredBytesDamaged: the segment ends before the file does.
            StorageError: the segment cannot be opened.
        """
        end = location.offset + location.length
        if location.offset < 0 or location.length <= 0 or location.data_set_offset > location.length:
            raise StoredBytesDamaged(f"the index names an impossible place in segment {location.segment}")
        mapping = self._mappings.get(location.segment)
        if mapping is None or len(mapping) < end:
            mapping = self._map(location.segment, end)
        elif len(self._mappings) >= _MAX_MAPPINGS:
            self._note_use(location.segment)
        # The file may have been cut by somebody since; touching bytes beyond its end would kill the process.
        if mapping.size() < end:
            raise StoredBytesDamaged(f"segment {location.segment} was cut to {mapping.size()} bytes; {end} are indexed")
        return memoryview(mapping)[location.offset : end]

    def pieces(self, location: Location, start: int) -> Iterator[bytes]:
        """The Part 10 file at `location` from its byte `start` on, read from the file and not through a mapping.

        A part of the disk that cannot be read is an error here; behind a mapping it would kill the process.

        Raises:
            NotFound: no such segment.
            StoredBytesDamaged: the segment ends before the file does, or cannot be read.
            StorageError: the segment cannot be opened.
        """
        name = location.segment
        try:
            handle = self._disk.open_to_read(segment_path(self._root, name))
        except FileNotFoundError as problem:
            raise NotFound(f"segment {name} is not here") from problem
        except OSError as problem:
            raise storage_error(problem, f"open segment {name}") from problem
        try:
            offset, end = location.offset + start, location.offset + location.length
            while offset < end:
                try:
                    piece = self._disk.read(handle, min(_PIECE_BYTES, end - offset), offset)
                except OSError as problem:
                    why = problem.strerror or problem
                    raise StoredBytesDamaged(f"segment {name} cannot be read at byte {offset}: {why}") from problem
                if not piece:
                    raise StoredBytesDamaged(f"segment {name} ends at byte {offset}; {end} are indexed")
                yield piece
                offset += len(piece)
        finally:
            self._disk.close(handle)

    def close(self) -> None:
        """Forget all mappings; views that are held stay valid."""
        with self._lock:
            self._mappings.clear()

    def _note_use(self, segment: str) -> None:
        """Only where mappings have to go: what is read again is then not the next one."""
        with self._lock:
            if segment in self._mappings:
                self._mappings.move_to_end(segment)

    def _map(self, segment: str, end: int) -> MappedFile:
        path = segment_path(self._root, segment)
        with self._lock:
            mapping = self._mappings.get(segment)
            if mapping is not None and len(mapping) >= end:
                self._mappings.move_to_end(segment)
                return mapping
            mapping = self._fresh(segment, path, end)
            self._mappings[segment] = mapping
            self._mappings.move_to_end(segment)
            while len(self._mappings) > _MAX_MAPPINGS:
                self._mappings.popitem(last=False)
            return mapping

    def _fresh(self, segment: str, path: Path, end: int) -> MappedFile:
        try:
            handle = self._disk.open_to_read(path)
        except FileNotFoundError as problem:
            raise NotFound(f"segment {segment} is not here") from problem
        except OSError as problem:
            raise storage_error(problem, f"open segment {segment}") from problem
        try:
            if self._disk.length(handle) < end:
                raise StoredBytesDamaged(f"segment {segment} ends before byte {end}, which the index knows of")
            return MappedFile.of(handle)
        except OSError as problem:
            self._disk.close(handle)
            raise storage_error(problem, f"map segment {segment}") from problem
        except BaseException:
            self._disk.close(handle)
            raise

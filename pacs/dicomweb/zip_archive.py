"""Zip archives as they are sent: entries stored, not compressed, sizes known beforehand (APPNOTE.TXT 6.3.10). Pure.

Images are compressed already or compress little, and an entry whose size and checksum stand in front of it can be
unpacked while it arrives, by any reader. Zip64 records come where the old fields are too small, and only there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

_MAX_32 = 0xFFFFFFFF
_MAX_16 = 0xFFFF
_STORED = 0
_VERSION = 20
_VERSION_ZIP64 = 45
_UNIX = 3 << 8
_REGULAR_FILE = 0o100644 << 16

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_ZIP64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_ZIP64 = struct.Struct("<4sLQL")


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One file of an archive."""

    name: str
    """ASCII, folders divided by slashes."""
    length: int
    crc32: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class _Placed:
    entry: ZipEntry
    offset: int


class ZipWriter:
    """Writes an archive front to back; remembers of each entry only what its end lists (some 200 bytes)."""

    def __init__(self) -> None:
        self._placed: list[_Placed] = []
        self._position = 0

    def entry(self, entry: ZipEntry, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """An entry's header and its bytes; `pieces` are `entry.length` bytes together. To be used up in order."""
        self._placed.append(_Placed(entry, self._position))
        head = _local_header(entry)
        self._position += len(head) + entry.length
        yield head
        yield from pieces

    def end(self) -> Iterator[bytes]:
        """The central directory and what ends the archive."""
        start = self._position
        for placed in self._placed:
            record = _central_header(placed)
            self._position += len(record)
            yield record
        yield _end(len(self._placed), self._position - start, start)


def zip_length(entries: Iterable[ZipEntry]) -> int:
    """Bytes of the archive of these entries, in this order; their `crc32` does not matter."""
    position = directory = count = 0
    for entry in entries:
        directory += len(_central_header(_Placed(entry, position)))
        position += len(_local_header(entry)) + entry.length
        count += 1
    return position + directory + len(_end(count, directory, position))


def _local_header(entry: ZipEntry) -> bytes:
    is_large = entry.length >= _MAX_32
    extra = struct.pack("<2H2Q", 1, 16, entry.length, entry.length) if is_large else b""
    size = _MAX_32 if is_large else entry.length
    name = entry.name.encode("ascii")
    version = _VERSION_ZIP64 if is_large else _VERSION
    return (
        _LOCAL.pack(
            b"PK\3\4", version, 0, _STORED, *_dos_time(entry.modified), entry.crc32, size, size, len(name), len(extra)
        )
        + name
        + extra
    )


def _central_header(placed: _Placed) -> bytes:
    entry = placed.entry
    fields = []
    size, offset = entry.length, placed.offset
    if size >= _MAX_32:
        fields += [size, size]
        size = _MAX_32
    if offset >= _MAX_32:
        fields.append(offset)
        offset = _MAX_32
    extra = struct.pack(f"<2H{len(fields)}Q", 1, 8 * len(fields), *fields) if fields else b""
    name = entry.name.encode("ascii")
    version = _VERSION_ZIP64 if fields else _VERSION
    return (
        _CENTRAL.pack(
            b"PK\1\2",
            _UNIX | version,
            version,
            0,
            _STORED,
            *_dos_time(entry.modified),
            entry.crc32,
            size,
            size,
            len(name),
            len(extra),
            0,
            0,
            0,
            _REGULAR_FILE,
            offset,
        )
        + name
        + extra
    )


def _end(count: int, size: int, start: int) -> bytes:
    is_large = count >= _MAX_16 or size >= _MAX_32 or start >= _MAX_32
    zip64 = b""
    if is_large:
        zip64 = _END_ZIP64.pack(
            b"PK\6\6", _END_ZIP64.size - 12, _UNIX | _VERSION_ZIP64, _VERSION_ZIP64, 0, 0, count, count, size, start
        ) + _LOCATOR_ZIP64.pack(b"PK\6\7", 0, start + size, 1)
    count, size, start = min(count, _MAX_16), min(size, _MAX_32), min(start, _MAX_32)
    return zip64 + _END.pack(b"PK\5\6", 0, 0, count, count, size, start, 0)


def _dos_time(moment: datetime) -> tuple[int, int]:
    """Time and date in the two 16-bit words of MS-DOS: 1980 to 2107, to two seconds."""
    year = min(max(moment.year, 1980), 2107)
    return (
        moment.hour << 11 | moment.minute << 5 | moment.second // 2,
        year - 1980 << 9 | moment.month << 5 | moment.day,
    )

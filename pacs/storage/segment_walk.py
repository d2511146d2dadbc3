"""Reading the records of a segment from its bytes alone, also of one that a crash or a disk left torn (no I/O)."""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import dataclass

from pacs.storage.tar_record import BLOCK, Erased, NoRecord, Record, Void, read_record

_HASH_STEP = 1 << 20


@dataclass(frozen=True, slots=True)
class Walk:
    """What stands in a segment from some record on."""

    records: tuple[Record, ...]
    """Whole, not void, and with the digest they promise; in order."""
    end: int
    """End of the last sound record or void: what follows is torn and was never acknowledged."""
    damaged: tuple[tuple[int, int], ...]
    """Byte ranges (start, end) before `end` that are no sound record."""
    voided: tuple[Record, ...] = ()
    """Whole, but a later void says that they became no instance."""


def walk(data: mmap.mmap | bytes, start: int, *, segment: str, with_digests: bool = True) -> Walk:
    """All sound records of `segment` from byte `start` on, which must be the start of a record or the end.

    Without `with_digests` only headers are read: a record is then sound when its header is.
    """
    records: list[Record] = []
    voids: set[int] = set()
    damaged: list[tuple[int, int]] = []
    end = position = start
    while position < len(data):
        try:
            item = read_record(data, position, segment=segment)
        except NoRecord:
            following = _next_record(data, position + BLOCK, segment)
            if following is None:
                break
            damaged.append((position, following))
            position = following
            continue
        position = item.end
        if isinstance(item, Void):
            voids.add(item.file_offset)
        elif isinstance(item, Erased):
            pass
        elif not with_digests or is_sound(data, item):
            records.append(item)
        else:
            damaged.append((item.start, item.end))
            continue
        end = position
    return Walk(
        tuple(record for record in records if record.file_offset not in voids),
        end,
        tuple(span for span in damaged if span[0] < end),
        tuple(record for record in records if record.file_offset in voids),
    )


def is_sound(data: mmap.mmap | bytes, record: Record) -> bool:
    """Whether the record's data set has the digest that its header promises."""
    digest = hashlib.sha256()
    file_end = record.file_offset + record.file_length
    for position in range(record.file_offset + record.head.data_set_offset, file_end, _HASH_STEP):
        digest.update(data[position : min(position + _HASH_STEP, file_end)])
    return digest.hexdigest() == record.head.digest


def _next_record(data: mmap.mmap | bytes, start: int, segment: str) -> int | None:
    """Where the next header of this segment starts, at or after `start`.

    Its random name stands in the first block after the header, and in nothing that a peer could have sent.
    """
    name = segment.encode("ascii")
    position = start
    while (found := data.find(name, position)) >= 0:
        candidate = found // BLOCK * BLOCK - BLOCK
        if candidate >= start:
            try:
                read_record(data, candidate, segment=segment)
            except NoRecord:
                pass
            else:
                return candidate
        position = found + len(name)
    return None

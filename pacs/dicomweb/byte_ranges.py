"""Range requests (RFC 9110 §14): a part of an answer whose length is known, cut out of its pieces without a copy.

One range is served. A request for several is answered whole, which §14.2 allows: who wants several asks several times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*\Z", re.ASCII | re.IGNORECASE)


class ByteRange(NamedTuple):
    """Bytes from `start` to before `end` of a body; nothing between them when the range cannot be served."""

    start: int
    end: int

    @property
    def is_satisfiable(self) -> bool:
        return self.start < self.end


def asked_range(header: str | None, length: int) -> ByteRange | None:
    """What a Range header asks of a body of `length` bytes; None when the whole body is the answer.

    Another unit, several ranges and what cannot be read are passed over (RFC 9110 §14.2).
    """
    found = _RANGE.match(header.strip()) if header else None
    if found is None:
        return None
    first, last = found.groups()
    if first:
        if last and int(last) < int(first):
            return None
        return ByteRange(min(int(first), length), min(int(last) + 1, length) if last else length)
    return ByteRange(max(0, length - int(last)), length) if last else None


def cut(pieces: Iterable[bytes | memoryview], part: ByteRange) -> Iterator[memoryview]:
    """The bytes of `part` out of `pieces`, as views of them."""
    position = 0
    for piece in pieces:
        begin, end = max(part.start - position, 0), part.end - position
        position += len(piece)
        if begin < len(piece) and end > 0:
            yield memoryview(piece)[begin:end]
        if end <= len(piece):
            return

"""multipart/related (RFC 2387, RFC 2046 §5.1) as PS3.18 §8.6.1.2 uses it. Pure: bytes in, events or bytes out.

Writing never joins or copies a part's bytes; reading keeps at most one delimiter's length of a part's body.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from pacs.errors import ProtocolViolation

MAX_PREAMBLE_BYTES = 65536
MAX_PART_HEADER_BYTES = 16384
MAX_PARTS = 100_000
_MAX_PADDING_BYTES = 64

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]\Z")
"""RFC 2046 §5.1.1: 1 to 70 characters of this set, not ending in a space."""
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def derived_boundary(*identity: str) -> str:
    """A boundary that is the same for the same answer, so that its ETag can be strong.

    `identity` must hold the digest of what is sent: bytes that contain a hash made from their own digest cannot be
    written on purpose.
    """
    return hashlib.sha256("\n".join(identity).encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class Part:
    """One part to be sent: its header fields and its bytes in order."""

    content_type: str
    body: Iterable[bytes | memoryview]
    location: str | None = None
    length: int | None = None
    """Bytes of a body that can be gone through only once; a tuple or list has its own."""

    @property
    def size_bytes(self) -> int:
        """Of a body that can be gone through more than once."""
        return sum(len(piece) for piece in self.body)


def part_head(boundary: str, part: Part, *, is_first: bool) -> bytes:
    """The delimiter and header fields that stand before a part's body."""
    length = part.size_bytes if part.length is None and isinstance(part.body, tuple | list) else part.length
    fields = f"Content-Type: {part.content_type}\r\n"
    if length is not None:  # PS3.18 Table 8.6.1-1
        fields += f"Content-Length: {length}\r\n"
    if part.location:
        fields += f"Content-Location: {part.location}\r\n"
    head = f"--{boundary}\r\n{fields}\r\n"
    return (head if is_first else "\r\n" + head).encode("latin-1")


def closing(boundary: str) -> bytes:
    """The delimiter that ends the body."""
    return f"\r\n--{boundary}--\r\n".encode("latin-1")


def encoded(boundary: str, parts: Iterable[Part]) -> Iterator[bytes | memoryview]:
    """The body of a multipart answer, piece by piece; the parts' own bytes pass through untouched."""
    is_first = True
    for part in parts:
        yield part_head(boundary, part, is_first=is_first)
        yield from part.body
        is_first = False
    yield closing(boundary)


def encoded_length(boundary: str, parts: Iterable[Part]) -> int:
    """Bytes that `encoded` gives."""
    total = len(closing(boundary))
    is_first = True
    for part in parts:
        total += len(part_head(boundary, part, is_first=is_first)) + part.size_bytes
        is_first = False
    return total


@dataclass(frozen=True, slots=True)
class PartBegins:
    headers: Mapping[str, str]
    """Lower-case names."""


@dataclass(frozen=True, slots=True)
class PartData:
    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnds:
    pass


Event = PartBegins | PartData | PartEnds


class _State(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    BODY = auto()
    EPILOGUE = auto()


class MultipartReader:
    """Reads a multipart body as it arrives.

    Promises: events come in the order `PartBegins`, any number of `PartData`, `PartEnds`, for each part; memory held is
    bounded whatever is fed; the cost is linear in the bytes fed.

    Raises:
        ProtocolViolation: from `feed` and `close`, when the bytes are no such body or pass a limit.
    """

    def __init__(self, boundary: str, *, max_parts: int = MAX_PARTS) -> None:
        if not _BOUNDARY.match(boundary):
            raise ProtocolViolation(f"The boundary {boundary[:80]!r} of multipart/related is missing or malformed")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        # The first delimiter may stand at the very start, without its line break.
        self._buffer = bytearray(b"\r\n")
        self._state = _State.PREAMBLE
        self._preamble_bytes = 0
        self._parts = 0
        self._max_parts = max_parts

    @property
    def is_complete(self) -> bool:
        """Whether the closing delimiter has been read; what follows it is ignored."""
        return self._state is _State.EPILOGUE

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that `chunk` completes. The iterator must be used up before the next call."""
        if self._state is _State.EPILOGUE:
            return
        self._buffer += chunk
        while True:
            if self._state is _State.HEADERS:
                headers = self._take_headers()
                if headers is None:
                    return
                self._state = _State.BODY
                yield PartBegins(headers)
            elif self._state is _State.EPILOGUE:
                self._buffer.clear()
                return
            else:
                was_in_body = self._state is _State.BODY
                data, is_delimited = self._take_until_delimiter()
                if was_in_body and data:
                    yield PartData(data)
                if not was_in_body:
                    self._count_preamble(len(data))
                if not is_delimited:
                    return
                if was_in_body:
                    yield PartEnds()

    def close(self) -> Sequence[Event]:
        """Say that no more bytes come; no event waits for that."""
        if self._state is _State.PREAMBLE:
            raise ProtocolViolation(
                "The body holds no multipart delimiter; is the boundary in Content-Type right, and do lines end with"
                " CR LF (RFC 2046 §5.1.1)?"
            )
        if self._state is not _State.EPILOGUE:
            raise ProtocolViolation("The multipart body ends without its closing delimiter; it was cut off on the way")
        return ()

    def _count_preamble(self, size: int) -> None:
        self._preamble_bytes += size
        if self._preamble_bytes > MAX_PREAMBLE_BYTES:
            raise ProtocolViolation(
                f"No multipart delimiter in the first {MAX_PREAMBLE_BYTES} bytes of the body; is the boundary in"
                " Content-Type right, and do lines end with CR LF (RFC 2046 §5.1.1)?"
            )

    def _take_until_delimiter(self) -> tuple[bytes, bool]:
        """Bytes that are surely before the next delimiter, and whether that delimiter follows (it is taken too)."""
        buffer = self._buffer
        search_from = 0
        while True:
            start = buffer.find(self._delimiter, search_from)
            if start < 0:
                keep = len(self._delimiter) - 1
                cut = max(len(buffer) - keep, search_from)
                return self._take(cut), False
            end = self._delimiter_end(start + len(self._delimiter))
            if end is None:
                return self._take(start), False
            if end > 0:
                data = bytes(memoryview(buffer)[:start])
                del buffer[:end]
                return data, True
            search_from = start + 1

    def _take(self, size: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    def _delimiter_end(self, position: int) -> int | None:
        """End of the delimiter line whose boundary ends at `position`; 0 when it is none, None when more must come."""
        rest = bytes(self._buffer[position : position + _MAX_PADDING_BYTES + 2])
        if rest.startswith(b"--"):
            self._state = _State.EPILOGUE
            return position + 2
        padding = len(rest) - len(rest.lstrip(b" \t"))
        after = rest[padding : padding + 2]
        if after == b"\r\n":
            self._parts += 1
            if self._parts > self._max_parts:
                raise ProtocolViolation(
                    f"The body holds more than {self._max_parts} parts; send them in several requests"
                )
            self._state = _State.HEADERS
            return position + padding + 2
        is_undecided = after in (b"", b"\r") or rest == b"-"
        return None if is_undecided and len(rest) < _MAX_PADDING_BYTES + 2 else 0

    def _take_headers(self) -> dict[str, str] | None:
        if self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
            return {}
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_PART_HEADER_BYTES + 4)
        if end < 0:
            if len(self._buffer) > MAX_PART_HEADER_BYTES:
                raise ProtocolViolation(
                    f"The header of part {self._parts} is larger than {MAX_PART_HEADER_BYTES} bytes"
                )
            return None
        lines = self._take(end + 4)[:-4].split(b"\r\n")
        headers: dict[str, str] = {}
        last = ""
        for line in lines:
            if line[:1] in (b" ", b"\t") and headers:  # a folded line belongs to the one before (RFC 5322 §2.2.3)
                headers[last] += " " + line.strip().decode("latin-1")
                continue
            name, colon, value = line.partition(b":")
            if not colon or not _HEADER_NAME.match(name.strip()):
                raise ProtocolViolation(f"Part {self._parts} has a header line {line[:60]!r} that is not name: value")
            last, text = name.strip().decode("ascii").lower(), value.strip().decode("latin-1")
            # A field that comes twice is a list (RFC 9110 §5.3): what contradicts itself must not look clear.
            headers[last] = text if headers.get(last, text) == text else f"{headers[last]}, {text}"
        return headers

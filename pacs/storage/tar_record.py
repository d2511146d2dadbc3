"""One record of a segment, as tar: an extended header that names the instance, then the DICOM file (pure, no I/O).

A record is, in blocks of 512 bytes (POSIX.1-2017 *pax*, "ustar Interchange Format"):

1. a header of type ``x`` and its body, a pax ``comment`` holding JSON: segment, hospital, UIDs, SOP class,
   transfer syntax, SHA-256 of the data set, source. A comment, because tar programs pass over it silently;
2. a header of type ``0``, name ``<digest>.dcm``, and the Part 10 file, padded with zeros to a whole block.

A void is a header of type ``g`` whose comment names the file of an earlier record that did not become an
instance. Both carry the name of their segment, a random number: bytes that a peer sent can never pass as a record.

An erased record keeps its place and length: its comment says only that it is erased, its file is zeros.
"""

from __future__ import annotations

import json
import mmap
import re
from dataclasses import dataclass
from typing import Any

from pacs.errors import PacsError
from pacs.model import InstanceKey, Succession

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)
_MAX_COMMENT_BYTES = 64 * 1024
_MAX_OCTAL_SIZE = 1 << 33
_MODE_TO_GROUP = b"0000440\0" + 2 * b"0000000\0"
_TIME = b"00000000000\0"
"""Of change: kept in the comment, so that equal content makes equal bytes."""
_AFTER_KIND = bytes(100) + b"ustar\00000" + bytes(32 + 32 + 8 + 8 + 155 + 12)
_SUM_OF_THE_REST = sum(_TIME) + sum(_AFTER_KIND) + 8 * 0x20
"""The checksum itself counts as spaces."""
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")

Buffer = bytes | bytearray | memoryview | mmap.mmap


class NoRecord(PacsError):
    """No whole, sound record or void starts here."""


@dataclass(frozen=True, slots=True)
class RecordHead:
    """What a record says about the file in it."""

    key: InstanceKey
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    """SHA-256 of the data set, lower-case hex."""
    data_set_offset: int
    """First byte of the data set, counted from the first byte of the Part 10 file."""
    source: str
    """Route, principal and peer, for people."""
    received_at: str
    """ISO 8601, UTC."""
    succession: Succession | None = None
    """None for almost all: the only version of its instance."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record found in a segment; all numbers are bytes from the segment's start."""

    head: RecordHead
    start: int
    file_offset: int
    file_length: int
    end: int
    """Where the next record starts."""


@dataclass(frozen=True, slots=True)
class Void:
    """Says that the record whose file starts at `file_offset` did not become an instance."""

    file_offset: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Erased:
    """What is left of a record that was erased; all numbers are bytes from the segment's start."""

    start: int
    file_offset: int
    file_length: int
    end: int


def padded(length: int) -> int:
    """`length` rounded up to whole blocks."""
    return -(-length // BLOCK) * BLOCK


def encode_head(head: RecordHead, *, segment: str, file_length: int, total: int | None = None) -> bytes:
    """All that stands before the Part 10 file in a record; exactly `total` bytes when given.

    Raises:
        ValueError: `total` is too small, or not whole blocks.
    """
    fields: dict[str, Any] = {
        "segment": segment,
        "hospital": head.key.hospital,
        "study": head.key.study_instance_uid,
        "series": head.key.series_instance_uid,
        "instance": head.key.sop_instance_uid,
        "class": head.sop_class_uid,
        "transfer_syntax": head.transfer_syntax_uid,
        "sha256": head.digest,
        "data_set_offset": head.data_set_offset,
        "source": head.source,
        "received_at": head.received_at,
    }
    if head.succession is not None:
        fields["replaces"] = list(head.succession.replaces)
        fields["is_original"] = head.succession.is_original
    size = b"" if file_length < _MAX_OCTAL_SIZE else _pax_line(b"size", str(file_length).encode())
    body_total = None if total is None else total - 2 * BLOCK
    extended = _extended(b"x", f"PaxHeaders/{head.digest}", fields, also=size, body_total=body_total)
    octal_size = file_length if file_length < _MAX_OCTAL_SIZE else 0
    return extended + _header(f"{head.digest}.dcm", octal_size, b"0")


def encode_void(file_offset: int, *, segment: str) -> bytes:
    """A void of the record whose file starts at `file_offset`."""
    return _extended(b"g", "PaxHeaders/void", {"segment": segment, "void": file_offset})


def encode_erased(*, segment: str, file_length: int, total: int) -> bytes:
    """Exactly `total` bytes to stand before the zeros of an erased record's file. Raises `ValueError`, as
    `encode_head`."""
    size = b"" if file_length < _MAX_OCTAL_SIZE else _pax_line(b"size", str(file_length).encode())
    fields = {"segment": segment, "erased": True}
    extended = _extended(b"x", "PaxHeaders/erased", fields, also=size, body_total=total - 2 * BLOCK)
    return extended + _header("erased", file_length if file_length < _MAX_OCTAL_SIZE else 0, b"0")


def read_record(buffer: Buffer, start: int, *, segment: str) -> Record | Void | Erased:
    """What stands at `start` of a segment's bytes. Content is not read: its digest is the caller's to check.

    Raises:
        NoRecord: anything but a whole record, void or erased record of this very segment.
    """
    kind, body_length = _read_header(buffer, start)
    if kind not in (b"x", b"g") or body_length > _MAX_COMMENT_BYTES:
        raise NoRecord(f"no extended header at byte {start}")
    body_start = start + BLOCK
    after = body_start + padded(body_length)
    if after > len(buffer):
        raise NoRecord(f"the extended header at byte {start} is cut off")
    fields, size = _read_comment(bytes(buffer[body_start : body_start + body_length]))
    if fields.get("segment") != segment:
        raise NoRecord(f"the extended header at byte {start} belongs to another segment")
    if kind == b"g":
        return Void(_whole(fields, "void"), start, after)
    kind, file_length = _read_header(buffer, after)
    if kind != b"0":
        raise NoRecord(f"no file entry at byte {after}")
    file_length = size if size is not None else file_length
    file_offset = after + BLOCK
    end = file_offset + padded(file_length)
    if end > len(buffer):
        raise NoRecord(f"the file at byte {file_offset} is cut off")
    if fields.get("erased") is True:
        return Erased(start, file_offset, file_length, end)
    head = _head(fields)
    if head.data_set_offset > file_length:
        raise NoRecord(f"the record at byte {start} contradicts itself")
    return Record(head, start, file_offset, file_length, end)


def record_of_file(buffer: Buffer, file_offset: int, *, segment: str) -> Record:
    """The record whose file starts at `file_offset` of a segment's bytes.

    Raises:
        NoRecord: there is none.
    """
    first = max(0, file_offset - 3 * BLOCK - _MAX_COMMENT_BYTES)
    for start in range(file_offset - 3 * BLOCK, first - 1, -BLOCK):
        try:
            record = read_record(buffer, start, segment=segment)
        except NoRecord:
            continue
        if isinstance(record, Record) and record.file_offset == file_offset:
            return record
    raise NoRecord(f"no record has a file at byte {file_offset}")


def _head(fields: dict[str, Any]) -> RecordHead:
    def text(name: str) -> str:
        value = fields.get(name)
        if not isinstance(value, str):
            raise NoRecord(f"a record lacks {name}")
        return value

    digest = text("sha256")
    if not _DIGEST.match(digest):
        raise NoRecord("a record's digest is none")
    return RecordHead(
        key=InstanceKey(text("hospital"), text("study"), text("series"), text("instance")),
        sop_class_uid=text("class"),
        transfer_syntax_uid=text("transfer_syntax"),
        digest=digest,
        data_set_offset=_whole(fields, "data_set_offset"),
        source=text("source"),
        received_at=text("received_at"),
        succession=_succession(fields),
    )


def _succession(fields: dict[str, Any]) -> Succession | None:
    replaces, is_original = fields.get("replaces"), fields.get("is_original")
    if replaces is None:
        return None
    is_list = isinstance(replaces, list) and all(isinstance(each, str) and _DIGEST.match(each) for each in replaces)
    if not is_list or not isinstance(is_original, bool):
        raise NoRecord("a record does not say what it succeeds")
    return Succession(tuple(replaces), is_original)


def _whole(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise NoRecord(f"a record lacks {name}")
    return value


def _extended(
    kind: bytes, name: str, fields: dict[str, Any], *, also: bytes = b"", body_total: int | None = None
) -> bytes:
    comment = _ENCODER.encode(fields).encode("ascii")
    body = also + _pax_line(b"comment", comment)
    if body_total is not None:
        # JSON ignores the spaces; the line's own length may need up to two digits more, hence the second step.
        while len(body) < body_total:
            comment += b" " * max(1, body_total - len(body) - 2)
            body = also + _pax_line(b"comment", comment)
        if len(body) != body_total or body_total % BLOCK:
            raise ValueError(f"an extended header of {len(body)} bytes does not fit {body_total}")
    return _header(name, len(body), kind) + body.ljust(padded(len(body)), b"\0")


def _pax_line(keyword: bytes, value: bytes) -> bytes:
    """One line of a pax body, which starts with its own length in decimal."""
    rest = b" " + keyword + b"=" + value + b"\n"
    length = len(rest) + 1
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _header(name: str, size: int, kind: bytes) -> bytes:
    name_and_size = b"%b%b%011o\0" % (name.encode("ascii").ljust(100, b"\0"), _MODE_TO_GROUP, size)
    checksum = sum(name_and_size) + _SUM_OF_THE_REST + kind[0]
    return b"%b%b%06o\0 %b%b" % (name_and_size, _TIME, checksum, kind, _AFTER_KIND)


def _read_header(buffer: Buffer, start: int) -> tuple[bytes, int]:
    """Type and size of the header at `start`."""
    header = bytes(buffer[start : start + BLOCK])
    if len(header) != BLOCK or header[257:265] != b"ustar\00000":
        raise NoRecord(f"no tar header at byte {start}")
    checksum = sum(header[:148]) + 8 * 0x20 + sum(header[156:])
    if header[148:156] != b"%06o\0 " % checksum:
        raise NoRecord(f"the tar header at byte {start} has a wrong checksum")
    digits = header[124:135]
    if not digits.isdigit() or header[135] != 0:
        raise NoRecord(f"the tar header at byte {start} has no size")
    try:
        return header[156:157], int(digits, 8)
    except ValueError:
        raise NoRecord(f"the tar header at byte {start} has no size") from None


def _read_comment(body: bytes) -> tuple[dict[str, Any], int | None]:
    """The comment's fields, and the size when the body gives one."""
    comment: dict[str, Any] | None = None
    size: int | None = None
    position = 0
    try:
        while position < len(body):
            space = body.index(b" ", position, position + 8)
            length = int(body[position:space])
            line = body[space + 1 : position + length]
            if length <= 0 or position + length > len(body) or not line.endswith(b"\n"):
                raise NoRecord("an extended header is malformed")
            keyword, _, value = line[:-1].partition(b"=")
            if keyword == b"size":
                size = int(value)
            elif keyword == b"comment":
                comment = json.loads(value)
            position += length
    except (ValueError, RecursionError):
        raise NoRecord("an extended header is malformed") from None
    if not isinstance(comment, dict) or (size is not None and size < 0):
        raise NoRecord("an extended header is malformed")
    return comment, size

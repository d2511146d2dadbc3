"""DICOM File Meta Information: preamble, prefix and group 0002 (PS3.10 §7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pacs.errors import NotDicom
from pacs.part10.elements import looks_explicit
from pacs.part10.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

IMPLEMENTATION_CLASS_UID = "2.25.118593855945957068238853674806899599702"
"""Names this implementation in (0002,0012) and in the association's user information (PS3.7 D.3.3.2)."""
IMPLEMENTATION_VERSION_NAME = "PACS 0.1"

PREAMBLE_LENGTH = 128
_PREAMBLE_AND_PREFIX = bytes(PREAMBLE_LENGTH) + b"DICM"
_MAX_META_BYTES = 1 << 20
_MAX_META_ELEMENTS = 256

_LONG_VRS = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_EXPLICIT = struct.Struct("<HH2sH")
_IMPLICIT = struct.Struct("<HHL")
_LENGTH = struct.Struct("<L")

_GROUP_LENGTH, _SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX, _SOURCE_AE_TITLE = 0x0000, 0x0002, 0x0003, 0x0010, 0x0016


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the head of a Part 10 file says about the data set behind it; not checked against that data set."""

    transfer_syntax_uid: str
    sop_class_uid: str
    """Empty when the file does not say."""
    sop_instance_uid: str
    data_set_offset: int
    """First byte of the data set, counted from the start of the file."""
    source_ae_title: str


def read_file_meta(buffer: Buffer) -> FileMeta:
    """Read the head of the Part 10 file in `buffer` (bytes, memoryview, mmap); only the head is looked at.

    Group 0002 is walked element by element, because its Group Length is wrong in real files; of an element that comes
    twice the first counts, and one that comes again where the group says it ends is of the data set. Files of before
    PS3.10 are taken too: starting right with group 0002, or with group 0008 of a data set without any file meta
    information. Its encoding, where none is named, is the one its first element shows.

    Raises:
        NotDicom: no DICOM prefix and no element where one must be, a torn group 0002, or no Transfer Syntax UID and a
            data set that does not show its own.
    """
    view = memoryview(buffer).cast("B") if not isinstance(buffer, memoryview) else buffer
    if bytes(view[PREAMBLE_LENGTH : PREAMBLE_LENGTH + 4]) == b"DICM":
        offset = PREAMBLE_LENGTH + 4
    elif bytes(view[:4]) == b"DICM":
        offset = 4
    elif bytes(view[:2]) == b"\x02\x00" or shown_encoding(view, 0):
        offset = 0
    else:
        raise NotDicom("no DICOM file: neither 'DICM' at byte 128 nor a data element at the start (PS3.10 §7.1)")
    values, offset = _group_0002(view, offset)
    transfer_syntax_uid = _text(values.get(_TRANSFER_SYNTAX, b"")) or shown_encoding(view, offset)
    if not transfer_syntax_uid:
        raise NotDicom("the file meta information has no Transfer Syntax UID (0002,0010) (PS3.10 §7.1)")
    return FileMeta(
        transfer_syntax_uid=transfer_syntax_uid,
        sop_class_uid=_text(values.get(_SOP_CLASS, b"")),
        sop_instance_uid=_text(values.get(_SOP_INSTANCE, b"")),
        data_set_offset=offset,
        source_ae_title=_text(values.get(_SOURCE_AE_TITLE, b"")),
    )


def _group_0002(view: memoryview, start: int) -> tuple[dict[int, bytes], int]:
    """Values of the short elements of group 0002, and the offset behind the group."""
    values: dict[int, bytes] = {}
    seen: set[int] = set()
    told_end = 0
    offset, end = start, len(view)
    for _ in range(_MAX_META_ELEMENTS):
        if offset + 8 > end:
            return values, offset
        group, element, vr, length = _EXPLICIT.unpack_from(view, offset)
        if group != 2 or (offset == told_end and element in seen):
            return values, offset
        value_offset = offset + 8
        if not vr.isalpha():
            length = _IMPLICIT.unpack_from(view, offset)[2]
        elif vr in _LONG_VRS:
            if offset + 12 > end:
                raise NotDicom(f"the file ends inside (0002,{element:04X}) of the file meta information")
            length = _LENGTH.unpack_from(view, offset + 8)[0]
            value_offset = offset + 12
        offset = value_offset + length
        if offset > end or offset - start > _MAX_META_BYTES:
            raise NotDicom(
                f"(0002,{element:04X}) of the file meta information claims {length} bytes, more than there are"
            )
        if length <= 1024 and element not in seen:
            values[element] = bytes(view[value_offset:offset])
        seen.add(element)
        if element == _GROUP_LENGTH and length == _LENGTH.size:
            told_end = offset + _LENGTH.unpack_from(view, value_offset)[0]
    raise NotDicom(f"the file meta information has more than {_MAX_META_ELEMENTS} elements")


def shown_encoding(view: memoryview, offset: int) -> str:
    """Transfer Syntax UID of the uncompressed encoding in which a data set plainly starts at `offset`; else empty.

    Plainly: group 0008 with a known VR, or an implicit length of at most 128 with group 0008 or 0010 behind it.
    """
    head = bytes(view[offset : offset + 8])
    if len(head) < 8 or head[:2] not in {b"\x08\x00", b"\x00\x08"}:
        return ""
    if looks_explicit(view, offset):
        return EXPLICIT_VR_LITTLE_ENDIAN if head[0] else EXPLICIT_VR_BIG_ENDIAN
    length = _LENGTH.unpack_from(head, 4)[0]
    follower = bytes(view[offset + 8 + length : offset + 10 + length]) if length <= 128 else b""
    return IMPLICIT_VR_LITTLE_ENDIAN if head[0] and follower in {b"\x08\x00", b"\x10\x00"} else ""


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def write_file_meta(
    *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = ""
) -> bytes:
    """Return preamble, prefix and group 0002 for a data set that follows it (PS3.10 Table 7.1-1)."""
    before, after = _around_instance(sop_class_uid, transfer_syntax_uid, source_ae_title)
    group = before + _element(_SOP_INSTANCE, b"UI", sop_instance_uid.encode("ascii")) + after
    return _PREAMBLE_AND_PREFIX + _element(_GROUP_LENGTH, b"UL", _LENGTH.pack(len(group))) + group


@lru_cache(maxsize=256)
def _around_instance(sop_class_uid: str, transfer_syntax_uid: str, source_ae_title: str) -> tuple[bytes, bytes]:
    """What stands before and behind Media Storage SOP Instance UID; the same for all images of a series."""
    elements = [
        _element(_TRANSFER_SYNTAX, b"UI", transfer_syntax_uid.encode("ascii")),
        _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
    ]
    if source_ae_title:
        elements.append(_element(_SOURCE_AE_TITLE, b"AE", source_ae_title.encode("ascii", "replace")))
    before = _element(0x0001, b"OB", b"\0\1") + _element(_SOP_CLASS, b"UI", sop_class_uid.encode("ascii"))
    return before, b"".join(elements)


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    if len(value) % 2:
        value += b" " if vr in {b"SH", b"AE"} else b"\0"
    if vr in _LONG_VRS:
        return _EXPLICIT.pack(2, element, vr, 0) + _LENGTH.pack(len(value)) + value
    return _EXPLICIT.pack(2, element, vr, len(value)) + value

"""One instance of a store request of metadata and bulk data (PS3.18 §10.5.2), put together when all of it is here."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pacs.errors import MalformedDataSet, TooLarge, UndecodablePixels, UnsupportedMedia
from pacs.ingest import Spool
from pacs.part10.data_set_writer import BulkReference
from pacs.part10.elements import PIXEL_DATA_TAGS
from pacs.part10.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    OCTET_STREAM,
    transfer_syntax,
)
from pacs.part10.value_writer import SEQUENCE_DELIMITATION, UNDEFINED, element_head, padding
from pacs.pixels.codestream_syntax import HEAD_BYTES, shown_transfer_syntax

PIXEL_DATA: Final = 0x7FE00010
_SAME_AS_EXPLICIT: Final = frozenset(
    {"", EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN}
)
_LONGEST_VALUE: Final = 0xFFFFFFFE


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes in the spool of what was encoded from metadata."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class BulkPart:
    """One part of the body, in the spool of bulk data."""

    offset: int
    length: int
    media_type: str
    transfer_syntax_uid: str
    """Of the part's Content-Type; empty when it names none."""
    frame_number: int = 0
    """Of its Content-Location; 0 when that names none."""

    @property
    def is_frame(self) -> bool:
        """Whether the part is one frame (or all of a video) for a fragment, rather than the bytes of a value."""
        if self.media_type == OCTET_STREAM:
            return transfer_syntax(self.transfer_syntax_uid).is_encapsulated
        return self.media_type.startswith(("image/", "video/"))

    @property
    def is_video(self) -> bool:
        return self.media_type.startswith("video/")


@dataclass(eq=False, slots=True)
class PendingInstance:
    """What the metadata said of one instance."""

    pieces: Sequence[Range | BulkReference]
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    """As the metadata has it (Available Transfer Syntax UID, or Transfer Syntax UID); empty when it says nothing."""
    number_of_frames: int = 1
    missing: set[str] = field(default_factory=set)
    """URIs whose parts have not come yet."""
    is_decided: bool = False


def check_pixel_data(instance: PendingInstance, parts: Mapping[str, Sequence[BulkPart]], bulk: Spool) -> str:
    """The transfer syntax that the instance's pixel data makes the whole data set have.

    Raises:
        UnsupportedMedia: a media type or transfer syntax that pixel data cannot come in here.
        MalformedDataSet: frames are missing, or compressed values of different transfer syntaxes meet.
    """
    found: set[str] = set()
    for reference in instance.pieces:
        if isinstance(reference, BulkReference) and reference.tag == PIXEL_DATA:
            its_parts = parts[reference.uri]
            syntax = _transfer_syntax_of(instance, its_parts, bulk)
            if syntax != EXPLICIT_VR_LITTLE_ENDIAN:
                found.add(syntax)
            expected = 1 if its_parts[0].is_video or reference.is_nested else instance.number_of_frames
            if its_parts[0].is_frame and len(its_parts) != expected:
                raise MalformedDataSet(f"{len(its_parts)} of {expected} frames came as parts of one BulkDataURI")
    if len(found) > 1:
        raise MalformedDataSet(f"pixel data of one instance comes in several transfer syntaxes: {', '.join(found)}")
    return found.pop() if found else EXPLICIT_VR_LITTLE_ENDIAN


def _transfer_syntax_of(instance: PendingInstance, parts: Sequence[BulkPart], bulk: Spool) -> str:
    part = parts[0]
    if len({(each.media_type, each.transfer_syntax_uid) for each in parts}) > 1:
        raise MalformedDataSet("the frames of one instance have different media types")
    if not part.is_frame:
        if part.media_type != OCTET_STREAM or part.transfer_syntax_uid not in _SAME_AS_EXPLICIT:
            raise UnsupportedMedia(
                f"pixel data cannot come as {part.media_type[:60]}; transfer-syntax={part.transfer_syntax_uid[:64]};"
                " send it in Explicit VR Little Endian, in a media type of PS3.18 §8.7.3, or as application/dicom"
            )
        return EXPLICIT_VR_LITTLE_ENDIAN
    named = part.transfer_syntax_uid or instance.transfer_syntax_uid
    if named and transfer_syntax(named).media_type.lower() == part.media_type:
        return named
    if part.transfer_syntax_uid:
        raise UnsupportedMedia(f"{part.media_type[:60]} cannot be of transfer syntax {part.transfer_syntax_uid[:64]}")
    head = b"".join(bulk.read(part.offset, min(part.length, HEAD_BYTES)))
    try:
        shown = shown_transfer_syntax(part.media_type, head)
    except UndecodablePixels as problem:
        raise MalformedDataSet(f"a part is no {part.media_type}: {problem}") from problem
    if not shown:
        raise UnsupportedMedia(f"pixel data cannot come as {part.media_type[:60]}")
    return shown


def write_data_set(
    instance: PendingInstance,
    parts: Mapping[str, Sequence[BulkPart]],
    encoded: Spool,
    bulk: Spool,
    write: Callable[[bytes], None],
) -> None:
    """Give the whole data set to `write`, in pieces. Raises what `write` and the spools raise, and `TooLarge`."""
    for piece in instance.pieces:
        if isinstance(piece, Range):
            for data in encoded.read(piece.offset, piece.length):
                write(data)
            continue
        its_parts = parts[piece.uri]
        is_compressed = piece.tag == PIXEL_DATA and its_parts[0].is_frame
        for data in (_encapsulated if is_compressed else _native)(piece, its_parts, bulk):
            write(data)


def _native(reference: BulkReference, parts: Sequence[BulkPart], bulk: Spool) -> Iterator[bytes]:
    part = parts[0]
    vr = "OW" if reference.vr == "UN" and reference.tag in PIXEL_DATA_TAGS else reference.vr
    added = padding(vr, part.length)
    length = part.length + len(added)
    if length > _LONGEST_VALUE:
        raise TooLarge(f"a value of {length} bytes is longer than any value can be (PS3.5 §7.1)")
    yield element_head(reference.tag, vr, length, is_implicit_vr=False)
    yield from bulk.read(part.offset, part.length)
    yield added


def _encapsulated(reference: BulkReference, parts: Sequence[BulkPart], bulk: Spool) -> Iterator[bytes]:
    """One fragment per frame behind a Basic Offset Table (PS3.5 A.4), which stays empty where it could not count."""
    frames = sorted(parts, key=lambda part: part.frame_number)
    if any(part.length > _LONGEST_VALUE for part in frames):
        raise TooLarge(f"a frame is longer than a fragment can be, {_LONGEST_VALUE} bytes (PS3.5 A.4)")
    offsets = [0]
    for part in frames:
        offsets.append(offsets[-1] + 8 + part.length + part.length % 2)
    has_table = len(frames) > 1 and offsets[-1] <= _LONGEST_VALUE
    table = struct.pack(f"<{len(frames)}L", *offsets[:-1]) if has_table else b""
    yield element_head(reference.tag, "OB", UNDEFINED, is_implicit_vr=False)
    yield struct.pack("<HHL", 0xFFFE, 0xE000, len(table)) + table
    for part in frames:
        yield struct.pack("<HHL", 0xFFFE, 0xE000, part.length + part.length % 2)
        yield from bulk.read(part.offset, part.length)
        yield b"\0" * (part.length % 2)
    yield SEQUENCE_DELIMITATION

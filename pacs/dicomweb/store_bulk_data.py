"""One instance of a store request of metadata and bulk data (PS3.18 §10.5.2), put together when all of it is here."""

from __future__ import annotations

import codecs
import contextlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pacs.dicomweb.store_description import (
    COLUMNS,
    ROWS,
    Description,
    description_of,
    description_of_video,
    syntax_of_video,
)
from pacs.dicomweb.store_pixels import PixelMeasure
from pacs.errors import MalformedDataSet, TooLarge, UndecodablePixels, UnsupportedMedia
from pacs.ingest import Spool
from pacs.model import DicomJson
from pacs.part10.data_set_writer import BulkReference
from pacs.part10.elements import PIXEL_DATA_TAGS, tag_text
from pacs.part10.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    OCTET_STREAM,
    transfer_syntax,
)
from pacs.part10.value_writer import SEQUENCE_DELIMITATION, TEXT_VRS, UNDEFINED, element_head, inline_binary, padding
from pacs.pixels.codestream import read_rle
from pacs.pixels.codestream_syntax import HEAD_BYTES, check_kind, shown_transfer_syntax
from pacs.pixels.video import VideoMeasure, is_video

PIXEL_DATA: Final = 0x7FE00010
_SAME_AS_EXPLICIT: Final = frozenset(
    {"", EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN}
)
_LONGEST_VALUE: Final = 0xFFFFFFFE
_UTF_8: Final = frozenset({"", "utf-8", "utf8", "us-ascii"})
_RLE: Final = "image/dicom-rle"
GIF: Final = "image/gif"
_LOOKS_BYTES: Final = (1 << 12, HEAD_BYTES, 4 << 20)
"""Of a frame's beginning: nearly all show in a page what they are, those with a large colour profile behind it."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes in the spool of what was encoded from metadata."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attribute of the Image Pixel Description Macro stands if the frames tell it."""

    tag: int


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
    charset: str = ""
    """Of the part's Content-Type, in lower case."""

    @property
    def is_frame(self) -> bool:
        """Whether the part is one frame (or all of a video) for a fragment, rather than the bytes of a value."""
        if self.media_type == OCTET_STREAM:
            return transfer_syntax(self.transfer_syntax_uid).is_encapsulated
        return self.media_type.startswith(("image/", "video/"))

    @property
    def holds_all_frames(self) -> bool:
        """Whether frames of its media type come in one part."""
        return self.media_type.startswith("video/") or self.media_type == GIF


@dataclass(eq=False, slots=True)
class PendingInstance:
    """What the metadata said of one instance."""

    pieces: Sequence[Range | Place | BulkReference]
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    """As the metadata has it (Available Transfer Syntax UID, or Transfer Syntax UID); empty when it says nothing."""
    measure: PixelMeasure = field(default_factory=PixelMeasure)
    said: Mapping[int, Any] = field(default_factory=dict)
    """Of the Image Pixel Description Macro, by tag."""
    derived: Description | None = None
    """What its compressed frames say of it, once they have come."""
    video: VideoMeasure | None = None
    """What its video says of itself, once it has come and could be read."""
    missing: set[str] = field(default_factory=set)
    """URIs whose parts have not come yet."""
    is_decided: bool = False


def check_inline_pixel_data(instance: PendingInstance, attributes: DicomJson) -> None:
    """See that pixel data in `attributes`, which are a data set of the DICOM JSON Model, is all of it or none.

    Raises:
        MalformedDataSet: it is some, or it should have been compressed.
    """
    for key, attribute in attributes.items():
        if int(key, 16) in PIXEL_DATA_TAGS and "InlineBinary" in attribute:
            if transfer_syntax(instance.transfer_syntax_uid).is_encapsulated:
                raise MalformedDataSet(f"{key} is inline; compressed frames come as parts of their media type")
            if length := len(inline_binary(attribute["InlineBinary"])):
                instance.measure.check_whole(length)


def check_bulk_data(instance: PendingInstance, parts: Mapping[str, Sequence[BulkPart]], bulk: Spool) -> str:
    """The transfer syntax that the instance's pixel data makes the whole data set have.

    Raises:
        UnsupportedMedia: a media type or transfer syntax that pixel data, or a character set that text, cannot come in.
        MalformedDataSet: frames are missing, something is not of the length or kind that is said of it, or compressed
            values of different transfer syntaxes meet.
    """
    found: set[str] = set()
    for reference in instance.pieces:
        if not isinstance(reference, BulkReference):
            continue
        its_parts = parts[reference.uri]
        if reference.tag not in PIXEL_DATA_TAGS:
            if len(its_parts) > 1 or its_parts[0].frame_number:
                raise MalformedDataSet(f"frames came for {tag_text(reference.tag)}, which has none")
            if reference.vr in TEXT_VRS:
                _check_text(reference, its_parts[0], bulk)
            continue
        syntax = _transfer_syntax_of(instance, reference, its_parts, bulk)
        if syntax != EXPLICIT_VR_LITTLE_ENDIAN:
            found.add(syntax)
        first = its_parts[0]
        is_one = first.holds_all_frames or reference.is_nested or not (first.is_frame or first.frame_number)
        expected = 1 if is_one else instance.measure.number_of_frames
        if len(its_parts) != expected:
            raise MalformedDataSet(f"{len(its_parts)} of {expected} frames came as parts of one BulkDataURI")
        if not first.is_frame and not reference.is_nested:
            _check_native(instance, its_parts, bulk)
    if len(found) > 1:
        raise MalformedDataSet(f"pixel data of one instance comes in several transfer syntaxes: {', '.join(found)}")
    return found.pop() if found else EXPLICIT_VR_LITTLE_ENDIAN


def _check_text(reference: BulkReference, part: BulkPart, bulk: Spool) -> None:
    """The data set says ISO_IR 192 of all its text (`pacs.part10.data_set_writer`), so that it must be that."""
    if part.charset not in _UTF_8:
        raise UnsupportedMedia(f"{tag_text(reference.tag)} came in charset {part.charset[:40]!r}; send text in UTF-8")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for data in bulk.read(part.offset, part.length):
            decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise MalformedDataSet(f"{tag_text(reference.tag)} came as bulk data that is no UTF-8 text") from None


def _check_native(instance: PendingInstance, parts: Sequence[BulkPart], bulk: Spool) -> None:
    if len(parts) > 1:
        instance.measure.frame_bytes([part.length for part in parts])
        return
    (part,) = parts
    if part.transfer_syntax_uid:  # the part itself says that it is native
        instance.measure.check_whole(part.length)
        return
    instance.measure.check_whole(part.length, instance.transfer_syntax_uid)
    media_type = transfer_syntax(instance.transfer_syntax_uid).media_type
    if media_type.startswith("image/"):
        with contextlib.suppress(UndecodablePixels):
            check_kind(media_type, _head(part, bulk, HEAD_BYTES), part.length)
            raise MalformedDataSet(
                f"the metadata says {instance.transfer_syntax_uid}, and what came as application/octet-stream is"
                f" {media_type}; say that in the part's Content-Type"
            )


def _transfer_syntax_of(
    instance: PendingInstance, reference: BulkReference, parts: Sequence[BulkPart], bulk: Spool
) -> str:
    part = parts[0]
    if len({(each.media_type, each.transfer_syntax_uid) for each in parts}) > 1:
        raise MalformedDataSet("the frames of one instance have different media types")
    if not part.is_frame or reference.tag != PIXEL_DATA:
        if part.media_type != OCTET_STREAM or part.transfer_syntax_uid not in _SAME_AS_EXPLICIT:
            raise UnsupportedMedia(
                f"pixel data cannot come as {part.media_type[:60]}; transfer-syntax={part.transfer_syntax_uid[:64]};"
                " send it in Explicit VR Little Endian, in a media type of PS3.18 §8.7.3, or as application/dicom"
            )
        return EXPLICIT_VR_LITTLE_ENDIAN
    named = part.transfer_syntax_uid or instance.transfer_syntax_uid
    is_named = bool(named) and transfer_syntax(named).media_type.lower() == part.media_type
    if part.transfer_syntax_uid and not is_named:
        raise UnsupportedMedia(f"{part.media_type[:60]} cannot be of transfer syntax {part.transfer_syntax_uid[:64]}")
    try:
        size = max([_check_head(instance, each, bulk, is_nested=reference.is_nested) for each in parts])
        if not reference.is_nested:
            instance.derived = _description(instance, parts, bulk)
        # What tells losses stands behind the frame header, after tables.
        shown = "" if is_named else shown_transfer_syntax(part.media_type, _head(part, bulk, size + HEAD_BYTES))
        if instance.video is not None and not reference.is_nested:
            return syntax_of_video(instance.video, named)
    except UndecodablePixels as problem:
        raise MalformedDataSet(f"a part is no {part.media_type}: {problem}") from problem
    if not is_named and not shown:
        raise UnsupportedMedia(f"pixel data cannot come as {part.media_type[:60]}")
    return named if is_named else shown


def _description(instance: PendingInstance, parts: Sequence[BulkPart], bulk: Spool) -> Description | None:
    """What the frames in `parts` say of their pixels; None of kinds that are not asked.

    Raises:
        UndecodablePixels: a frame has pixels that no image has.
        MalformedDataSet: frames differ, or contradict the metadata.
    """
    if instance.video is not None:
        of_video = description_of_video(instance.video)
        of_video.check_agrees(instance.said)
        return of_video
    found = None
    for part in parts:
        own = None
        for size in _LOOKS_BYTES:
            try:
                own = description_of(part.media_type, _head(part, bulk, size))
            except UndecodablePixels:
                if size >= part.length or size == _LOOKS_BYTES[-1]:
                    raise
                continue
            break
        if own is None:
            return None
        own.check_agrees(instance.said)
        if found is not None and (own.rows, own.columns, own.samples) != (found.rows, found.columns, found.samples):
            raise MalformedDataSet("the frames of one instance have different sizes")
        found = own
    return found


def _check_head(instance: PendingInstance, part: BulkPart, bulk: Spool, *, is_nested: bool) -> int:
    """How much of its beginning shows that `part` is of its media type. Raises `UndecodablePixels` if none does."""
    for size in _LOOKS_BYTES:
        head = _head(part, bulk, size)
        try:
            check_kind(part.media_type, head, part.length)
        except UndecodablePixels:
            if size >= part.length or size == _LOOKS_BYTES[-1]:
                raise
            continue
        break
    expected = 0 if is_nested else instance.measure.rle_segments
    if part.media_type == _RLE and expected and (found := len(read_rle(head, part.length))) != expected:
        raise UndecodablePixels(f"it has {found} segments, and the metadata makes that {expected}")
    return size


def _head(part: BulkPart, bulk: Spool, size: int) -> bytes:
    return b"".join(bulk.read(part.offset, min(part.length, size)))


def write_data_set(
    instance: PendingInstance,
    parts: Mapping[str, Sequence[BulkPart]],
    encoded: Spool,
    bulk: Spool,
    write: Callable[[bytes], None],
    transfer_syntax_uid: str = "",
) -> None:
    """Give the whole data set to `write`, in pieces.

    Raises:
        MalformedDataSet: metadata leaves something to the pixel data that they do not tell.
        TooLarge, and what `write` and the spools raise.
    """
    for piece in instance.pieces:
        if isinstance(piece, Range):
            for data in encoded.read(piece.offset, piece.length):
                write(data)
            continue
        if isinstance(piece, Place):
            if instance.derived is not None:
                write(instance.derived.element(piece.tag, instance.said))
            elif piece.tag in (ROWS, COLUMNS) and is_video(transfer_syntax_uid):
                raise MalformedDataSet(f"{tag_text(piece.tag)} is not in the metadata, and the video cannot be read")
            continue
        its_parts = parts[piece.uri]
        if piece.tag == PIXEL_DATA and its_parts[0].is_frame:
            pieces = _encapsulated(piece, its_parts, bulk)
        else:
            sizes = [part.length for part in its_parts]
            if len(sizes) > 1:
                sizes = [instance.measure.frame_bytes(sizes)] * len(sizes)
            pieces = _native(piece, its_parts, sizes, bulk)
        for data in pieces:
            write(data)


def _native(reference: BulkReference, parts: Sequence[BulkPart], sizes: Sequence[int], bulk: Spool) -> Iterator[bytes]:
    """A value of the first `sizes` bytes of each part: of one part, or of frames in order (PS3.5 §8.1.1)."""
    vr = "OW" if reference.vr == "UN" and reference.tag in PIXEL_DATA_TAGS else reference.vr
    added = padding(vr, sum(sizes))
    length = sum(sizes) + len(added)
    if length > _LONGEST_VALUE:
        raise TooLarge(f"a value of {length} bytes is longer than any value can be (PS3.5 §7.1)")
    yield element_head(reference.tag, vr, length, is_implicit_vr=False)
    for part, size in zip(sorted(parts, key=lambda part: part.frame_number), sizes, strict=True):
        yield from bulk.read(part.offset, size)
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

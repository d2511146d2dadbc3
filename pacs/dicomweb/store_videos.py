"""Videos of store requests of metadata and bulk data (PS3.18 §10.5.2): what a stream says of itself, as a decoder
finds out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from pacs.decoding.workers import Decoding
from pacs.dicomweb.store_bulk_data import PIXEL_DATA, BulkPart, PendingInstance, Place
from pacs.errors import Busy, UndecodablePixels
from pacs.ingest import Spool
from pacs.part10.data_set_writer import BulkReference
from pacs.part10.transfer_syntax import OCTET_STREAM, transfer_syntax
from pacs.pixels.codestream_syntax import shown_transfer_syntax
from pacs.pixels.video import is_video, measured
from pacs.pixels.video_stream import has_index
from pacs.video_frames import MOST_BYTES, asked

_NOTHING: Final = b""


def look_at_videos(
    instance: PendingInstance, parts: Mapping[str, Sequence[BulkPart]], bulk: Spool, decoding: Decoding
) -> None:
    """Let `instance` learn what its video is like, where it has one that can be read; one that cannot be is stored as
    it came if the metadata says all that is to be said of it.

    Raises:
        Busy: too much is being decoded, and the metadata leaves something to the video.
        StorageError: the spool cannot be read.
    """
    for piece in instance.pieces:
        if not isinstance(piece, BulkReference) or piece.tag != PIXEL_DATA or piece.is_nested:
            continue
        its_parts = parts[piece.uri]
        uid = _transfer_syntax_of(its_parts[0], instance)
        if len(its_parts) > 1 or not uid:
            continue
        part = its_parts[0]

        def read(start: int, length: int, part: BulkPart = part) -> list[bytes]:
            return list(bulk.read(part.offset + start, length))

        # Without an index its frames are counted.
        first = part.length if part.length <= MOST_BYTES and not has_index(b"".join(read(0, 8))) else 0
        try:
            with suppress(UndecodablePixels):
                instance.video = asked(decoding, part.length, read, measured, first=first, transfer_syntax_uid=uid)
        except Busy:
            if any(isinstance(each, Place) for each in instance.pieces):
                raise


def _transfer_syntax_of(part: BulkPart, instance: PendingInstance) -> str:
    """One of the kind of video that `part` is said to be; empty of what is said to be none."""
    named = part.transfer_syntax_uid or instance.transfer_syntax_uid
    if is_video(named) and part.media_type in (OCTET_STREAM, transfer_syntax(named).media_type.lower()):
        return named if part.is_frame else ""
    return shown_transfer_syntax(part.media_type, _NOTHING) if part.media_type.startswith("video/") else ""

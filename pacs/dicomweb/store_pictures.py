"""Pictures that no transfer syntax has, sent as pixel data (PS3.18 Table 10.5.2-1): kept as native pixels."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from pacs.decoding.workers import Decoding
from pacs.dicomweb.store_bulk_data import GIF, PIXEL_DATA, BulkPart, PendingInstance
from pacs.dicomweb.store_description import (
    BITS_ALLOCATED,
    PHOTOMETRIC_INTERPRETATION,
    PIXEL_REPRESENTATION,
    PLANAR_CONFIGURATION,
    SAMPLES,
    Description,
)
from pacs.dicomweb.store_pixels import PixelMeasure
from pacs.errors import Busy, MalformedDataSet, TooLarge, UndecodablePixels
from pacs.ingest import Spool
from pacs.part10.data_set_writer import BulkReference
from pacs.part10.elements import tag_text
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, OCTET_STREAM
from pacs.pixels.consumer_picture import native_picture

_PICTURES: Final = frozenset({"image/png", GIF})
_MOST_BYTES: Final = 64 << 20
"""Of one picture as it came: it is whole in memory."""
_transforming = threading.Lock()
"""A picture's pixels are in memory, too, so one request's at a time."""
_waiting = threading.BoundedSemaphore(4)


def native_parts(
    instance: PendingInstance, parts: Mapping[str, Sequence[BulkPart]], bulk: Spool, decoding: Decoding
) -> dict[str, list[BulkPart]]:
    """What stands in place of those of `parts` that are pictures, written behind all else in `bulk`; `instance` learns
    what they are like.

    Raises:
        MalformedDataSet: a picture is none, or contradicts another or the metadata.
        TooLarge, Busy, StorageError: there is no room to transform it.
    """
    found: dict[str, list[BulkPart]] = {}
    for piece in instance.pieces:
        if isinstance(piece, BulkReference) and piece.tag == PIXEL_DATA and not piece.is_nested:
            its_parts = parts[piece.uri]
            if all(part.media_type in _PICTURES and not part.transfer_syntax_uid for part in its_parts):
                ordered = sorted(its_parts, key=lambda part: part.frame_number)
                with _turn():
                    found[piece.uri] = [
                        _native(instance, part, number if len(ordered) > 1 else 0, bulk, decoding)
                        for number, part in enumerate(ordered, 1)
                    ]
    return found


@contextmanager
def _turn() -> Iterator[None]:
    """Raises `Busy` when so many wait for theirs that they would keep others from storing."""
    if not _waiting.acquire(blocking=False):
        raise Busy("too many pictures are being transformed at once; send again", retry_after_s=2)
    try:
        with _transforming:
            yield
    finally:
        _waiting.release()


def _native(instance: PendingInstance, part: BulkPart, number: int, bulk: Spool, decoding: Decoding) -> BulkPart:
    if part.length > _MOST_BYTES:
        raise TooLarge(f"a part of {part.media_type} is larger than {_MOST_BYTES} bytes; send it as application/dicom")
    data = b"".join(bulk.read(part.offset, part.length))
    is_grey = instance.said.get(SAMPLES) == 1
    try:
        frames, rows, columns, samples, bits, native = decoding.run(
            native_picture, data, part.media_type, is_grey=is_grey
        )
    except UndecodablePixels as problem:
        raise MalformedDataSet(f"a part is no {part.media_type} that can be stored: {problem}") from problem
    colours = "MONOCHROME2" if samples == 1 else "RGB"
    own = Description(rows, columns, samples, bits, colours, frames=0 if number else frames)
    own.check_agrees(instance.said)
    _check_layout(own, instance.said)
    if number > 1 and own != instance.derived:
        raise MalformedDataSet("the frames of one instance have different sizes")
    instance.derived = own
    instance.measure = PixelMeasure(max(number, frames), (rows * columns * samples * bits,))
    start = bulk.length
    bulk.write(native)
    return BulkPart(start, len(native), OCTET_STREAM, EXPLICIT_VR_LITTLE_ENDIAN, number)


def _check_layout(own: Description, said: Mapping[int, Any]) -> None:
    """See that what metadata says of the pixels is true of the native ones, too."""
    possible: dict[int, tuple[Any, ...]] = {
        PHOTOMETRIC_INTERPRETATION: ("MONOCHROME2", "MONOCHROME1") if own.samples == 1 else ("RGB",),
        PLANAR_CONFIGURATION: (0,) if own.samples > 1 else (0, 1),
        BITS_ALLOCATED: (own.bits,),
        PIXEL_REPRESENTATION: (0,),
    }
    for tag, values in possible.items():
        if said.get(tag, values[0]) not in values:
            raise MalformedDataSet(f"{tag_text(tag)} must be {' or '.join(map(str, values))} of this picture")

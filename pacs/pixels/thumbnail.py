"""Small pictures for lists (PS3.18 §10.4.1.1.5): which frame, and how large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pacs.part10.header import Header

if TYPE_CHECKING:
    from pacs.pixels.decode import Fragment
    from pacs.pixels.render import Picture

Box = tuple[int, int]
"""Columns and rows that a picture fits into."""
THUMBNAIL_SIDE = 160
"""Pixels of the longer side: a list shows 80 to 160, also on screens with two pixels per point."""
THUMBNAIL_QUALITY = 85
MOST_TRIED = 7
TELLS_NOTHING = 2.0
"""Of `sketch`: grey levels of 255."""
_GRID = 8


def middle(count: int) -> int:
    """Which of `count` frames or instances, from 1, stands for all: the middle one, as the first is often empty."""
    return count // 2 + 1 if count > 0 else 1


def order_of_trying(count: int) -> list[int]:
    """Numbers from 1 of `count` frames or instances, of which the first that tells something stands for all: the middle
    one, then those at thirds, quarters and so on, each once and at most `MOST_TRIED`."""
    places = [middle(count), *(1 + count * part // parts for parts in range(3, 7) for part in range(1, parts))]
    return list(dict.fromkeys(min(place, count) for place in places))[:MOST_TRIED] if count > 0 else []


def sketch(header: Header, fragments: Sequence[Fragment], *, frame_number: int = 1) -> tuple[bytes, float]:
    """`thumbnail` in its usual form, and how much is to be seen on it: the standard deviation of an 8 x 8 grid of mean
    greys, 0 for one colour. Noise counts little, because means of it hardly differ; below `TELLS_NOTHING` is no image.

    Raises:
        UndecodablePixels: as `thumbnail`.
    """
    from pacs.pixels.render import JPEG_MEDIA_TYPE, encode, fitted, picture_of  # noqa: PLC0415

    picture = picture_of(header, fragments, frame_number=frame_number)
    if max(picture.shape[:2]) > THUMBNAIL_SIDE:
        picture = fitted(picture, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return encode(picture, JPEG_MEDIA_TYPE, THUMBNAIL_QUALITY), _seen_on(picture)


def _seen_on(picture: Picture) -> float:
    rows, columns = picture.shape[:2]
    heights = [rows * part // _GRID for part in range(min(_GRID, rows))]
    widths = [columns * part // _GRID for part in range(min(_GRID, columns))]
    if rows <= _GRID or columns <= _GRID:
        return float(picture.std())
    import numpy  # noqa: PLC0415

    grey = picture if picture.ndim == 2 else picture.mean(axis=2)
    sums = numpy.add.reduceat(numpy.add.reduceat(grey, heights, axis=0, dtype=float), widths, axis=1)
    areas = numpy.outer(numpy.diff([*heights, rows]), numpy.diff([*widths, columns]))
    return float((sums / areas).std())


def thumbnail(
    header: Header,
    fragments: Sequence[Fragment],
    *,
    frame_number: int = 1,
    box: Box = (THUMBNAIL_SIDE, THUMBNAIL_SIDE),
    media_type: str = "image/jpeg",
) -> bytes:
    """A picture of one frame that fits into `box` columns and rows (smaller images keep their size).

    Raises:
        UndecodablePixels: no pixel data, or they can't be decoded.
    """
    # numpy and the codecs cost 40 MB, and services that hold this function mostly never call it.
    from pacs.pixels.render import encode, fitted, picture_of  # noqa: PLC0415

    picture = picture_of(header, fragments, frame_number=frame_number)
    if picture.shape[1] > box[0] or picture.shape[0] > box[1]:
        picture = fitted(picture, *box)
    return encode(picture, media_type, THUMBNAIL_QUALITY)

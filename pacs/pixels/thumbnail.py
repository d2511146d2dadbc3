"""Small pictures for lists (PS3.18 §10.4.1.1.5): which frame, and how large."""

from __future__ import annotations

from collections.abc import Sequence

from pacs.part10.header import Header
from pacs.pixels.decode import Fragment
from pacs.pixels.render import JPEG_MEDIA_TYPE, encode, fitted, picture_of

THUMBNAIL_SIDE = 160
"""Pixels of the longer side: a list shows 80 to 160, also on screens with two pixels per point."""
THUMBNAIL_QUALITY = 85


def middle(count: int) -> int:
    """Which of `count` frames or instances, from 1, stands for all: the middle one, as the first is often empty."""
    return count // 2 + 1 if count > 0 else 1


def thumbnail(
    header: Header,
    fragments: Sequence[Fragment],
    *,
    frame_number: int = 1,
    side: int = THUMBNAIL_SIDE,
    media_type: str = JPEG_MEDIA_TYPE,
) -> bytes:
    """A picture of one frame whose longer side is `side` pixels (smaller images keep their size).

    Raises:
        UndecodablePixels: no pixel data, or they can't be decoded.
    """
    picture = picture_of(header, fragments, frame_number=frame_number)
    if max(picture.shape[:2]) > side:
        picture = fitted(picture, side, side)
    return encode(picture, media_type, THUMBNAIL_QUALITY)

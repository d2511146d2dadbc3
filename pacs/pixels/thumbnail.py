"""Small pictures for lists (PS3.18 §10.4.1.1.5): which frame, and how large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pacs.part10.header import Header

if TYPE_CHECKING:
    from pacs.pixels.decode import Fragment

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
    media_type: str = "image/jpeg",
) -> bytes:
    """A picture of one frame whose longer side is `side` pixels (smaller images keep their size).

    Raises:
        UndecodablePixels: no pixel data, or they can't be decoded.
    """
    # numpy and the codecs cost 40 MB, and services that hold this function mostly never call it.
    from pacs.pixels.render import encode, fitted, picture_of  # noqa: PLC0415

    picture = picture_of(header, fragments, frame_number=frame_number)
    if max(picture.shape[:2]) > side:
        picture = fitted(picture, side, side)
    return encode(picture, media_type, THUMBNAIL_QUALITY)

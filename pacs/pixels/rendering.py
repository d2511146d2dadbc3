"""Everything that a rendered resource can be asked for, in one value and one function (PS3.18 §8.3.5).

`render` holds the plain way, a frame with its window as JPEG or PNG; here overlays, presentation states, annotations,
colour profiles, other formats and films come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pacs.part10.header import Header
from pacs.pixels.animation import check_film, film
from pacs.pixels.annotation import annotated
from pacs.pixels.colour_profile import in_colour_space, profile_of
from pacs.pixels.decode import decode
from pacs.pixels.description import describe
from pacs.pixels.display import Window, display_attributes, pixel_ratio
from pacs.pixels.overlay import has_overlays, overlay_masks
from pacs.pixels.picture_formats import encoded
from pacs.pixels.presentation import presented
from pacs.pixels.presentation_state import PresentationState
from pacs.pixels.render import (
    DEFAULT_QUALITY,
    JPEG_MEDIA_TYPE,
    PNG_MEDIA_TYPE,
    Picture,
    Viewport,
    in_viewport,
    rendered,
    show,
)
from pacs.pixels.window import SOFT_TISSUE, found_window

if TYPE_CHECKING:
    from pacs.pixels.decode import Fragment

Frame = tuple[int, Sequence["Fragment"]]
"""A frame's number, from 1, and its stored fragments."""
WHITE = 255


@dataclass(frozen=True, slots=True)
class RawPicture:
    """A picture on its way from one process to another."""

    rows: int
    columns: int
    samples: int
    """1 for grey, 3 for RGB."""
    pixels: bytes


@dataclass(frozen=True, slots=True)
class Rendering:
    """How pictures are wanted."""

    media_type: str = JPEG_MEDIA_TYPE
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = DEFAULT_QUALITY
    annotations: tuple[str, ...] = ()
    """Of `pacs.pixels.annotation.ANNOTATIONS`."""
    icc_profile: str = ""
    """Of `pacs.pixels.colour_profile.ICC_PROFILES`; empty when nothing was said."""
    font: bytes = b""
    """For text in other letters than Latin ones."""
    presentation: PresentationState | None = None
    """Shown as it says; `window` does not count then."""
    sop_instance_uid: str = ""
    """Of the image, by which a presentation state tells what is meant for it."""

    @property
    def is_plain(self) -> bool:
        """Whether `pacs.pixels.render.rendered` does all of it for an image without overlays."""
        return (
            self.media_type in {JPEG_MEDIA_TYPE, PNG_MEDIA_TYPE}
            and not self.annotations
            and self.presentation is None
            and self.icc_profile in {"", "no"}
        )


def rendered_as(header: Header, frame: Frame, rendering: Rendering) -> bytes:
    """One frame as a file.

    Raises:
        UndecodablePixels: no pixel data, or they can't be decoded.
        InvalidRequest: a viewport or quality outside its range.
        NotAcceptable: a media type that is not made, or a presentation state that cannot be applied.
    """
    number, fragments = frame
    viewport = rendering.viewport
    is_square = viewport is None or pixel_ratio(header, number) == 1
    if rendering.is_plain and is_square and not has_overlays(header):
        return rendered(
            header,
            fragments,
            frame_number=number,
            media_type=rendering.media_type,
            window=rendering.window,
            viewport=viewport,
            quality=rendering.quality,
        )
    picture, profile = picture_as(header, frame, rendering), None
    if rendering.icc_profile not in {"", "no"}:
        picture, profile = in_colour_space(picture, profile_of(header), rendering.icc_profile)
    return encoded(picture, rendering.media_type, rendering.quality, profile)


def picture_as(header: Header, frame: Frame, rendering: Rendering) -> Picture:
    """Decode and show a frame with all but the colour profile; raises as `rendered_as`."""
    number, fragments = frame
    description = describe(header)
    decoded = decode(description, fragments)
    if rendering.presentation is not None:
        picture = presented(
            header,
            decoded,
            description,
            rendering.presentation,
            frame_number=number,
            sop_instance_uid=rendering.sop_instance_uid,
            viewport=rendering.viewport,
            font=rendering.font,
        )
    else:
        picture = show(decoded, description, display_attributes(header, number), window=rendering.window)
        if has_overlays(header):
            picture = np.array(picture)
            for mask in overlay_masks(header, description, number, decoded.pixels):
                picture[mask] = WHITE
        if rendering.viewport is not None:
            picture = in_viewport(picture, rendering.viewport, pixel_ratio(header, number))
    if rendering.annotations:
        picture = annotated(
            picture, header, rendering.annotations, number, description.number_of_frames, rendering.font
        )
    return picture


def check_length(header: Header, frames: int, rendering: Rendering) -> None:
    """Refuse a film that would take too long, before a frame of it is read.

    Raises:
        NotAcceptable: what is too long or too large.
        UndecodablePixels: no pixel data.
    """
    description = describe(header)
    rows, columns = description.rows, description.columns
    if rendering.viewport is not None:
        rows, columns = rendering.viewport.rows, rendering.viewport.columns
    check_film(frames, rows, columns, description.pixels_per_frame)


def picture_for_film(header: Header, frame: Frame, rendering: Rendering) -> RawPicture:
    """One frame of a film; raises as `rendered_as`."""
    picture = np.ascontiguousarray(picture_as(header, frame, rendering))
    return RawPicture(picture.shape[0], picture.shape[1], 1 if picture.ndim == 2 else 3, picture.tobytes())


def film_of(pictures: Iterable[RawPicture], shown_ms: Sequence[float], media_type: str, quality: int) -> bytes:
    """The pictures one after the other; raises as `pacs.pixels.animation.film`."""
    return film(map(_picture, pictures), shown_ms, media_type, quality)


def _picture(raw: RawPicture) -> Picture:
    shape = (raw.rows, raw.columns) if raw.samples == 1 else (raw.rows, raw.columns, raw.samples)
    return np.frombuffer(raw.pixels, np.uint8).reshape(shape)


def window_of_film(header: Header, frame: Frame) -> Window | None:
    """One window for a film whose frames bring none: one for each would flicker. `frame` is one of the middle."""
    number, fragments = frame
    description, display = describe(header), display_attributes(header, number)
    if display.window is not None or display.voi_lut is not None or description.samples_per_pixel != 1:
        return None
    if display.modality == "CT" and description.bits_allocated > 8 and not description.is_float:
        return SOFT_TISSUE
    return found_window(decode(description, fragments).pixels, description, display)

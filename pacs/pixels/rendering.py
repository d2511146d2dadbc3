"""Everything that a rendered resource can be asked for, in one value and one function (PS3.18 §8.3.5).

`render` holds the plain way, a frame with its window as JPEG or PNG; here overlays, presentation states, annotations,
colour profiles, other formats and films come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pacs.errors import NotFound
from pacs.part10.header import Header
from pacs.pixels.animation import MOVING_MEDIA_TYPES, check_film, durations_ms, film
from pacs.pixels.annotation import annotated
from pacs.pixels.colour_profile import in_colour_space, profile_of
from pacs.pixels.decode import decode
from pacs.pixels.description import describe
from pacs.pixels.display import Window, display_attributes, pixel_ratio
from pacs.pixels.overlay import has_overlays, overlay_masks
from pacs.pixels.picture_formats import encoded
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
    """For annotations in other letters than Latin ones."""

    @property
    def is_plain(self) -> bool:
        """Whether `pacs.pixels.render.rendered` does all of it for an image without overlays."""
        return (
            self.media_type in {JPEG_MEDIA_TYPE, PNG_MEDIA_TYPE}
            and not self.annotations
            and self.icc_profile in {"", "no"}
        )


def rendered_as(header: Header, frames: Sequence[Frame], rendering: Rendering) -> bytes:
    """One frame as a still, several as a film.

    Raises:
        UndecodablePixels: no pixel data, or they can't be decoded.
        InvalidRequest: a viewport or quality outside its range.
        NotAcceptable: a media type that is not made, or a film that would be too long or too large.
        NotFound: no frame.
    """
    if not frames:
        raise NotFound("the instance has no such frame")
    if len(frames) > 1 and rendering.media_type in MOVING_MEDIA_TYPES:
        return _film(header, frames, rendering)
    number, fragments = frames[0]
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
    picture = picture_as(header, frames[0], rendering)
    if rendering.media_type in MOVING_MEDIA_TYPES and rendering.media_type != "image/gif":
        return film((picture,), durations_ms(header, (number,)), rendering.media_type, rendering.quality)
    profile = None
    if rendering.icc_profile not in {"", "no"}:
        picture, profile = in_colour_space(picture, profile_of(header), rendering.icc_profile)
    return encoded(picture, rendering.media_type, rendering.quality, profile)


def picture_as(header: Header, frame: Frame, rendering: Rendering) -> Picture:
    """Decode and show a frame with all but the colour profile; raises as `rendered_as`."""
    number, fragments = frame
    description = describe(header)
    decoded = decode(description, fragments)
    picture = show(decoded, description, display_attributes(header, number), window=rendering.window)
    if has_overlays(header):
        picture = np.array(picture)
        for _, mask in overlay_masks(header, description, number, decoded.pixels):
            picture[mask] = WHITE
    if rendering.viewport is not None:
        picture = in_viewport(picture, rendering.viewport, pixel_ratio(header, number))
    if rendering.annotations:
        picture = annotated(
            picture, header, rendering.annotations, number, description.number_of_frames, rendering.font
        )
    return picture


def _film(header: Header, frames: Sequence[Frame], rendering: Rendering) -> bytes:
    description = describe(header)
    rows, columns = description.rows, description.columns
    if rendering.viewport is not None:
        rows, columns = rendering.viewport.rows, rendering.viewport.columns
    check_film(len(frames), rows, columns, description.pixels_per_frame)
    rendering = replace(rendering, window=rendering.window or _window_of_all(header, frames))

    def pictures() -> Iterator[Picture]:
        for frame in frames:
            yield picture_as(header, frame, rendering)

    shown_ms = durations_ms(header, [number for number, _ in frames])
    return film(pictures(), shown_ms, rendering.media_type, rendering.quality)


def _window_of_all(header: Header, frames: Sequence[Frame]) -> Window | None:
    """One window for a film whose frames bring none: one for each would flicker. The middle frame decides."""
    number, fragments = frames[len(frames) // 2]
    description, display = describe(header), display_attributes(header, number)
    if display.window is not None or display.voi_lut is not None or description.samples_per_pixel != 1:
        return None
    if display.modality == "CT" and description.bits_allocated > 8 and not description.is_float:
        return SOFT_TISSUE
    return found_window(decode(description, fragments).pixels, description, display)

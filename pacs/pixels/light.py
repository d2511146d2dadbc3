"""Images whose pictures are light work: plain samples, shown as a few short values say, and what those values say.

What a header tells of such an image is the same for all of its frames and all pictures of it, so who draws many of them
asks it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pacs.part10.header import Header
from pacs.pixels.decode import Fragment, decode
from pacs.pixels.description import PixelDescription, describe
from pacs.pixels.display import DisplayAttributes, display_attributes, is_shown_simply, pixel_ratio
from pacs.pixels.overlay import has_overlays
from pacs.pixels.render import JPEG_MEDIA_TYPE, encode, in_viewport, show
from pacs.pixels.rendering import Rendering

_LIGHT_SAMPLES = 1 << 20
"""Of an image, and pixels of the picture made of it."""


@dataclass(frozen=True, slots=True)
class LightImage:
    """What its header says of an image with which anybody may do what `rendered_as` does: it takes a few milliseconds,
    whatever is stored, and gives no stored bytes to a codec. The rest belongs to a decoder (`pacs.decoding`)."""

    description: PixelDescription
    display: DisplayAttributes
    """Of any frame: there are no functional groups."""
    pixel_ratio: float

    def takes(self, rendering: Rendering) -> bool:
        """Whether this picture of it is light work as well: a window, a JPEG."""
        viewport = rendering.viewport
        return (
            rendering.is_plain
            and rendering.media_type == JPEG_MEDIA_TYPE
            and (viewport is None or viewport.columns * viewport.rows <= _LIGHT_SAMPLES)
        )

    def rendered(self, fragments: Sequence[Fragment], rendering: Rendering) -> bytes:
        """One frame as a file, byte for byte that of `rendered_as`, for what `takes` allows; raises as that."""
        frame = decode(self.description, fragments)
        picture = show(frame, self.description, self.display, window=rendering.window)
        if rendering.viewport is not None:
            picture = in_viewport(picture, rendering.viewport, self.pixel_ratio)
        return encode(picture, rendering.media_type, rendering.quality)


def light_image(header: Header) -> LightImage | None:
    """What `header` says, when pictures of the image can be light work.

    Raises:
        UndecodablePixels: no pixel data.
    """
    if not is_shown_simply(header):
        return None
    description = describe(header)
    if (
        description.is_encapsulated
        or description.photometric_interpretation == "PALETTE COLOR"
        or description.bits_allocated not in (8, 16)
        or description.samples_per_frame > _LIGHT_SAMPLES
        or has_overlays(header)
    ):
        return None
    return LightImage(description, display_attributes(header), pixel_ratio(header))

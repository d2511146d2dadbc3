"""A stored frame to a picture for people: 8-bit grey or RGB, scaled, as JPEG or PNG (PS3.18 §8.3.5)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pacs.errors import InvalidRequest, NotAcceptable, NotFound, UndecodablePixels
from pacs.part10.header import Header
from pacs.pixels.decode import DecodedFrame, Fragment, decode
from pacs.pixels.description import PixelDescription, describe
from pacs.pixels.display import DisplayAttributes, Window, display_attributes
from pacs.pixels.lookup import Palette, rgb_table
from pacs.pixels.native import Pixels, stored_values
from pacs.pixels.window import to_8_bits

Picture = NDArray[np.uint8]
"""``(rows, columns)`` grey or ``(rows, columns, 3)`` RGB."""

JPEG_MEDIA_TYPE = "image/jpeg"
PNG_MEDIA_TYPE = "image/png"
DEFAULT_QUALITY = 90
MAX_VIEWPORT = 16384
"""Columns or rows a viewport may ask for."""
MAX_ENLARGED_PIXELS = 1 << 25
"""Pixels of a picture larger than its image: an 8K screen has as many; more would only cost memory."""


@dataclass(frozen=True, slots=True)
class Viewport:
    """Scale to fit into `columns` x `rows` with the aspect ratio kept, after cutting out a region (PS3.18 §8.3.5.1.3).

    A negative `width` or `height` mirrors the region; None means up to the image's edge.
    """

    columns: int
    rows: int
    left: float = 0
    top: float = 0
    width: float | None = None
    height: float | None = None


def rendered(
    header: Header,
    fragments: Sequence[Fragment],
    *,
    frame_number: int = 1,
    media_type: str = JPEG_MEDIA_TYPE,
    window: Window | None = None,
    viewport: Viewport | None = None,
    quality: int = DEFAULT_QUALITY,
) -> bytes:
    """Decode, window, scale and encode one frame: the whole way of a rendered resource.

    `fragments` are the stored fragments of frame `frame_number` (from 1), as `pacs.retrieve` hands them out.

    Raises:
        UndecodablePixels: no pixel data, or they can't be decoded.
        InvalidRequest: a viewport or quality outside its range.
        NotAcceptable: a media type other than JPEG and PNG.
    """
    picture = picture_of(header, fragments, frame_number=frame_number, window=window)
    if viewport is not None:
        picture = in_viewport(picture, viewport)
    return encode(picture, media_type, quality)


def picture_of(
    header: Header, fragments: Sequence[Fragment], *, frame_number: int = 1, window: Window | None = None
) -> Picture:
    """Decode one frame and show it as `show` does.

    Raises:
        UndecodablePixels: no pixel data, or they can't be decoded.
        NotFound: no such frame.
    """
    description = describe(header)
    if not fragments or frame_number < 1:
        raise NotFound(f"the instance has no frame {frame_number}")
    frame = decode(description, fragments)
    return show(frame, description, display_attributes(header, frame_number), window=window)


def show(
    frame: DecodedFrame, description: PixelDescription, display: DisplayAttributes, *, window: Window | None = None
) -> Picture:
    """A decoded frame as 8-bit grey or RGB. `window` applies to grey frames only (PS3.18 §8.3.5.1.4).

    Raises:
        UndecodablePixels: a photometric interpretation nobody knows how to show.
    """
    interpretation, pixels = frame.photometric_interpretation, frame.pixels
    if pixels.ndim == 2:
        if interpretation == "PALETTE COLOR" and display.palette is not None:
            return _coloured(stored_values(pixels, description), display.palette)
        return to_8_bits(pixels, description, display, window=window, is_inverse=interpretation == "MONOCHROME1")
    colours = _eight_bits(pixels, description)
    if interpretation in {"YBR_FULL", "YBR_ICT", "YBR_RCT"}:
        return _rgb_from_ycbcr(colours)
    if interpretation == "YBR_PARTIAL_422":
        return _rgb_from_ycbcr(_full_range(colours))
    if interpretation in {"RGB", "MONOCHROME2"}:
        return colours
    raise UndecodablePixels(f"Photometric Interpretation {interpretation!r} can't be shown with 3 samples per pixel")


def in_viewport(picture: Picture, viewport: Viewport, pixel_ratio: float = 1.0) -> Picture:
    """Cut out, mirror and scale; `pixel_ratio` is a pixel's height by its width, and the result's pixels are square.

    Raises:
        InvalidRequest: an empty or too large viewport, or a region outside the image.
    """
    if not (1 <= viewport.columns <= MAX_VIEWPORT and 1 <= viewport.rows <= MAX_VIEWPORT):
        raise InvalidRequest(f"viewport {viewport.columns},{viewport.rows}: both must be 1 to {MAX_VIEWPORT}")
    rows, columns = picture.shape[:2]
    width = columns - abs(viewport.left) if viewport.width is None else viewport.width
    height = rows - abs(viewport.top) if viewport.height is None else viewport.height
    # Absolute values give the place, whatever their sign (PS3.18 §8.3.5.1.3).
    left, top = round(abs(viewport.left)), round(abs(viewport.top))
    right, bottom = min(columns, round(left + abs(width))), min(rows, round(top + abs(height)))
    if not (0 <= left < right and 0 <= top < bottom):
        raise InvalidRequest(f"viewport region {left},{top},{width},{height} lies outside the {columns} x {rows} image")
    region = picture[top:bottom, left:right]
    if width < 0:
        region = region[:, ::-1]
    if height < 0:
        region = region[::-1]
    scaled_columns, scaled_rows = fitted_size(region, viewport.columns, viewport.rows, pixel_ratio)
    if scaled_columns * scaled_rows > max(MAX_ENLARGED_PIXELS, region.shape[0] * region.shape[1]):
        raise InvalidRequest(
            f"viewport {viewport.columns},{viewport.rows} enlarges the image beyond {MAX_ENLARGED_PIXELS} pixels"
        )
    return fitted(region, viewport.columns, viewport.rows, pixel_ratio)


def fitted_size(picture: Picture, columns: int, rows: int, pixel_ratio: float = 1.0) -> tuple[int, int]:
    """Columns and rows of what `fitted` gives."""
    height = picture.shape[0] * pixel_ratio
    scale = min(columns / picture.shape[1], rows / height)
    return max(1, round(picture.shape[1] * scale)), max(1, round(height * scale))


def fitted(picture: Picture, columns: int, rows: int, pixel_ratio: float = 1.0) -> Picture:
    """Scale to touch `columns` or `rows` from inside, with the aspect ratio kept; at least one pixel each way.

    `pixel_ratio` is the height of the picture's pixels by their width; those of the result are square.
    """
    size = fitted_size(picture, columns, rows, pixel_ratio)
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    resampling = Image.Resampling.BILINEAR if size[0] > picture.shape[1] else Image.Resampling.HAMMING
    return np.asarray(image.resize(size, resampling, reducing_gap=2.0))


def encode(picture: Picture, media_type: str = JPEG_MEDIA_TYPE, quality: int = DEFAULT_QUALITY) -> bytes:
    """Write a JPEG (`quality` 1 to 100, colour not subsampled) or a lossless PNG.

    Raises:
        InvalidRequest: quality outside 1 to 100.
        NotAcceptable: another media type, or a picture larger than JPEG can be.
    """
    if not 1 <= quality <= 100:
        raise InvalidRequest(f"quality {quality}: it must be 1 to 100 (PS3.18 §8.3.5.1.2)")
    picture = np.ascontiguousarray(picture)
    if media_type == JPEG_MEDIA_TYPE:
        if max(picture.shape[:2]) > 65500:
            raise NotAcceptable("the image is larger than a JPEG can be; ask for image/png or a smaller viewport")
        # Pillow writes the same and holds the interpreter meanwhile.
        return bytes(imagecodecs.jpeg8_encode(picture, level=quality, subsampling="444"))
    if media_type != PNG_MEDIA_TYPE:
        raise NotAcceptable(f"pictures are made as {JPEG_MEDIA_TYPE} and {PNG_MEDIA_TYPE}, not {media_type}")
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _coloured(indices: Pixels, tables: Palette) -> Picture:
    """Palette indices to RGB."""
    bits = 8 * indices.dtype.itemsize
    if indices.dtype.kind not in "iu" or bits > 16:
        raise UndecodablePixels(f"PALETTE COLOR with indices of {bits} bits can't be shown")
    return np.take(rgb_table(tables, bits, is_signed=indices.dtype.kind == "i"), indices.view(f"u{bits // 8}"), axis=0)


def _eight_bits(pixels: Pixels, description: PixelDescription) -> Picture:
    if pixels.dtype.kind == "f":
        raise UndecodablePixels("floating point colours can't be shown")
    if pixels.dtype == np.uint8 and description.bits_stored == 8:
        return pixels
    values = stored_values(pixels, description)
    shift = description.bits_stored - 8
    if values.dtype.kind == "i":
        values = values.astype(np.int64) + (1 << description.bits_stored - 1)
    shown: Picture = (values >> shift if shift >= 0 else values << -shift).astype(np.uint8)
    return shown


def _rgb_from_ycbcr(colours: Picture) -> Picture:
    """YBR_FULL to RGB (PS3.3 §C.7.6.3.1.2), which is what JPEG files have."""
    ycbcr = Image.frombuffer(
        "YCbCr", colours.shape[1::-1], np.ascontiguousarray(colours).tobytes(), "raw", "YCbCr", 0, 1
    )
    return np.asarray(ycbcr.convert("RGB"))


def _full_range(colours: Picture) -> Picture:
    """YBR_PARTIAL's 16..235 and 16..240 stretched to 0..255."""
    offsets = np.array([16, 128, 128], np.float32)
    scales = np.array([255 / 219, 255 / 224, 255 / 224], np.float32)
    stretched: NDArray[Any] = (colours.astype(np.float32) - offsets) * scales + np.array([0, 128, 128], np.float32)
    clamped: Picture = np.clip(np.rint(stretched), 0, 255).astype(np.uint8)
    return clamped

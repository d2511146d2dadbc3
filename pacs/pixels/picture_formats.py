"""Pictures as files: JPEG, PNG, GIF and JPEG 2000, with a colour profile where the format takes one (PS3.18 §8.7.4)."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
from PIL import Image

from pacs.errors import InvalidRequest, NotAcceptable
from pacs.pixels.render import JPEG_MEDIA_TYPE, PNG_MEDIA_TYPE, Picture, encode

GIF_MEDIA_TYPE = "image/gif"
JPEG_2000_MEDIA_TYPE = "image/jp2"
STILL_MEDIA_TYPES = (JPEG_MEDIA_TYPE, PNG_MEDIA_TYPE, GIF_MEDIA_TYPE, JPEG_2000_MEDIA_TYPE)
WITH_PROFILE = {JPEG_MEDIA_TYPE, PNG_MEDIA_TYPE, JPEG_2000_MEDIA_TYPE}
"""Media types that hold a colour profile."""
_MAX_GIF_SIDE = 65535


def encoded(picture: Picture, media_type: str, quality: int, profile: bytes | None = None) -> bytes:
    """A picture as a file; `quality` (1 to 100) counts for JPEG and JPEG 2000, whose 100 is lossless.

    Raises:
        InvalidRequest: quality outside 1 to 100.
        NotAcceptable: another media type, or a picture larger than it can be.
    """
    if media_type == GIF_MEDIA_TYPE:
        stream = io.BytesIO()
        gif_image(picture).save(stream, "GIF", optimize=False)
        return stream.getvalue()
    if media_type == JPEG_2000_MEDIA_TYPE:
        return _jpeg_2000(picture, quality, profile)
    if profile is None:
        return encode(picture, media_type, quality)
    if media_type not in WITH_PROFILE:
        raise NotAcceptable(f"pictures are made as {', '.join(STILL_MEDIA_TYPES)}, not {media_type}")
    if not 1 <= quality <= 100:
        raise InvalidRequest(f"quality {quality}: it must be 1 to 100 (PS3.18 §8.3.5.1.2)")
    if media_type == JPEG_MEDIA_TYPE and max(picture.shape[:2]) > 65500:
        raise NotAcceptable("the image is larger than a JPEG can be; ask for image/png or a smaller viewport")
    image, stream = Image.fromarray(np.ascontiguousarray(picture)), io.BytesIO()
    if media_type == JPEG_MEDIA_TYPE:
        image.save(stream, "JPEG", quality=quality, subsampling=0, icc_profile=profile)
    else:
        image.save(stream, "PNG", compress_level=1, icc_profile=profile)
    return stream.getvalue()


def gif_image(picture: Picture) -> Image.Image:
    """A picture in at most 256 colours: grey stays exact, other colours are the nearest of 256 chosen ones."""
    if max(picture.shape[:2]) > _MAX_GIF_SIDE:
        raise NotAcceptable("the image is larger than a GIF can be; ask for image/png or a smaller viewport")
    image = Image.fromarray(np.ascontiguousarray(picture))
    if picture.ndim == 2:
        return image
    return image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _jpeg_2000(picture: Picture, quality: int, profile: bytes | None) -> bytes:
    """JP2 (ISO/IEC 15444-1 Annex I); below 100 lossy, with a signal-to-noise ratio of 25 dB to 55 dB."""
    if not 1 <= quality <= 100:
        raise InvalidRequest(f"quality {quality}: it must be 1 to 100 (PS3.18 §8.3.5.1.2)")
    level = None if quality == 100 else round(25 + 0.3 * quality)
    pixels = np.ascontiguousarray(picture)
    file = imagecodecs.jpeg2k_encode(
        pixels,
        level=level,
        codecformat="jp2",
        reversible=quality == 100,
        colorspace="GRAY" if pixels.ndim == 2 else "RGB",
    )
    return bytes(file) if profile is None else with_jp2_profile(bytes(file), profile)


def with_jp2_profile(file: bytes, profile: bytes) -> bytes:
    """A JP2 file whose Colour Specification box holds `profile` (ISO/IEC 15444-1 §I.5.3.3)."""
    start, end = _box(file, b"jp2h", 0, len(file))
    colour_start, colour_end = _box(file, b"colr", start + 8, end)
    colour = struct.pack(">I4sBBB", 11 + len(profile), b"colr", 2, 0, 0) + profile
    inner = file[start + 8 : colour_start] + colour + file[colour_end:end]
    return file[:start] + struct.pack(">I4s", 8 + len(inner), b"jp2h") + inner + file[end:]


def _box(file: bytes, kind: bytes, start: int, end: int) -> tuple[int, int]:
    """Where a box of a file that was just written starts and ends."""
    while start + 8 <= end:
        length = int.from_bytes(file[start : start + 4], "big") or end - start
        if file[start + 4 : start + 8] == kind:
            return start, start + length
        start += length
    raise NotAcceptable("the JPEG 2000 file has no place for a colour profile; ask for image/png")

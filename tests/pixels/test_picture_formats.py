from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pacs.errors import InvalidRequest, NotAcceptable
from pacs.pixels.colour_profile import well_known
from pacs.pixels.picture_formats import STILL_MEDIA_TYPES, encoded
from tests.pixels.images import colours, gradient

GREY = gradient(bits=8).astype(np.uint8)


def opened(file: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(file))
    image.load()
    return image


@pytest.mark.parametrize("media_type", STILL_MEDIA_TYPES)
def test_each_format_is_what_it_says(media_type: str) -> None:
    kind = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/jp2": "JPEG2000"}[media_type]
    for picture in (GREY, colours()):
        image = opened(encoded(picture, media_type, 90))
        assert (image.format, image.size) == (kind, (48, 32))
        shown = np.asarray(image.convert("L" if picture.ndim == 2 else "RGB")).astype(int)
        assert np.abs(shown - picture).mean() < 9


def test_grey_is_exact_in_gif_and_at_full_quality_in_jpeg_2000() -> None:
    for media_type, quality in (("image/gif", 1), ("image/jp2", 100)):
        assert np.array_equal(np.asarray(opened(encoded(GREY, media_type, quality))), GREY)


def test_quality_counts_in_jpeg_2000() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    sizes = [len(encoded(noise, "image/jp2", quality)) for quality in (1, 50, 99)]
    assert sizes == sorted(sizes)
    assert sizes[0] * 2 < sizes[2]


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/jp2"])
def test_a_colour_profile_is_in_the_file(media_type: str) -> None:
    profile = well_known("adobergb")
    image = opened(encoded(colours(), media_type, 100, profile))
    file = encoded(colours(), media_type, 100, profile)
    # Pillow does not read the Colour Specification box of JPEG 2000: method 2, restricted ICC profile.
    inside = b"colr\2\0\0" + profile in file if media_type == "image/jp2" else image.info["icc_profile"] == profile
    assert inside
    assert np.abs(np.asarray(image).astype(int) - colours()).max() <= (3 if media_type == "image/jpeg" else 0)


def test_what_cannot_be_made_is_said() -> None:
    with pytest.raises(NotAcceptable, match="image/bmp"):
        encoded(GREY, "image/bmp", 90)
    with pytest.raises(NotAcceptable, match="image/gif"):
        encoded(GREY, "image/gif2", 90, b"profile")
    with pytest.raises(InvalidRequest, match="quality 0"):
        encoded(GREY, "image/jp2", 0)
    with pytest.raises(NotAcceptable, match="larger than a GIF"):
        encoded(np.zeros((1, 65536), np.uint8), "image/gif", 90)

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from pacs.errors import InvalidRequest, NotAcceptable, NotFound, UndecodablePixels
from pacs.pixels.display import Window
from pacs.pixels.render import Viewport, encode, fitted, in_viewport, picture_of, rendered
from tests.part10.encoding import explicit
from tests.pixels.images import colours, data_set, decimal, gradient, scanned


def test_a_slice_becomes_a_jpeg_or_a_png_of_its_size() -> None:
    pixels = gradient()
    header = scanned(data_set(pixels, decimal(0x00281050, 2048), decimal(0x00281051, 4096)))
    for media_type, kind in (("image/jpeg", "JPEG"), ("image/png", "PNG")):
        with Image.open(io.BytesIO(rendered(header, [pixels.tobytes()], media_type=media_type))) as image:
            assert (image.format, image.mode, image.size) == (kind, "L", (48, 32))
            assert np.abs(np.asarray(image).astype(int) - (pixels >> 4)).max() < 12


def test_a_png_is_exact() -> None:
    pixels = colours()
    picture = rendered(scanned(data_set(pixels)), [pixels.tobytes()], media_type="image/png")
    with Image.open(io.BytesIO(picture)) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_window_viewport_and_quality_are_obeyed() -> None:
    pixels = gradient()
    header = scanned(data_set(pixels))
    dark = rendered(header, [pixels.tobytes()], window=Window(9000, 100), media_type="image/png")
    with Image.open(io.BytesIO(dark)) as image:
        assert image.getextrema() == (0, 0)
    small = rendered(header, [pixels.tobytes()], viewport=Viewport(24, 24), quality=10)
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (24, 16)
    assert len(rendered(header, [pixels.tobytes()], quality=5)) < len(rendered(header, [pixels.tobytes()], quality=95))


def test_ycbcr_becomes_rgb() -> None:
    pixels = np.full((4, 4, 3), (76, 85, 255), np.uint8)
    picture = picture_of(scanned(data_set(pixels, photometric_interpretation="YBR_FULL")), [pixels.tobytes()])
    assert np.abs(picture.astype(int) - (254, 0, 0)).max() <= 2


def test_partial_ycbcr_has_black_at_16_and_white_at_235() -> None:
    pixels = np.zeros((1, 2, 3), np.uint8)
    header = scanned(data_set(pixels, photometric_interpretation="YBR_PARTIAL_422"))
    assert picture_of(header, [bytes([16, 235, 128, 128])]).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_sixteen_bit_colours_keep_their_upper_bits() -> None:
    pixels = colours().astype(np.uint16) << 8
    assert np.array_equal(picture_of(scanned(data_set(pixels)), [pixels.tobytes()]), colours())


def test_a_palette_colours_its_indices() -> None:
    pixels = np.array([[0, 1]], np.uint8)
    descriptors = [explicit(tag, "US", struct.pack("<3H", 2, 0, 8)) for tag in (0x00281101, 0x00281102, 0x00281103)]
    tables = [
        explicit(tag, "OW", struct.pack("<2H", *entries))
        for tag, entries in ((0x00281201, (10, 255)), (0x00281202, (20, 0)), (0x00281203, (30, 7)))
    ]
    content = data_set(pixels, *descriptors, *tables, photometric_interpretation="PALETTE COLOR")
    assert picture_of(scanned(content), [pixels.tobytes()]).tolist() == [[[10, 20, 30], [255, 0, 7]]]


def test_an_unknown_photometric_interpretation_is_said() -> None:
    pixels = colours()
    with pytest.raises(UndecodablePixels, match="'HSV'"):
        picture_of(scanned(data_set(pixels, photometric_interpretation="HSV")), [pixels.tobytes()])


def test_a_frame_that_is_not_there_is_said() -> None:
    with pytest.raises(NotFound, match="no frame 1"):
        picture_of(scanned(data_set(gradient())), [])


def test_a_viewport_cuts_mirrors_and_scales() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(in_viewport(picture, Viewport(4, 3)), picture)
    assert in_viewport(picture, Viewport(2, 2, left=1, top=1, width=2, height=2)).tolist() == [[5, 6], [9, 10]]
    assert in_viewport(picture, Viewport(2, 2, left=1, top=1, width=-2, height=2)).tolist() == [[6, 5], [10, 9]]
    assert in_viewport(picture, Viewport(2, 2, left=1, top=1, width=2, height=-2)).tolist() == [[9, 10], [5, 6]]
    assert in_viewport(picture, Viewport(8, 100)).shape == (6, 8)
    # The corner is told by absolute values (PS3.18 §8.3.5.1.3).
    assert in_viewport(picture, Viewport(2, 2, left=-1, top=-1, width=2, height=2)).tolist() == [[5, 6], [9, 10]]


def test_pixels_that_are_not_square_are_made_so() -> None:
    picture = np.zeros((10, 20), np.uint8)
    assert in_viewport(picture, Viewport(100, 100), pixel_ratio=2).shape == (100, 100)
    assert in_viewport(picture, Viewport(100, 100), pixel_ratio=4).shape == (100, 50)
    assert in_viewport(picture, Viewport(100, 100), pixel_ratio=0.5).shape == (25, 100)


@pytest.mark.parametrize(
    "viewport",
    [Viewport(0, 5), Viewport(5, 99999), Viewport(5, 5, left=4), Viewport(5, 5, top=-3), Viewport(5, 5, width=0)],
)
def test_a_viewport_that_holds_nothing_is_refused(viewport: Viewport) -> None:
    with pytest.raises(InvalidRequest, match="viewport"):
        in_viewport(np.zeros((3, 4), np.uint8), viewport)


def test_a_picture_is_not_enlarged_beyond_what_a_screen_shows() -> None:
    with pytest.raises(InvalidRequest, match="enlarges"):
        in_viewport(np.zeros((3, 4), np.uint8), Viewport(16384, 16384))


def test_a_thin_image_keeps_at_least_one_pixel() -> None:
    assert fitted(np.zeros((1000, 2), np.uint8), 100, 100).shape == (100, 1)


def test_quality_and_media_type_are_checked() -> None:
    picture = np.zeros((3, 4), np.uint8)
    with pytest.raises(InvalidRequest, match="quality 101"):
        encode(picture, quality=101)
    with pytest.raises(NotAcceptable, match="image/gif"):
        encode(picture, "image/gif")
    with pytest.raises(NotAcceptable, match="larger than a JPEG"):
        encode(np.zeros((1, 65501), np.uint8))

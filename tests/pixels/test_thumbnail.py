from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pacs.pixels.thumbnail import THUMBNAIL_SIDE, middle, thumbnail
from tests.pixels.images import data_set, gradient, scanned


def test_a_thumbnail_is_small_and_shows_something() -> None:
    pixels = gradient(600, 400)
    with Image.open(io.BytesIO(thumbnail(scanned(data_set(pixels)), [pixels.tobytes()]))) as image:
        assert image.format == "JPEG"
        assert image.size == (round(THUMBNAIL_SIDE * 400 / 600), THUMBNAIL_SIDE)
        assert np.ptp(np.asarray(image)) > 200


def test_a_small_image_keeps_its_size() -> None:
    pixels = gradient(20, 30)
    picture = thumbnail(scanned(data_set(pixels)), [pixels.tobytes()], media_type="image/png")
    with Image.open(io.BytesIO(picture)) as image:
        assert (image.format, image.size) == ("PNG", (30, 20))


@pytest.mark.parametrize(
    ("box", "size"),
    [((50, 200), (50, 6)), ((400, 10), (80, 10)), ((64, 200), (64, 8)), ((500, 500), (400, 50))],
)
def test_it_fits_into_columns_and_rows(box: tuple[int, int], size: tuple[int, int]) -> None:
    pixels = gradient(50, 400)
    with Image.open(io.BytesIO(thumbnail(scanned(data_set(pixels)), [pixels.tobytes()], box=box))) as image:
        assert image.size == size


def test_the_middle_stands_for_all() -> None:
    assert [middle(count) for count in (0, 1, 2, 3, 4, 135)] == [1, 1, 2, 2, 3, 68]

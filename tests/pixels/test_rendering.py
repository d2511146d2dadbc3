from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset

from pacs.errors import NotAcceptable
from pacs.pixels.animation import MAX_FRAMES
from pacs.pixels.display import Window
from pacs.pixels.render import Viewport, rendered
from pacs.pixels.rendering import (
    Rendering,
    check_length,
    film_of,
    picture_for_film,
    rendered_as,
    window_of_film,
)
from tests.dicomweb.served import image
from tests.pixels.test_presentation import scanned

JPEG_LS = "1.2.840.10008.1.2.4.80"


def opened(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as found:
        return np.asarray(found)


def first(data_set: FileDataset) -> Any:
    return 1, [memoryview(data_set.PixelData)]


def test_the_plain_way_is_that_of_render() -> None:
    subject = image()
    header, frame = scanned(subject), first(subject)
    for rendering in (Rendering(), Rendering("image/png", window=Window(9, 3), viewport=Viewport(10, 10), quality=3)):
        assert rendering.is_plain
        plain = rendered(
            header,
            frame[1],
            media_type=rendering.media_type,
            window=rendering.window,
            viewport=rendering.viewport,
            quality=rendering.quality,
        )
        assert rendered_as(header, frame, rendering) == plain


def test_overlays_are_drawn_over_the_image() -> None:
    subject = image()
    bits = np.zeros((16, 24), np.uint8)
    bits[2:5, 3:9] = 1
    for tag, number in {0x60000010: 16, 0x60000011: 24, 0x60000100: 1, 0x60000102: 0}.items():
        subject.add_new(tag, "US", number)
    subject.add_new(0x60003000, "OW", np.packbits(bits.ravel(), bitorder="little").tobytes())
    shown = opened(rendered_as(scanned(subject), first(subject), Rendering("image/png")))
    without = image()
    plain = opened(rendered_as(scanned(without), first(without), Rendering("image/png")))
    assert np.array_equal(shown, np.where(bits, 255, plain))


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({"PixelSpacing": [1, 2]}, (8, 24)),
        ({"PixelAspectRatio": [2, 1]}, (24, 18)),
        ({"PixelSpacing": [1, 1], "PixelAspectRatio": [2, 1]}, (16, 24)),
        ({"ImagerPixelSpacing": [2, 1]}, (24, 18)),
        ({"PixelSpacing": [0, 0]}, (16, 24)),
        ({"PixelSpacing": [1, 100000]}, (16, 24)),
    ],
)
def test_pixels_that_are_not_square(attributes: dict[str, Any], shape: tuple[int, int]) -> None:
    subject = image(**attributes)
    assert opened(rendered_as(scanned(subject), first(subject), Rendering(viewport=Viewport(24, 24)))).shape == shape
    # Without a viewport the picture has the image's pixel matrix (PS3.18 §8.3.5.1.3).
    assert opened(rendered_as(scanned(subject), first(subject), Rendering())).shape == (16, 24)


def test_frames_without_a_window_share_one_in_a_film() -> None:
    frames = [np.full((16, 24), 100), np.arange(384).reshape(16, 24), np.full((16, 24), 300)]
    subject = image(
        Modality="MR", NumberOfFrames=3, WindowCenter=None, WindowWidth=None,
        PixelData=np.stack(frames).astype("<u2").tobytes(),
    )  # fmt: skip
    header = scanned(subject)
    stored = [(number, [memoryview(each.astype("<u2").tobytes())]) for number, each in enumerate(frames, 1)]
    window = window_of_film(header, stored[1])
    assert window is not None
    pictures = [picture_for_film(header, frame, Rendering("image/gif", window=window)) for frame in stored]
    assert len(set(pictures[0].pixels)) == 1
    assert 40 < pictures[0].pixels[0] < 90 < 180 < pictures[2].pixels[0] < 220
    with Image.open(io.BytesIO(film_of(pictures, [100] * 3, "image/gif", 90))) as film:
        assert film.n_frames == 3
    assert window_of_film(scanned(image()), first(image())) is None
    assert window_of_film(scanned(image(WindowCenter=None, WindowWidth=None)), first(image())) == Window(40, 400)


def test_a_film_that_is_too_long_is_refused() -> None:
    header = scanned(image())
    check_length(header, MAX_FRAMES, Rendering("image/gif"))
    for frames, viewport in ((MAX_FRAMES + 1, None), (200, Viewport(16384, 16384))):
        with pytest.raises(NotAcceptable, match="film"):
            check_length(header, frames, Rendering("image/gif", viewport=viewport))

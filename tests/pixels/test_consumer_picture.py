"""PNG and GIF as native pixels: whatever the bytes are, pixels or an error of ours."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pacs.errors import UndecodablePixels
from pacs.pixels import consumer_picture
from pacs.pixels.consumer_picture import native_picture

PIXELS = np.arange(48, dtype="u1").reshape(6, 8)


def picture(kind: str, count: int = 1) -> bytes:
    written = io.BytesIO()
    images = [Image.fromarray(PIXELS + number) for number in range(count)]
    options = {"save_all": True, "append_images": images[1:]} if count > 1 else {}
    images[0].save(written, kind, **options)
    return written.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_pixels(kind: str) -> None:
    found = native_picture(picture(kind), f"image/{kind.lower()}", is_grey=True)
    assert found == (1, 6, 8, 1, 8, PIXELS.tobytes())


def test_a_film_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    film = picture("GIF", 5)
    assert native_picture(film, "image/gif")[0] == 5
    monkeypatch.setattr(consumer_picture, "MAX_PIXELS", 48 * 4)
    with pytest.raises(UndecodablePixels, match="together"):
        native_picture(film, "image/gif")


@given(st.sampled_from(["PNG", "GIF"]), st.integers(0, 400), st.binary(max_size=6), st.integers(0, 400))
def test_any_damage_is_an_error_of_ours(kind: str, position: int, damage: bytes, end: int) -> None:
    data = picture(kind, 2)
    data = (data[:position] + damage + data[position + len(damage) :])[: max(end, position + 1)]
    try:
        frames, rows, columns, samples, bits, native = native_picture(data, f"image/{kind.lower()}")
    except UndecodablePixels:
        return
    assert len(native) == frames * rows * columns * samples * bits // 8

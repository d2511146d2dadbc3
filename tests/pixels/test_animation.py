from __future__ import annotations

import io
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from pacs.errors import NotAcceptable
from pacs.pixels import animation
from pacs.pixels.animation import MAX_FRAMES, can_make_mp4, check_film, durations_ms, film
from tests.part10.encoding import explicit
from tests.pixels.images import data_set, decimal, gradient, scanned


def whole(tag: int, number: int) -> bytes:
    text = str(number)
    return explicit(tag, "IS", text.ljust(len(text) + len(text) % 2).encode())


def pictures(count: int, shape: tuple[int, ...] = (48, 64)) -> list[np.ndarray]:
    """A bright bar that moves to the right over a ramp."""
    found = []
    for number in range(count):
        picture = np.broadcast_to(
            np.linspace(0, 120, shape[1]).astype(np.uint8)[:, np.newaxis][..., 0], shape[:2]
        ).copy()
        picture[:, 4 * number : 4 * number + 4] = 250
        found.append(picture if len(shape) == 2 else np.stack([picture, picture // 2, 255 - picture], axis=-1))
    return found


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ((), [100, 100, 100]),
        ((whole(0x00082144, 25),), [40, 40, 40]),
        ((whole(0x00180040, 10), whole(0x00082144, 25)), [40, 40, 40]),
        ((whole(0x00180040, 10), decimal(0x00181063, 40)), [100, 100, 100]),
        ((decimal(0x00181063, 33.3),), [33.3, 33.3, 33.3]),
        ((decimal(0x00181065, 0, 50, 70),), [50, 70, 100]),
        ((decimal(0x00181065, 0, 50, 70), decimal(0x00181063, 60)), [50, 70, 60]),
        ((whole(0x00082144, 100000),), [20, 20, 20]),
        ((decimal(0x00181063, 1e9),), [10000, 10000, 10000]),
        ((decimal(0x00181063, -5), whole(0x00180040, 0)), [100, 100, 100]),
    ],
)
def test_how_long_a_frame_stays(elements: tuple[bytes, ...], expected: list[float]) -> None:
    assert durations_ms(scanned(data_set(gradient(), *elements)), (1, 2, 3)) == pytest.approx(expected)


def test_a_gif_has_every_frame_as_long_as_it_stays() -> None:
    shown = pictures(5)
    with Image.open(io.BytesIO(film(shown, [40, 60, 80, 40, 100], "image/gif", 90))) as image:
        assert image.n_frames == 5
        assert image.info["loop"] == 0
        for number, each in enumerate(shown):
            image.seek(number)
            assert np.array_equal(np.asarray(image.convert("L")), each)
            assert image.info["duration"] == [40, 60, 80, 40, 100][number]


@pytest.mark.parametrize("shape", [(48, 64), (47, 63), (48, 64, 3)])
def test_an_mp4_has_every_frame_at_its_time(shape: tuple[int, ...]) -> None:
    av = pytest.importorskip("av")
    shown = pictures(6, shape)
    file = film(shown, [40, 60, 80, 40, 100, 40], "video/mp4", 95)
    assert file.index(b"moov") < file.index(b"mdat")
    with av.open(io.BytesIO(file)) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].codec_context.name == "h264"
    assert [frame.pts * frame.time_base for frame in frames] == [
        Fraction(milliseconds, 1000) for milliseconds in (0, 40, 100, 180, 220, 320)
    ]
    for frame, each in zip(frames, shown, strict=True):
        decoded = frame.to_ndarray(format="gray" if len(shape) == 2 else "rgb24")[: shape[0], : shape[1]]
        assert np.abs(decoded.astype(int) - each).mean() < 12


def test_quality_counts_in_a_film() -> None:
    pytest.importorskip("av")
    noise = list(np.random.default_rng(1).integers(0, 256, (3, 64, 64), np.uint8))
    assert len(film(noise, [40] * 3, "video/mp4", 10)) < len(film(noise, [40] * 3, "video/mp4", 90)) / 2


def test_a_film_is_bounded_before_anything_is_decoded() -> None:
    check_film(MAX_FRAMES, 128, 128, 128 * 128)
    for frames, rows, columns, decoded in ((MAX_FRAMES + 1, 1, 1, 1), (100, 16384, 16384, 1), (900, 8, 8, 1 << 20)):
        with pytest.raises(NotAcceptable, match="frames/1,5,9/rendered"):
            check_film(frames, rows, columns, decoded)


def test_without_the_package_an_mp4_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert not can_make_mp4()
    with pytest.raises(NotAcceptable, match=r"pacs\[video\]"):
        film(pictures(2), [40, 40], "video/mp4", 90)


def test_another_kind_of_film_is_refused() -> None:
    with pytest.raises(NotAcceptable, match="video/webm"):
        film(pictures(2), [40, 40], "video/webm", 90)


def test_the_same_pictures_are_the_same_film() -> None:
    """Byte for byte, so that ranges of films that two processes made fit together; with x264's mbtree, which is on
    unless it is told not to be, these became 8 different files."""
    pytest.importorskip("av")
    steps = np.random.default_rng(1).integers(-3, 4, (24, 64, 64))
    shown = list((np.cumsum(steps, axis=2) % 256).astype(np.uint8)[12:])
    films = set()
    for size in range(60):
        held = [bytes(1 + 977 * size * each) for each in range(5)]  # so that memory is not the same each time
        films.add(animation._mp4(iter(shown), [40.0] * len(shown), 90))
        del held
    assert len(films) == 1

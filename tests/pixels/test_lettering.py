from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pacs.pixels.lettering import Lettering, in_latin


def drawn(text: str, size: int = 20, width: int = 600, mode: str = "L") -> np.ndarray:
    image = Image.new(mode, (width, 2 * size))
    Lettering(size).draw(image, (5, 5), text)
    return np.asarray(image)


@pytest.mark.parametrize(
    ("text", "latin"),
    [
        ("홍길동", "honggildong"), ("서울", "seoul"), ("값", "gap"), ("한글", "hangeul"), ("의사", "uisa"),
        ("ABC", "ABC"), ("é", "e"), ("洪", "?"),
    ],
)  # fmt: skip
def test_in_latin(text: str, latin: str) -> None:
    assert "".join(map(in_latin, text)) == latin


def test_no_letter_becomes_the_box_of_what_a_font_lacks() -> None:
    assert np.array_equal(drawn("홍길동"), drawn("honggildong"))
    assert not np.array_equal(drawn("홍길동"), drawn("\uffff\uffff\uffff"))
    assert not Lettering(20).has("홍")
    assert Lettering(20).has("Kim 12")


def test_letters_are_white_with_a_dark_rim() -> None:
    bright = np.asarray(_on(200))
    assert (bright > 240).sum() > 50
    assert (bright < 20).sum() > 50
    assert drawn("Text").max() == 255
    assert drawn("Text", mode="RGB").shape == (40, 600, 3)


def _on(grey: int) -> Image.Image:
    image = Image.new("L", (200, 40), grey)
    Lettering(20).draw(image, (5, 5), "Text")
    return image


def test_a_text_is_cut_where_the_room_ends() -> None:
    lettering = Lettering(16)
    assert lettering.cut("short", 500) == "short"
    cut = lettering.cut("a rather long line of text", 100)
    assert cut.endswith("...")
    assert lettering.width(cut) <= 100
    assert lettering.cut("anything", 1) == ""


def test_a_font_that_is_none_is_left_alone() -> None:
    assert not Lettering(16, b"no font").has("홍")


@given(st.text(max_size=60))
def test_any_text_can_be_drawn(text: str) -> None:
    picture = drawn(text, 12, 200)
    if any(unicodedata.category(character)[0] in "LN" and character.isascii() for character in text[:5]):
        assert picture.max() > 0

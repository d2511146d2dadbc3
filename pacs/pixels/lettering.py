"""Text on pictures, in letters that can be read: white with a dark rim.

The library's own font has Latin letters. Others come from a font that the archive gives; where that has none either,
or none is given, Hangul is written in Latin letters and accents are left away: no name becomes a row of boxes.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]
"""x, y in pixels from the picture's top left corner."""

_INITIALS = "g kk n d tt r m b pp s ss - j jj ch k t p h".replace("-", "").split(" ")
_MEDIALS = "a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu eu ui -i".replace("-", "").split(" ")
_FINALS = "- k k k n n n t l k m l l l p l m p p t t ng t t k t p t".replace("-", "").split(" ")
_NOWHERE = "\uffff"
"""No character; a font draws for it what it draws for all that it lacks."""
_MAX_CHARACTERS = 400
_ELLIPSIS = "..."


@dataclass(slots=True)
class Lettering:
    """Draws text of one height. For one picture."""

    size: int
    """Height of the letters' line in pixels, 6 or more."""
    font: bytes = b""
    """A TrueType or OpenType font for what the library's own lacks; empty when there is none."""
    _own: ImageFont.FreeTypeFont = field(init=False)
    _other: ImageFont.FreeTypeFont | None = field(init=False, default=None)
    _known: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        own = ImageFont.load_default(self.size)
        assert isinstance(own, ImageFont.FreeTypeFont)  # noqa: S101 -- it is, when a size is given
        self._own = own
        if self.font:
            try:
                self._other = ImageFont.truetype(io.BytesIO(self.font), self.size)
            except OSError:
                self._other = None

    def has(self, text: str) -> bool:
        """Whether all of `text` can be drawn as it is."""
        return all(self._source(character) for character in text)

    def width(self, text: str) -> float:
        """In pixels."""
        return sum(font.getlength(run) for font, run in self._runs(text))

    def cut(self, text: str, width: float) -> str:
        """`text`, or as much of it from its start as fits into `width` pixels."""
        if self.width(text) <= width:
            return text
        end = len(text)
        while end and self.width(text[:end] + _ELLIPSIS) > width:
            end -= 1
        return text[:end] + _ELLIPSIS if end else ""

    def draw(self, image: Image.Image, at: Point, text: str, grey: int = 255) -> None:
        """Draw one line with its top left corner `at`; what lies outside the picture is cut off."""
        drawing = ImageDraw.Draw(image)
        fill, rim = (grey, 0 if grey > 127 else 255)
        colours = (
            {"fill": fill, "stroke_fill": rim}
            if image.mode == "L"
            else {"fill": (fill,) * 3, "stroke_fill": (rim,) * 3}
        )
        x, y = at
        for font, run in self._runs(text):
            drawing.text(
                (x, y + self.size), run, font=font, anchor="ls", stroke_width=max(1, self.size // 14), **colours
            )
            x += font.getlength(run)

    def _source(self, character: str) -> int:
        """1 for the own font, 2 for the other one, 0 when neither has it."""
        if character not in self._known:
            fonts = (self._own, self._other)
            self._known[character] = next(
                (number for number, font in enumerate(fonts, 1) if font is not None and _has(font, character)), 0
            )
        return self._known[character]

    def _runs(self, text: str) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
        """Pieces of one font each, with what neither has put into other letters."""
        run, source = "", 1
        for character in self._legible(text[:_MAX_CHARACTERS]):
            needed = self._source(character) or 1
            if run and needed != source and not character.isspace():
                yield self._font(source), run
                run = ""
            if not run or not character.isspace():
                source = needed
            run += character
        if run:
            yield self._font(source), run

    def _font(self, source: int) -> ImageFont.FreeTypeFont:
        return self._other if source == 2 and self._other is not None else self._own

    def _legible(self, text: str) -> str:
        return "".join(character if self._source(character) else in_latin(character) for character in _printable(text))


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    return character.isspace() or bytes(font.getmask(character)) != bytes(font.getmask(_NOWHERE))


def _printable(text: str) -> str:
    """Without control characters, and without those that change the direction of the text around them."""
    return "".join(" " if character in "\t\r\n" else character for character in text if _is_shown(character))


def _is_shown(character: str) -> bool:
    return character in "\t\r\n" or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}


def in_latin(character: str) -> str:
    """A character in ASCII: Hangul as it sounds (Revised Romanization, syllable by syllable), letters without accents,
    and a question mark for all else."""
    index = ord(character) - 0xAC00
    if 0 <= index < len(_INITIALS) * len(_MEDIALS) * len(_FINALS):
        initial, rest = divmod(index, len(_MEDIALS) * len(_FINALS))
        medial, final = divmod(rest, len(_FINALS))
        return _INITIALS[initial] + _MEDIALS[medial] + _FINALS[final]
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"

"""The font for text on pictures in other letters than Latin ones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from pacs import log

_USUAL = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/nanum/NanumGothic.ttf",
    "/usr/share/fonts/truetype/unifont/unifont.ttf",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
"""Where distributions put fonts with many letters, those with Hangul first; used when the settings name none."""
_MAX_FONT_BYTES = 64 << 20


def font_for(setting: Path | None, texts: Iterable[str]) -> bytes:
    """The font file when one of `texts` needs it; empty when none does, or there is none."""
    return _font(setting)[0] if not all(text.isascii() for text in texts) else b""


def identity_of_font(setting: Path | None) -> str:
    """Differs when what `font_for` gives does; empty when there is no font."""
    return _font(setting)[1]


@lru_cache(maxsize=2)
def _font(setting: Path | None) -> tuple[bytes, str]:
    """It and its digest, read together, so that a font replaced meanwhile is never told as the other one."""
    for path in [setting] if setting is not None else map(Path, _USUAL):
        try:
            if path.stat().st_size <= _MAX_FONT_BYTES:
                font = path.read_bytes()
                return font, sha256(font).hexdigest()
        except OSError as problem:
            if setting is not None:
                log.failure("font cannot be read", problem, path=str(path))
    return b"", ""

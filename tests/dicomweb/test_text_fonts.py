from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs.dicomweb import text_fonts
from pacs.dicomweb.text_fonts import font_for


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    text_fonts._font.cache_clear()
    yield
    text_fonts._font.cache_clear()


def test_a_font_is_read_only_when_letters_need_it(tmp_path: Path) -> None:
    path = tmp_path / "font.ttf"
    path.write_bytes(b"a font")
    assert font_for(path, ["Kim", "2024-01-01"]) == b""
    assert font_for(path, ["Kim", "김"]) == b"a font"


def test_a_font_that_is_not_there_is_done_without(tmp_path: Path) -> None:
    assert font_for(tmp_path / "none.ttf", ["김"]) == b""


def test_without_a_setting_the_usual_places_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "second.ttf").write_bytes(b"second")
    monkeypatch.setattr(text_fonts, "_USUAL", (str(tmp_path / "first.ttf"), str(tmp_path / "second.ttf")))
    assert font_for(None, ["김"]) == b"second"
    text_fonts._font.cache_clear()
    monkeypatch.setattr(text_fonts, "_USUAL", ())
    assert font_for(None, ["김"]) == b""


def test_a_file_too_large_for_a_font_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large.ttf").write_bytes(b"0123456789")
    monkeypatch.setattr(text_fonts, "_MAX_FONT_BYTES", 9)
    assert font_for(tmp_path / "large.ttf", ["김"]) == b""

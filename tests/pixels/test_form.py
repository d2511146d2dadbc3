from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest

from pacs.pixels import form
from pacs.pixels.form import form_of_frames, form_of_pictures


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    form_of_frames.cache_clear()
    form_of_pictures.cache_clear()


def test_it_names_what_makes_them() -> None:
    for found in (form_of_pictures(), form_of_frames()):
        assert f"imagecodecs/{version('imagecodecs')}" in found
        assert f"pillow/{version('pillow')}" in found
        assert found.isascii()
        assert "\n" not in found, "it is a line of what is kept"


@pytest.mark.parametrize("changed", form._LIBRARIES)
def test_another_library_is_another_form(monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    before = form_of_pictures(), form_of_frames()
    monkeypatch.setattr(form, "version", lambda name: "0.0" if name == changed else version(name))
    form_of_frames.cache_clear()
    form_of_pictures.cache_clear()
    assert form_of_pictures() != before[0]
    assert form_of_frames() != before[1]

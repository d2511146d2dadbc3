"""Decoders can load nothing themselves, so all that `pacs.pixels` uses must have been loaded before."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pacs.pixels
from pacs.decoding import warming

_CODE = "\n".join(path.read_text(encoding="utf-8") for path in Path(pacs.pixels.__path__[0]).glob("*.py"))


def test_every_codec_that_the_code_names_is_warmed() -> None:
    named = set(re.findall(r"imagecodecs\.([a-z0-9]+)_(?:en|de)code", _CODE))
    assert len(named) >= 6
    assert named == set(warming._CODECS)


def test_every_module_of_pixels_is_loaded_and_nothing_new_by_pictures() -> None:
    program = "import sys; from pacs.decoding.warming import warm; warm(()); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
    modules = set(loaded.stdout.split())
    assert {f"pacs.pixels.{path.stem}" for path in Path(pacs.pixels.__path__[0]).glob("[a-z]*.py")} <= modules
    assert {"numpy.ma", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.GifImagePlugin"} <= modules

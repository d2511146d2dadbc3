"""Loading and calling once all that decoders use: they can open no file, so what is missing then stays missing."""

from __future__ import annotations

import contextlib
import importlib
import io
import pkgutil

import imagecodecs
import numpy as np
from PIL import Image, ImageFont

import pacs.decoding.serving
import pacs.pixels

_CODECS = ("htj2k", "jpeg2k", "jpeg8", "jpegls", "jpegxl", "packbits")
"""Of imagecodecs, which loads each one when it is first named; a test compares them with what `pacs.pixels` names."""
_OPTIONAL = ("av",)
"""For films; most archives do without."""


def warm() -> None:
    """Everything has been loaded when this returns."""
    for module in pkgutil.walk_packages(pacs.pixels.__path__, "pacs.pixels."):
        importlib.import_module(module.name)
    for name in _OPTIONAL:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    Image.init()
    picture = Image.new("L", (8, 8))
    for kind in ("JPEG", "PNG", "GIF"):
        picture.save(io.BytesIO(), kind)
    with contextlib.suppress(OSError):
        ImageFont.load_default(12)
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for name in _CODECS:
        encoded = getattr(imagecodecs, f"{name}_encode")(pixels)
        getattr(imagecodecs, f"{name}_decode")(encoded)

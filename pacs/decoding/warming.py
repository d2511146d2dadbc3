"""Loading and calling once all that decoders use: they can open no file, so what is missing then stays missing."""

from __future__ import annotations

import codecs
import contextlib
import importlib
import pkgutil
import struct
from collections.abc import Iterator, Sequence

import imagecodecs
import numpy as np
from PIL import Image, ImageFont

import pacs.decoding.serving
import pacs.pixels
from pacs.part10.character_sets import all_encodings
from pacs.part10.header import Header, scan
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from pacs.pixels.animation import MOVING_MEDIA_TYPES, MP4_MEDIA_TYPE, can_make_mp4, film
from pacs.pixels.display import Window
from pacs.pixels.picture_formats import STILL_MEDIA_TYPES
from pacs.pixels.rendering import Rendering, rendered_as
from pacs.pixels.thumbnail import sketch, thumbnail
from pacs.pixels.video import measured, video_frame
from pacs.pixels.video_stream import Excerpt

_CODECS = ("htj2k", "jpeg2k", "jpeg8", "jpegls", "jpegxl", "packbits")
"""Of imagecodecs, which loads each one when it is first named; a test compares them with what `pacs.pixels` names."""
_OPTIONAL = ("av",)
"""For films; most archives do without."""
_H264 = "1.2.840.10008.1.2.4.102"
_LAZY = ("numpy.ma", "numpy.random", "encodings.latin_1", "encodings.ascii", "encodings.utf_8", "encodings.idna")
"""What libraries load when they first need it."""


def warm(modules: Sequence[str]) -> None:
    """Everything has been loaded when this returns, also `modules`."""
    for module in pkgutil.walk_packages(pacs.pixels.__path__, "pacs.pixels."):
        importlib.import_module(module.name)
    for name in (*_LAZY, *modules):
        importlib.import_module(name)
    for name in all_encodings():
        codecs.lookup(name)
    for name in _OPTIONAL:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    Image.init()
    with contextlib.suppress(OSError):
        ImageFont.load_default(12)
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for name in _CODECS:
        encoded = getattr(imagecodecs, f"{name}_encode")(pixels)
        getattr(imagecodecs, f"{name}_decode")(encoded)
    films = [media_type for media_type in MOVING_MEDIA_TYPES if media_type != MP4_MEDIA_TYPE or can_make_mp4()]
    for media_type in films:
        made = film([np.zeros((16, 16), np.uint8)] * 2, [40.0, 40.0], media_type, 50)
        if media_type == MP4_MEDIA_TYPE:
            video = Excerpt(len(made), ((0, made),))
            measured(video, _H264)
            video_frame(video, _H264, 2, 16, 16)
    for header, frame in _images():
        thumbnail(header, frame, box=(4, 4))
        sketch(header, frame)
        for rendering in _renderings():
            rendered_as(header, (1, frame), rendering)


def _renderings() -> Iterator[Rendering]:
    for media_type in STILL_MEDIA_TYPES:
        yield Rendering(media_type)
    yield Rendering(window=Window(100, 50, "SIGMOID"), icc_profile="yes", annotations=("patient", "technique"))


def _images() -> Iterator[tuple[Header, tuple[memoryview]]]:
    """One in grey and one in colour, without a window."""
    for samples, bits, interpretation in ((1, 16, b"MONOCHROME1 "), (3, 8, b"YBR_FULL")):
        pixels = memoryview(np.arange(64 * samples, dtype=f"u{bits // 8}").tobytes())
        module = b"".join(
            (
                _element(0x0002, b"US", struct.pack("<H", samples)),
                _element(0x0004, b"CS", interpretation),
                *(_element(tag, b"US", struct.pack("<H", 8)) for tag in (0x0010, 0x0011)),
                *(_element(tag, b"US", struct.pack("<H", bits)) for tag in (0x0100, 0x0101)),
                _element(0x0102, b"US", struct.pack("<H", bits - 1)),
            )
        )
        head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, len(pixels))
        yield scan(module + head + pixels.tobytes(), EXPLICIT_VR_LITTLE_ENDIAN), (pixels,)


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", 0x0028, element, vr, len(value)) + value

"""ICC profiles of pictures: the image's own, those of well-known spaces, and the way between (PS3.18 §8.3.5.1.5).

The profiles of the well-known spaces are written here (ICC.1:2001-04, version 2, matrix and tone curves): the library's
own sRGB profile holds the time at which it was made, so that no two pictures would be the same.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from pacs.part10.header import Header
from pacs.pixels.render import Picture

_ICC_PROFILE, _OPTICAL_PATH_SEQUENCE = 0x00282000, 0x00480105
_MAX_PROFILE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class _Space:
    description: str
    red: tuple[float, float, float]
    green: tuple[float, float, float]
    blue: tuple[float, float, float]
    """XYZ of full red, green and blue, adapted to D50."""
    curve: str
    """Tone curve: ``srgb``, ``romm``, or a power."""


_SPACES = {
    "srgb": _Space(
        "sRGB", (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410), "srgb"
    ),
    "adobergb": _Space(
        "Adobe RGB (1998)",
        (0.60974, 0.31111, 0.01947),
        (0.20528, 0.62567, 0.06087),
        (0.14919, 0.06322, 0.74457),
        "2.19921875",
    ),
    "rommrgb": _Space(
        "ROMM RGB", (0.79767, 0.28804, 0.0), (0.13519, 0.71187, 0.0), (0.03134, 0.00009, 0.82491), "romm"
    ),
    "displayp3": _Space(
        "Display P3", (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407), "srgb"
    ),
}
"""IEC 61966-2-1, Adobe RGB (1998), ISO 22028-2, SMPTE RP 431-2 with the white point and curve of sRGB."""
ICC_PROFILES = ("no", "yes", *_SPACES)
"""Values of the parameter ``iccprofile``."""


def profile_of(header: Header) -> bytes | None:
    """ICC Profile (0028,2000) of an image, at its top level or of its first optical path; None when there is none."""
    value = header.value(_ICC_PROFILE)
    if value is None:
        value = next(
            (each for item in header.items(_OPTICAL_PATH_SEQUENCE)[:1] if (each := item.value(_ICC_PROFILE))), None
        )
    if value is None or not 128 <= len(value) <= _MAX_PROFILE_BYTES:
        return None
    profile = bytes(value)
    # The element is padded to an even length, and the profile says its own.
    return profile[: max(128, int.from_bytes(profile[:4], "big"))] if profile[36:40] == b"acsp" else None


def in_colour_space(picture: Picture, source: bytes | None, wanted: str) -> tuple[Picture, bytes]:
    """The picture and the profile to put into its file.

    `wanted` is ``yes``, for the colours as they are, or a well-known space to transform them to. `source` is the
    profile of the picture's colours; without one, and for grey pictures, they are taken for sRGB. The picture comes
    back as RGB.
    """
    if picture.ndim == 2:
        picture, source = np.repeat(picture[:, :, np.newaxis], 3, axis=2), None
    if source is not None and not _can_be_read(source):
        source = None
    if wanted == "yes":
        return picture, source or well_known("srgb")
    profile = well_known(wanted)
    if source is None:
        source = well_known("srgb")
    if source == profile:
        return picture, profile
    image = Image.fromarray(np.ascontiguousarray(picture))
    try:
        shown = ImageCms.profileToProfile(
            image,
            io.BytesIO(source),
            io.BytesIO(profile),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A profile of another kind than that of an input or display; the colours are best taken for sRGB.
        return in_colour_space(picture, None, wanted)
    assert shown is not None  # noqa: S101 -- for the type checker: it is None for changes in place only
    return np.asarray(shown), profile


def _can_be_read(profile: bytes) -> bool:
    if int.from_bytes(profile[:4], "big") != len(profile):
        return False
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip() == "RGB"
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False


@lru_cache(maxsize=len(_SPACES))
def well_known(name: str) -> bytes:
    """The profile of a well-known colour space, always the same bytes."""
    space = _SPACES[name]
    text = space.description.encode("ascii")
    description = struct.pack(">4sxxxxI", b"desc", len(text) + 1) + text + b"\0" + bytes(4 + 4 + 2 + 1 + 67)
    tags = [
        (b"desc", description),
        (b"cprt", b"text\0\0\0\0" + b"No copyright, use freely\0"),
        (b"wtpt", _xyz((0.9642, 1.0, 0.8249))),
        *((tag, _xyz(value)) for tag, value in ((b"rXYZ", space.red), (b"gXYZ", space.green), (b"bXYZ", space.blue))),
    ]
    curve = _curve(space.curve)
    position, table, data = 128 + 4 + 12 * (len(tags) + 3), b"", b""
    for tag, value in [*tags, (b"rTRC", curve)]:
        table += tag + struct.pack(">II", position, len(value))
        padded = value + bytes(-len(value) % 4)
        position, data = position + len(padded), data + padded
    table += b"".join(tag + table[-8:] for tag in (b"gTRC", b"bTRC"))
    head = struct.pack(
        ">I4sI4s4s4s6H4s4sIIIQI3i48x",
        128 + 4 + len(table) + len(data), b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ",
        2000, 1, 1, 0, 0, 0, b"acsp", b"\0\0\0\0", 0, 0, 0, 0, 0, *_fixed((0.9642, 1.0, 0.8249)),
    )  # fmt: skip
    return head + struct.pack(">I", len(tags) + 3) + table + data


def _fixed(values: Sequence[float]) -> list[int]:
    return [round(value * 65536) for value in values]


def _xyz(values: Sequence[float]) -> bytes:
    return struct.pack(">4sxxxx3i", b"XYZ ", *_fixed(values))


def _curve(name: str) -> bytes:
    if name not in {"srgb", "romm"}:
        return struct.pack(">4sxxxxIH", b"curv", 1, round(float(name) * 256))
    device = np.linspace(0, 1, 1024)
    if name == "srgb":
        linear = np.where(device <= 0.04045, device / 12.92, ((device + 0.055) / 1.055) ** 2.4)
    else:
        linear = np.where(device < 16 / 512, device / 16, device**1.8)
    entries: bytes = np.rint(linear * 65535).astype(">u2").tobytes()
    return struct.pack(">4sxxxxI", b"curv", device.size) + entries

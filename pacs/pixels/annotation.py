"""Who and what an image shows, burned into a picture of it (PS3.18 §8.3.5.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from pacs.part10.header import Header
from pacs.pixels.display import functional_groups
from pacs.pixels.lettering import Lettering
from pacs.pixels.render import Picture

ANNOTATIONS = ("patient", "technique")
"""Keywords of the parameter ``annotation``."""

_LEAST_SIZE, _LINES_PER_SIDE = 8, 30
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)\Z")
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)?(\.\d*)?\Z")
_SLICE_POSITION, _PLANE_POSITION = 0x00200032, 0x00209113


def patient_lines(header: Header) -> list[str]:
    """Name, in every alphabet given, ID, birth date and sex; the institution."""
    names = [re.sub(r"\^+", " ", group).strip() for group in (header.text(0x00100010) or "").split("=")]
    person = [header.text(0x00100020) or "", _date(header.text(0x00100030)), header.text(0x00100040) or ""]
    lines = ["=".join(name for name in names if name), "  ".join(part for part in person if part)]
    return [line for line in (*lines, header.text(0x00080080) or "") if line]


def technique_lines(header: Header, frame_number: int, frames: int) -> list[str]:
    """When, what, which image and where, and how it was made."""
    when = " ".join(part for part in (_date(header.text(0x00080020)), _time(header.text(0x00080030))) if part)
    what = [header.text(tag) or "" for tag in (0x00080060, 0x00081030, 0x0008103E)]
    which = [_labelled("Se", header.text(0x00200011)), _labelled("Im", header.text(0x00200013))]
    if frames > 1:
        which.append(f"Fr {frame_number}/{frames}")
    lines = (when, "  ".join(part for part in what if part), "  ".join(part for part in which if part))
    return [line for line in (*lines, "  ".join(_how(header, frame_number))) if line]


def _how(header: Header, frame_number: int) -> Iterator[str]:
    position = header.numbers(_SLICE_POSITION)
    for group in functional_groups(header, frame_number):
        position = position or next((item.numbers(_SLICE_POSITION) for item in group.items(_PLANE_POSITION)[:1]), ())
    if len(position) == 3:
        yield "Pos " + " ".join(f"{number:.1f}" for number in position)
    for label, tag, unit in (
        ("Thk", 0x00180050, "mm"),
        ("kV", 0x00180060, ""),
        ("mA", 0x00181151, ""),
        ("TR", 0x00180080, ""),
        ("TE", 0x00180081, ""),
    ):
        number = header.number(tag)
        if number is not None:
            yield f"{label} {number:g}{unit}"


def annotated(
    picture: Picture, header: Header, kinds: Sequence[str], frame_number: int, frames: int, font: bytes = b""
) -> Picture:
    """The picture with the lines of `kinds` at its top left (patient) and bottom left (technique)."""
    top = patient_lines(header) if "patient" in kinds else []
    bottom = technique_lines(header, frame_number, frames) if "technique" in kinds else []
    if not top and not bottom:
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    lettering = _fitting(image, [*top, *bottom], font)
    step, margin = round(lettering.size * 1.3), max(2, lettering.size // 3)
    room = image.width - 2 * margin
    for number, line in enumerate(top):
        lettering.draw(image, (margin, margin + number * step), lettering.cut(_drawable(line, lettering), room))
    for number, line in enumerate(reversed(bottom), 1):
        lettering.draw(image, (margin, image.height - margin - number * step), lettering.cut(line, room))
    return np.asarray(image)


def _fitting(image: Image.Image, lines: Sequence[str], font: bytes) -> Lettering:
    """Letters for 30 lines on the shorter side, smaller where the lines would not fit, down to 8 pixels."""
    size = max(_LEAST_SIZE, round(min(image.size) / _LINES_PER_SIDE))
    lettering = Lettering(size, font)
    widest = max(lettering.width(line) for line in lines)
    fitting = min(size * image.width * 0.95 / max(widest, 1), image.height / (1.3 * len(lines) + 1))
    return lettering if fitting >= size else Lettering(max(_LEAST_SIZE, int(fitting)), font)


def _drawable(line: str, lettering: Lettering) -> str:
    """Of a name in several alphabets those that can be drawn; the first one, put into Latin letters, when none can."""
    groups = line.split("=")
    return "  ".join([group for group in groups if lettering.has(group)] or groups[:1])


def _date(text: str | None) -> str:
    match = _DATE.match(text or "")
    return "-".join(match.groups()) if match else (text or "")[:26]


def _time(text: str | None) -> str:
    match = _TIME.match(text or "")
    return ":".join(part for part in match.groups()[:3] if part) if match else ""


def _labelled(label: str, text: str | None) -> str:
    return f"{label} {text}" if text else ""

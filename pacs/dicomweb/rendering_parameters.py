"""The query parameters of rendered resources (PS3.18 §8.3.5.1). Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pacs.errors import InvalidRequest
from pacs.model import checked_uid
from pacs.pixels.annotation import ANNOTATIONS
from pacs.pixels.colour_profile import ICC_PROFILES
from pacs.pixels.display import Window, WindowFunction
from pacs.pixels.render import DEFAULT_QUALITY, MAX_VIEWPORT, Viewport

_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
KEYWORDS = re.compile(r"[a-z][a-z0-9-]{0,30}(?:,[a-z][a-z0-9-]{0,30}){0,15}\Z")
PARAMETERS = {
    "accept": "media types, instead of the Accept header",
    "window": "center,width[,linear|linear-exact|sigmoid] on rescaled values",
    "viewport": "columns,rows[,left,top,width,height]; a negative width or height mirrors",
    "quality": "of lossy formats, 1 to 100",
    "annotation": "patient, technique: burned into the picture",
    "iccprofile": ", ".join(ICC_PROFILES),
    "presentationinstance": "SOP Instance UID of a presentation state of the study, to show the image with",
    "presentationseries": "Series Instance UID of that presentation state",
}
"""Query parameters of rendered resources, with what they take."""


@dataclass(frozen=True, slots=True)
class RenderingParameters:
    """How a client wants pictures made."""

    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = DEFAULT_QUALITY
    annotations: tuple[str, ...] = ()
    unknown_annotations: tuple[str, ...] = ()
    """Keywords that the standard lets an archive ignore with a warning."""
    icc_profile: str = ""
    presentation_instance: str | None = None
    presentation_series: str | None = None

    @property
    def identity(self) -> str:
        """Differs when a picture could."""
        return repr(
            (self.window, self.viewport, self.quality, self.annotations, self.icc_profile, self.presentation_instance)
        )

    @property
    def has_region(self) -> bool:
        """Whether `viewport` names a part of the image."""
        whole = Viewport(1, 1)
        viewport = self.viewport or whole
        return (viewport.left, viewport.top, viewport.width, viewport.height) != (0, 0, None, None)


def rendering_parameters(parameters: Mapping[str, str]) -> RenderingParameters:
    """From the parameters of `PARAMETERS`; others are left alone.

    Raises:
        InvalidRequest, InvalidIdentity: names the parameter that cannot be understood.
    """
    annotations = _annotations(parameters["annotation"]) if "annotation" in parameters else ()
    found = RenderingParameters(
        window=_window(parameters["window"]) if "window" in parameters else None,
        viewport=viewport_of(parameters["viewport"]) if "viewport" in parameters else None,
        quality=_quality(parameters["quality"]) if "quality" in parameters else DEFAULT_QUALITY,
        annotations=tuple(keyword for keyword in ANNOTATIONS if keyword in annotations),
        unknown_annotations=tuple(keyword for keyword in annotations if keyword not in ANNOTATIONS),
        icc_profile=_icc_profile(parameters["iccprofile"]) if "iccprofile" in parameters else "",
        presentation_instance=_uid(parameters, "presentationinstance"),
        presentation_series=_uid(parameters, "presentationseries"),
    )
    if found.presentation_series is not None and found.presentation_instance is None:
        raise InvalidRequest("presentationseries without presentationinstance names no presentation state")
    if found.presentation_instance is not None:
        require_no_transformation(found)
    return found


def require_no_transformation(parameters: RenderingParameters) -> None:
    """A presentation state says itself which window and which part of the image is shown (PS3.18 §8.3.5.1.3-4).

    Raises:
        InvalidRequest: `window`, or a region in `viewport`.
    """
    if parameters.window is not None:
        raise InvalidRequest("window cannot be used with a presentation state, which brings its own")
    if parameters.has_region:
        raise InvalidRequest("viewport takes columns,rows only with a presentation state, which has its own region")


def viewport_of(text: str) -> Viewport:
    """``columns,rows`` or ``columns,rows,left,top,width,height``; of the last four any may be empty.

    Raises:
        InvalidRequest: another form, or sizes outside 1 to `MAX_VIEWPORT`.
    """
    fields = text.split(",")
    if not 2 <= len(fields) <= 6:
        raise InvalidRequest(f"viewport={text[:60]!r} is not columns,rows[,left,top,width,height]")
    sizes = [decimal_number("viewport", field) for field in fields[:2]]
    columns, rows = (round(size) for size in sizes)
    if not (1 <= columns <= MAX_VIEWPORT and 1 <= rows <= MAX_VIEWPORT):
        raise InvalidRequest(f"viewport={text[:60]!r}: columns and rows must be 1 to {MAX_VIEWPORT}")
    region = [decimal_number("viewport", field) if field.strip() else None for field in fields[2:]]
    left, top, width, height = region + [None] * (4 - len(region))
    return Viewport(columns, rows, left or 0, top or 0, width, height)


def _window(text: str) -> Window:
    fields = text.split(",")
    if len(fields) not in (2, 3):
        raise InvalidRequest(f"window={text[:60]!r} is not center,width or center,width,function")
    center, width = decimal_number("window", fields[0]), decimal_number("window", fields[1])
    name = fields[2].strip().lower() if len(fields) == 3 else "linear"
    if name not in _FUNCTIONS:
        raise InvalidRequest(f"window function {name[:30]!r} is none of linear, linear-exact, sigmoid")
    if width <= 0 or (name == "linear" and width < 1):
        raise InvalidRequest(f"window width {width:g} is too small; linear takes 1 or more (PS3.3 §C.11.2.1.2)")
    return Window(center, width, cast("WindowFunction", _FUNCTIONS[name]))


def _quality(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise InvalidRequest(f"quality={text[:20]!r} is no number from 1 to 100 (PS3.18 §8.3.5.1.2)")
    return int(text)


def _annotations(text: str) -> tuple[str, ...]:
    """Keywords in the order given, each once."""
    if not KEYWORDS.match(text):
        raise InvalidRequest(f"annotation={text[:60]!r} is not keywords separated by commas, such as patient,technique")
    return tuple(dict.fromkeys(text.split(",")))


def _icc_profile(text: str) -> str:
    if text not in ICC_PROFILES:
        raise InvalidRequest(f"iccprofile={text[:30]!r} is none of {', '.join(ICC_PROFILES)}")
    return text


def _uid(parameters: Mapping[str, str], name: str) -> str | None:
    return checked_uid(parameters[name], name) if name in parameters else None


def decimal_number(name: str, text: str) -> float:
    """The number that a parameter holds: decimal, finite, at most 1e12 either way.

    Raises:
        InvalidRequest: names the parameter.
    """
    try:
        number = float(text) if len(text) <= 32 and text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > 1e12:
        raise InvalidRequest(f"{name} holds {text[:30]!r}, which is no number")
    return number

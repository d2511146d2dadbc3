"""The query parameters of rendered resources (PS3.18 §8.3.5.1). Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pacs.errors import InvalidRequest
from pacs.pixels.display import Window, WindowFunction
from pacs.pixels.render import DEFAULT_QUALITY, MAX_VIEWPORT, Viewport

_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}


@dataclass(frozen=True, slots=True)
class RenderingParameters:
    """How a client wants pictures made."""

    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = DEFAULT_QUALITY

    @property
    def identity(self) -> str:
        """Differs when a picture could."""
        return repr((self.window, self.viewport, self.quality))


def rendering_parameters(parameters: Mapping[str, str]) -> RenderingParameters:
    """From the parameters ``window``, ``viewport`` and ``quality``; others are left alone.

    Raises:
        InvalidRequest: names the parameter that cannot be understood.
    """
    return RenderingParameters(
        window=_window(parameters["window"]) if "window" in parameters else None,
        viewport=viewport_of(parameters["viewport"]) if "viewport" in parameters else None,
        quality=_quality(parameters["quality"]) if "quality" in parameters else DEFAULT_QUALITY,
    )


def viewport_of(text: str) -> Viewport:
    """``columns,rows`` or ``columns,rows,left,top,width,height``; of the last four any may be empty.

    Raises:
        InvalidRequest: another form, or sizes outside 1 to `MAX_VIEWPORT`.
    """
    fields = text.split(",")
    if not 2 <= len(fields) <= 6:
        raise InvalidRequest(f"viewport={text[:60]!r} is not columns,rows[,left,top,width,height]")
    sizes = [_finite("viewport", field) for field in fields[:2]]
    columns, rows = (round(size) for size in sizes)
    if not (1 <= columns <= MAX_VIEWPORT and 1 <= rows <= MAX_VIEWPORT):
        raise InvalidRequest(f"viewport={text[:60]!r}: columns and rows must be 1 to {MAX_VIEWPORT}")
    region = [_finite("viewport", field) if field.strip() else None for field in fields[2:]]
    left, top, width, height = region + [None] * (4 - len(region))
    return Viewport(columns, rows, left or 0, top or 0, width, height)


def _window(text: str) -> Window:
    fields = text.split(",")
    if len(fields) not in (2, 3):
        raise InvalidRequest(f"window={text[:60]!r} is not center,width or center,width,function")
    center, width = _finite("window", fields[0]), _finite("window", fields[1])
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


def _finite(name: str, text: str) -> float:
    try:
        number = float(text) if len(text) <= 32 and text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > 1e12:
        raise InvalidRequest(f"{name} holds {text[:30]!r}, which is no number")
    return number

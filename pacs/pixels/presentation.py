"""A frame shown as a presentation state says (PS3.4 §N.2, PS3.3 §C.10, §C.11)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from pacs.errors import NotAcceptable
from pacs.part10.header import Header
from pacs.pixels.decode import DecodedFrame
from pacs.pixels.description import PixelDescription
from pacs.pixels.display import DisplayAttributes, Window, display_attributes
from pacs.pixels.lettering import Lettering
from pacs.pixels.lookup import LookUpTable, rgb_table
from pacs.pixels.overlay import Mask, mask_of, overlay_masks
from pacs.pixels.presentation_state import (
    DisplayedArea,
    Graphic,
    Layer,
    Pair,
    PresentationState,
    References,
    Shutter,
    Text,
    Units,
)
from pacs.pixels.render import MAX_ENLARGED_PIXELS, Picture, Viewport, show
from pacs.pixels.window import range_of_bits, shown_with

_WHITE = 255
_LINES_PER_SIDE = 32
_LEAST_LETTERS = 8
_CURVE_POINTS = 72
_FAR = 1e6
"""Drawing beyond this many pixels from the picture is cut off: it cannot be seen, and takes time."""


def presented(
    header: Header,
    frame: DecodedFrame,
    description: PixelDescription,
    state: PresentationState,
    *,
    frame_number: int,
    sop_instance_uid: str,
    viewport: Viewport | None = None,
    font: bytes = b"",
) -> Picture:
    """A decoded frame of the image `header` as `state` wants it: as large as its displayed area, or in `viewport`.

    Raises:
        NotAcceptable: the state is for another kind of image, or its displayed area is empty or too large.
        UndecodablePixels: colours that nobody knows how to show.
    """

    def is_meant(references: References) -> bool:
        return not references or any(each.is_of(sop_instance_uid, frame_number) for each in references)

    picture = np.array(_shown(header, frame, description, state, frame_number, is_meant))
    for group in state.overlay_groups:
        own = next((plane for number, plane in state.planes if number == group), None)
        masks = (
            [mask_of(own, description)]
            if own
            else overlay_masks(header, description, frame_number, frame.pixels, [group])
        )
        for mask in masks:
            picture[mask] = _WHITE
    if state.shutter is not None:
        picture[_covered(state, state.shutter, description)] = state.shutter.grey
    area = next((area for area in state.areas if is_meant(area.references)), None)
    place = _Placement.of(description, area, state, viewport)
    image = Image.fromarray(place.moved(picture))
    lettering = Lettering(max(_LEAST_LETTERS, round(min(image.size) / _LINES_PER_SIDE)), font)
    for layer in state.layers:
        if is_meant(layer.references):
            _draw(image, layer, place, lettering)
    return np.asarray(image)


def _shown(
    header: Header,
    frame: DecodedFrame,
    description: PixelDescription,
    state: PresentationState,
    frame_number: int,
    is_meant: Callable[[References], bool],
) -> Picture:
    """The grey or colour transformations: those of the state take the place of the image's (PS3.4 §N.2)."""
    display = display_attributes(header, frame_number)
    is_grey = frame.pixels.ndim == 2 and frame.photometric_interpretation in {"MONOCHROME1", "MONOCHROME2"}
    if state.kind == "color":
        if is_grey:
            raise NotAcceptable("a Color Presentation State is for colour images, and this image is grey")
        return show(frame, description, display)
    if not is_grey:
        raise NotAcceptable(f"a {state.kind} presentation state is for grey images, and this image has colours")
    display = replace(
        display,
        slope=state.slope,
        intercept=state.intercept,
        modality_lut=state.modality_lut,
        window=None,
        voi_lut=None,
    )
    voi = next((voi for references, voi in state.windows if is_meant(references)), None)
    grey = shown_with(frame.pixels, description, display, voi or _full_range(description, display), state.is_inverse)
    if state.presentation_lut is not None:
        grey = _through(state.presentation_lut, grey)
    return grey if state.palette is None else _coloured(grey, state)


def _full_range(description: PixelDescription, display: DisplayAttributes) -> Window:
    """Without a VOI transformation all values that there can be are shown."""
    lut = display.modality_lut
    if lut is not None:
        return Window(lut.full_scale() / 2, max(1, lut.full_scale()), "LINEAR_EXACT")
    low, high = (value * display.slope + display.intercept for value in range_of_bits(description))
    return Window((low + high) / 2, max(abs(high - low), 1e-6), "LINEAR_EXACT")


def _through(lut: LookUpTable, grey: Picture) -> Picture:
    """Presentation LUT (PS3.3 §C.11.4): its input is the range of the VOI transformation's output."""
    entries = lut.table().astype(np.float64)
    index = np.rint(np.linspace(0, entries.size - 1, 256)).astype(int)
    table: Picture = np.clip(np.rint(entries[index] * (255 / lut.full_scale())), 0, 255).astype(np.uint8)
    return table[grey]


def _coloured(grey: Picture, state: PresentationState) -> Picture:
    """Pseudo-colours: the range of the VOI transformation's output is that of the palette."""
    assert state.palette is not None  # noqa: S101 -- for the type checker; the caller looked
    first = state.palette[0]
    count = first.table().size
    colours = rgb_table(state.palette, 16)
    index = np.rint(np.linspace(first.first_mapped, first.first_mapped + count - 1, 256)).astype(int)
    chosen: Picture = colours[np.clip(index, 0, 65535)]
    return chosen[grey]


def _covered(state: PresentationState, shutter: Shutter, description: PixelDescription) -> Mask:
    """Where the shutter hides the image."""
    rows = np.arange(1, description.rows + 1)[:, np.newaxis]
    columns = np.arange(1, description.columns + 1)[np.newaxis, :]
    covered = np.zeros((description.rows, description.columns), bool)
    if shutter.rectangle is not None:
        left, right, upper, lower = shutter.rectangle
        covered |= (columns <= left) | (columns >= right) | (rows <= upper) | (rows >= lower)
    if shutter.circle is not None:
        row, column, radius = shutter.circle
        covered |= (rows - float(row)) ** 2 + (columns - float(column)) ** 2 > float(radius) ** 2
    if shutter.polygon:
        mask = Image.new("1", (description.columns, description.rows))
        ImageDraw.Draw(mask).polygon([(_near(x - 1), _near(y - 1)) for x, y in shutter.polygon], fill=1, outline=1)
        covered |= ~np.asarray(mask)
    for group, plane in state.planes:
        if group == shutter.overlay_group:
            covered |= mask_of(plane, description)
    return covered


@dataclass(frozen=True, slots=True)
class _Placement:
    """From image pixels to picture pixels: cut, scaled, turned, mirrored."""

    left: float
    top: float
    width: int
    height: int
    """The displayed area in image pixels."""
    columns: int
    rows: int
    """The same in picture pixels, before it is turned."""
    rotation: int
    is_flipped: bool

    @classmethod
    def of(
        cls,
        description: PixelDescription,
        area: DisplayedArea | None,
        state: PresentationState,
        viewport: Viewport | None,
    ) -> _Placement:
        left, top, right, bottom, ratio, magnification = 0.0, 0.0, description.columns, description.rows, 1.0, None
        if area is not None:
            (x1, y1), (x2, y2) = area.corners
            left, top, right, bottom = min(x1, x2) - 1, min(y1, y2) - 1, int(max(x1, x2)), int(max(y1, y2))
            ratio, magnification = area.pixel_ratio, area.magnification
        width, height = int(right - left), int(bottom - top)
        if not (0 < width <= _FAR and 0 < height <= _FAR and abs(left) <= _FAR and abs(top) <= _FAR):
            raise NotAcceptable(f"the displayed area of the presentation state has {width} x {height} pixels")
        across, down = float(width), height * ratio
        if viewport is not None:
            is_turned = state.rotation % 180 != 0
            room = (viewport.rows, viewport.columns) if is_turned else (viewport.columns, viewport.rows)
            scale = min(room[0] / across, room[1] / down)
        else:
            # At least one pixel of the picture for each of the image.
            scale = magnification or max(1.0, 1 / ratio)
        columns, rows = max(1, round(across * scale)), max(1, round(down * scale))
        if columns * rows > max(MAX_ENLARGED_PIXELS, description.pixels_per_frame):
            raise NotAcceptable(
                f"as the presentation state says, the picture would have {columns} x {rows} pixels; "
                "ask for a smaller one with viewport"
            )
        return cls(left, top, width, height, columns, rows, state.rotation, state.is_flipped)

    def moved(self, picture: Picture) -> Picture:
        """The displayed area as it is shown; what lies outside the image is black."""
        left, top = max(0, int(self.left)), max(0, int(self.top))
        right = min(picture.shape[1], int(self.left) + self.width)
        bottom = min(picture.shape[0], int(self.top) + self.height)
        canvas = np.zeros((self.rows, self.columns, *picture.shape[2:]), np.uint8)
        if left < right and top < bottom:
            x, y = (round(each) for each in self._scaled((left, top)))
            x2, y2 = (round(each) for each in self._scaled((right, bottom)))
            size = max(1, x2 - x), max(1, y2 - y)
            image = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right]))
            is_larger = size[0] > image.width or size[1] > image.height
            scaled = image.resize(size, Image.Resampling.BILINEAR if is_larger else Image.Resampling.HAMMING)
            part = np.asarray(scaled)[: self.rows - y, : self.columns - x]
            canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
        turned = np.rot90(canvas, -self.rotation // 90)
        return np.ascontiguousarray(turned[:, ::-1] if self.is_flipped else turned)

    def point(self, at: Pair, units: Units) -> Pair:
        """Where a point of an annotation lies in the picture (PS3.3 §C.10.5.1.1, §C.10.5.1.2)."""
        is_turned = self.rotation % 180 != 0
        width, height = (self.rows, self.columns) if is_turned else (self.columns, self.rows)
        if units == "DISPLAY":
            return _near(at[0] * width), _near(at[1] * height)
        x, y = self._scaled(at)
        for _ in range(self.rotation // 90 % 4):
            # A quarter turn clockwise; the height before it is the width after it.
            x, y = -y, x
        x += (0, self.rows, self.columns, 0)[self.rotation // 90 % 4]
        y += (0, 0, self.rows, self.columns)[self.rotation // 90 % 4]
        return _near(width - x if self.is_flipped else x), _near(y)

    def _scaled(self, at: Pair) -> Pair:
        return (at[0] - self.left) * self.columns / self.width, (at[1] - self.top) * self.rows / self.height


def _near(value: float) -> float:
    return min(max(value, -_FAR), _FAR)


def _draw(image: Image.Image, layer: Layer, place: _Placement, lettering: Lettering) -> None:
    drawing = ImageDraw.Draw(image)
    colour = layer.grey if image.mode == "L" else (layer.grey,) * 3
    width = max(1, round(min(image.size) / 400))
    for graphic in layer.graphics:
        points = [place.point(point, graphic.units) for point in _outline(graphic)]
        if graphic.kind == "POINT":
            (x, y), r = points[0], 2 * width
            drawing.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=width)
        elif graphic.is_filled and len(points) > 2:
            drawing.polygon(points, fill=colour)
        else:
            drawing.line(points, fill=colour, width=width)
    for text in layer.texts:
        _write(image, text, place, lettering, layer.grey)


def _outline(graphic: Graphic) -> Sequence[Pair]:
    """The points of a graphic as a line that can be drawn."""
    points = graphic.points
    if graphic.kind == "CIRCLE" and len(points) >= 2:
        (x, y), (px, py) = points[:2]
        radius = math.hypot(px - x, py - y)
        return _ellipse((x, y), (radius, 0.0), (0.0, radius))
    if graphic.kind == "ELLIPSE" and len(points) >= 4:
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = points[:4]
        return _ellipse(((ax + bx) / 2, (ay + by) / 2), ((bx - ax) / 2, (by - ay) / 2), ((dx - cx) / 2, (dy - cy) / 2))
    if graphic.kind == "INTERPOLATED" and len(points) >= 3:
        return _curve(points)
    return points


def _ellipse(centre: Pair, one: Pair, other: Pair) -> list[Pair]:
    angles = [2 * math.pi * step / _CURVE_POINTS for step in range(_CURVE_POINTS + 1)]
    return [
        (
            centre[0] + one[0] * math.cos(angle) + other[0] * math.sin(angle),
            centre[1] + one[1] * math.cos(angle) + other[1] * math.sin(angle),
        )
        for angle in angles
    ]


def _curve(points: Sequence[Pair]) -> list[Pair]:
    """A smooth line through the points (Catmull-Rom)."""
    is_closed = points[0] == points[-1]
    known = np.array(points)
    before = known[-2] if is_closed else 2 * known[0] - known[1]
    after = known[1] if is_closed else 2 * known[-1] - known[-2]
    known = np.vstack([before, known, after])
    found: list[Pair] = []
    steps = max(2, min(12, _CURVE_POINTS * 4 // len(points)))
    for index in range(1, len(known) - 2):
        p0, p1, p2, p3 = known[index - 1 : index + 3]
        for t in np.linspace(0, 1, steps, endpoint=False):
            x, y = 0.5 * (
                2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
            )
            found.append((float(x), float(y)))
    return [*found, points[-1]]


def _write(image: Image.Image, text: Text, place: _Placement, lettering: Lettering, grey: int) -> None:
    step = lettering.size * 1.25
    if text.anchor is not None and text.is_anchor_visible:
        _point_to(image, text, place, grey)
    if text.box is not None:
        corners = [place.point(corner, text.box_units) for corner in text.box]
        (left, right), (top, _) = sorted(x for x, _ in corners), sorted(y for _, y in corners)
    elif text.anchor is not None:
        left, top = place.point(text.anchor, text.anchor_units)
        right = left
    else:
        return
    for number, line in enumerate(text.lines):
        y = top + number * step
        if y > image.height:
            break
        free = right - left - lettering.width(line) if text.box is not None else 0
        x = left + (free / 2 if text.justification == "CENTER" else free if text.justification == "RIGHT" else 0)
        lettering.draw(image, (x, y), line, grey)


def _point_to(image: Image.Image, text: Text, place: _Placement, grey: int) -> None:
    assert text.anchor is not None  # noqa: S101 -- for the type checker; the caller looked
    end = place.point(text.anchor, text.anchor_units)
    colour = grey if image.mode == "L" else (grey,) * 3
    drawing = ImageDraw.Draw(image)
    if text.box is not None:
        corners = [place.point(corner, text.box_units) for corner in text.box]
        start = _nearest(end, [(x, y) for x, _ in corners for _, y in corners])
        drawing.line([start, end], fill=colour, width=1)
    x, y = end
    drawing.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)


def _nearest(to: Pair, points: Iterable[Pair]) -> Pair:
    return min(points, key=lambda point: math.hypot(point[0] - to[0], point[1] - to[1]))

"""What a presentation state says: which images, and how they are to be shown (PS3.3 §A.33, §C.10, §C.11).

Grayscale, Color and Pseudo-Color Softcopy Presentation States are read; others, which blend images or cut volumes, are
refused. Everything read is bounded, and what cannot be understood counts as absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from pacs.errors import NotAcceptable, PacsError, UndecodablePixels
from pacs.part10.header import Header
from pacs.pixels.description import OVERLAY_GROUPS
from pacs.pixels.display import Window, stored_window
from pacs.pixels.lookup import LookUpTable, Palette, lut_of_item, palette
from pacs.pixels.overlay import Plane, stored_plane

Kind = Literal["grayscale", "color", "pseudo-color"]
Units = Literal["PIXEL", "DISPLAY"]
Pair = tuple[float, float]
"""x, y: columns from the left and rows from the top."""

_KINDS: dict[str, Kind] = {
    "1.2.840.10008.5.1.4.1.1.11.1": "grayscale",
    "1.2.840.10008.5.1.4.1.1.11.2": "color",
    "1.2.840.10008.5.1.4.1.1.11.3": "pseudo-color",
}
PRESENTATION_STATE_CLASSES = frozenset(_KINDS)
"""SOP classes that can be shown."""
OTHER_PRESENTATION_STATE_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.11.{number}" for number in range(4, 13))
"""Blending, XA/XRF, planar and volumetric, variable modality, waveform ..."""

MAX_OBJECTS = 10_000
"""Graphics and texts of one state."""
MAX_POINTS = 100_000
_MAX_TEXT = 10_000
_MAX_REFERENCES = 10_000


@dataclass(frozen=True, slots=True)
class Reference:
    """An image, or some of its frames."""

    sop_instance_uid: str
    frames: tuple[int, ...] = ()
    """Numbers from 1; empty for all."""
    series_instance_uid: str = ""

    def is_of(self, sop_instance_uid: str, frame: int) -> bool:
        return self.sop_instance_uid == sop_instance_uid and (not self.frames or frame in self.frames)


References = tuple[Reference, ...]
"""Empty where something is for all images of the state."""


@dataclass(frozen=True, slots=True)
class DisplayedArea:
    """Displayed Area Module (PS3.3 §C.10.4), corners in image pixels from 1, both shown."""

    references: References
    corners: tuple[Pair, Pair]
    pixel_ratio: float
    """Height of a pixel by its width."""
    magnification: float | None
    """Pixels shown for one of the image, where the size mode is MAGNIFY."""


@dataclass(frozen=True, slots=True)
class Graphic:
    """Graphic Object (PS3.3 §C.10.5.1.2)."""

    kind: str
    units: Units
    points: tuple[Pair, ...]
    is_filled: bool


@dataclass(frozen=True, slots=True)
class Text:
    """Text Object (PS3.3 §C.10.5.1.1)."""

    lines: tuple[str, ...]
    box: tuple[Pair, Pair] | None
    box_units: Units
    justification: str
    anchor: Pair | None
    anchor_units: Units
    is_anchor_visible: bool


@dataclass(frozen=True, slots=True)
class Layer:
    """What is drawn together, over what has a lower order."""

    order: int
    grey: int
    """0 to 255."""
    references: References
    graphics: tuple[Graphic, ...]
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Shutter:
    """Display Shutter Module (PS3.3 §C.7.6.11): what lies outside every shape is covered. Pixels from 1."""

    grey: int = 0
    rectangle: tuple[int, int, int, int] | None = None
    """Left, right, upper and lower edge: the last covered column or row."""
    circle: tuple[int, int, int] | None = None
    """Row and column of the centre, radius."""
    polygon: tuple[Pair, ...] = ()
    overlay_group: int | None = None
    """Bitmap shutter: the bits of this overlay of the state are covered."""


@dataclass(frozen=True, slots=True)
class PresentationState:
    """All of a state that decides how a frame is shown."""

    kind: Kind
    references: References
    slope: float
    intercept: float
    modality_lut: LookUpTable | None
    windows: tuple[tuple[References, Window | LookUpTable], ...]
    is_inverse: bool
    presentation_lut: LookUpTable | None
    palette: Palette | None
    rotation: int
    """Degrees clockwise: 0, 90, 180, 270."""
    is_flipped: bool
    """Left and right are exchanged after the rotation."""
    areas: tuple[DisplayedArea, ...]
    shutter: Shutter | None
    overlay_groups: tuple[int, ...]
    """Overlays that are switched on, of the image or of the state itself."""
    planes: tuple[tuple[int, Plane], ...]
    """Overlays of the state itself, by group."""
    layers: tuple[Layer, ...]


def presentation_state(header: Header, sop_class_uid: str) -> PresentationState:
    """Read a stored presentation state.

    Raises:
        NotAcceptable: one of a kind that is not shown, or one that cannot be read.
    """
    kind = _KINDS.get(sop_class_uid)
    if kind is None:
        raise NotAcceptable(
            f"presentation states of SOP class {sop_class_uid} are not shown; "
            "Grayscale, Color and Pseudo-Color Softcopy Presentation States are"
        )
    try:
        return _read(header, kind)
    except PacsError as problem:
        raise NotAcceptable(f"the presentation state cannot be read: {problem}") from problem


def _read(header: Header, kind: Kind) -> PresentationState:
    slope = header.number(0x00281053)
    lut_shape = (header.text(0x20500020) or "").upper()
    flip = (header.text(0x00700041) or "").upper()
    rotation = header.integer(0x00700042) or 0
    return PresentationState(
        kind=kind,
        references=tuple(islice(_references_of_series(header), _MAX_REFERENCES)),
        slope=slope or 1.0,
        intercept=header.number(0x00281052) or 0.0,
        modality_lut=next((lut_of_item(item) for item in header.items(0x00283000)[:1]), None),
        windows=tuple(_windows(header)),
        is_inverse=lut_shape == "INVERSE",
        presentation_lut=next((lut_of_item(item) for item in header.items(0x20500010)[:1]), None),
        palette=_palette(header) if kind == "pseudo-color" else None,
        rotation=rotation % 360 if rotation % 90 == 0 else 0,
        is_flipped=flip == "Y",
        areas=tuple(area for item in header.items(0x0070005A) if (area := _area(item)) is not None),
        shutter=_shutter(header),
        overlay_groups=tuple(group for group in OVERLAY_GROUPS if (header.text(group << 16 | 0x1001) or "").strip()),
        planes=tuple((group, plane) for group in OVERLAY_GROUPS if (plane := stored_plane(header, group)) is not None),
        layers=_layers(header),
    )


def _references_of_series(header: Header) -> Iterator[Reference]:
    for series in header.items(0x00081115):
        yield from _references(series, series.uid(0x0020000E) or "")


def _references(item: Header, series_instance_uid: str = "") -> Iterator[Reference]:
    for image in item.items(0x00081140):
        uid = image.uid(0x00081155)
        if uid:
            frames = tuple(int(number) for number in image.numbers(0x00081160))
            yield Reference(uid, frames, series_instance_uid)


def _windows(header: Header) -> Iterator[tuple[References, Window | LookUpTable]]:
    for item in header.items(0x00283110):
        lut = next((lut_of_item(each) for each in item.items(0x00283010)[:1]), None)
        voi = lut or stored_window(item)
        if voi is not None:
            yield tuple(_references(item)), voi


def _palette(header: Header) -> Palette:
    try:
        return palette(header)
    except UndecodablePixels:
        raise NotAcceptable("it has no palette that can be used") from None


def _area(item: Header) -> DisplayedArea | None:
    first, second = item.numbers(0x00700052), item.numbers(0x00700053)
    if len(first) != 2 or len(second) != 2:
        return None
    spacing = item.numbers(0x00700101) or item.numbers(0x00700102)
    ratio = spacing[0] / spacing[1] if len(spacing) == 2 and min(spacing) > 0 else 1.0
    magnification = item.number(0x00700103) if (item.text(0x00700100) or "").upper() == "MAGNIFY" else None
    return DisplayedArea(
        tuple(_references(item)),
        ((first[0], first[1]), (second[0], second[1])),
        ratio if 0.01 <= ratio <= 100 else 1.0,
        magnification if magnification and magnification > 0 else None,
    )


def _shutter(header: Header) -> Shutter | None:
    shapes = {shape.upper() for shape in header.texts(0x00181600)}
    if not shapes:
        return None
    edges = [header.integer(tag) for tag in (0x00181602, 0x00181604, 0x00181606, 0x00181608)]
    left, right, upper, lower = (0 if edge is None else edge for edge in edges)
    centre, radius = header.numbers(0x00181610), header.integer(0x00181612)
    vertices = header.numbers(0x00181620)[: 2 * MAX_POINTS]
    has_circle = "CIRCULAR" in shapes and len(centre) == 2 and radius is not None
    group = header.integer(0x00181623)
    return Shutter(
        grey=min(255, (header.integer(0x00181622) or 0) >> 8),
        rectangle=(left, right, upper, lower) if "RECTANGULAR" in shapes and None not in edges else None,
        circle=(int(centre[0]), int(centre[1]), radius or 0) if has_circle else None,
        polygon=_swapped(vertices) if "POLYGONAL" in shapes and len(vertices) >= 6 else (),
        overlay_group=group if "BITMAP" in shapes else None,
    )


def _swapped(numbers: tuple[float, ...]) -> tuple[Pair, ...]:
    """Row and column in turn to x, y."""
    return tuple(zip(numbers[1::2], numbers[::2], strict=False))


def _layers(header: Header) -> tuple[Layer, ...]:
    styles = {}
    for item in header.items(0x00700060):
        grey, lab = item.integer(0x00700066), item.numbers(0x00700401)
        light = grey if grey is not None else int(lab[0]) if lab else 0xFFFF
        styles[item.text(0x00700002) or ""] = (item.integer(0x00700062) or 0, min(255, max(0, light) >> 8))
    layers, objects, points = [], 0, 0
    for item in header.items(0x00700001):
        graphics = tuple(graphic for each in item.items(0x00700009) if (graphic := _graphic(each)) is not None)
        texts = tuple(_text(each) for each in item.items(0x00700008))
        objects, points = objects + len(graphics) + len(texts), points + sum(len(each.points) for each in graphics)
        if objects > MAX_OBJECTS or points > MAX_POINTS:
            raise NotAcceptable(f"it draws more than {MAX_OBJECTS} objects or {MAX_POINTS} points")
        order, grey = styles.get(item.text(0x00700002) or "", (0, 255))
        layers.append(Layer(order, grey, tuple(_references(item)), graphics, texts))
    return tuple(sorted(layers, key=lambda layer: layer.order))


def _graphic(item: Header) -> Graphic | None:
    numbers = item.numbers(0x00700022)
    if len(numbers) < 2:
        return None
    points = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    is_filled = (item.text(0x00700024) or "").upper() == "Y"
    return Graphic((item.text(0x00700023) or "").upper(), _units(item.text(0x00700005)), points, is_filled)


def _text(item: Header) -> Text:
    first, second, anchor = (item.numbers(tag) for tag in (0x00700010, 0x00700011, 0x00700014))
    text = (item.text(0x00700006) or "")[:_MAX_TEXT]
    return Text(
        lines=tuple(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")),
        box=((first[0], first[1]), (second[0], second[1])) if len(first) == 2 and len(second) == 2 else None,
        box_units=_units(item.text(0x00700003)),
        justification=(item.text(0x00700012) or "LEFT").upper(),
        anchor=(anchor[0], anchor[1]) if len(anchor) == 2 else None,
        anchor_units=_units(item.text(0x00700004)),
        is_anchor_visible=(item.text(0x00700015) or "").upper() == "Y",
    )


def _units(text: str | None) -> Units:
    return "DISPLAY" if (text or "").upper() == "DISPLAY" else "PIXEL"

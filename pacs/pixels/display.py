"""What a data set says about showing its pixels: rescale, window, LUTs, palette, padding, per frame.

PS3.3 §C.11.1 (Modality LUT), §C.11.2 (VOI LUT), §C.7.6.16.2.9-10 (the same in functional groups).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from pacs.errors import MalformedDataSet
from pacs.part10.elements import iter_elements
from pacs.part10.header import Header
from pacs.part10.sequence_items import Item, iter_items
from pacs.pixels.lookup import LookUpTable, Palette, lut_of_item, palette

_MODALITY = 0x00080060
_PIXEL_REPRESENTATION = 0x00280103
_PIXEL_INTENSITY_RELATIONSHIP = 0x00281040
_PADDINGS = ((0x00280120, 0x00280121), (0x00280122, 0x00280124), (0x00280123, 0x00280125))
"""Pixel Padding Value and Range Limit: of integers, of float and of double float pixels."""
_WINDOW_CENTER, _WINDOW_WIDTH, _VOI_LUT_FUNCTION = 0x00281050, 0x00281051, 0x00281056
_RESCALE_INTERCEPT, _RESCALE_SLOPE = 0x00281052, 0x00281053
_MODALITY_LUT_SEQUENCE, _VOI_LUT_SEQUENCE = 0x00283000, 0x00283010
_SHARED_FUNCTIONAL_GROUPS, _PER_FRAME_FUNCTIONAL_GROUPS = 0x52009229, 0x52009230
_FRAME_VOI_LUT, _PIXEL_VALUE_TRANSFORMATION = 0x00289132, 0x00289145
_PIXEL_MEASURES = 0x00289110
_SPACINGS = (0x00280030, 0x00181164, 0x00182010, 0x00280034)
"""Pixel Spacing, Imager Pixel Spacing, Nominal Scanned Pixel Spacing, Pixel Aspect Ratio: rows, then columns."""
_LEAST_RATIO = 0.01
_SQUARE = 0.001
_INHERITED = (0x00080005, 0x00280103)
"""Specific Character Set, Pixel Representation."""

_TELL_MORE = (_MODALITY_LUT_SEQUENCE, _VOI_LUT_SEQUENCE, _SHARED_FUNCTIONAL_GROUPS, _PER_FRAME_FUNCTIONAL_GROUPS)
_TELL_SHORTLY = (
    *(_MODALITY, _WINDOW_CENTER, _WINDOW_WIDTH, _VOI_LUT_FUNCTION, _RESCALE_INTERCEPT, _RESCALE_SLOPE),
    *(tag for pair in _PADDINGS for tag in pair),
    *_SPACINGS,
    *_INHERITED,
    _PIXEL_INTENSITY_RELATIONSHIP,
    *(0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102),
)
"""What `display_attributes` and `pacs.pixels.description.describe` read."""
_SHORT_BYTES = 256

WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, slots=True)
class Window:
    """A VOI window on rescaled values (PS3.3 §C.11.2.1.2, §C.11.2.1.3)."""

    center: float
    width: float
    """At least 1 for LINEAR, more than 0 for the others."""
    function: WindowFunction = "LINEAR"


@dataclass(frozen=True, slots=True)
class DisplayAttributes:
    """How one frame wants to be shown."""

    modality: str = ""
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: LookUpTable | None = None
    window: Window | None = None
    """The first window stored, when it is usable."""
    voi_lut: LookUpTable | None = None
    padding: tuple[float, float] | None = None
    """Stored values, both inclusive, that stand for "no image here" (PS3.3 §C.7.5.1.1.2)."""
    palette: Palette | None = None


def display_attributes(header: Header, frame_number: int = 1) -> DisplayAttributes:
    """Collect the display attributes of frame `frame_number` (from 1); wrong values count as absent.

    Raises:
        UndecodablePixels: PALETTE COLOR without its tables.
    """
    slope, intercept, window, voi_lut = None, None, None, None
    for level in _levels(header, frame_number):
        if slope is None and (found := level.number(_RESCALE_SLOPE)):
            slope, intercept = found, level.number(_RESCALE_INTERCEPT) or 0.0
        window = window or stored_window(level)
        voi_lut = voi_lut or _first_lut(level, _VOI_LUT_SEQUENCE)
    is_palette = (header.text(0x00280004) or "").strip().upper() == "PALETTE COLOR"
    return DisplayAttributes(
        modality=header.text(_MODALITY) or "",
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        modality_lut=_modality_lut(header),
        window=window,
        voi_lut=voi_lut,
        padding=_padding(header),
        palette=palette(header) if is_palette else None,
    )


def _levels(header: Header, frame_number: int) -> Iterator[Header]:
    """Where a frame's attributes may be, the most specific first."""
    for group in functional_groups(header, frame_number):
        yield from _items(group, _PIXEL_VALUE_TRANSFORMATION, 0)
        yield from _items(group, _FRAME_VOI_LUT, 0)
    yield header


def is_shown_simply(header: Header) -> bool:
    """Whether all that tells how to show the frames is a few short values: no tables, no functional groups.

    Whoever made the file decides how much work the others are.
    """
    elements = header.elements
    if any(tag in elements for tag in _TELL_MORE):
        return False
    lengths = (elements[tag].length for tag in _TELL_SHORTLY if tag in elements)
    return all(length is not None and length <= _SHORT_BYTES for length in lengths)


def functional_groups(header: Header, frame_number: int) -> Iterator[Header]:
    """The functional groups of a frame (PS3.3 §C.7.6.16): its own, then those all frames share; none when damaged."""
    for sequence, index in ((_PER_FRAME_FUNCTIONAL_GROUPS, frame_number - 1), (_SHARED_FUNCTIONAL_GROUPS, 0)):
        if sequence in header.elements:
            yield from _items(header, sequence, index)


def pixel_ratio(header: Header, frame_number: int = 1) -> float:
    """Height of a pixel by its width; 1 when nothing usable says otherwise.

    Pixel Spacing counts before the spacing at the detector and on film, those before Pixel Aspect Ratio.
    """
    measures = [item for group in functional_groups(header, frame_number) for item in _items(group, _PIXEL_MEASURES, 0)]
    for level in (*measures, header):
        for tag in _SPACINGS:
            pair = level.numbers(tag)
            if len(pair) >= 2 and pair[0] > 0 and pair[1] > 0:
                ratio = pair[0] / pair[1]
                return ratio if _LEAST_RATIO <= ratio <= 1 / _LEAST_RATIO and abs(ratio - 1) > _SQUARE else 1.0
    return 1.0


def _items(header: Header, tag: int, index: int) -> tuple[Header, ...]:
    """The item at `index` as a tuple of one; empty when there is none or the sequence is damaged.

    Only that item is walked: a per-frame sequence may have thousands, and a picture needs one.
    """
    sequence = header.elements.get(tag)
    if sequence is None or sequence.vr != "SQ":
        return ()
    try:
        items = iter_items(header.buffer, sequence, header.is_little_endian, header.ends)
        return tuple(_walked(header, item) for item in islice(items, index, index + 1))
    except MalformedDataSet:
        return ()


def _walked(header: Header, item: Item) -> Header:
    """An item as a data set of its own; what tells how to read numbers and text is taken over from around it."""
    elements = {tag: header.elements[tag] for tag in _INHERITED if tag in header.elements}
    found = iter_elements(
        header.buffer, item.start, item.end, item.is_implicit_vr, header.is_little_endian, 1, header.ends
    )
    elements.update((element.tag, element) for element in found)
    return replace(header, elements=elements, is_implicit_vr=item.is_implicit_vr, pixel_data=None)


def _first_lut(header: Header, sequence: int) -> LookUpTable | None:
    for item in _items(header, sequence, 0):
        return lut_of_item(item)
    return None


def _modality_lut(header: Header) -> LookUpTable | None:
    """None in angiography, too, where the table leads back from what is to be seen to X-ray beam intensity: for LOG
    and DISP it is no step of the display (PS3.3 §C.8.7.1.1.2)."""
    relationship = (header.text(_PIXEL_INTENSITY_RELATIONSHIP) or "").strip().upper()
    if relationship in {"LOG", "DISP"} and (header.text(_MODALITY) or "").strip() in {"XA", "RF"}:
        return None
    return _first_lut(header, _MODALITY_LUT_SEQUENCE)


def stored_window(header: Header) -> Window | None:
    """The first window of a level; None when it has none that can be used."""
    center, width = header.number(_WINDOW_CENTER), header.number(_WINDOW_WIDTH)
    if center is None or width is None or width <= 0:
        return None
    function = (header.text(_VOI_LUT_FUNCTION) or "").strip().upper()
    if function == "SIGMOID":
        return Window(center, width, "SIGMOID")
    if function == "LINEAR_EXACT" or width < 1:
        return Window(center, width, "LINEAR_EXACT")
    return Window(center, width)


def _padding(header: Header) -> tuple[float, float] | None:
    for tag, limit_tag in _PADDINGS:
        value, limit = _as_stored(header, tag), _as_stored(header, limit_tag)
        if value is not None:
            other = value if limit is None else limit
            return min(value, other), max(value, other)
    return None


def _as_stored(header: Header, tag: int) -> float | None:
    """A number of the pixels' own sign: some writers give US where the pixels are signed, or SS where they are not."""
    number = header.number(tag)
    if number is None or header.elements[tag].vr not in {"US", "SS"}:
        return number
    is_signed = header.integer(_PIXEL_REPRESENTATION) == 1
    if is_signed and number >= 1 << 15:
        return number - (1 << 16)
    return number + (1 << 16) if number < 0 and not is_signed else number

"""Frames shown as presentation states say, compared with what is worked out here from the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from pacs.errors import NotAcceptable
from pacs.part10.file_meta import read_file_meta
from pacs.part10.header import Header, scan
from pacs.pixels.presentation_state import PresentationState, presentation_state
from pacs.pixels.render import Viewport
from pacs.pixels.rendering import Rendering, picture_as
from tests.dicomweb.presentation_states import (
    area,
    drawing,
    graphic,
    items,
    layer,
    made,
    reference_to,
    state,
    text,
    window,
)
from tests.dicomweb.served import image, written

ROWS, COLUMNS = 20, 30
PIXELS = (np.add.outer(np.arange(ROWS) * 3, np.arange(COLUMNS) * 4) % 256).astype(np.uint16)


def picture_in(pixels: np.ndarray = PIXELS, **attributes: Any) -> FileDataset:
    return image(
        Rows=ROWS, Columns=COLUMNS, PixelData=pixels.astype("<u2").tobytes(), BitsStored=8, HighBit=7, **attributes
    )


def scanned(data_set: FileDataset) -> Header:
    file = written(data_set)
    meta = read_file_meta(file)
    return scan(memoryview(file)[meta.data_set_offset :], meta.transfer_syntax_uid)


def read(data_set: FileDataset) -> PresentationState:
    return presentation_state(scanned(data_set), data_set.SOPClassUID)


def shown(subject: FileDataset, viewport: Viewport | None = None, sop_class: str = "", **attributes: Any) -> np.ndarray:
    kind = {"sop_class": sop_class} if sop_class else {}
    rendering = Rendering(
        presentation=read(state(subject, **kind, **attributes)),
        sop_instance_uid=subject.SOPInstanceUID,
        viewport=viewport,
    )
    return picture_as(scanned(subject), (1, [memoryview(subject.PixelData)]), rendering)


def test_without_a_window_every_value_has_its_grey() -> None:
    # The window, rescale and polarity of the image do not count (PS3.4 §N.2).
    subject = picture_in(RescaleSlope=7, RescaleIntercept=-100, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(shown(subject), PIXELS)
    assert np.array_equal(shown(subject, PresentationLUTShape="INVERSE"), 255 - PIXELS)


def test_rescale_and_window_are_those_of_the_state() -> None:
    picture = shown(
        picture_in(),
        RescaleSlope=2,
        RescaleIntercept=-10,
        RescaleType="US",
        SoftcopyVOILUTSequence=items(window(200, 100, VOILUTFunction="LINEAR_EXACT")),
    )
    expected = np.clip(((2.0 * PIXELS - 10) - 150) / 100 * 255, 0, 255)
    assert np.abs(picture - expected).max() <= 0.51


def test_a_window_is_for_the_images_it_names() -> None:
    subject, other = picture_in(), picture_in()
    dark = window(1000, 2, ReferencedImageSequence=items(reference_to(other)))
    bright = window(-1000, 2, ReferencedImageSequence=items(reference_to(subject)))
    assert shown(subject, SoftcopyVOILUTSequence=items(dark, bright)).min() == 255


def test_a_presentation_lut_bends_the_greys() -> None:
    lut = made(LUTDescriptor=[256, 0, 8], LUTData=bytes(range(255, -1, -1)))
    del lut.LUTData
    lut.add_new(0x00283006, "OW", np.arange(255, -1, -1, dtype="<u2").tobytes())
    picture = shown(picture_in(), PresentationLUTShape=None, PresentationLUTSequence=items(lut))
    assert np.array_equal(picture, 255 - PIXELS)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["N", "Y"])
def test_turned_clockwise_then_mirrored(rotation: int, flip: str) -> None:
    expected = np.rot90(PIXELS, -rotation // 90)
    expected = expected[:, ::-1] if flip == "Y" else expected
    picture = shown(picture_in(), ImageRotation=rotation, ImageHorizontalFlip=flip)
    assert np.array_equal(picture, expected)


def test_the_displayed_area_is_cut_out_and_black_lies_around_the_image() -> None:
    cut = shown(picture_in(), DisplayedAreaSelectionSequence=items(area(3, 2, 12, 9)))
    assert np.array_equal(cut, PIXELS[1:9, 2:12])
    wide = shown(picture_in(), DisplayedAreaSelectionSequence=items(area(-4, -1, COLUMNS, ROWS + 2)))
    assert wide.shape == (ROWS + 4, COLUMNS + 5)
    assert np.array_equal(wide[2 : ROWS + 2, 5:], PIXELS)
    assert wide[:2].max() == wide[ROWS + 2 :].max() == wide[:, :5].max() == 0
    # Turned by 180 degrees the top left corner is the one with the larger numbers (PS3.3 §C.10.4).
    turned = shown(picture_in(), ImageRotation=180, DisplayedAreaSelectionSequence=items(area(12, 9, 3, 2)))
    assert np.array_equal(turned, PIXELS[1:9, 2:12][::-1, ::-1])


def test_size_modes_and_pixels_that_are_not_square() -> None:
    ten = {"DisplayedAreaSelectionSequence": items(area(1, 1, 10, 10, PresentationPixelAspectRatio=[2, 1]))}
    assert shown(picture_in(), **ten).shape == (20, 10)
    assert shown(picture_in(), Viewport(50, 50), **ten).shape == (50, 25)
    assert shown(picture_in(), Viewport(50, 50), ImageRotation=90, **ten).shape == (25, 50)
    magnified = area(1, 1, 10, 10, PresentationSizeMode="MAGNIFY", PresentationPixelMagnificationRatio=3)
    assert shown(picture_in(), DisplayedAreaSelectionSequence=items(magnified)).shape == (30, 30)


@pytest.mark.parametrize("corner", [(2**31 - 1, 2**31 - 1), (60000, 60000)])
def test_an_area_of_any_size_takes_no_memory(corner: tuple[int, int]) -> None:
    with pytest.raises(NotAcceptable, match=r"displayed area|would have"):
        shown(picture_in(), DisplayedAreaSelectionSequence=items(area(1, 1, *corner)))


def test_shutters_cover_what_lies_outside() -> None:
    rows, columns = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]
    inside = (columns > 4) & (columns < 25) & (rows > 2) & (rows < 18)
    inside &= (rows - 10) ** 2 + (columns - 15) ** 2 <= 9**2
    picture = shown(
        picture_in(),
        ShutterShape=["RECTANGULAR", "CIRCULAR"],
        ShutterLeftVerticalEdge=4,
        ShutterRightVerticalEdge=25,
        ShutterUpperHorizontalEdge=2,
        ShutterLowerHorizontalEdge=18,
        CenterOfCircularShutter=[10, 15],
        RadiusOfCircularShutter=9,
        ShutterPresentationValue=0x4000,
    )
    assert np.array_equal(picture, np.where(inside, PIXELS, 0x40))


def test_a_polygonal_shutter() -> None:
    picture = shown(
        picture_in(np.full((ROWS, COLUMNS), 200)),
        ShutterShape="POLYGONAL",
        VerticesOfThePolygonalShutter=[5, 5, 5, 20, 15, 20, 15, 5],
    )
    assert picture[10, 10] == 200
    assert picture[2, 10] == picture[10, 2] == picture[18, 25] == 0


def test_overlays_are_drawn_when_they_are_switched_on() -> None:
    bits = np.zeros((ROWS, COLUMNS), np.uint8)
    bits[3:6, 7:11] = 1
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    subject = picture_in(np.zeros((ROWS, COLUMNS)))
    for owner in (subject, None):
        more = {0x60000010: ROWS, 0x60000011: COLUMNS, 0x60000100: 1, 0x60000102: 0}
        stored = state(subject)
        target = subject if owner is not None else stored
        for tag, number in more.items():
            target.add_new(tag, "US", number)
        target.add_new(0x60003000, "OW", packed + b"\0" * (len(packed) % 2))
        rendering = Rendering(presentation=read(stored), sop_instance_uid=subject.SOPInstanceUID)
        frame = (1, [memoryview(subject.PixelData)])
        assert picture_as(scanned(subject), frame, rendering).max() == 0
        stored.add_new(0x60001001, "CS", "LAYER")
        rendering = Rendering(presentation=read(stored), sop_instance_uid=subject.SOPInstanceUID)
        assert np.array_equal(picture_as(scanned(subject), frame, rendering), bits * 255)
        for tag in [element.tag for element in subject if element.tag.group == 0x6000]:
            del subject[tag]


def test_graphics_lie_where_the_image_does() -> None:
    subject = picture_in(np.zeros((ROWS, COLUMNS)))
    square = graphic("POLYLINE", 5, 4, 15, 4, 15, 12, 5, 12, 5, 4, filled="Y")
    drawn = {
        "GraphicAnnotationSequence": items(drawing("A", square)),
        "GraphicLayerSequence": items(layer("A", 1, 0x8000)),
    }
    picture = shown(subject, **drawn)
    assert picture[8, 10] == 0x80
    assert picture[:3].max() == picture[14:].max() == picture[:, :4].max() == picture[:, 17:].max() == 0
    large = shown(subject, Viewport(300, 200), ImageRotation=90, ImageHorizontalFlip="Y", **drawn)
    # Turned and mirrored, x and y have changed places.
    assert large.shape == (200, 133)
    scale = 200 / COLUMNS
    lit = np.argwhere(large == 0x80)
    assert np.abs(lit.min(axis=0) - (5 * scale, 4 * scale)).max() <= 1.5
    assert np.abs(lit.max(axis=0) - (15 * scale, 12 * scale)).max() <= 1.5


def test_layers_are_drawn_in_their_order_and_only_on_their_images() -> None:
    subject, other = picture_in(np.zeros((ROWS, COLUMNS))), picture_in()
    square = graphic("POLYLINE", 5, 4, 15, 4, 15, 12, 5, 12, filled="Y")
    above, below, not_here = (drawing(name, square) for name in "ABC")
    not_here.ReferencedImageSequence = items(reference_to(other))
    picture = shown(
        subject,
        GraphicAnnotationSequence=items(above, below, not_here),
        GraphicLayerSequence=items(layer("A", 2, 0xC000), layer("B", 1, 0x4000), layer("C", 3, 0xFFFF)),
    )
    assert picture[8, 10] == 0xC0


@pytest.mark.parametrize(
    ("drawn", "inside", "outside"),
    [
        (graphic("CIRCLE", 15, 10, 21, 10), [(10, 21), (4, 15)], [(10, 15), (1, 2)]),
        (graphic("ELLIPSE", 5, 10, 25, 10, 15, 5, 15, 15), [(10, 5), (5, 15)], [(10, 15), (4, 6)]),
        (graphic("POINT", 15, 10), [(10, 13), (12, 15)], [(2, 2)]),
        (graphic("INTERPOLATED", 2, 10, 10, 10, 20, 10), [(10, 2), (10, 12), (10, 19)], [(5, 5)]),
        (graphic("POLYLINE", 0.1, 0.5, 0.9, 0.5, units="DISPLAY"), [(10, 5), (10, 25)], [(10, 1), (5, 15)]),
    ],
)
def test_kinds_of_graphics(drawn: Any, inside: list[tuple[int, int]], outside: list[tuple[int, int]]) -> None:
    subject = picture_in(np.zeros((ROWS, COLUMNS)))
    picture = shown(subject, GraphicAnnotationSequence=items(drawing("A", drawn)))
    assert all(picture[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max() == 255 for y, x in inside)
    assert all(picture[y, x] == 0 for y, x in outside)


def test_text_is_written_into_its_box() -> None:
    subject = image(Rows=200, Columns=200, PixelData=np.zeros((200, 200), "<u2").tobytes())
    words = text("Befund\r\nzweite Zeile", 20, 50, 180, 90)
    picture = shown(subject, GraphicAnnotationSequence=items(drawing("A", texts=[words])))
    lit = np.argwhere(picture > 128)
    assert lit[:, 0].min() >= 50
    assert 20 <= lit[:, 1].min() <= 24
    assert len(lit) > 100


def test_a_colour_state_is_for_colours_and_a_pseudo_colour_state_gives_some() -> None:
    kinds = {"color": "1.2.840.10008.5.1.4.1.1.11.2", "pseudo": "1.2.840.10008.5.1.4.1.1.11.3"}
    with pytest.raises(NotAcceptable, match="colour images"):
        shown(picture_in(), sop_class=kinds["color"])
    palette: dict[str, Any] = {}
    for number, name in enumerate(("Red", "Green", "Blue")):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        ramp = np.roll(np.arange(256), 40 * number).astype("<u2") * 257
        palette[f"{name}PaletteColorLookupTableData"] = ramp.tobytes()
    picture = shown(picture_in(), sop_class=kinds["pseudo"], **palette)
    expected = np.stack([np.roll(np.arange(256), 40 * number)[PIXELS] for number in range(3)], axis=-1)
    assert np.abs(picture.astype(int) - expected).max() <= 1
    colours = image(
        SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0, BitsAllocated=8, BitsStored=8,
        HighBit=7, Rows=2, Columns=2, PixelData=bytes(range(12)),
    )  # fmt: skip
    turned = shown(colours, sop_class=kinds["color"], ImageRotation=180)
    assert np.array_equal(turned, np.arange(12, dtype=np.uint8).reshape(2, 2, 3)[::-1, ::-1])
    with pytest.raises(NotAcceptable, match="grey images"):
        shown(colours)


def test_other_kinds_are_refused() -> None:
    blending = state(picture_in(), sop_class="1.2.840.10008.5.1.4.1.1.11.4")
    with pytest.raises(NotAcceptable, match="are not shown"):
        read(blending)


def test_too_much_to_draw_is_refused() -> None:
    many = [graphic("POINT", 1, 1) for _ in range(10_001)]
    with pytest.raises(NotAcceptable, match="10000 objects"):
        read(state(picture_in(), GraphicAnnotationSequence=items(drawing("A", *many))))


def test_nonsense_counts_as_absent() -> None:
    found = read(
        state(
            picture_in(SeriesInstanceUID=generate_uid()),
            ImageRotation=45,
            ImageHorizontalFlip="PERHAPS",
            DisplayedAreaSelectionSequence=items(made(PresentationSizeMode="SCALE TO FIT")),
            ShutterShape="RECTANGULAR",
            SoftcopyVOILUTSequence=items(made(WindowCenter=1)),
            GraphicAnnotationSequence=items(drawing("A", made(GraphicType="POLYLINE"))),
        )
    )
    assert (found.rotation, found.is_flipped, found.areas, found.windows) == (0, False, (), ())
    assert found.shutter is not None
    assert found.shutter.rectangle is None
    assert found.layers[0].graphics == ()

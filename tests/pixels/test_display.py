from __future__ import annotations

import struct

import numpy as np
import pytest

from pacs.pixels.display import Window, display_attributes
from tests.part10.encoding import explicit, item, sequence
from tests.pixels.images import code, data_set, decimal, gradient, in_order, scanned


def test_rescale_window_and_padding_are_read() -> None:
    header = scanned(
        data_set(
            gradient(),
            code(0x00080060, "CT"),
            explicit(0x00280120, "US", struct.pack("<H", 7)),
            decimal(0x00281050, 40, 300),
            decimal(0x00281051, 400, 1500),
            decimal(0x00281052, -1024),
            decimal(0x00281053, 2),
        )
    )
    display = display_attributes(header)
    assert (display.modality, display.slope, display.intercept, display.padding) == ("CT", 2, -1024, (7, 7))
    assert display.window == Window(40, 400)


def test_a_padding_range_may_be_told_from_either_end() -> None:
    ends = explicit(0x00280120, "US", struct.pack("<H", 90)), explicit(0x00280121, "US", struct.pack("<H", 80))
    assert display_attributes(scanned(data_set(gradient(), *ends))).padding == (80, 90)


@pytest.mark.parametrize(("pixels", "vr", "value"), [(np.int16, "US", 63536), (np.uint16, "SS", -2000)])
def test_padding_is_of_the_pixels_sign_whatever_its_vr_says(pixels: type, vr: str, value: int) -> None:
    code = "<H" if vr == "US" else "<h"
    elements = explicit(0x00280120, vr, struct.pack(code, value)), explicit(0x00280121, "SS", struct.pack("<h", -1500))
    display = display_attributes(scanned(data_set(gradient().astype(pixels), *elements)))
    assert display.padding == ((-2000, -1500) if pixels is np.int16 else (63536, 64036))


@pytest.mark.parametrize(
    ("modality", "relationship", "is_applied"),
    [("XA", "LOG", False), ("RF", "DISP", False), ("XA", "LIN", True), ("XA", "", True), ("CR", "LOG", True)],
)
def test_a_table_back_to_beam_intensity_is_not_for_showing(modality: str, relationship: str, is_applied: bool) -> None:
    lut = explicit(0x00283002, "US", struct.pack("<3H", 4096, 0, 16)) + explicit(0x00283006, "OW", bytes(8192))
    elements = code(0x00080060, modality), code(0x00281040, relationship), sequence(0x00283000, item(lut))
    found = display_attributes(scanned(data_set(gradient(), *elements))).modality_lut
    assert (found is not None) == is_applied


def test_functions_of_a_window() -> None:
    def window(width: float, function: str) -> Window | None:
        elements = decimal(0x00281050, 5), decimal(0x00281051, width), code(0x00281056, function)
        return display_attributes(scanned(data_set(gradient(), *elements))).window

    assert window(9, "SIGMOID") == Window(5, 9, "SIGMOID")
    assert window(9, "LINEAR_EXACT") == Window(5, 9, "LINEAR_EXACT")
    assert window(9, "NONSENSE") == Window(5, 9, "LINEAR")
    assert window(0.5, "LINEAR") == Window(5, 0.5, "LINEAR_EXACT")
    assert window(0, "LINEAR") is None
    assert window(-3, "LINEAR") is None


def test_a_frame_has_its_own_values_before_the_shared_ones_before_the_top_ones() -> None:
    def group(*elements: bytes) -> bytes:
        return item(in_order(*elements))

    def window(center: float) -> bytes:
        return sequence(0x00289132, item(decimal(0x00281050, center) + decimal(0x00281051, 10)))

    rescale = sequence(0x00289145, item(decimal(0x00281052, -3) + decimal(0x00281053, 4)))
    header = scanned(
        data_set(
            gradient(),
            decimal(0x00281050, 1),
            decimal(0x00281051, 10),
            decimal(0x00281053, 9),
            sequence(0x52009229, group(rescale)),
            sequence(0x52009230, group(window(100)), group(window(200)), group(), is_undefined=True),
            frames=3,
        )
    )
    assert [display_attributes(header, number).window for number in (1, 2, 3)] == [
        Window(100, 10),
        Window(200, 10),
        Window(1, 10),
    ]
    assert {display_attributes(header, number).slope for number in (1, 2, 3)} == {4}
    assert display_attributes(header, 1).intercept == -3


def test_wrong_values_count_as_absent() -> None:
    elements = (
        explicit(0x00281050, "DS", b"wide"),
        explicit(0x00281051, "DS", b"open"),
        explicit(0x00281053, "DS", b"x "),
    )
    display = display_attributes(scanned(data_set(gradient(), *elements)))
    assert display.window is None
    assert display.slope == 1
    assert display_attributes(scanned(data_set(gradient(), decimal(0x00281053, 0)))).slope == 1


def test_a_damaged_sequence_counts_as_absent() -> None:
    elements = decimal(0x00281050, 1), decimal(0x00281051, 10), explicit(0x52009230, "SQ", b"\1\2\3\4\5\6\7\x08")
    assert display_attributes(scanned(data_set(gradient(), *elements))).window == Window(1, 10)

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.part10.elements import Element
from pacs.part10.values import BINARY_NUMBERS, decided_vr, decimal, numbers


def element(vr: str, value: bytes, tag: int = 0x00091010) -> Element:
    return Element(tag, vr, 0, 0, len(value), len(value), False)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"1", 1),
        (b" -12 ", -12),
        (b"+3\0", 3),
        (b"1.50", 1.5),
        (b"1e3", 1000.0),
        (b"", None),
        (b"  ", None),
        (b"1,5", None),
        (b"1_000", None),
        (b"NaN", None),
        (b"inf", None),
        (b"1e999", None),
        (b"9" * 100, None),
        (b"0x10", None),
    ],
)
def test_decimal(text, number):
    assert decimal(text) == number
    assert type(decimal(text)) is type(number)


@given(st.binary(max_size=80))
def test_decimal_never_raises(text):
    number = decimal(text)
    assert number is None or number - number == 0


@pytest.mark.parametrize("vr", BINARY_NUMBERS)
@pytest.mark.parametrize("is_little_endian", [True, False])
def test_binary_numbers(vr, is_little_endian):
    value = struct.pack(f"{'<' if is_little_endian else '>'}3{BINARY_NUMBERS[vr][0]}", 1, 2, 3)
    assert numbers(memoryview(value), element(vr, value), vr, is_little_endian) == (1, 2, 3)
    assert numbers(memoryview(value[:-1]), element(vr, value[:-1]), vr, is_little_endian) == ()


def test_not_a_number_is_left_out():
    value = struct.pack("<3d", 1.5, float("nan"), float("inf"))
    assert numbers(memoryview(value), element("FD", value), "FD", True) == (1.5,)


@pytest.mark.parametrize(
    ("vr", "tag", "length", "is_signed", "decided"),
    [
        ("US or SS", 0x00280106, 2, True, "SS"),
        ("US or SS", 0x00280106, 2, False, "US"),
        ("US or OW", 0x00283006, 2, False, "US"),
        ("US or OW", 0x00283006, 512, False, "OW"),
        ("OB or OW", 0x60003000, 512, False, "OW"),
    ],
)
def test_decided_vr(vr, tag, length, is_signed, decided):
    assert decided_vr(Element(tag, vr, 0, 8, length, 8 + length, True), is_signed=is_signed) == decided

"""Values into bytes, or a ValueError."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.part10.value_writer import KNOWN_VRS, decimal_string, element_head, encoded_values, inline_binary, padding


@pytest.mark.parametrize(
    ("vr", "values", "expected"),
    [
        ("UI", ["1.2.3"], b"1.2.3\0"),
        ("CS", ["A", None, "B"], b"A\\\\B"),
        ("CS", [], b""),
        ("US", [1, "2"], b"\1\0\2\0"),
        ("FD", [None], struct.pack("<d", float("nan"))),
        ("AT", ["7FE00010"], b"\xe0\x7f\x10\0"),
        ("PN", ["A^B=C"], b"A^B=C "),
        ("IS", [12.0, "-3"], b"12\\-3 "),
    ],
)
def test_little_endian(vr: str, values: list[Any], expected: bytes) -> None:
    assert encoded_values(vr, values, str.encode) == expected


def test_big_endian() -> None:
    assert encoded_values("US", [1], str.encode, is_little_endian=False) == b"\0\1"
    assert encoded_values("AT", ["00181063"], str.encode, is_little_endian=False) == b"\0\x18\x10\x63"
    assert element_head(0x00280010, "US", 2, is_implicit_vr=False, is_little_endian=False) == b"\0\x28\0\x10US\0\2"


@pytest.mark.parametrize(
    ("vr", "value"),
    [("US", -1), ("US", 1.5), ("US", "x"), ("FL", 1e300), ("AT", 7), ("DS", float("inf")), ("IS", 10**13), ("LO", 1)],
)
def test_what_does_not_fit(vr: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"holds|no"):
        encoded_values(vr, [value], str.encode)


def test_padding_and_inline_binary() -> None:
    assert [padding(vr, 3) for vr in ("UI", "OB", "LO")] == [b"\0", b"\0", b" "]
    assert inline_binary("YW\nI=") == b"ab"
    with pytest.raises(ValueError, match="no string"):
        inline_binary(None)


@given(st.floats(-1e300, 1e300))
def test_decimals_fit(value: float) -> None:
    text = decimal_string(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-6)


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({"Alphabetic": "A"})


@given(st.sampled_from(sorted(KNOWN_VRS - {"SQ"})), st.lists(SCALAR, max_size=3))
def test_anything_is_even_or_a_value_error(vr: str, values: list[Any]) -> None:
    try:
        assert len(encoded_values(vr, values, str.encode)) % 2 == 0
    except ValueError:
        return

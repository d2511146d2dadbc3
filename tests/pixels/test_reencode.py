from __future__ import annotations

import struct

import pytest

from pacs.errors import MalformedDataSet
from pacs.part10.value_writer import element_head
from pacs.pixels.reencode import reencoded, swapped
from tests.part10.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    explicit,
    implicit,
    item,
    sequence,
)
from tests.pixels.images import scanned


def whole(content: bytes, uid: str, *, is_implicit_vr: bool) -> bytes:
    header = scanned(content, uid)
    return b"".join(
        bytes(part)
        for element in header.elements.values()
        for part in reencoded(header, element, is_implicit_vr=is_implicit_vr)
    )


def test_explicit_becomes_implicit_and_comes_back() -> None:
    content = (
        explicit(0x00100010, "PN", b"Hong^Gil")
        + explicit(0x00280010, "US", b"\x05\0")
        + explicit(0x00420011, "OB", b"ab")
    )
    as_implicit = whole(content, EXPLICIT_LITTLE, is_implicit_vr=True)
    assert as_implicit == implicit(0x00100010, b"Hong^Gil") + implicit(0x00280010, b"\x05\0") + implicit(
        0x00420011, b"ab"
    )
    assert whole(as_implicit, IMPLICIT_LITTLE, is_implicit_vr=False) == content


def test_an_element_that_is_right_already_is_the_same_bytes() -> None:
    content = sequence(0x00081140, item(explicit(0x00081150, "UI", b"1.2\0"), is_undefined=True), is_undefined=True)
    assert whole(content, EXPLICIT_LITTLE, is_implicit_vr=False) == content


def test_a_sequence_is_written_with_delimiters_and_without_group_lengths() -> None:
    inside = explicit(0x00080000, "UL", b"\x0c\0\0\0") + explicit(0x00081150, "UI", b"1.2\0")
    outside = whole(sequence(0x00081140, item(inside)), EXPLICIT_LITTLE, is_implicit_vr=True)
    header = scanned(outside, IMPLICIT_LITTLE)
    assert header.items(0x00081140)[0].uid(0x00081150) == "1.2"
    assert outside.count(struct.pack("<HH", 0x0008, 0x0000)) == 0


def test_numbers_and_words_of_big_endian_are_turned_text_is_not() -> None:
    content = b"".join(
        explicit(tag, vr, value, order=">")
        for tag, vr, value in (
            (0x00080008, "CS", b"ABCD"),
            (0x00189328, "FD", struct.pack(">d", 1.5)),
            (0x00209165, "AT", struct.pack(">HH", 0x0018, 0x9328)),
            (0x00280010, "US", struct.pack(">HH", 1, 2)),
            (0x00281201, "OW", struct.pack(">HH", 3, 4)),
        )
    )
    header = scanned(whole(content, EXPLICIT_BIG, is_implicit_vr=False), EXPLICIT_LITTLE)
    assert header.text(0x00080008) == "ABCD"
    assert header.numbers(0x00189328) == (1.5,)
    assert header.numbers(0x00280010) == (1, 2)
    assert bytes(header.value(0x00209165) or b"") == struct.pack("<HH", 0x0018, 0x9328)
    assert bytes(header.value(0x00281201) or b"") == struct.pack("<HH", 3, 4)


def test_a_value_too_long_for_its_vr_goes_as_unknown() -> None:
    content = implicit(0x00104000, b"x" * 70000)
    made = whole(content, IMPLICIT_LITTLE, is_implicit_vr=False)
    assert made[4:6] in {b"UN", b"LT"}
    assert element_head(0x00104000, "LT", 70000, is_implicit_vr=False)[4:6] == b"UN"
    assert bytes(scanned(made).value(0x00104000) or b"") == b"x" * 70000


def test_odd_values_are_padded() -> None:
    made = whole(implicit(0x00100020, b"123", 3), IMPLICIT_LITTLE, is_implicit_vr=False)
    assert made == explicit(0x00100020, "LO", b"123\0")


def test_what_only_claims_to_be_a_sequence_keeps_its_bytes() -> None:
    made = whole(implicit(0x00081140, b"no items"), IMPLICIT_LITTLE, is_implicit_vr=False)
    assert made == explicit(0x00081140, "UN", b"no items")


def test_in_big_endian_it_is_refused() -> None:
    with pytest.raises(MalformedDataSet):
        whole(explicit(0x00081140, "SQ", b"no items", order=">"), EXPLICIT_BIG, is_implicit_vr=False)


def test_a_torn_word_stays() -> None:
    assert swapped(memoryview(b"abcde"), 2) == b"badce"
    assert swapped(memoryview(b"abcde"), 1) == b"abcde"

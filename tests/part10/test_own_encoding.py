from __future__ import annotations

import struct

import pytest

from pacs.part10.frame_table import frame_table
from pacs.part10.header import scan
from pacs.part10.own_encoding import own_transfer_syntax
from tests.part10.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
    RLE,
    UNDEFINED,
    encapsulated,
    explicit,
    implicit,
)

DEFLATED, PRIVATE, GE = EXPLICIT_LITTLE + ".99", "1.2.840.99999.1", "1.2.840.113619.5.2"
VALUES = {0x00280002: ("US", 1), 0x00280010: ("US", 4), 0x00280011: ("US", 6), 0x00280100: ("US", 16)}

IMPLICIT_FRAGMENTS = implicit(0x7FE00010, encapsulated(b"", b"1234")[12:], UNDEFINED)


def data_set(encoding: str, *, pixel_bytes: int | None = 48) -> bytes:
    """An image of 4 x 6 pixels of 16 bits; None for one without pixel data."""
    order = ">" if encoding == EXPLICIT_BIG else "<"
    numbers = {tag: (vr, struct.pack(f"{order}H", number)) for tag, (vr, number) in VALUES.items()}
    elements = {0x00080018: ("UI", b"1.2.3\0"), **numbers}
    if pixel_bytes is not None:
        elements[0x7FE00010] = ("OW", bytes(pixel_bytes))
    if encoding == IMPLICIT_LITTLE:
        return b"".join(implicit(tag, value) for tag, (_, value) in elements.items())
    return b"".join(explicit(tag, vr, value, order=order) for tag, (vr, value) in elements.items())


def own(content: bytes, announced: str) -> str:
    header = scan(content, announced)
    return own_transfer_syntax(header, frame_table(header))


@pytest.mark.parametrize("pixel_bytes", [48, None])
@pytest.mark.parametrize("encoding", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
@pytest.mark.parametrize("announced", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, JPEG_BASELINE, RLE])
def test_what_is_found_counts(encoding: str, announced: str, pixel_bytes: int | None) -> None:
    found = own(data_set(encoding, pixel_bytes=pixel_bytes), announced)
    # Without pixels a compressed transfer syntax is Explicit VR Little Endian under another name, and no mistake.
    is_same = pixel_bytes is None and announced in (JPEG_BASELINE, RLE) and encoding == EXPLICIT_LITTLE
    assert found == (announced if is_same else encoding)


@pytest.mark.parametrize(
    ("content", "announced"),
    [
        (data_set(EXPLICIT_LITTLE, pixel_bytes=None) + encapsulated(b"", b"1234"), JPEG_BASELINE),
        (data_set(IMPLICIT_LITTLE, pixel_bytes=None) + IMPLICIT_FRAGMENTS, JPEG_BASELINE),
        (data_set(EXPLICIT_LITTLE, pixel_bytes=None) + encapsulated(b"", b"1234"), EXPLICIT_LITTLE),
        (data_set(EXPLICIT_LITTLE, pixel_bytes=30), JPEG_BASELINE),  # a codestream without its fragments
        (data_set(EXPLICIT_LITTLE, pixel_bytes=100), JPEG_BASELINE),
        (data_set(IMPLICIT_LITTLE), PRIVATE),
        (data_set(EXPLICIT_LITTLE), GE),
        (data_set(EXPLICIT_LITTLE, pixel_bytes=None) + implicit(0x7FE00010, bytes(48)), IMPLICIT_LITTLE),  # in two
    ],
)
def test_what_was_announced_stays_where_nothing_better_is_plain(content: bytes, announced: str) -> None:
    assert own(content, announced) == announced


def test_native_pixels_may_be_followed_by_more() -> None:
    assert own(data_set(IMPLICIT_LITTLE, pixel_bytes=100), EXPLICIT_LITTLE) == IMPLICIT_LITTLE

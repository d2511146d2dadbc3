from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacs.errors import UndecodablePixels
from pacs.pixels.codestream import read_jpeg, read_jpeg_2000, read_jpeg_xl
from tests.pixels.images import colours, gradient


def test_a_jpeg_tells_its_dimensions() -> None:
    header = read_jpeg(imagecodecs.jpeg8_encode(colours()))
    assert (header.rows, header.columns, header.components, header.precision) == (32, 48, 3, 8)
    assert header.start_of_frame == 0xC0
    assert header.has_jfif


def test_a_jpeg_ls_tells_its_dimensions() -> None:
    header = read_jpeg(imagecodecs.jpegls_encode(gradient()))
    assert (header.rows, header.columns, header.components, header.start_of_frame) == (32, 48, 1, 0xF7)
    assert header.is_lossless


@pytest.mark.parametrize("codec", ["j2k", "jp2"])
def test_a_jpeg_2000_tells_its_dimensions_bare_and_in_its_file(codec: str) -> None:
    frame = imagecodecs.jpeg2k_encode(gradient(), level=0, codecformat=codec)
    header = read_jpeg_2000(frame)
    assert (header.rows, header.columns, header.components, header.precision) == (32, 48, 1, 16)
    assert not header.is_signed
    assert frame[header.start : header.start + 2] == b"\xff\x4f"


@pytest.mark.parametrize("shape", [(32, 48), (40, 40), (32, 64), (3, 5), (600, 7), (13, 4000)])
@pytest.mark.parametrize("usecontainer", [False, True])
def test_a_jpeg_xl_tells_its_dimensions_bare_and_in_its_file(shape: tuple[int, int], usecontainer: bool) -> None:
    frame = imagecodecs.jpegxl_encode(np.zeros(shape, np.uint16), lossless=True, usecontainer=usecontainer)
    header = read_jpeg_xl(frame)
    assert (header.rows, header.columns) == shape


@pytest.mark.parametrize("read", [read_jpeg, read_jpeg_2000, read_jpeg_xl])
@given(data=st.data())
def test_torn_and_damaged_headers_are_refused_and_nothing_else(read, data) -> None:  # type: ignore[no-untyped-def]
    whole = {
        read_jpeg: lambda: imagecodecs.jpeg8_encode(colours()),
        read_jpeg_2000: lambda: imagecodecs.jpeg2k_encode(gradient(), level=0),
        read_jpeg_xl: lambda: imagecodecs.jpegxl_encode(gradient(), lossless=True, usecontainer=True),
    }[read]()[:400]
    torn = whole[: data.draw(st.integers(0, len(whole)))]
    frame = bytearray(torn)
    for position in data.draw(st.lists(st.integers(0, max(0, len(frame) - 1)), max_size=6)):
        if frame:
            frame[position] = data.draw(st.integers(0, 255))
    try:
        header = read(bytes(frame))
    except UndecodablePixels:
        assert len(torn) < len(whole) or frame != torn
        return
    assert frame != torn or header == read(whole)
    assert min(header.rows, header.columns) >= 0
    assert 0 <= header.start < len(frame)


@given(st.binary(max_size=200))
@example(noise=struct.pack(">HHIIII", 41, 0, 48, 32, 48, 0) + bytes(40))
@example(noise=struct.pack(">HHIIII", 41, 0, 48, 32, 0, 33) + bytes(40))
def test_noise_is_no_frame_of_any_kind(noise: bytes) -> None:
    for read, start in ((read_jpeg, b"\xff\xd8"), (read_jpeg_2000, b"\xff\x4f\xff\x51"), (read_jpeg_xl, b"\xff\x0a")):
        try:
            header = read(start + noise)
        except UndecodablePixels:
            continue
        assert (header.rows > 0 and header.columns > 0) or read is read_jpeg  # DNL tells the rows of some
        assert 0 <= header.start < len(start + noise)

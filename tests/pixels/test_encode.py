from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import libjpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pacs.errors import UndecodablePixels
from pacs.pixels.codestream import read_jpeg, read_jpeg_2000
from pacs.pixels.decode import decode
from pacs.pixels.description import PixelDescription
from pacs.pixels.encode import (
    ENCODABLE,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_XL_LOSSLESS,
    LOSSLESS_ENCODABLE,
    RLE_LOSSLESS,
    encode,
    obstacle,
)
from tests.pixels.images import colours, description_of, gradient


def described(pixels: NDArray[Any], **changes: Any) -> PixelDescription:
    return description_of(pixels, **changes)


def named(description: PixelDescription) -> str:
    return description.photometric_interpretation


def there_and_back(pixels: NDArray[Any], description: PixelDescription, target: str) -> NDArray[Any]:
    encoded = encode(pixels, description, named(description), target)
    values = {field: getattr(description, field) for field in description.__slots__}
    values |= {
        "transfer_syntax_uid": target,
        "is_encapsulated": True,
        "photometric_interpretation": encoded.photometric_interpretation,
    }
    decoded = decode(PixelDescription(**values), (encoded.data,))
    assert decoded.photometric_interpretation == named(description)
    return decoded.pixels


def noise(bits: int, is_signed: bool, shape: tuple[int, ...], seed: int = 0) -> NDArray[Any]:
    low, high = (-(1 << bits - 1), 1 << bits - 1) if is_signed else (0, 1 << bits)
    kind = f"{'i' if is_signed else 'u'}{1 if bits <= 8 else 2}"
    return np.random.default_rng(seed).integers(low, high, shape).astype(kind)


@pytest.mark.parametrize("target", LOSSLESS_ENCODABLE)
@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("bits", [7, 8, 10, 12, 16])
def test_grey_comes_back_bit_for_bit(target: str, bits: int, is_signed: bool) -> None:
    pixels = noise(bits, is_signed, (37, 53))
    description = described(pixels, bits_stored=bits)
    if target == JPEG_XL_LOSSLESS and is_signed:
        assert "signed" in obstacle(description, "MONOCHROME2", target)
        return
    back = there_and_back(pixels, description, target)
    assert back.dtype == pixels.dtype
    assert np.array_equal(back, pixels)


def _with_more_in_its_cells(is_signed: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """An image of 12 bits, and its cells with other things above: no sign, or bits of nothing."""
    image = noise(12, is_signed, (37, 53))
    rubbish = noise(16, False, image.shape, seed=1) & 0xF000
    above = image & np.array(0x0FFF, image.dtype) if is_signed else image | rubbish
    return image, above.astype(image.dtype)


@pytest.mark.parametrize("target", [target for target in LOSSLESS_ENCODABLE if target != RLE_LOSSLESS])
@pytest.mark.parametrize("is_signed", [False, True])
def test_a_code_stream_holds_the_image_and_not_what_else_is_in_its_cells(target: str, is_signed: bool) -> None:
    if target == JPEG_XL_LOSSLESS and is_signed:
        pytest.skip("JPEG XL has no signed pixels")
    image, cells = _with_more_in_its_cells(is_signed)
    assert not np.array_equal(image, cells)
    assert np.array_equal(there_and_back(cells, described(cells, bits_stored=12), target), image)
    if target in (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, JPEG_2000_LOSSLESS):
        stream = read_jpeg_2000(encode(cells, described(cells, bits_stored=12), "MONOCHROME2", target).data)
        assert (stream.precision, stream.is_signed) == (12, is_signed), "Bits Stored and SIZ agree (PS3.5 §8.2.4)"


@pytest.mark.parametrize("target", [target for target in LOSSLESS_ENCODABLE if target != JPEG_XL_LOSSLESS])
@pytest.mark.parametrize("is_signed", [False, True])
def test_an_overlay_in_the_cells_is_kept(target: str, is_signed: bool) -> None:
    _, cells = _with_more_in_its_cells(is_signed)
    description = described(cells, bits_stored=12, has_overlay_in_cells=True)
    assert np.array_equal(there_and_back(cells, description, target), cells)


@pytest.mark.parametrize("target", LOSSLESS_ENCODABLE)
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("interpretation", ["RGB", "YBR_FULL"])
def test_colour_comes_back_bit_for_bit(target: str, bits: int, interpretation: str) -> None:
    pixels = noise(bits, False, (19, 31, 3))
    description = described(pixels, bits_stored=bits, photometric_interpretation=interpretation)
    if target == JPEG_XL_LOSSLESS and interpretation == "YBR_FULL":
        assert interpretation in obstacle(description, interpretation, target)
        return
    assert np.array_equal(there_and_back(pixels, description, target), pixels)


@settings(max_examples=40, deadline=None)
@given(
    target=st.sampled_from(LOSSLESS_ENCODABLE),
    rows=st.integers(1, 70),
    columns=st.integers(1, 70),
    bits=st.integers(2, 16),
    is_signed=st.booleans(),
    is_colour=st.booleans(),
    seed=st.integers(0, 1 << 30),
)
def test_any_size_and_depth_comes_back(
    target: str, rows: int, columns: int, bits: int, is_signed: bool, is_colour: bool, seed: int
) -> None:
    pixels = noise(bits, is_signed, (rows, columns, 3) if is_colour else (rows, columns), seed)
    description = described(pixels, bits_stored=bits)
    if obstacle(description, named(description), target):
        assert target == JPEG_XL_LOSSLESS
        return
    assert np.array_equal(there_and_back(pixels, description, target), pixels)


@pytest.mark.parametrize(("bits", "is_signed"), [(12, False), (12, True), (8, False), (16, False), (10, True)])
@pytest.mark.parametrize("target", [HTJ2K_LOSSLESS_RPCL, JPEG_2000_LOSSLESS])
def test_the_codestream_tells_bits_stored_and_sign(target: str, bits: int, is_signed: bool) -> None:
    pixels = noise(bits, is_signed, (64, 64))
    description = described(pixels, bits_stored=bits)
    stream = read_jpeg_2000(encode(pixels, description, "MONOCHROME2", target).data)
    assert (stream.precision, stream.is_signed) == (bits, is_signed)


def test_jpeg_tells_bits_stored() -> None:
    pixels = noise(12, False, (64, 64))
    stream = read_jpeg(encode(pixels, described(pixels, bits_stored=12), "MONOCHROME2", JPEG_LOSSLESS_SV1).data)
    assert (stream.precision, stream.start_of_frame) == (12, 0xC3)


@pytest.mark.parametrize("bits", [8, 16])
def test_jpeg_lossless_says_rgb_of_rgb_only(bits: int) -> None:
    """pydicom and others believe component names and Adobe's marker before Photometric Interpretation."""
    pixels = noise(bits, False, (20, 30, 3))
    rgb, ybr = (
        encode(pixels, described(pixels, photometric_interpretation=name), name, JPEG_LOSSLESS_SV1).data
        for name in ("RGB", "YBR_FULL")
    )
    assert read_jpeg(rgb).component_ids == (82, 71, 66)
    assert read_jpeg(rgb).adobe_transform == 0
    assert read_jpeg(ybr).component_ids == (1, 2, 3)
    assert read_jpeg(ybr).adobe_transform is None
    scan = ybr.index(b"\xff\xda")
    assert tuple(ybr[scan + 5 : scan + 11 : 2]) == (1, 2, 3)
    for name, stream in (("RGB", rgb), ("YBR_FULL", ybr)):
        seen = libjpeg.decode_pixel_data(stream, photometric_interpretation=name, version=1)
        assert np.array_equal(np.frombuffer(bytes(seen), pixels.dtype).reshape(pixels.shape), pixels)


def test_jpeg_ls_comes_without_a_file_header() -> None:
    stream = encode(gradient(), described(gradient()), "MONOCHROME2", JPEG_LS_LOSSLESS).data
    assert stream[:4] == b"\xff\xd8\xff\xf7"


def test_jpeg_xl_is_a_bare_codestream() -> None:
    pixels = noise(16, False, (64, 64))
    assert encode(pixels, described(pixels), "MONOCHROME2", JPEG_XL_LOSSLESS).data[:2] == b"\xff\x0a"


def segments(stream: bytes) -> dict[int, bytes]:
    """The marker segments of a JPEG 2000 main header, by the second byte of the marker."""
    found, position = {}, 2
    while stream[position + 1] != 0x90:
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        found[stream[position + 1]] = stream[position + 4 : position + 2 + length]
        position += 2 + length
    found[0x90] = stream[position:]
    return found


def tile_parts(stream: bytes) -> tuple[int, list[int]]:
    """Where the first tile-part starts, and the lengths that TLM tells."""
    found = segments(stream)
    return len(stream) - len(found[0x90]), [length for _, length in struct.iter_unpack(">HI", found[0x55][2:])]


@pytest.mark.parametrize("shape", [(512, 512), (3328, 2560), (65, 4100), (1, 1)])
def test_htj2k_has_what_rpcl_promises(shape: tuple[int, int]) -> None:
    """PS3.5 §10.18: RPCL, TLM, a base of at most 64 x 64; each resolution is a tile-part of its own."""
    pixels = (np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 4096).astype(np.uint16)
    stream = encode(pixels, described(pixels, bits_stored=12), "MONOCHROME2", HTJ2K_LOSSLESS_RPCL).data
    coding = segments(stream)[0x52]
    assert coding[1] == 2, "progression order RPCL"
    levels = coding[5]
    assert max(shape) / 2**levels <= 64
    assert coding[8] & 0x40, "HT code blocks"
    assert coding[9] == 1, "reversible 5-3"
    start, lengths = tile_parts(stream)
    assert len(lengths) == levels + 1
    assert start + sum(lengths) + 2 == len(stream)
    for number, length in enumerate(lengths):
        assert stream[start : start + 2] == b"\xff\x90"
        assert stream[start + 10] == number
        start += length


def test_a_reader_may_stop_at_the_resolution_it_shows() -> None:
    pixels = noise(12, False, (512, 512)) // 64 + gradient(512, 512, 11)
    stream = encode(pixels, described(pixels, bits_stored=12), "MONOCHROME2", HTJ2K_LOSSLESS_RPCL).data
    start, lengths = tile_parts(stream)
    for left_out in (1, 2, 3):
        prefix = stream[: start + sum(lengths[:-left_out])]
        assert len(prefix) < len(stream) / 2**left_out
        shown = imagecodecs.htj2k_decode(prefix, skipres=left_out, resilient=True)
        assert shown.shape == (512 >> left_out, 512 >> left_out)
        assert np.array_equal(shown, imagecodecs.htj2k_decode(stream, skipres=left_out))


def test_colour_of_a_codestream_with_its_own_transformation_is_named_so() -> None:
    pixels = colours()
    assert encode(pixels, described(pixels), "RGB", JPEG_2000_LOSSLESS).photometric_interpretation == "YBR_RCT"
    assert encode(pixels, described(pixels), "RGB", HTJ2K_LOSSLESS_RPCL).photometric_interpretation == "YBR_RCT"
    assert encode(pixels, described(pixels), "RGB", JPEG_LS_LOSSLESS).photometric_interpretation == "RGB"
    assert encode(pixels, described(pixels), "YBR_FULL", JPEG_2000_LOSSLESS).photometric_interpretation == "YBR_FULL"


@pytest.mark.parametrize("interpretation", ["RGB", "YBR_FULL"])
def test_jpeg_baseline_is_close_and_named(interpretation: str) -> None:
    pixels = colours()
    encoded = encode(pixels, described(pixels), interpretation, JPEG_BASELINE)
    assert encoded.photometric_interpretation == "YBR_FULL_422"
    assert read_jpeg(encoded.data).start_of_frame == 0xC0
    if interpretation == "RGB":
        described_as = described(
            pixels, transfer_syntax_uid=JPEG_BASELINE, photometric_interpretation="YBR_FULL_422", is_encapsulated=True
        )
        assert np.abs(decode(described_as, (encoded.data,)).pixels.astype(int) - pixels).mean() < 4


def test_rle_rows_stand_by_themselves() -> None:
    pixels = np.zeros((3, 200), np.uint8)
    stream = encode(pixels, described(pixels), "MONOCHROME2", RLE_LOSSLESS).data
    assert struct.unpack_from("<2I", stream) == (1, 64)
    assert stream[64:] == bytes((129, 0, 185, 0)) * 3


@pytest.mark.parametrize("target", ENCODABLE)
@pytest.mark.parametrize(
    ("pixels", "changes", "reason"),
    [
        (np.zeros((8, 8), np.uint8), {"bits_allocated": 1, "bits_stored": 1}, "1-bit"),
        (np.zeros((8, 8), np.float32), {}, "float"),
        (np.zeros((8, 8), np.uint32), {}, "32 bits"),
        (np.zeros((8, 8, 3), np.uint8), {"photometric_interpretation": "YBR_PARTIAL_420"}, "YBR_PARTIAL_420"),
        (np.zeros((8, 8), np.uint8), {"photometric_interpretation": "RGB"}, "RGB"),
    ],
)
def test_what_has_no_place_is_refused_with_its_reason(
    target: str, pixels: NDArray[Any], changes: dict[str, Any], reason: str
) -> None:
    description = described(pixels, **changes)
    with pytest.raises(UndecodablePixels, match=reason):
        encode(pixels, description, named(description), target)


def test_another_syntax_is_refused() -> None:
    with pytest.raises(UndecodablePixels, match="not made here"):
        encode(gradient(), described(gradient()), "MONOCHROME2", "1.2.840.10008.1.2.4.81")

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacs.errors import UndecodablePixels
from pacs.pixels.decode import DECODABLE, DEFLATED_FRAME, decode
from tests.part10.encoding import EXPLICIT_LITTLE
from tests.pixels.images import colours, description_of, gradient

BASELINE, EXTENDED, LOSSLESS, LOSSLESS_SV1 = (f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
JPEG_LS, JPEG_LS_NEAR, JPEG_2000, JPEG_2000_LOSSY = (f"1.2.840.10008.1.2.4.{number}" for number in (80, 81, 90, 91))
HTJ2K_LOSSLESS, HTJ2K_RPCL, HTJ2K, JPEG_XL = (f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203, 110))

LOSSLESS_ENCODERS = {
    LOSSLESS_SV1: imagecodecs.ljpeg_encode,
    JPEG_LS: imagecodecs.jpegls_encode,
    JPEG_2000: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True),
    HTJ2K_LOSSLESS: lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
    HTJ2K_RPCL: lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
    HTJ2K: lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True),
    JPEG_XL: lambda pixels: imagecodecs.jpegxl_encode(pixels, lossless=True),
}


@pytest.mark.parametrize("uid", LOSSLESS_ENCODERS)
def test_every_lossless_syntax_gives_the_pixels_back(uid: str) -> None:
    pixels = gradient(bits=16)
    frame = decode(description_of(pixels, uid), [LOSSLESS_ENCODERS[uid](pixels)])
    assert np.array_equal(frame.pixels, pixels)
    assert frame.pixels.dtype == np.dtype("<u2")
    assert frame.photometric_interpretation == "MONOCHROME2"


@pytest.mark.parametrize("uid", [LOSSLESS_SV1, JPEG_LS, JPEG_XL])
def test_signed_pixels_in_codecs_without_a_sign(uid: str) -> None:
    pixels = gradient(bits=16).view(np.int16)
    frame = decode(description_of(pixels, uid), [LOSSLESS_ENCODERS[uid](pixels.view(np.uint16))])
    assert np.array_equal(frame.pixels, pixels)


def test_a_sign_of_fewer_bits_than_the_cell_is_extended() -> None:
    pixels = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    stream = imagecodecs.jpeg2k_encode((pixels & 0xFFF).astype(np.uint16), level=0, bitspersample=12, reversible=True)
    assert np.array_equal(decode(description_of(pixels, JPEG_2000, bits_stored=12), [stream]).pixels, pixels)


def test_a_signed_stream_of_unsigned_pixels_loses_its_sign() -> None:
    pixels = gradient(bits=16)
    stream = imagecodecs.jpeg2k_encode(pixels.view(np.int16), level=0, reversible=True)
    assert np.array_equal(decode(description_of(pixels, JPEG_2000), [stream]).pixels, pixels)


@pytest.mark.parametrize("said", [LOSSLESS_SV1, JPEG_LS, JPEG_2000, HTJ2K_LOSSLESS])
@pytest.mark.parametrize("real", [LOSSLESS_SV1, JPEG_LS, JPEG_2000, HTJ2K_LOSSLESS])
def test_a_frame_tells_its_kind_where_the_data_set_says_another(said: str, real: str) -> None:
    pixels = gradient(bits=16)
    assert np.array_equal(decode(description_of(pixels, said), [LOSSLESS_ENCODERS[real](pixels)]).pixels, pixels)


@pytest.mark.parametrize(("uid", "kind"), [(BASELINE, "JPEG"), (JPEG_LS, "JPEG"), (JPEG_2000, "JPEG 2000")])
def test_a_frame_of_no_kind_is_refused_as_what_it_should_be(uid: str, kind: str) -> None:
    with pytest.raises(UndecodablePixels, match=f"no {kind}: it starts with 0001"):
        decode(description_of(gradient(), uid), [b"\0\1pqrs" * 20])


def test_a_frame_may_come_in_fragments() -> None:
    pixels = gradient()
    stream = imagecodecs.jpegls_encode(pixels)
    fragments = [memoryview(stream)[:100], stream[100:200], bytearray(stream[200:])]
    assert np.array_equal(decode(description_of(pixels, JPEG_LS), fragments).pixels, pixels)


def test_colour_transforms_of_jpeg_2000_are_undone_by_its_codec() -> None:
    pixels = colours()
    stream = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, mct=True)
    frame = decode(description_of(pixels, JPEG_2000, photometric_interpretation="YBR_RCT"), [stream])
    assert frame.photometric_interpretation == "RGB"
    assert np.array_equal(frame.pixels, pixels)


def test_a_jpeg_of_ycbcr_becomes_rgb_and_one_of_rgb_stays() -> None:
    pixels = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    ycbcr = imagecodecs.jpeg8_encode(pixels, level=100, colorspace="RGB", outcolorspace="YCBCR", subsampling="444")
    rgb = imagecodecs.jpeg8_encode(pixels, level=100, colorspace="RGB", outcolorspace="RGB")
    for stream, interpretation in ((ycbcr, "YBR_FULL_422"), (ycbcr, "RGB"), (rgb, "RGB"), (rgb, "YBR_FULL")):
        frame = decode(description_of(pixels, BASELINE, photometric_interpretation=interpretation), [stream])
        assert frame.photometric_interpretation == "RGB"
        assert np.abs(frame.pixels.astype(int) - pixels).max() <= 2


def test_without_markers_photometric_interpretation_tells_the_colours() -> None:
    pixels = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    stream = imagecodecs.jpeg8_encode(pixels, level=100, colorspace="YCBCR", outcolorspace="YCBCR", subsampling="444")
    bare = stream[:2] + stream[4 + int.from_bytes(stream[4:6], "big") :]
    assert b"JFIF" not in bare
    as_rgb = decode(description_of(pixels, BASELINE, photometric_interpretation="RGB"), [bare]).pixels
    as_ycbcr = decode(description_of(pixels, BASELINE, photometric_interpretation="YBR_FULL"), [bare]).pixels
    assert np.abs(as_rgb.astype(int) - pixels).max() <= 2
    assert not np.array_equal(as_ycbcr, as_rgb)


def test_lossless_jpeg_keeps_the_colours_it_was_given() -> None:
    pixels = colours()
    stream = imagecodecs.jpeg8_encode(pixels, lossless=True, colorspace="RGB", outcolorspace="RGB")
    frame = decode(description_of(pixels, LOSSLESS_SV1, photometric_interpretation="YBR_FULL"), [stream])
    assert frame.photometric_interpretation == "YBR_FULL"
    assert np.array_equal(frame.pixels, pixels)


def test_lossy_overshoot_is_clamped_to_bits_stored() -> None:
    pixels = np.where(gradient() % 7 < 3, 0, 1023).astype(np.uint16)
    stream = imagecodecs.jpeg8_encode(pixels, level=20, bitspersample=12)
    assert imagecodecs.jpeg8_decode(stream).max() > 1023
    frame = decode(description_of(pixels, EXTENDED, bits_stored=10), [stream])
    assert frame.pixels.max() == 1023


def test_deflated_frames_are_inflated_no_further_than_needed() -> None:
    pixels = gradient()
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflater.compress(pixels.tobytes() + bytes(50 << 20)) + deflater.flush()
    tracemalloc.start()
    frame = decode(description_of(pixels, DEFLATED_FRAME, is_encapsulated=True), [bomb])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(frame.pixels, pixels)
    assert peak < 5 << 20


@pytest.mark.parametrize("uid", sorted(LOSSLESS_ENCODERS))
def test_a_frame_of_other_dimensions_is_refused_before_it_is_decoded(uid: str) -> None:
    pixels = gradient(bits=16)
    stream = LOSSLESS_ENCODERS[uid](pixels)
    with pytest.raises(UndecodablePixels, match=r"32 x 48.*but the data set says 32 x 47"):
        decode(description_of(pixels, uid, columns=47), [stream])


def test_a_frame_of_more_bits_than_allocated_is_refused() -> None:
    pixels = gradient(bits=16)
    with pytest.raises(UndecodablePixels, match="Bits Allocated is 8"):
        decode(description_of(pixels, JPEG_LS, bits_allocated=8, bits_stored=8), [imagecodecs.jpegls_encode(pixels)])


def test_a_frame_larger_than_the_limit_is_refused() -> None:
    pixels = gradient()
    with pytest.raises(UndecodablePixels, match="at most 100 are decoded"):
        decode(description_of(pixels), [pixels.tobytes()], max_frame_bytes=100)


def test_unknown_encapsulated_syntaxes_are_refused_by_name() -> None:
    with pytest.raises(UndecodablePixels, match=r"no decoder for transfer syntax 1\.2\.3\.4\.5"):
        decode(description_of(gradient(), "1.2.3.4.5", is_encapsulated=True), [b"abcd"])


def test_of_a_video_only_a_frame_that_was_found_is_taken() -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    description = description_of(pixels, "1.2.840.10008.1.2.4.102", is_encapsulated=True)
    picture = b"P6\n6 4\n255\n" + pixels.tobytes()
    assert np.array_equal(decode(description, [picture]).pixels, pixels)
    with pytest.raises(UndecodablePixels, match="as it is stored"):
        decode(description, [b"abcd"])
    with pytest.raises(UndecodablePixels, match="4 x 6 x 3, but the data set says 6 x 4 x 3"):
        decode(replace(description, rows=6, columns=4), [picture])


def test_native_data_is_taken_under_any_transfer_syntax() -> None:
    pixels = gradient()
    frame = decode(description_of(pixels, JPEG_LS, is_encapsulated=False), [pixels.tobytes()])
    assert np.array_equal(frame.pixels, pixels)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_frame_gives_pixels_or_a_refusal(data: st.DataObject) -> None:
    uid = data.draw(st.sampled_from(sorted(DECODABLE)))
    pixels = gradient(16, 16, bits=8)
    encoder = LOSSLESS_ENCODERS.get(uid, lambda pixels: imagecodecs.jpeg8_encode(pixels.astype(np.uint8)))
    frame = bytearray(encoder(pixels))
    del frame[data.draw(st.integers(1, len(frame))) :]
    for _ in range(data.draw(st.integers(0, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    description = description_of(pixels, uid, is_encapsulated=uid != EXPLICIT_LITTLE)
    try:
        assert decode(description, [frame]).pixels.shape == (16, 16)
    except UndecodablePixels:
        return


@pytest.mark.parametrize("cut", [2, 3, 100, 1000])
def test_a_jpeg_ls_frame_that_is_cut_is_refused_before_the_codec_reads_on_for_seconds(
    cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = gradient(128, 128)
    frame = imagecodecs.jpegls_encode(pixels)
    monkeypatch.delattr(imagecodecs, "jpegls_decode")
    with pytest.raises(UndecodablePixels, match="cut"):
        decode(description_of(pixels, JPEG_LS), [frame[:-cut]])


def test_a_padded_jpeg_ls_frame_is_whole() -> None:
    pixels = gradient(128, 128)
    frame = imagecodecs.jpegls_encode(pixels) + bytes(3)
    assert np.array_equal(decode(description_of(pixels, JPEG_LS), [frame]).pixels, pixels)

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from pacs.errors import UndecodablePixels
from pacs.part10.file_meta import write_file_meta
from pacs.pixels.description import describe
from pacs.pixels.transcode import native_frame, to_native
from tests.part10.encoding import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, RLE, explicit, us
from tests.pixels.images import (
    code,
    colours,
    compressed,
    data_set,
    description_of,
    gradient,
    packbits,
    rle_frame,
    scanned,
)

JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR = "1.2.840.10008.1.2.4.81"


def read(content: bytes, transfer_syntax_uid: str) -> FileDataset:
    head = write_file_meta(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7", sop_instance_uid="1.2", transfer_syntax_uid=transfer_syntax_uid
    )
    return dcmread(io.BytesIO(head + content))


@pytest.mark.parametrize("target", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_compressed_frames_become_native(target: str) -> None:
    pixels = gradient()
    frames = [imagecodecs.jpegls_encode(frame) for frame in (pixels, pixels[::-1].copy())]
    made = read(to_native(compressed(pixels, *frames), JPEG_LS, target), target)
    assert np.array_equal(made.pixel_array, np.stack([pixels, pixels[::-1]]))
    assert made["PixelData"].VR == "OW"


def test_colours_get_their_right_name() -> None:
    pixels = colours()
    stream = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, mct=True)
    content = compressed(pixels, stream, photometric_interpretation="YBR_RCT")
    made = read(to_native(content, "1.2.840.10008.1.2.4.90", EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    assert made.PhotometricInterpretation == "RGB"
    assert made.PlanarConfiguration == 0
    assert np.array_equal(made.pixel_array, pixels)


def test_lossy_frames_are_marked_and_a_mark_is_kept() -> None:
    pixels = gradient()
    stream = imagecodecs.jpegls_encode(pixels, level=3)
    made = read(to_native(compressed(pixels, stream), JPEG_LS_NEAR, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    assert made.LossyImageCompression == "01"
    content = compressed(pixels, stream, extra=(code(0x00282110, "00"),))
    made = read(to_native(content, JPEG_LS_NEAR, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    assert made.LossyImageCompression == "00"


def test_everything_else_keeps_its_bytes() -> None:
    odd = explicit(0x00291010, "UN", b"\xff\xfe private"), explicit(0x00100010, "PN", b"\xff\xfe^no charset")
    pixels = gradient()
    content = compressed(pixels, imagecodecs.jpegls_encode(pixels), extra=odd)
    made = to_native(content, JPEG_LS, EXPLICIT_LITTLE)
    assert all(element in made for element in odd)


def test_offset_tables_and_group_lengths_go() -> None:
    pixels = gradient()
    extra = (
        explicit(0x7FE00001, "OV", bytes(8)),
        explicit(0x7FE00002, "OV", bytes(8)),
        explicit(0x00280000, "UL", bytes(4)),
    )
    content = compressed(pixels, imagecodecs.jpegls_encode(pixels), extra=extra)
    header = scanned(to_native(content, JPEG_LS, EXPLICIT_LITTLE))
    assert not {0x7FE00001, 0x7FE00002, 0x00280000} & header.elements.keys()


def test_packed_frames_follow_each_other_without_a_gap() -> None:
    frames = [(gradient(5, 5) % 2).astype(np.uint8), (gradient(5, 5) % 3 == 0).astype(np.uint8)]
    packed = [np.packbits(frame.reshape(-1), bitorder="little").tobytes() for frame in frames]
    content = compressed(frames[0], *(rle_frame(packbits(frame)) for frame in packed))
    for tag, before, after in ((0x00280100, 8, 1), (0x00280101, 8, 1), (0x00280102, 7, 0)):
        content = content.replace(us(tag, before), us(tag, after))
    made = read(to_native(content, RLE, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    assert len(made.PixelData) == 8
    assert np.array_equal(made.pixel_array, np.stack(frames))


def test_big_endian_pixels_are_turned() -> None:
    pixels = gradient(2, 3)
    little = scanned(data_set(pixels))
    big = b"".join(
        explicit(
            element.tag,
            element.vr,
            bytes(little.value(element.tag) or b"")
            if element.vr == "CS"
            else np.frombuffer(bytes(little.value(element.tag) or b""), "<u2").astype(">u2").tobytes(),
            order=">",
        )
        for element in little.elements.values()
    )
    made = read(to_native(big, EXPLICIT_BIG, IMPLICIT_LITTLE), IMPLICIT_LITTLE)
    assert np.array_equal(made.pixel_array, pixels)
    assert native_frame(describe(scanned(big, EXPLICIT_BIG)), [pixels.astype(">u2").tobytes()]) == pixels.tobytes()


def test_a_data_set_without_pixels_is_re_encoded_too() -> None:
    content = explicit(0x00100020, "LO", b"42")
    assert scanned(to_native(content, EXPLICIT_LITTLE, IMPLICIT_LITTLE), IMPLICIT_LITTLE).text(0x00100020) == "42"


def test_fewer_frames_than_said_are_refused() -> None:
    pixels = gradient()
    content = compressed(pixels, imagecodecs.jpegls_encode(pixels), extra=(explicit(0x00280008, "IS", b"3 "),))
    with pytest.raises(UndecodablePixels):
        to_native(content, JPEG_LS, EXPLICIT_LITTLE)


def test_frames_beyond_memory_are_refused_before_they_are_decoded() -> None:
    pixels = gradient()
    number = explicit(0x00280008, "IS", b"9999999 ")
    content = compressed(pixels, imagecodecs.jpegls_encode(pixels), extra=(number,))
    with pytest.raises(UndecodablePixels):
        to_native(content, JPEG_LS, EXPLICIT_LITTLE)


def test_another_target_is_refused() -> None:
    with pytest.raises(UndecodablePixels, match="only in Explicit and Implicit"):
        to_native(data_set(gradient()), EXPLICIT_LITTLE, JPEG_LS)


def test_one_bit_frames_are_packed_again() -> None:
    pixels = (gradient(5, 5) % 2).astype(np.uint8)
    packed = np.packbits(pixels.reshape(-1), bitorder="little").tobytes()
    description = description_of(pixels, RLE, bits_allocated=1, bits_stored=1)
    assert native_frame(description, [rle_frame(packbits(packed))]) == packed

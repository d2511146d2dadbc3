"""Metadata may leave the Image Pixel Description Macro to compressed frames; else they agree (PS3.18 §10.5.2)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pacs.dicomweb.store_description import description_of, said_by, syntax_of_video, with_places
from pacs.errors import MalformedDataSet, UndecodablePixels
from pacs.pixels.video import VideoMeasure
from tests.dicomweb.metadata_requests import Bulk
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under
from tests.dicomweb.test_store_bulk_data import described, send, stored, us

GREY = np.linspace(0, 250, 12 * 20, dtype="u1").reshape(12, 20)
DEEP = (GREY.astype("<u2") << 3) + 5
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
WITHOUT = {
    f"t{tag}": None
    for tag in ("00280002", "00280004", "00280010", "00280011", "00280100", "00280101", "00280103", "00280008")
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


def jpeg(pixels: Any, **options: Any) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "JPEG", quality=95, **options)
    return written.getvalue()


def jpeg_2000(pixels: Any, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="J2K", **options))


FRAMES = [
    ("image/jpeg", jpeg(GREY), (1, "MONOCHROME2", 8, 8, 0), GREY, 4),
    ("image/jpeg", jpeg(COLOUR), (3, "YBR_FULL_422", 8, 8, 0), COLOUR, 120),
    ("image/jpeg", jpeg(COLOUR, subsampling=0), (3, "YBR_FULL", 8, 8, 0), COLOUR, 20),
    ("image/jpeg", jpeg(GREY, progressive=True), (1, "MONOCHROME2", 8, 8, 0), GREY, 4),
    ("image/jpeg", imagecodecs.ljpeg_encode(DEEP, bitspersample=12), (1, "MONOCHROME2", 16, 12, 0), DEEP, 0),
    ("image/jls", imagecodecs.jpegls_encode(DEEP), (1, "MONOCHROME2", 16, 16, 0), DEEP, 0),
    ("image/jls", imagecodecs.jpegls_encode(COLOUR), (3, "RGB", 8, 8, 0), COLOUR, 0),
    ("image/jp2", jpeg_2000(DEEP, reversible=True, level=0), (1, "MONOCHROME2", 16, 16, 0), DEEP, 0),
    ("image/jp2", jpeg_2000(COLOUR, reversible=True, level=0), (3, "YBR_RCT", 8, 8, 0), COLOUR, 0),
    ("image/jp2", jpeg_2000(COLOUR, reversible=True, level=0, mct=False), (3, "RGB", 8, 8, 0), COLOUR, 0),
    ("image/jphc", imagecodecs.htj2k_encode(GREY, reversible=True), (1, "MONOCHROME2", 8, 8, 0), GREY, 0),
]


@pytest.mark.parametrize(("media_type", "frame", "expected", "pixels", "off"), FRAMES, ids=map(str, range(len(FRAMES))))
def test_what_metadata_leaves_out_is_told_by_the_frame(
    door: DoorInMemory, media_type: str, frame: bytes, expected: tuple[Any, ...], pixels: Any, off: int
) -> None:
    uid, instance = described(**WITHOUT)
    assert send(door, instance, Bulk("u", bytes(frame), media_type)) == (200, "")
    found = stored(door, uid)
    assert found is not None
    samples, photometric, allocated, bits, sign = expected
    assert (found.Rows, found.Columns, found.SamplesPerPixel) == (12, 20, samples)
    assert found.PhotometricInterpretation == photometric
    assert (found.BitsAllocated, found.BitsStored, found.HighBit) == (allocated, bits, bits - 1)
    assert found.PixelRepresentation == sign
    assert found.get("PlanarConfiguration") == (0 if samples == 3 else None)
    picture = door.get(
        f"/studies/1.2.3/series/1.2.3.4/instances/{uid}/rendered?accept=image/png"
        + ("&window=1000,2000" if pixels is DEEP else "")
    )
    assert picture.status_code == 200, picture.text
    shown = np.asarray(Image.open(io.BytesIO(picture.content)))
    assert shown.shape[:2] == (12, 20)
    if samples == 3:
        assert np.abs(shown.astype(int) - pixels.astype(int)).max() <= off
    native = door.get(
        f"/studies/1.2.3/series/1.2.3.4/instances/{uid}/frames/1", accept="application/octet-stream"
    ).content
    if off == 0:
        assert native == pixels.tobytes()


def test_what_metadata_says_stays_and_the_rest_is_told(door: DoorInMemory) -> None:
    uid, instance = described(
        t00280010=None, t00280011=None, t00280004={"vr": "CS", "Value": ["MONOCHROME1"]}, t00280101=us(11)
    )
    assert send(door, instance, Bulk("u", imagecodecs.jpegls_encode(DEEP), "image/jls"))[0] == 200
    found = stored(door, uid)
    assert found is not None
    assert (found.Rows, found.Columns, found.PhotometricInterpretation) == (12, 20, "MONOCHROME1")
    assert (found.BitsStored, found.HighBit) == (11, 10)
    assert [element.tag for element in found] == sorted(element.tag for element in found)


def test_native_pixels_tell_nothing(door: DoorInMemory) -> None:
    uid, instance = described(**WITHOUT)
    assert send(door, instance, Bulk("u", b"12345678"))[0] == 200
    found = stored(door, uid)
    assert found is not None
    assert "Rows" not in found


@pytest.mark.parametrize(
    ("attributes", "frame", "reason"),
    [
        ({"t00280010": us(13), "t00280011": us(20)}, jpeg(GREY), "13 in the metadata, and 12"),
        ({"t00280010": us(12), "t00280011": {"vr": "US", "Value": ["21"]}}, jpeg(GREY), "21 in the metadata, and 20"),
        ({"t00280010": us(12), "t00280011": us(20), "t00280002": us(3)}, jpeg(GREY), "3 in the metadata, and 1"),
        ({"t00280010": us(12), "t00280011": us(20), "t00280002": us(1)}, jpeg(COLOUR), "1 in the metadata, and 3"),
        ({"t00280010": None, "t00280011": None}, jpeg(COLOUR)[:150], "no image/jpeg"),
    ],
    ids=["rows", "columns", "colour", "grey", "torn"],
)
def test_a_contradiction_is_a_failure(
    door: DoorInMemory, attributes: dict[str, Any], frame: bytes, reason: str
) -> None:
    uid, instance = described(**attributes)
    status, why = send(door, instance, Bulk("u", frame, "image/jpeg"))
    assert (status, reason in why) == (400, True), why
    assert stored(door, uid) is None


def test_frames_of_different_sizes_are_no_image(door: DoorInMemory) -> None:
    uid, instance = described(2, **{name: None for name in WITHOUT if name != "t00280008"})
    frames = [Bulk("u", jpeg(each), "image/jpeg") for each in (GREY, GREY[:8])]
    status, why = send(door, instance, *frames)
    assert (status, "different sizes" in why) == (400, True), why
    assert stored(door, uid) is None


def test_pictures_with_a_fourth_channel_are_no_image(door: DoorInMemory) -> None:
    cmyk = io.BytesIO()
    Image.fromarray(COLOUR).convert("CMYK").save(cmyk, "JPEG")
    _, instance = described(**WITHOUT)
    status, why = send(door, instance, Bulk("u", cmyk.getvalue(), "image/jpeg"))
    assert (status, "4 components" in why) == (400, True), why


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Value", "vr", "BulkDataURI"]), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["00280010", "00280002", "7FE00010", "7fe00010", "00100010"]), anything) | anything
)
def test_anything_may_be_asked(attributes: Any) -> None:
    said_by(attributes)
    described_too, places = with_places(attributes)
    if not places:
        assert described_too is attributes
    else:
        assert all(described_too[key] is attributes[key] for key in attributes)


def test_a_frame_header_is_not_longer_than_it_says() -> None:
    """A component list that is cut must not be read behind its end."""
    torn = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 4, 6, 3) + b"\1\x11\0"
    with pytest.raises(UndecodablePixels):
        description_of("image/jpeg", torn)


def test_a_frame_that_does_not_say_its_height(door: DoorInMemory) -> None:
    """ISO/IEC 10918-1 §B.2.5: it may come behind the pixels, where nobody looks."""
    frame = bytearray(jpeg(GREY))
    header = frame.index(b"\xff\xc0")
    frame[header + 5 : header + 7] = b"\0\0"
    uid, instance = described(**WITHOUT)
    status, why = send(door, instance, Bulk("u", bytes(frame), "image/jpeg"))
    assert (status, "(0028,0010)" in why) == (400, True), why
    assert stored(door, uid) is None
    uid, instance = described(t00280010=us(12), t00280011=us(20), t00280100=us(8), t00280101=us(8))
    assert send(door, instance, Bulk("u", bytes(frame), "image/jpeg"))[0] == 200


@pytest.mark.parametrize(
    ("media_type", "rows", "columns", "bits", "rate", "expected"),
    [
        ("video/mpeg", 576, 720, 8, 25, "100"),
        ("video/mpeg", 1080, 1920, 8, 30, "101"),
        ("video/mp4", 1080, 1920, 8, 30, "102"),
        ("video/mp4", 1080, 1920, 8, 60, "104"),
        ("video/mp4", 1080, 1920, 8, 0, "102"),
        ("video/H265", 2160, 3840, 8, 60, "107"),
        ("video/H265", 1080, 1920, 10, 30, "108"),
    ],
)
def test_the_transfer_syntax_of_a_video_that_nobody_names(
    media_type: str, rows: int, columns: int, bits: int, rate: float, expected: str
) -> None:
    video = VideoMeasure(media_type, rows, columns, bits, rate, 100)
    uid = f"1.2.840.10008.1.2.4.{expected}"
    for named in ("", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"):
        assert syntax_of_video(video, named) == uid
    assert syntax_of_video(video, uid) == uid
    with pytest.raises(MalformedDataSet):
        syntax_of_video(video, "1.2.840.10008.1.2.4." + ("107" if expected < "105" else "100"))

"""Pixel data that comes apart from its metadata: every frame in its place, whole, and what it is said to be."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.uid import generate_uid

from tests.dicomweb.metadata_requests import Bulk, json_body, metadata
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under

PIXELS = np.arange(24, dtype="<u2").reshape(4, 6)
RAW = PIXELS.tobytes()
J2K = "1.2.840.10008.1.2.4.90"
OCTETS = "application/octet-stream"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


def rle(number: int, segments: int = 2) -> bytes:
    offsets = [64 + 2 * each for each in range(segments)] + [0] * (15 - segments)
    return struct.pack("<16I", segments, *offsets) + bytes([0xE9, number]) * segments


def described(frames: int = 1, **attributes: Any) -> tuple[str, dict[str, Any]]:
    uid = generate_uid()
    count = {"vr": "IS", "Value": [frames]}
    return uid, metadata(uid, **{"t7FE00010": {"vr": "OW", "BulkDataURI": "u"}, "t00280008": count, **attributes})


def us(number: int) -> dict[str, Any]:
    return {"vr": "US", "Value": [number]}


def send(door: DoorInMemory, instance: dict[str, Any], *bulk: Bulk) -> tuple[int, str]:
    """The status, and why what failed did."""
    answer = door.post("/studies", *json_body([instance], list(bulk)))
    found = [
        Dataset.from_json(item)[0x00091001].value
        for tag in ("00081198", "0008119A")
        for item in answer.json().get(tag, {}).get("Value", [])
    ]
    return answer.status_code, "; ".join(found)


def stored(door: DoorInMemory, uid: str) -> Dataset | None:
    answer = door.get(f"/studies/1.2.3/series/1.2.3.4/instances/{uid}", accept="application/dicom")
    return dcmread(DicomBytesIO(answer.content)) if answer.status_code == 200 else None


def native_frames(*numbers: int, data: bytes = RAW) -> list[Bulk]:
    return [Bulk(f"u/frames/{number}", bytes([number]) + data[1:]) for number in numbers]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_native_frames_in_parts_of_their_own(door: DoorInMemory, order: tuple[int, ...]) -> None:
    uid, instance = described(3)
    assert send(door, instance, *native_frames(*order)) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert found.PixelData == b"".join(bytes([number]) + RAW[1:] for number in (1, 2, 3))


def test_native_frames_of_an_odd_size_stand_side_by_side(door: DoorInMemory) -> None:
    bits = {"t00280100": us(8), "t00280101": us(8), "t00280010": us(3), "t00280011": us(3)}
    uid, instance = described(3, **bits)
    frames = [bytes([number]) * 9 for number in (1, 2, 3)]
    bulk = [Bulk(f"u/frames/{number}", frame + b"\0" * (number == 2)) for number, frame in enumerate(frames, start=1)]
    assert send(door, instance, *bulk) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert found.PixelData == b"".join(frames) + b"\0"


def test_float_frames(door: DoorInMemory) -> None:
    uid, instance = described(2, t7FE00010=None, t7FE00008={"vr": "OF", "BulkDataURI": "u"}, t00280100=us(32))
    assert send(door, instance, *native_frames(2, 1, data=RAW + RAW)) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert found.FloatPixelData == b"\1" + (RAW + RAW)[1:] + b"\2" + (RAW + RAW)[1:]


RLE = "image/dicom-rle"
FRAMES_THAT_DO_NOT_FIT: dict[str, tuple[list[Bulk], str]] = {
    "one of two, native": (native_frames(2), "1 of 2 frames"),
    "one of two, coded": ([Bulk("u/frames/2", rle(2), RLE)], "1 of 2 frames"),
    "beyond the last, native": (native_frames(1, 3), "frame 3"),
    "beyond the last, coded": ([Bulk("u/frames/1", rle(1), RLE), Bulk("u/frames/3", rle(3), RLE)], "frame 3"),
    "twice, native": (native_frames(1, 1), "two parts"),
    "twice, coded": ([Bulk("u/frames/2", rle(1), RLE)] * 2, "two parts"),
    "some without a number": ([Bulk("u/frames/1", rle(1), RLE), Bulk("u", rle(2), RLE)], "number"),
    "some with a number": ([Bulk("u", rle(1), RLE), Bulk("u/frames/1", rle(2), RLE)], "number"),
    "some without a number, native": ([*native_frames(1), Bulk("u", RAW)], "number"),
    "of different kinds": ([Bulk("u/frames/1", rle(1), RLE), *native_frames(2)], "media types"),
    "a short one": ([*native_frames(1), Bulk("u/frames/2", RAW[:-2])], "46, 48 bytes"),
    "a long one": ([*native_frames(1), Bulk("u/frames/2", RAW + b"12")], "50 bytes"),
    "a second video": ([Bulk("u/frames/2", b"\0\0\1\xb3" + RAW, "video/mpeg")], "frame 2"),
}


@pytest.mark.parametrize(("bulk", "reason"), FRAMES_THAT_DO_NOT_FIT.values(), ids=FRAMES_THAT_DO_NOT_FIT.keys())
def test_frames_that_do_not_fit(door: DoorInMemory, bulk: list[Bulk], reason: str) -> None:
    uid, instance = described(2)
    status, text = send(door, instance, *bulk)
    assert (status, reason in text) == (400, True), text
    assert stored(door, uid) is None


def test_frames_of_what_has_none(door: DoorInMemory) -> None:
    uid, instance = described(t00091010={"vr": "OB", "BulkDataURI": "v"})
    status, text = send(door, instance, Bulk("u", RAW), Bulk("v/frames/1", b"ab"))
    assert (status, "(0009,1010)" in text) == (400, True), text
    assert stored(door, uid) is None
    uid, instance = described(2, t00091010={"vr": "OB", "BulkDataURI": "u"})
    status, text = send(door, instance, *native_frames(1, 2))
    assert (status, "(0009,1010)" in text) == (400, True), text


def test_single_bits_are_joined_only_at_whole_bytes(door: DoorInMemory) -> None:
    bits = {"t00280100": us(1), "t00280101": us(1)}
    uid, instance = described(2, **bits)
    assert send(door, instance, *native_frames(1, 2, data=b"123")) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert found.PixelData == b"\x0123\x0223"
    uid, instance = described(2, **{**bits, "t00280010": us(3)})
    status, text = send(door, instance, *native_frames(1, 2, data=b"123"))
    assert (status, "one part" in text) == (400, True), text
    uid, instance = described(3, **{**bits, "t00280010": us(3)})
    assert send(door, instance, Bulk("u", bytes(7))) == (200, "")


LENGTHS = {
    "short": ({}, RAW[:-2], False),
    "empty": ({}, b"", False),
    "one frame of two": ({"t00280008": {"vr": "IS", "Value": ["2"]}}, RAW, False),
    "three frames of two": ({"t00280008": {"vr": "IS", "Value": ["2"]}}, RAW * 3, False),
    "whole": ({"t00280008": {"vr": "IS", "Value": ["2"]}}, RAW * 2, True),
    "as vendors pad it": ({}, RAW + b"\0" * 8, True),
    "YBR_FULL_422": (
        {"t00280002": us(3), "t00280100": us(8), "t00280004": {"vr": "CS", "Value": ["YBR_FULL_422"]}},
        RAW,
        True,
    ),
    "YBR_FULL_422 with every sample": (
        {"t00280002": us(3), "t00280100": us(8), "t00280004": {"vr": "CS", "Value": ["YBR_FULL_422"]}},
        RAW + RAW[:24],
        True,
    ),
    "RGB": (
        {"t00280002": us(3), "t00280100": us(8), "t00280004": {"vr": "CS", "Value": ["RGB"]}},
        RAW,
        False,
    ),
    "nothing said of the size": ({"t00280010": None}, RAW[:10], True),
}


@pytest.mark.parametrize(("attributes", "data", "is_taken"), LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("is_inline", [False, True])
def test_native_pixels_have_the_length_that_the_metadata_gives_them(
    door: DoorInMemory, attributes: dict[str, Any], data: bytes, is_taken: bool, is_inline: bool
) -> None:
    uid, instance = described(**attributes)
    if is_inline:
        instance["7FE00010"] = {"vr": "OW", "InlineBinary": base64.b64encode(data).decode()}
    status, text = send(door, instance, *([] if is_inline else [Bulk("u", data)]))
    if is_inline and not data:
        is_taken = True  # the document itself says that there is nothing; so may a file
    assert (status == 200) is is_taken, text
    if not is_taken:
        assert status == 400
        assert f"{len(data)} bytes" in text
        assert stored(door, uid) is None


@pytest.mark.parametrize("key", ["t00083002", "t00020010"])
@pytest.mark.parametrize("padded", [b"", b"\0" * 40])
def test_a_code_stream_as_plain_bytes(door: DoorInMemory, key: str, padded: bytes) -> None:
    """The metadata says JPEG 2000 and the part says nothing: native pixels are it only when they have their length."""
    uid, instance = described(**{key: {"vr": "UI", "Value": [J2K]}})
    coded = imagecodecs.jpeg2k_encode(PIXELS, codecformat="j2k", level=0) + padded
    assert len(coded) != len(RAW)
    status, text = send(door, instance, Bulk("u", coded))
    assert (status, J2K in text) == (400, True), text
    assert stored(door, uid) is None
    assert send(door, instance, Bulk("u", RAW)) == (200, "")


def test_a_code_stream_as_plain_bytes_of_no_known_size(door: DoorInMemory) -> None:
    uid, instance = described(t00083002={"vr": "UI", "Value": [J2K]}, t00280010=None)
    status, text = send(door, instance, Bulk("u", RAW))
    assert (status, J2K in text) == (400, True), text
    assert stored(door, uid) is None


NOISE = bytes(range(7, 256)) * 2
MISTAKEN = [
    ("video/mp4", "102", NOISE),
    ("video/mpeg", "100", NOISE),
    ("video/h265", "107", NOISE),
    ("image/jpeg", "70", NOISE),
    ("image/jpeg", "50", imagecodecs.jpegls_encode(PIXELS)),
    ("image/jls", "80", imagecodecs.ljpeg_encode(PIXELS)),
    ("image/jls", "80", b"\xff\xd8" + NOISE),
    ("image/jp2", "90", NOISE),
    ("image/jp2", "90", imagecodecs.jpegls_encode(PIXELS)),
    ("image/jphc", "201", b""),
    ("image/jxl", "110", NOISE),
    (RLE, "", NOISE),
    (RLE, "", rle(1)[:60]),
    (RLE, "", rle(1, segments=3)),
    (RLE, "", struct.pack("<16I", 2, 64, 60, *[0] * 13) + b"1234"),
    (RLE, "", struct.pack("<16I", 2, 64, 9999, *[0] * 13) + b"1234"),
]


@pytest.mark.parametrize(("media_type", "last", "data"), MISTAKEN)
@pytest.mark.parametrize("said_by", ["metadata", "part", "nobody"])
def test_what_is_not_of_its_media_type(
    door: DoorInMemory, media_type: str, last: str, data: bytes, said_by: str
) -> None:
    syntax = f"1.2.840.10008.1.2.4.{last}" if last else "1.2.840.10008.1.2.5"
    said = {"t00083002": {"vr": "UI", "Value": [syntax]}} if said_by == "metadata" else {}
    uid, instance = described(**said)
    parameter = f"; transfer-syntax={syntax}" if said_by == "part" else ""
    status, text = send(door, instance, Bulk("u", data, media_type + parameter))
    assert (status, media_type in text) == (400, True), text
    assert stored(door, uid) is None


def test_every_frame_is_looked_at(door: DoorInMemory) -> None:
    uid, instance = described(2)
    status, text = send(door, instance, Bulk("u", rle(1), RLE), Bulk("u", NOISE, RLE))
    assert (status, RLE in text) == (400, True), text
    assert stored(door, uid) is None


def test_a_head_longer_than_the_first_look(door: DoorInMemory) -> None:
    """Colour profiles of slide scanners stand before the frame header, in as many segments as they need."""
    coded = imagecodecs.jpeg8_encode(PIXELS.astype("u1"))
    profile = b"\xff\xe2" + struct.pack(">H", 65002) + bytes(65000)
    uid, instance = described(t00083002={"vr": "UI", "Value": ["1.2.840.10008.1.2.4.50"]}, t00280100=us(8))
    frame = coded[:2] + profile * 12 + coded[2:]
    assert send(door, instance, Bulk("u", frame, "image/jpeg")) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert next(generate_frames(found.PixelData, number_of_frames=1))[: len(frame)] == frame


@pytest.mark.parametrize(
    ("media_type", "last", "data"),
    [
        ("video/mpeg", "100", b"\0\0\1\xba" + NOISE),
        ("video/mpeg", "101", (b"\x47" + bytes(187)) * 3),
        ("video/mp4", "102", b"\0\0\0\x18ftypmp42" + NOISE),
        ("video/mp4", "102", b"\0\0\0\1\x67" + NOISE),
        ("video/mp4", "104", (b"\x47" + bytes(187)) * 3),
        ("video/h265", "107", b"\0\0\0\1\x40" + NOISE),
        (RLE, "", rle(1)),
    ],
)
def test_what_vendors_send(door: DoorInMemory, media_type: str, last: str, data: bytes) -> None:
    syntax = f"1.2.840.10008.1.2.4.{last}" if last else "1.2.840.10008.1.2.5"
    uid, instance = described(t00083002={"vr": "UI", "Value": [syntax]})
    assert send(door, instance, Bulk("u", data, media_type)) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert found.file_meta.TransferSyntaxUID == syntax

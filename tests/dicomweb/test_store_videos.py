"""Videos beside metadata: what it may leave to them, what it may not say of them, and how they are stored."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from pydicom.encaps import generate_frames

from pacs.dicomweb import store_videos
from pacs.errors import Busy
from pacs.pixels.video import VideoMeasure
from tests.dicomweb.metadata_requests import Bulk
from tests.dicomweb.served import DoorInMemory, OneDoorInMemory, archive_under
from tests.dicomweb.test_store_bulk_data import NOISE, described, send, stored, us
from tests.dicomweb.test_store_description import WITHOUT
from tests.pixels.numbered_videos import COLUMNS, FRAMES, H264, HEVC, KINDS, MPEG2, ROWS, number_on, numbered_video

MEDIA_TYPES = {H264: "video/mp4", HEVC: "video/H265", MPEG2: "video/mpeg"}
_FAMILY = "1.2.840.10008.1.2.4."


def syntax(uid: str) -> dict[str, Any]:
    return {"vr": "UI", "Value": [uid]}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorInMemory]:
    with archive_under(tmp_path_factory.mktemp("archive")) as services:
        yield OneDoorInMemory(*services)


@pytest.mark.parametrize("kind", KINDS)
def test_what_metadata_leaves_out_is_told_by_the_video(door: DoorInMemory, kind: str) -> None:
    stream, wanted = numbered_video(kind), KINDS[kind][3]
    uid, instance = described(**WITHOUT)
    assert send(door, instance, Bulk("u", stream, MEDIA_TYPES[wanted])) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert found.file_meta.TransferSyntaxUID == wanted
    assert (found.Rows, found.Columns, found.SamplesPerPixel, found.NumberOfFrames) == (ROWS, COLUMNS, 3, FRAMES)
    assert (found.PhotometricInterpretation, found.PlanarConfiguration) == ("YBR_PARTIAL_420", 0)
    assert (found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation) == (8, 8, 7, 0)
    assert [element.tag for element in found] == sorted(element.tag for element in found)
    assert next(generate_frames(found.PixelData, number_of_frames=1))[: len(stream)] == stream
    path = f"/studies/1.2.3/series/1.2.3.4/instances/{uid}"
    shown = door.get(f"{path}/frames/28/rendered", accept="image/png")
    with Image.open(io.BytesIO(shown.content)) as picture:
        assert number_on(picture.convert("RGB")) == 27


@pytest.mark.parametrize(
    ("kind", "media_type", "named", "expected"),
    [
        ("HEVC in MP4", "video/mp4", None, HEVC),
        ("HEVC in MP4", "video/mp4", _FAMILY + "108", _FAMILY + "108"),
        ("MPEG-2 in MP4", "video/mp4", None, MPEG2),
        ("H.264 in MP4", "video/mp4", _FAMILY + "104", _FAMILY + "104"),
        ("H.264 in MP4", "video/mp4", "1.2.840.10008.1.2.1", H264),
        ("H.264 in a transport stream", "video/mpeg", None, H264),
    ],
)
def test_the_transfer_syntax_is_that_of_what_is_in_the_file(
    door: DoorInMemory, kind: str, media_type: str, named: str | None, expected: str
) -> None:
    """Senders name files by their wrapping."""
    uid, instance = described(**WITHOUT, **({"t00083002": syntax(named)} if named else {}))
    assert send(door, instance, Bulk("u", numbered_video(kind), media_type)) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert found.file_meta.TransferSyntaxUID == expected
    assert found.NumberOfFrames == FRAMES


def test_what_metadata_says_stays_where_it_is_true(door: DoorInMemory) -> None:
    said = {"t00280010": us(ROWS), "t00280008": {"vr": "IS", "Value": [FRAMES]}, "t00280004": None}
    uid, instance = described(**(WITHOUT | said))
    assert send(door, instance, Bulk("u", numbered_video("H.264 in MP4"), "video/mp4")) == (200, "")
    found = stored(door, uid)
    assert found is not None
    assert (found.Rows, found.Columns, found.NumberOfFrames) == (ROWS, COLUMNS, FRAMES)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"t00280010": us(ROWS + 1)}, "(0028,0010) is 97 in the metadata, and 96"),
        ({"t00280011": us(COLUMNS - 2)}, "(0028,0011) is 126 in the metadata, and 128"),
        ({"t00280002": us(1)}, "(0028,0002) is 1 in the metadata, and 3"),
        ({"t00280008": {"vr": "IS", "Value": [FRAMES - 1]}}, "(0028,0008) is 39 in the metadata, and 40"),
        ({"t00083002": syntax(HEVC)}, "the video is of the kind video/mp4"),
        ({"t00083002": syntax(MPEG2)}, "the video is of the kind video/mp4"),
    ],
)
@pytest.mark.parametrize("kind", ["H.264 in MP4", "H.264 in a transport stream"])
def test_metadata_that_contradicts_the_video_is_a_failure(
    door: DoorInMemory, said: dict[str, Any], why: str, kind: str
) -> None:
    uid, instance = described(**(WITHOUT | said))
    status, text = send(door, instance, Bulk("u", numbered_video(kind), "video/mp4"))
    assert (status, why in text) == (400, True), text
    assert stored(door, uid) is None


def test_of_a_video_that_cannot_be_read_metadata_must_say_all(door: DoorInMemory) -> None:
    torn = Bulk("u", b"\0\0\0\x18ftypmp42" + NOISE, "video/mp4")
    uid, instance = described(**WITHOUT)
    status, text = send(door, instance, torn)
    assert (status, "(0028,0010)" in text) == (400, True), text
    assert stored(door, uid) is None
    uid, instance = described()
    assert send(door, instance, torn) == (200, "")
    assert stored(door, uid) is not None


def test_frames_that_nobody_counted_must_be_said(door: DoorInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_videos, "asked", lambda *_, **__: VideoMeasure("video/mp4", ROWS, COLUMNS, 8, 25, 0))
    stream = Bulk("u", numbered_video("bare H.264"), "video/mp4")
    uid, instance = described(**WITHOUT)
    status, text = send(door, instance, stream)
    assert (status, "(0028,0008)" in text) == (400, True), text
    assert stored(door, uid) is None
    uid, instance = described(**(WITHOUT | {"t00280008": {"vr": "IS", "Value": [7]}}))
    assert send(door, instance, stream) == (200, "")
    found = stored(door, uid)
    assert found is not None and found.NumberOfFrames == 7


def test_where_too_much_is_decoded_only_what_is_left_out_has_to_wait(
    door: DoorInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise Busy("too many images are being decoded at once; try again shortly")

    monkeypatch.setattr(store_videos, "asked", busy)
    stream = Bulk("u", numbered_video("H.264 in MP4"), "video/mp4")
    uid, instance = described(**WITHOUT)
    status, text = send(door, instance, stream)
    assert status in (400, 503) and "too many" in text
    assert stored(door, uid) is None
    said = {"t00280010": us(ROWS), "t00280011": us(COLUMNS), "t00280006": us(0), "t00280102": us(7)}
    said |= {"t00280002": us(3), "t00280008": {"vr": "IS", "Value": [FRAMES]}, "t00280103": us(0)}
    said |= {"t00280100": us(8), "t00280101": us(8), "t00280004": {"vr": "CS", "Value": ["YBR_PARTIAL_420"]}}
    uid, instance = described(**said)
    assert send(door, instance, stream) == (200, "")
    assert stored(door, uid) is not None

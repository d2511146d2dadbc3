"""Videos are shown as they are stored, where a player takes the stream; else the answer says why not."""

from __future__ import annotations

import io
import sys
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from pacs.dicomweb.stored_video import VIDEO_MEDIA_TYPES, media_type_of
from tests.dicomweb.served import DoorInMemory, image, parts_of
from tests.pixels.numbered_videos import COLUMNS, FRAMES, KINDS, ROWS, number_on, numbered_video

_FAMILY = "1.2.840.10008.1.2.4."
MPEG2, H264, HEVC = _FAMILY + "100", _FAMILY + "102", _FAMILY + "107"
BODY = bytes(range(1, 250)) * 40
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + BODY
PROGRAM = b"\0\0\1\xba" + BODY
ELEMENTARY = b"\0\0\1\xb3" + BODY
ANNEX_B = b"\0\0\0\1\x67" + BODY
TRANSPORT = (b"\x47" + BODY[:187]) * 20
QUICKTIME = b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + BODY


def video(stream: bytes, syntax: str, *, fragments: int = 1) -> FileDataset:
    size = -(-len(stream) // fragments) + 1 & ~1  # only the last one may be padded
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    made = image(NumberOfFrames=50, PhotometricInterpretation="YBR_PARTIAL_420", SamplesPerPixel=3)
    made.PixelData = encapsulate(pieces)
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = UID(syntax)
    return made


@pytest.mark.parametrize(
    ("stream", "syntax", "media_type"),
    [
        (MP4, H264, "video/mp4"),
        (MP4, HEVC, "video/mp4"),
        (MP4, MPEG2, "video/mp4"),
        (PROGRAM, MPEG2, "video/mpeg"),
        (ELEMENTARY, MPEG2, "video/mpeg"),
        (ANNEX_B, HEVC, "video/H265"),
    ],
)
def test_a_stream_that_players_take_comes_as_it_is(
    door: DoorInMemory, stream: bytes, syntax: str, media_type: str
) -> None:
    path = door.keep(video(stream, syntax)).path + "/rendered"
    for accept in (media_type, "*/*", "video/*", f"image/jpeg, {media_type};q=0.1"):
        answer = door.get(path, accept=accept)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == media_type
        assert answer.content[: len(stream)] == stream
        assert not answer.content[len(stream) :].strip(b"\0"), "padding of fragments, at most"
    assert door.get(path, if_none_match=answer.headers["etag"]).status_code == 304
    part = door.get(path, range="bytes=4-11")
    assert (part.status_code, part.content) == (206, stream[4:12])


@pytest.mark.parametrize(
    ("stream", "syntax", "why"),
    [
        (ANNEX_B, H264, "bare H.264"),
        (TRANSPORT, H264, "transport stream"),
        (TRANSPORT, MPEG2, "transport stream"),
        (QUICKTIME, H264, "QuickTime"),
        (b"\0\0\1\x00" + BODY, MPEG2, "in the middle"),
        (b"GIF89a" + BODY, H264, "no known kind"),
        (b"<html><script>", HEVC, "no known kind"),
    ],
)
def test_what_no_player_takes_is_refused_with_a_reason(
    door: DoorInMemory, stream: bytes, syntax: str, why: str
) -> None:
    path = door.keep(video(stream, syntax)).path
    for accept in ("video/mp4", "video/mpeg", "*/*"):
        answer = door.get(f"{path}/rendered", accept=accept)
        assert answer.status_code == 406
        assert why in answer.json()["error"] and "/frames/1" in answer.json()["error"]
    stored = door.get(f"{path}/frames/1", accept="*/*")
    assert stored.status_code == 200, "as stored it can be had"


def test_another_media_type_is_refused_with_the_one_that_there_is(door: DoorInMemory) -> None:
    path = door.keep(video(MP4, H264)).path + "/rendered"
    for accept in ("video/mpeg", "image/jpeg", "image/gif", "text/html"):
        answer = door.get(path, accept=accept)
        assert answer.status_code == 406
        assert "video/mp4" in answer.json()["error"]
    assert door.get(path, accept='multipart/related; type="image/jpeg"').status_code == 406


def test_of_noise_no_pictures_are_made(door: DoorInMemory) -> None:
    path = door.keep(video(MP4, H264)).path
    for frames, accept in (("1", "image/jpeg"), ("1", "*/*"), ("7", "video/mp4"), ("1,2", "image/gif")):
        answer = door.get(f"{path}/frames/{frames}/rendered", accept=accept)
        assert answer.status_code == 406, answer.text
    assert door.get(f"{path}/thumbnail").status_code == 406
    assert door.get(f"{path}/frames/51/rendered").status_code == 404, "it says 50"
    assert door.get(f"{path}/frames/51/thumbnail").status_code == 404


def real(kind: str, *, fragments: int = 1, dark: int = 0, **attributes: Any) -> FileDataset:
    """A video of `tests.pixels.numbered_videos`."""
    stream = numbered_video(kind, dark=dark)
    made = video(
        stream, KINDS[kind][3] + (".1" if fragments > 1 and KINDS[kind][3] != HEVC else ""), fragments=fragments
    )
    values = {"Rows": ROWS, "Columns": COLUMNS, "NumberOfFrames": FRAMES, "BitsAllocated": 8, "BitsStored": 8}
    for name, value in (values | {"HighBit": 7, "WindowCenter": None, "WindowWidth": None} | attributes).items():
        setattr(made, name, value)
    return made


def shown(answer: httpx.Response) -> int:
    """The number on a picture."""
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as picture:
        return number_on(picture.convert("RGB"))


@pytest.mark.parametrize("fragments", [1, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_each_frame_is_had_as_a_picture(door: DoorInMemory, kind: str, fragments: int) -> None:
    path = door.keep(real(kind, fragments=fragments)).path
    for number in (1, 2, 23, FRAMES):
        assert shown(door.get(f"{path}/frames/{number}/rendered", accept="image/jpeg")) == number - 1
    assert shown(door.get(f"{path}/frames/9/rendered", accept="image/png")) == 8
    assert shown(door.get(f"{path}/frames/9/rendered?viewport=64,48", accept="*/*")) == 8
    assert shown(door.get(f"{path}/frames/12/thumbnail", accept="image/jpeg")) == 11
    assert shown(door.get(f"{path}/rendered", accept="image/png")) == FRAMES // 2, "the middle one"
    assert door.get(f"{path}/frames/{FRAMES + 1}/rendered", accept="*/*").status_code == 404
    assert door.get(f"{path}/frames/{FRAMES + 1}/thumbnail", accept="*/*").status_code == 404


def test_quality_values_decide_between_video_and_picture(door: DoorInMemory) -> None:
    path = door.keep(real("H.264 in MP4")).path
    for accept, media_type in (
        ("*/*", "video/mp4"),
        ("video/mp4, image/jpeg", "video/mp4"),
        ("video/mp4;q=0.5, image/jpeg", "image/jpeg"),
        ("video/mpeg, image/png;q=0.1", "image/png"),
        ("image/*", "image/jpeg"),
    ):
        answer = door.get(f"{path}/rendered", accept=accept)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type), answer.text
    tag = answer.headers["etag"]
    assert door.get(f"{path}/rendered", accept="image/*", if_none_match=tag).status_code == 304
    part = door.get(f"{path}/rendered", accept="image/*", range="bytes=0-3")
    assert (part.status_code, part.content) == (206, answer.content[:4])


def test_what_no_player_takes_is_at_least_seen(door: DoorInMemory) -> None:
    path = door.keep(real("H.264 in a transport stream")).path
    assert shown(door.get(f"{path}/rendered", accept="*/*")) == FRAMES // 2
    refused = door.get(f"{path}/rendered", accept="video/mp4")
    assert refused.status_code == 406
    assert "transport stream" in refused.json()["error"] and "image/jpeg" in refused.json()["error"]


def test_some_of_its_frames_are_parts_or_a_film(door: DoorInMemory) -> None:
    path = door.keep(real("H.264 in MP4")).path
    parts = parts_of(door.get(f"{path}/frames/3,30/rendered", accept='multipart/related; type="image/png"'))
    pictures = [Image.open(io.BytesIO(content)).convert("RGB") for _, content in parts]
    assert [number_on(picture) for picture in pictures] == [2, 29]
    film = door.get(f"{path}/frames/3,30,7/rendered", accept="image/gif")
    assert film.status_code == 200, film.text
    with Image.open(io.BytesIO(film.content)) as moving:
        assert getattr(moving, "n_frames", 1) == 3
    (part,) = parts_of(door.get(f"{path}/rendered", accept='multipart/related; type="image/jpeg"'))
    assert part[0]["content-location"].endswith(f"/frames/{FRAMES // 2 + 1}/rendered")


def test_of_a_study_a_video_is_one_part(door: DoorInMemory) -> None:
    made = real("H.264 in MP4")
    door.keep(made)
    door.keep(image(StudyInstanceUID=made.StudyInstanceUID, NumberOfFrames=None))
    answer = door.get(f"/studies/{made.StudyInstanceUID}/rendered", accept='multipart/related; type="image/jpeg"')
    assert len(parts_of(answer)) == 2


@pytest.mark.parametrize("level", ["", "/series/{series}", "/series/{series}/instances/{instance}"])
def test_a_thumbnail_of_it_shows_something(door: DoorInMemory, level: str) -> None:
    """The middle frame, when that is not a black one."""
    for dark, expected in ((0, FRAMES // 2), (FRAMES // 2 + 5, 26)):
        made = real("MPEG-2 in a program stream", dark=dark)
        door.keep(made)
        place = level.format(series=made.SeriesInstanceUID, instance=made.SOPInstanceUID)
        path = f"/studies/{made.StudyInstanceUID}{place}/thumbnail"
        assert shown(door.get(path, accept="*/*")) == expected
        assert shown(door.get(path + "?viewport=64,64", accept="image/png")) == expected


def test_wado_uri_shows_a_frame_of_it(door: DoorInMemory) -> None:
    made = real("bare HEVC")
    key = door.keep(made)
    query = f"requestType=WADO&studyUID={key.study_instance_uid}&seriesUID={key.series_instance_uid}"
    answer = door.get(f"/wado?{query}&objectUID={key.sop_instance_uid}&contentType=image/jpeg&frameNumber=18")
    assert shown(answer) == 17


def test_of_another_size_than_the_data_set_says_no_picture_is_made(door: DoorInMemory) -> None:
    path = door.keep(real("H.264 in MP4", Rows=ROWS + 2)).path
    answer = door.get(f"{path}/frames/1/rendered", accept="image/jpeg")
    assert answer.status_code == 406 and "96 x 128" in answer.json()["error"]
    assert door.get(f"{path}/rendered", accept="*/*").headers["content-type"] == "video/mp4"


@pytest.mark.parametrize(("samples", "bits"), [(1, 8), (3, 16), (1, 16)])
def test_grey_and_wider_ones_are_shown_too(door: DoorInMemory, samples: int, bits: int) -> None:
    values = {"SamplesPerPixel": samples, "BitsAllocated": bits, "BitsStored": bits - 6 * (bits > 8), "HighBit": 7}
    interpretation = "MONOCHROME2" if samples == 1 else "YBR_PARTIAL_420"
    path = door.keep(real("HEVC in MP4", **values, PhotometricInterpretation=interpretation)).path
    assert shown(door.get(f"{path}/frames/30/rendered", accept="image/jpeg")) == 29


def test_without_the_package_it_is_given_as_stored(door: DoorInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = door.keep(real("H.264 in MP4")).path
    assert door.get(f"{path}/rendered", accept="*/*").headers["content-type"] == "video/mp4"
    answer = door.get(f"{path}/rendered", accept="image/jpeg")
    assert answer.status_code == 406 and "pacs[video]" in answer.json()["error"]


@pytest.mark.parametrize("parameter", ["viewport=100,100", "window=1,2,linear", "quality=7", "annotation=patient"])
def test_nothing_of_it_is_changed(door: DoorInMemory, parameter: str) -> None:
    answer = door.get(f"{door.keep(video(MP4, H264)).path}/rendered?{parameter}", accept="video/mp4")
    assert answer.status_code == 400
    assert "as it is stored" in answer.json()["error"]


def test_a_stream_in_several_fragments_is_one(door: DoorInMemory) -> None:
    key = door.keep(video(MP4, _FAMILY + "102.1", fragments=5))
    answer = door.get(f"{key.path}/rendered", accept="video/mp4")
    assert (answer.status_code, answer.content.rstrip(b"\0")) == (200, MP4)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert parts_of(door.get(f"{key.path}/frames/1"))[0][1].rstrip(b"\0") == MP4


def test_frames_of_hevc_are_had_by_the_name_of_their_media_type(door: DoorInMemory) -> None:
    """Media types have no case; this one is written with a capital (PS3.18 Table 8.7.3-5)."""
    key = door.keep(video(ANNEX_B, HEVC))
    for accept in ("video/H265", "video/h265"):
        answer = door.get(f"{key.path}/frames/1", accept=f"{accept}; transfer-syntax={HEVC}")
        assert (answer.status_code, answer.content[: len(ANNEX_B)]) == (200, ANNEX_B)


@pytest.mark.parametrize("level", ["study", "series"])
def test_of_nothing_but_videos_the_middle_one_is_played(door: DoorInMemory, level: str) -> None:
    """Of a study or series that has a picture, too, that is shown."""
    first = video(MP4, H264)
    study, series = first.StudyInstanceUID, first.SeriesInstanceUID
    middle = MP4[:-1] + b"M"
    for number, stream in enumerate((MP4, middle, MP4), 1):
        each = video(stream, H264)
        each.StudyInstanceUID, each.SeriesInstanceUID, each.InstanceNumber = study, series, number
        door.keep(each)
    path = f"/studies/{study}" + (f"/series/{series}" if level == "series" else "")
    for accept in ("*/*", "video/mp4", "image/jpeg;q=0.5, video/*"):
        answer = door.get(f"{path}/rendered", accept=accept)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4"), answer.text
        assert answer.content[: len(MP4)] == middle
        assert answer.headers["cache-control"] == "private, no-cache", "it may grow"
    assert door.get(f"{path}/rendered", accept="video/mp4", range="bytes=4-11").status_code == 206
    assert door.get(f"{path}/rendered", if_none_match=answer.headers["etag"], accept="*/*").status_code == 304
    refused = door.get(f"{path}/rendered", accept="image/jpeg")
    assert refused.status_code == 406 and "video/mp4" in refused.json()["error"]
    assert door.get(f"{path}/rendered?viewport=10,10", accept="video/mp4").status_code == 400
    door.keep(image(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=4))
    assert door.get(f"{path}/rendered", accept="*/*").headers["content-type"] == "image/jpeg"


def test_its_bulk_data_is_its_bytes_for_who_knows_no_media_types(door: DoorInMemory) -> None:
    """As viewers ask for what a BulkDataURI names: there are no native pixels that it could mean instead."""
    path = door.keep(video(MP4, H264)).path
    for resource in ("/bulkdata/7FE00010", "/pixeldata"):
        answer = door.get(path + resource, accept="application/octet-stream")
        assert (answer.status_code, answer.content[: len(MP4)]) == (200, MP4), answer.text
        assert answer.headers["content-type"] == f"application/octet-stream; transfer-syntax={H264}"
        parts = door.get(path + resource, accept='multipart/related; type="application/octet-stream"')
        assert (parts.status_code, parts_of(parts)[0][1][: len(MP4)]) == (200, MP4)
        anything = door.get(path + resource, accept="video/*, application/octet-stream;q=0.5")
        assert anything.headers["content-type"].startswith("video/mp4")
        native = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
        assert door.get(path + resource, accept=native).status_code == 406


def test_without_pixels_it_is_no_video(door: DoorInMemory) -> None:
    empty = video(MP4, H264)
    del empty.PixelData
    answer = door.get(f"{door.keep(empty).path}/rendered", accept="video/mp4")
    assert answer.status_code in (404, 406)


@given(st.binary(max_size=400), st.sampled_from(VIDEO_MEDIA_TYPES))
def test_any_bytes_are_told_apart(noise: bytes, coded_as: str) -> None:
    found, what = media_type_of(noise, coded_as)
    assert found is None or found in VIDEO_MEDIA_TYPES
    assert what

"""A frame of a video is the one that was asked for, of any stream, and nothing but the stream is read for it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from pacs.errors import UndecodablePixels
from pacs.pixels import video
from pacs.pixels.animation import with_index_first
from pacs.pixels.video import VideoMeasure, is_video, measured, rgb_of_ppm, video_frame
from pacs.pixels.video_stream import Excerpt, Missing, container_of
from tests.pixels.numbered_videos import (
    COLUMNS,
    FRAMES,
    H264,
    HEVC,
    KINDS,
    MPEG2,
    ROWS,
    number_on,
    numbered_video,
    pixels_of,
)  # fmt: skip


def whole(stream: bytes) -> Excerpt:
    return Excerpt(len(stream), ((0, stream),))


def frame(
    stream: bytes, uid: str, number: int, *, is_near: bool = False, rows: int = ROWS, columns: int = COLUMNS
) -> int:
    picture = video_frame(whole(stream), uid, number, rows, columns, is_near=is_near)
    assert isinstance(picture, bytes)
    return number_on(rgb_of_ppm(picture))


def in_steps(stream: bytes, step: int, ask: Callable[[Excerpt], bytes | Missing]) -> tuple[bytes, int]:
    """What `ask` gives in the end, and how many bytes it took."""
    pieces = {0: stream[:step]}
    for _ in range(2000):
        answer = ask(Excerpt(len(stream), tuple(sorted(pieces.items()))))
        if not isinstance(answer, Missing):
            return answer, sum(map(len, pieces.values()))
        assert answer.start not in pieces and 0 < answer.start < len(stream)
        pieces[answer.start] = stream[answer.start : answer.start + step]
    raise AssertionError("it never has enough")


@cache
def noisy_video(frames: int = 72, rows: int = 120, columns: int = 160) -> bytes:
    """Of frames that hardly compress, with the index behind them."""
    random, stream = np.random.default_rng(7), io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        track = container.add_stream("libx264", rate=25)
        track.width, track.height, track.pix_fmt, track.gop_size = columns, rows, "yuv420p", 12
        track.options = {"preset": "ultrafast"}
        for _ in range(frames):
            pixels = random.integers(0, 256, (rows, columns, 3), np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(track.encode())
    return stream.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_the_one_that_was_compressed(kind: str) -> None:
    stream, uid = numbered_video(kind), KINDS[kind][3]
    assert [frame(stream, uid, number) for number in range(1, FRAMES + 1)] == list(range(FRAMES))
    with pytest.raises(UndecodablePixels, match=f"no frame {FRAMES + 1}: it holds {FRAMES}"):
        video_frame(whole(stream), uid, FRAMES + 1, ROWS, COLUMNS)
    assert 0 < frame(stream, uid, 10 * FRAMES, is_near=True) < FRAMES, "the last key frame"


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_the_frame(kind: str) -> None:
    picture = video_frame(whole(numbered_video(kind)), KINDS[kind][3], 22, ROWS, COLUMNS)
    assert isinstance(picture, bytes)
    difference = np.abs(rgb_of_ppm(picture).astype(int) - pixels_of(21).astype(int))
    assert difference.mean() < 4, "what compressing loses"


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_lacks_of_the_stream_it_asks_for(kind: str) -> None:
    stream, uid = numbered_video(kind), KINDS[kind][3]
    picture, _ = in_steps(stream, 600, lambda excerpt: video_frame(excerpt, uid, 30, ROWS, COLUMNS))
    assert picture == video_frame(whole(stream), uid, 30, ROWS, COLUMNS)


@pytest.mark.parametrize("index_first", [True, False])
def test_of_a_file_with_an_index_little_is_read(index_first: bool) -> None:
    stream = with_index_first(noisy_video()) if index_first else noisy_video()
    assert (stream.index(b"moov") < stream.index(b"mdat")) is index_first and len(stream) > 700_000
    picture, read = in_steps(stream, 65536, lambda excerpt: video_frame(excerpt, H264, 55, 120, 160))
    assert picture == video_frame(whole(stream), H264, 55, 120, 160)
    assert read < len(stream) // 2


@pytest.mark.parametrize("kind", ["H.264 in a transport stream", "H.264 in MP4", "MPEG-2 in a program stream"])
def test_sound_is_passed_over(kind: str) -> None:
    stream, uid = numbered_video(kind, sound=True), KINDS[kind][3]
    assert len(stream) > len(numbered_video(kind)), "the control: there is sound"
    assert [frame(stream, uid, number) for number in (1, 2, 20, FRAMES)] == [0, 1, 19, FRAMES - 1]


def test_colours_are_those_of_the_scene() -> None:
    """Limited range, and the matrix of the picture's size where the stream names none."""
    for rows, columns, matrix in ((96, 128, "ITU601"), (720, 1280, "ITU709")):
        stream = io.BytesIO()
        with av.open(stream, "w", format="mp4") as container:
            track = container.add_stream("libx264", rate=25)
            track.width, track.height, track.pix_fmt = columns, rows, "yuv420p"
            pixels = np.broadcast_to(np.array([200, 40, 60], np.uint8), (rows, columns, 3))
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(track.encode(shown.reformat(format="yuv420p", dst_colorspace=matrix)))
            container.mux(track.encode())
        picture = video_frame(whole(stream.getvalue()), H264, 1, rows, columns)
        assert isinstance(picture, bytes)
        assert np.abs(rgb_of_ppm(picture).astype(int) - [200, 40, 60]).max() <= 6


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_it_is(kind: str) -> None:
    stream, uid = numbered_video(kind), KINDS[kind][3]
    media_type = {H264: "video/mp4", HEVC: "video/H265", MPEG2: "video/mpeg"}[uid]
    found = measured(whole(stream), H264 if "in " in kind else uid)
    assert isinstance(found, VideoMeasure)
    assert replace(found, rate=25) == VideoMeasure(media_type, ROWS, COLUMNS, 8, 25, FRAMES)
    assert found.rate == 25 or (found.rate == 0 and kind == "MPEG-2 in a transport stream")
    short, _ = in_steps(stream, 2000, lambda excerpt: measured(excerpt, uid))
    assert short in (found, replace(found, frames=0)), "counting may want all of it"


def test_a_video_of_another_kind_than_its_transfer_syntax_is_shown_as_what_it_is() -> None:
    assert frame(numbered_video("HEVC in MP4"), H264, 5) == 4
    assert frame(numbered_video("H.264 in MP4"), MPEG2, 5) == 4


def test_another_size_than_the_data_set_says_is_refused_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decoded(*arguments: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(video, "_decoded", decoded)
    with pytest.raises(UndecodablePixels, match="is 96 x 128, but the data set says 96 x 120"):
        video_frame(whole(numbered_video("H.264 in MP4")), H264, 1, 96, 120)
    with pytest.raises(UndecodablePixels, match="cannot be decoded"):
        video_frame(whole(numbered_video("H.264 in MP4")), H264, 1, 60000, 60000)


def test_a_stream_that_grows_on_the_way_gets_no_memory_for_it() -> None:
    """Its beginning says one size, a later key frame another."""
    small, large = (numbered_video("bare H.264", 4, rows=each, columns=each) for each in (64, 1024))
    assert frame(small + large, H264, 2, rows=64, columns=64) == 1
    with pytest.raises(UndecodablePixels):
        video_frame(whole(small + large), H264, 6, 64, 64)
    with pytest.raises(UndecodablePixels, match="64 x 64"):
        video_frame(whole(small + large), H264, 6, 1024, 1024)


def test_a_frame_far_from_a_key_frame_is_refused_or_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_MOST_PIXELS", 5 * ROWS * COLUMNS)
    monkeypatch.setattr(video, "_MOST_NEAR_PIXELS", 5 * ROWS * COLUMNS)
    for kind in ("H.264 in MP4", "H.264 in a transport stream", "bare H.264"):
        numbers = [frame(numbered_video(kind), H264, number, is_near=True) for number in range(1, FRAMES + 1)]
        assert all(number - 12 <= got < number for number, got in enumerate(numbers, 1))
        assert len(set(numbers)) < FRAMES
        with pytest.raises(UndecodablePixels, match="would have to be decoded for it"):
            for number in range(1, FRAMES + 1):
                video_frame(whole(numbered_video(kind)), H264, number, ROWS, COLUMNS)


def test_a_list_of_other_files_is_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.mp4").write_bytes(numbered_video("H.264 in MP4"))
    listed = b"ffconcat version 1.0\nfile secret.mp4\n"
    with av.open(io.BytesIO(listed)) as container:
        assert next(container.decode(video=0)).width == COLUMNS, "the control: left to itself FFmpeg opens it"
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"
    for hostile in (listed, playlist, b"\0\0\0\x14ftypqt  " + listed, b"\0\0\0\1" + listed, b"\0\0\1\xba" + playlist):
        for uid in (MPEG2, H264, HEVC):
            with pytest.raises(UndecodablePixels):
                video_frame(whole(hostile), uid, 1, ROWS, COLUMNS)


def test_a_file_whose_pictures_are_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """A data reference of QuickTime (alis) with the path of another file, in place of the own one."""
    elsewhere = tmp_path / "elsewhere.mov"
    original = numbered_video("H.264 in QuickTime")
    elsewhere.write_bytes(original)
    path = str(elsewhere).encode()
    padding = b"\0" * (len(path) % 2)
    alias = bytes(150) + struct.pack(">hh", 2, len(path)) + path + padding + struct.pack(">hh", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    at = original.index(b"dref") - 4
    (length,) = struct.unpack_from(">I", original, at)
    grown = 16 + len(entry) - length
    hostile = bytearray(original[:at] + struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry)
    hostile += original[at + length :]
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = _last(original, box, at) - 4
        struct.pack_into(">I", hostile, place, struct.unpack_from(">I", hostile, place)[0] + grown)
    # Where its own pictures are is noise, so that none of them is mistaken for the other file's.
    start = original.index(b"mdat") + 4
    hostile[start : original.index(b"moov") - 4] = bytes(original.index(b"moov") - 4 - start)
    with av.open(io.BytesIO(bytes(hostile)), options={"enable_drefs": "1", "use_absolute_path": "1"}) as container:
        assert next(container.decode(video=0)).width == COLUMNS, "the control: FFmpeg can be told to follow it"
    with pytest.raises(UndecodablePixels):
        video_frame(whole(bytes(hostile)), H264, 1, ROWS, COLUMNS)


def _last(content: bytes, box: bytes, before: int) -> int:
    return content.rindex(box, 0, before)


@pytest.mark.parametrize(
    "beginning", [b"", b"GIF89a", b"<html>", b"\0\0\2\1", b"RIFF\0\0\0\0AVI ", b"\x1aE\xdf\xa3", b"#EXTM3U"]
)
def test_what_is_wrapped_in_nothing_known_is_no_video(beginning: bytes) -> None:
    with pytest.raises(UndecodablePixels, match="no known kind"):
        container_of(beginning + bytes(400), H264)


def test_bytes_that_are_no_picture_are_none() -> None:
    for noise in (b"", b"P6\n1 1\n255\n", b"P6\n-1 4\n255\n", numbered_video("bare H.264"), b"P6\n0 0\n255\n1"):
        with pytest.raises(UndecodablePixels):
            rgb_of_ppm(noise)


def test_transfer_syntaxes_of_videos() -> None:
    assert all(is_video(f"1.2.840.10008.1.2.4.{number}") for number in range(100, 109))
    assert is_video("1.2.840.10008.1.2.4.102.1"), "in fragments"
    assert not any(map(is_video, ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1", "1.2.3")))


def test_without_the_package_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    assert not video.can_decode_videos()
    with pytest.raises(UndecodablePixels, match=r"pacs\[video\]"):
        video_frame(whole(b""), H264, 1, ROWS, COLUMNS)

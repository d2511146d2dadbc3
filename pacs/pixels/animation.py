"""Frames that move: how long each is shown (PS3.3 §C.7.6.5), and films as GIF and MP4 (PS3.18 §8.7.4)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from pacs.errors import NotAcceptable
from pacs.part10.header import Header
from pacs.pixels.picture_formats import GIF_MEDIA_TYPE, gif_image

if TYPE_CHECKING:
    from pacs.pixels.render import Picture

MP4_MEDIA_TYPE = "video/mp4"
MOVING_MEDIA_TYPES = (GIF_MEDIA_TYPE, MP4_MEDIA_TYPE)
MAX_FRAMES = 1000
MAX_PIXELS = 1 << 26
"""Of all frames of a film together: 256 frames of 512 x 512."""

_RECOMMENDED_DISPLAY_FRAME_RATE, _CINE_RATE = 0x00082144, 0x00180040
_FRAME_TIME, _FRAME_TIME_VECTOR = 0x00181063, 0x00181065
_DEFAULT_MS = 100.0
"""Who says no rate is mostly a stack of slices, which nobody wants to fly past."""
_LEAST_MS, _MOST_MS = 20.0, 10_000.0
"""Browsers slow down what is faster than 50 frames a second in a GIF."""
_MP4_TIME_BASE = Fraction(1, 1000)


def check_film(frames: int, rows: int, columns: int, decoded_pixels: int = 0) -> None:
    """Refuse what would take too long, before the first frame is decoded.

    `rows` and `columns` are those of the pictures, `decoded_pixels` those of a stored frame.

    Raises:
        NotAcceptable: more than `MAX_FRAMES` frames, more than `MAX_PIXELS` pixels in all, or twice as many to
            decode.
    """
    if frames > MAX_FRAMES:
        raise NotAcceptable(
            f"a film of {frames} frames is too long, at most {MAX_FRAMES} are shown; "
            "name those that matter, as in frames/1,5,9/rendered"
        )
    if frames * rows * columns > MAX_PIXELS or frames * decoded_pixels > 2 * MAX_PIXELS:
        raise NotAcceptable(
            f"a film of {frames} frames of {columns} x {rows} pixels is too large, at most {MAX_PIXELS} pixels are "
            "made; ask for a smaller viewport or fewer frames, as in frames/1,5,9/rendered"
        )


def durations_ms(header: Header, numbers: Sequence[int]) -> list[float]:
    """How long each of the frames `numbers` (from 1) is shown, 20 ms to 10 s.

    Recommended Display Frame Rate counts before Cine Rate, that before Frame Time Vector and Frame Time; without any
    of them a frame stays for 100 ms.
    """
    rate = header.number(_RECOMMENDED_DISPLAY_FRAME_RATE) or header.number(_CINE_RATE)
    if rate is not None and rate > 0:
        return [_bounded(1000 / rate)] * len(numbers)
    vector = header.numbers(_FRAME_TIME_VECTOR)
    time = header.number(_FRAME_TIME)
    each = _bounded(time) if time is not None and time > 0 else _DEFAULT_MS
    # An entry is the time from the frame before (PS3.3 §C.7.6.5.1.2), so the next one tells how long a frame stays.
    return [_bounded(vector[number]) if number < len(vector) and vector[number] > 0 else each for number in numbers]


def _bounded(milliseconds: float) -> float:
    return min(max(milliseconds, _LEAST_MS), _MOST_MS)


def film(pictures: Iterable[Picture], shown_ms: Sequence[float], media_type: str, quality: int) -> bytes:
    """Pictures of one size, one after the other, as GIF (repeating) or MP4 (H.264). One is made at a time.

    Raises:
        NotAcceptable: another media type, or MP4 without the optional package that makes it.
    """
    if media_type == GIF_MEDIA_TYPE:
        return _gif(iter(pictures), shown_ms)
    if media_type == MP4_MEDIA_TYPE:
        return _mp4(iter(pictures), shown_ms, quality)
    raise NotAcceptable(f"films are made as {', '.join(MOVING_MEDIA_TYPES)}, not {media_type}")


def can_make_mp4() -> bool:
    """Whether the optional package is there. It is not loaded, which costs 40 MB."""
    try:
        return find_spec("av") is not None
    except ValueError:  # its place among the modules is taken by nothing
        return False


def _gif(pictures: Iterator[Picture], shown_ms: Sequence[float]) -> bytes:
    first, stream = gif_image(next(pictures)), io.BytesIO()
    first.save(
        stream,
        "GIF",
        save_all=True,
        append_images=map(gif_image, pictures),
        duration=[round(each / 10) * 10 for each in shown_ms],
        loop=0,
        optimize=False,
    )
    return stream.getvalue()


def _mp4(pictures: Iterator[Picture], shown_ms: Sequence[float], quality: int) -> bytes:
    try:
        import av  # noqa: PLC0415
    except ImportError:
        raise NotAcceptable("video/mp4 needs the package pacs[video], which is not installed here") from None
    stream, first = io.BytesIO(), next(pictures)
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=25)
        rows, columns = first.shape[0] + first.shape[0] % 2, first.shape[1] + first.shape[1] % 2
        video.height, video.width, video.pix_fmt = rows, columns, "yuv420p"
        video.time_base = video.codec_context.time_base = _MP4_TIME_BASE
        video.codec_context.thread_count = 1
        # With x264's mbtree the same pictures became up to 19 different files, also in one process: ranges of two would
        # not fit together.
        video.options = {"preset": "veryfast", "crf": str(round(45 - 0.35 * quality)), "x264-params": "mbtree=0"}
        at_ms = 0.0
        for picture, shown in zip(chain((first,), pictures), shown_ms, strict=True):
            frame = _video_frame(av, picture, rows, columns)
            frame.pts, frame.time_base, frame.duration = round(at_ms), _MP4_TIME_BASE, round(shown)
            container.mux(video.encode(frame))
            at_ms += shown
        container.mux(video.encode(None))
    return with_index_first(stream.getvalue())


def _video_frame(av: Any, picture: Picture, rows: int, columns: int) -> Any:
    """H.264 with 4:2:0 colours has even sides; the last row or column is repeated where it has not."""
    margin = ((0, rows - picture.shape[0]), (0, columns - picture.shape[1]), (0, 0))[: picture.ndim]
    if any(after for _, after in margin):
        picture = np.pad(picture, margin, mode="edge")
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray" if picture.ndim == 2 else "rgb24")


def with_index_first(file: bytes) -> bytes:
    """An MP4 file whose index (moov) stands before its data (mdat), so that a player starts before it has all."""
    boxes = list(_boxes(file, 0, len(file)))
    kinds = [kind for kind, _, _ in boxes]
    if b"moov" not in kinds or b"mdat" not in kinds or kinds.index(b"moov") < kinds.index(b"mdat"):
        return file
    moov = next(file[start:end] for kind, start, end in boxes if kind == b"moov")
    moved = bytearray(moov)
    for start, end in _chunk_offsets(moov, 8, len(moov)):
        offsets = np.frombuffer(moov[start + 16 : end], ">u4")
        moved[start + 16 : end] = (offsets + len(moov)).astype(">u4").tobytes()
    before = kinds.index(b"mdat")
    pieces = [file[start:end] for kind, start, end in boxes if kind != b"moov"]
    return b"".join([*pieces[:before], moved, *pieces[before:]])


def _boxes(file: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start + 8 <= end:
        length = int.from_bytes(file[start : start + 4], "big")
        if length == 1:
            length = int.from_bytes(file[start + 8 : start + 16], "big")
        if length < 8:
            return
        yield file[start + 4 : start + 8], start, start + length
        start += length


def _chunk_offsets(file: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The chunk offset boxes (stco) of all tracks; files made here stay far below 4 GB."""
    for kind, box_start, box_end in _boxes(file, start, end):
        if kind == b"stco":
            yield box_start, box_end
        elif kind in {b"trak", b"mdia", b"minf", b"stbl"}:
            yield from _chunk_offsets(file, box_start + 8, box_end)

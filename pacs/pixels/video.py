"""Pictures of stored videos (PS3.5 §8.2.5 to §8.2.11): one frame, decoded from the key frame before it; and what a
video says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pacs.errors import UndecodablePixels
from pacs.part10.transfer_syntax import transfer_syntax
from pacs.pixels.description import MAX_FRAME_BYTES
from pacs.pixels.video_stream import CODECS, Excerpt, Missing, VideoStream, looked_at

if TYPE_CHECKING:
    from pacs.pixels.render import Picture

PPM_START: Final = b"P6\n"
_MOST_PIXELS: Final = 1 << 29
"""Of all frames from the key frame to the wanted one, 260 of 1080 lines: some 2 s."""
_MOST_NEAR_PIXELS: Final = 1 << 27
"""The same where the key frame will do."""
_LOOKED_AHEAD: Final = 32
"""Frames are stored in the order of decoding; none is shown more than 16 places from there (H.264 §A.3.1)."""
_HD_ROWS: Final = 720
_UNSPECIFIED: Final = 2
"""Matrix coefficients of colours (H.273)."""


@dataclass(frozen=True, slots=True)
class VideoMeasure:
    """What a video says of itself."""

    media_type: str
    """Of transfer syntaxes of its kind: video/mpeg, video/mp4 (H.264), video/H265."""
    rows: int
    columns: int
    bits: int
    rate: float
    """Frames per second; 0 when it does not say."""
    frames: int
    """0 when only reading all of it would tell."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A frame among packets, the first of which is a key frame."""

    packets: Sequence[Any]
    decoded: int
    """Frames to be decoded, with it."""
    time: int | None = None
    """When it is shown; None in streams that do not say: it is the last of those."""


def is_video(transfer_syntax_uid: str) -> bool:
    """Whether pixel data of this transfer syntax is one video stream."""
    return transfer_syntax(transfer_syntax_uid).media_type in CODECS


def can_decode_videos() -> bool:
    """Whether the optional package is there. It is not loaded, which costs 40 MB."""
    try:
        return find_spec("av") is not None
    except ValueError:  # its place among the modules is taken by nothing
        return False


def video_frame(
    excerpt: Excerpt, transfer_syntax_uid: str, number: int, rows: int, columns: int, *, is_near: bool = False
) -> bytes | Missing:
    """Frame `number`, from 1 in the order in which they are shown, as a binary PPM of 8-bit RGB.

    `rows` and `columns` are what the data set says. With `is_near` the key frame before it will do where the frame
    itself would take long, and the last key frame where the stream ends before it.

    Raises:
        UndecodablePixels: the stream cannot be read, its frames have another size, it has none of this number, or
            finding it would take too long.
    """

    def look(video: VideoStream) -> bytes:
        _check_codec(video)
        if (video.rows, video.columns) != (rows, columns):
            raise UndecodablePixels(
                f"the video is {video.rows} x {video.columns}, but the data set says {rows} x {columns}"
            )
        wanted = _wanted(video, number - 1, is_near=is_near)
        frame = _decoded(video, wanted)
        if frame is None or (frame.height, frame.width) != (rows, columns):
            raise UndecodablePixels(f"frame {number} of the video cannot be decoded")
        return _ppm(frame)

    if rows < 1 or columns < 1 or rows * columns * 3 > MAX_FRAME_BYTES:
        raise UndecodablePixels(f"frames of {rows} x {columns} cannot be decoded")
    return looked_at(excerpt, transfer_syntax_uid, look)


def measured(excerpt: Excerpt, transfer_syntax_uid: str) -> VideoMeasure | Missing:
    """What a video says of itself, of which the first frame is decoded. Frames are counted where the container has an
    index, or all of the stream is here.

    Raises:
        UndecodablePixels: the stream cannot be read, or its frames are too large.
    """

    def look(video: VideoStream) -> VideoMeasure:
        _check_codec(video)
        if not 0 < video.rows * video.columns * 3 <= MAX_FRAME_BYTES:
            raise UndecodablePixels(f"its frames are {video.rows} x {video.columns}")
        packets = video.packets(_LOOKED_AHEAD)
        frame = next(video.frames(packets), None)
        if frame is None:
            raise UndecodablePixels("its first frame cannot be decoded")
        frames = video.indexed
        if not frames and video.is_whole:
            frames = len(packets) + video.count()
        media_type = next(name for name, codecs in CODECS.items() if video.codec in codecs)
        return VideoMeasure(media_type, video.rows, video.columns, frame.format.components[0].bits, video.rate, frames)

    return looked_at(excerpt, transfer_syntax_uid, look)


def rgb_of_ppm(picture: bytes) -> Picture:
    """The pixels of what `video_frame` gives, ``(rows, columns, 3)``.

    Raises:
        UndecodablePixels: it is nothing that it gives.
    """
    import numpy as np  # noqa: PLC0415 -- services that hold other functions of this module never call this one

    head, _, pixels = picture.partition(b"\n255\n")
    sizes = head.removeprefix(PPM_START).split(b" ")
    try:
        columns, rows = map(int, sizes)
        if not (picture.startswith(PPM_START) and rows > 0 and columns > 0):
            raise ValueError
        return np.frombuffer(pixels, np.uint8).reshape(rows, columns, 3)
    except ValueError:
        raise UndecodablePixels("a video is given as it is stored, or picture by picture") from None


def _check_codec(video: VideoStream) -> None:
    """What it is need not be what the data set says, but one of those."""
    if not any(video.codec in codecs for codecs in CODECS.values()):
        raise UndecodablePixels(f"the video is {video.codec[:40]}, which no transfer syntax is")


def _wanted(video: VideoStream, index: int, *, is_near: bool) -> _Wanted:
    """Where frame `index`, from 0, is. Raises `UndecodablePixels`: nowhere, or too far from a key frame."""
    most = (_MOST_NEAR_PIXELS if is_near else _MOST_PIXELS) // (video.rows * video.columns)
    if video.indexed and index < video.indexed:
        found = _by_index(video, index)
    elif video.indexed and is_near:
        place = video.key_up_to(video.indexed - 1)
        _, packets = video.packets_from(place, _LOOKED_AHEAD)
        return _Wanted(packets, 1, _first_time(packets))
    else:
        packets = [] if video.indexed else video.packets(index + 1 + _LOOKED_AHEAD)
        count = video.indexed or len(packets)
        if count <= index:
            if is_near and packets:
                return _key_frame(packets)
            raise UndecodablePixels(f"the video has no frame {index + 1}: it holds {count}")
        found = _by_time(packets, index)
    if found is None:
        raise UndecodablePixels(f"no key frame stands before frame {index + 1} of the video")
    if found.decoded <= max(most, 1):
        return found
    if is_near:
        if found.time is None:
            return _key_frame(found.packets[: index + 1])
        return _Wanted(found.packets, 1, _first_time(found.packets))
    raise UndecodablePixels(
        f"frame {index + 1} of the video cannot be shown: {found.decoded} frames would have to be decoded for it, and"
        f" at most {most} are"
    )


def _by_index(video: VideoStream, index: int) -> _Wanted | None:
    """What is shown at `index` is stored near there, and decoding it begins at a key frame before; of frames that are
    shown before the key frame that they stand behind, at the one before that."""
    key = video.key_up_to(index)
    while True:
        first, packets = video.packets_from(key, index - key + _LOOKED_AHEAD)
        found = _by_time(packets, index - first)
        if found is not None or first == 0:
            return found
        key = video.key_up_to(first - 1)


def _by_time(packets: Sequence[Any], index: int) -> _Wanted | None:
    """The frame that is shown at `index` among `packets`; None when no key frame among them is shown before it."""
    if any(packet.pts is None for packet in packets):
        return _Wanted(packets, index + 1)
    times = sorted(packet.pts for packet in packets)
    if index >= len(times):
        return None
    starts = [place for place, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= times[index]]
    return _Wanted(packets[starts[-1] :], max(1, index + 1 - starts[-1]), times[index]) if starts else None


def _key_frame(packets: Sequence[Any]) -> _Wanted:
    """The last key frame among `packets`."""
    starts = [place for place, packet in enumerate(packets) if packet.is_keyframe] or [0]
    found = packets[starts[-1] :]
    return _Wanted(found, 1, _first_time(found))


def _first_time(packets: Sequence[Any]) -> int | None:
    return packets[0].pts if packets else None


def _decoded(video: VideoStream, wanted: _Wanted) -> Any:
    """The frame; None when decoding does not give it."""
    frames = video.frames(wanted.packets)
    if wanted.time is None:
        return next(islice(frames, wanted.decoded - 1, None), None)
    return next((frame for frame in frames if frame.pts == wanted.time), None)


def _ppm(frame: Any) -> bytes:
    # Streams that do not say how colours are meant have those of their time (ITU-R BT.601, BT.709), as players take it.
    matrix = "ITU709" if frame.colorspace == _UNSPECIFIED and frame.height >= _HD_ROWS else None
    picture = frame.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
    return b"%s%d %d\n255\n%s" % (PPM_START, frame.width, frame.height, picture.tobytes())

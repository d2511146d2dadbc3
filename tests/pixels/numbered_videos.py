"""Videos of frames that can be told apart: each shows its number, from 0, in eight bars of black or white."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import av
import numpy as np

ROWS, COLUMNS, FRAMES = 96, 128, 40
_BAR = COLUMNS // 8
_FAMILY = "1.2.840.10008.1.2.4."
MPEG2, H264, HEVC = _FAMILY + "100", _FAMILY + "102", _FAMILY + "107"
_QUIET = {"x265-params": "log-level=none:bframes=3"}

KINDS: dict[str, tuple[str, str, dict[str, str], str]] = {
    "H.264 in MP4": ("mp4", "libx264", {}, H264),
    "H.264 in MP4, open groups": ("mp4", "libx264", {"x264-params": "open-gop=1:bframes=3"}, H264),
    "H.264 in QuickTime": ("mov", "libx264", {}, H264),
    "H.264 in fragments of MP4": ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}, H264),
    "H.264 in a transport stream": ("mpegts", "libx264", {}, H264),
    "bare H.264": ("h264", "libx264", {}, H264),
    "HEVC in MP4": ("mp4", "libx265", _QUIET, HEVC),
    "HEVC in a transport stream": ("mpegts", "libx265", _QUIET, HEVC),
    "bare HEVC": ("hevc", "libx265", _QUIET, HEVC),
    "MPEG-2 in a program stream": ("vob", "mpeg2video", {"bf": "2"}, MPEG2),
    "MPEG-2 in a transport stream": ("mpegts", "mpeg2video", {"bf": "2"}, MPEG2),
    "MPEG-2 in MP4": ("mp4", "mpeg2video", {"bf": "2"}, MPEG2),
    "bare MPEG-2": ("mpeg2video", "mpeg2video", {"bf": "2"}, MPEG2),
}
"""FFmpeg's container and encoder, its options, and the transfer syntax."""


def pixels_of(number: int, rows: int = ROWS, columns: int = COLUMNS) -> Any:
    """The frame as it was before it was compressed."""
    bits = np.array([255 if number >> bit & 1 else 0 for bit in range(8)], np.uint8)
    return np.broadcast_to(np.repeat(bits, columns // 8)[None, :, None], (rows, columns, 3))


def number_on(picture: Any) -> int:
    """The number that a picture of any size shows, grey or in colour."""
    line = np.asarray(picture)[np.shape(picture)[0] // 2].astype(float)
    line = line.mean(axis=1) if line.ndim == 2 else line
    bar = len(line) / 8
    return sum(int(line[int((bit + 0.5) * bar)] > 128) << bit for bit in range(8))


@cache
def numbered_video(
    kind: str, frames: int = FRAMES, *, rows: int = ROWS, columns: int = COLUMNS, dark: int = 0, sound: bool = False
) -> bytes:
    """A stream of one of `KINDS`; its first `dark` frames are black."""
    container_name, encoder, options, _ = KINDS[kind]
    stream = io.BytesIO()
    muxing = {name: value for name, value in options.items() if name == "movflags"}
    with av.open(stream, "w", format=container_name, options=muxing) as container:
        track: Any = container.add_stream(encoder, rate=25)
        track.width, track.height, track.pix_fmt, track.gop_size = columns, rows, "yuv420p", 12
        track.options = {name: value for name, value in options.items() if name not in muxing}
        heard: Any = container.add_stream("mp2", rate=48000) if sound else None
        for number in range(frames):
            pixels = pixels_of(0 if number < dark else number, rows, columns)
            container.mux(track.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
            if heard is not None:
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1920 * 2), np.int16), format="s16", layout="stereo")
                silence.sample_rate = 48000
                container.mux(heard.encode(silence))
        container.mux(track.encode())
        if heard is not None:
            container.mux(heard.encode())
    return stream.getvalue()

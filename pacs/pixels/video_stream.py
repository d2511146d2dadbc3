"""A stored video as FFmpeg reads it (the package `pacs[video]`): its packets and its frames.

FFmpeg is told which container a stream is in and gets its bytes only: nothing that a stream names is opened, and
opening it decodes nothing, so that the size of its pictures is known before memory is taken for one. A stream may be
too large to be sent to where it is decoded, so who reads it asks for the parts that it needs: see `Excerpt`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from pacs.errors import UndecodablePixels
from pacs.part10.transfer_syntax import transfer_syntax

T = TypeVar("T")

CODECS: Final = {
    "video/mpeg": frozenset({"mpeg1video", "mpeg2video"}),
    "video/mp4": frozenset({"h264"}),
    "video/H265": frozenset({"hevc"}),
}
"""FFmpeg's names of what the transfer syntaxes of a media type hold."""
NOT_INSTALLED: Final = "pictures of videos need the package pacs[video], which is not installed here"

_INDEXED, _TRANSPORT, _PROGRAM = "mov", "mpegts", "mpeg"
_BARE: Final = {"video/mpeg": "mpegvideo", "video/mp4": "h264", "video/H265": "hevc"}
"""FFmpeg's names of containers; here for streams without one."""
_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_PACKETS: Final = ((0, 188), (4, 192), (0, 204))
"""Of transport streams: where the first one's sync byte stands, and how long each is."""
_SYNC: Final = b"\x47"
_PACK_HEADER: Final = b"\0\0\1\xba"
_SEEN_BYTES: Final = 1024
_OPTIONS: Final = {
    "codec_whitelist": "none",
    "protocol_whitelist": "none",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,mpegts,mpeg,mpegvideo,h264,hevc",
    "skip_estimate_duration_from_pts": "1",  # would look at the end
    "ignore_editlist": "1",  # frames are those that are stored, shown or not
    "probesize": "1000000",
    "analyzeduration": "1000000",
    "fpsprobesize": "0",
}
_OPTIONS_WITH_INDEX: Final = {**_OPTIONS, "probesize": "4096"}  # the index says what others show in their first packets
_ALIGNED: Final = 128
"""What decoders may add to rows and columns."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stream of `size` bytes, of which those of `pieces` are here: where each begins, in order, and its bytes."""

    size: int
    pieces: tuple[tuple[int, bytes | memoryview], ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """Bytes from `start` on are needed, too."""

    start: int


def container_of(beginning: bytes, transfer_syntax_uid: str) -> str:
    """FFmpeg's name of what a stream that begins so is wrapped in.

    Raises:
        UndecodablePixels: nothing that is known.
    """
    if beginning[4:8] in _BOXES:
        return _INDEXED
    if any(beginning[at : at + 1] == _SYNC == beginning[at + size : at + size + 1] for at, size in _PACKETS):
        return _TRANSPORT
    if beginning.startswith(_PACK_HEADER):
        return _PROGRAM
    if beginning.startswith(b"\0\0") and beginning.lstrip(b"\0").startswith(b"\1"):
        return _BARE[transfer_syntax(transfer_syntax_uid).media_type]
    raise UndecodablePixels("the video is a stream of no known kind; retrieve it as stored")


def has_index(beginning: bytes) -> bool:
    """Whether a stream that begins so may tell where each frame is, so that it need not be read up to there."""
    return beginning[4:8] in _BOXES


class VideoStream:
    """A stream that is open, and what can be read of it."""

    def __init__(self, container: Any, *, may_have_index: bool, is_whole: bool) -> None:
        self._container = container
        passed_over = type(container.streams.video[0].discard)["all"]
        self._track = container.streams.video[0]
        for other in container.streams:
            if other is not self._track:
                other.discard = passed_over
        self._index = self._track.index_entries if may_have_index else ()
        self.indexed = len(self._index) if len(self._index) == self._track.frames else 0
        """Frames of which the container says where each is; 0 when it does not."""
        self.is_whole = is_whole
        """All of it is here."""
        codec = self._track.codec_context
        self.codec: str = codec.name
        self.rows: int = codec.height
        self.columns: int = codec.width
        self.rate = float(self._track.average_rate or 0)
        """Frames per second; 0 when it does not say."""

    def packets(self, most: int) -> list[Any]:
        """The first `most` packets, in the order of decoding."""
        return list(islice(self._packets(), most))

    def count(self) -> int:
        """Frames, by reading all of it; to be called before anything else is read."""
        return sum(1 for _ in self._packets())

    def key_up_to(self, place: int) -> int:
        """The place in the index, in the order of decoding, of the last key frame up to `place`; 0 without any."""
        while place > 0 and not self._index[place].is_keyframe:
            place -= 1
        return place

    def packets_from(self, key: int, most: int) -> tuple[int, list[Any]]:
        """Up to `most` packets behind the key frame at `key` of the index, and those from there or from another one
        before it on; and the place of the first."""
        self._container.seek(self._index[key].timestamp, stream=self._track, backward=True)
        found = self._packets()
        packets = list(islice(found, 1))
        first = key
        while packets and first > 0 and self._index[first].timestamp > packets[0].dts:
            first -= 1
        packets += islice(found, key - first + most)
        return first, packets

    def frames(self, packets: Sequence[Any]) -> Iterator[Any]:
        """Decoded one after the other, in the order in which they are shown. To be called once."""
        codec = self._track.codec_context
        codec.options = {"max_pixels": str((self.rows + _ALIGNED) * (self.columns + _ALIGNED))}
        codec.thread_count = 1
        for packet in (*packets, None):
            yield from codec.decode(packet)

    def _packets(self) -> Iterator[Any]:
        return (packet for packet in self._container.demux(self._track) if packet.size)


def looked_at(excerpt: Excerpt, transfer_syntax_uid: str, look: Callable[[VideoStream], T]) -> T | Missing:
    """What `look` makes of the stream; or what it lacks, whatever it made of the rest.

    Raises:
        UndecodablePixels: the stream cannot be read, or what `look` raises.
    """
    try:
        import av  # noqa: PLC0415 -- 40 MB, and optional
    except ImportError:
        raise UndecodablePixels(NOT_INSTALLED) from None
    beginning = bytes(excerpt.pieces[0][1][:_SEEN_BYTES]) if excerpt.pieces else b""
    kind = container_of(beginning, transfer_syntax_uid)
    file = _File(excerpt)
    options = _OPTIONS_WITH_INDEX if kind == _INDEXED else _OPTIONS
    try:
        with av.open(file, format=kind, options=options, io_open=_refused, metadata_errors="replace") as container:
            if not container.streams.video:
                raise UndecodablePixels("the stream holds no video; retrieve it as stored")
            found = look(VideoStream(container, may_have_index=kind == _INDEXED, is_whole=file.is_whole))
    except UndecodablePixels:
        if file.missing is None:
            raise
    except (av.FFmpegError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as problem:
        if file.missing is None:
            raise UndecodablePixels(f"the video cannot be decoded: {problem}") from problem
    else:
        if file.missing is None:
            return found
    return Missing(file.missing)


def _refused(url: str, flags: int, options: dict[str, Any]) -> None:
    raise ValueError("a video may name no other file")


class _File(io.RawIOBase):
    """An `Excerpt` to be read from. Where something is missing it seems to end, and `missing` says where that was."""

    def __init__(self, excerpt: Excerpt) -> None:
        super().__init__()
        self._excerpt = excerpt
        self._position = 0
        self.missing: int | None = None

    @property
    def is_whole(self) -> bool:
        return sum(len(piece) for _, piece in self._excerpt.pieces) >= self._excerpt.size

    def read(self, size: int = -1, /) -> bytes:
        position, end = self._position, self._excerpt.size
        if self.missing is not None or position >= end:
            return b""
        for start, piece in self._excerpt.pieces:
            if start <= position < start + len(piece):
                found = bytes(piece[position - start :][: size if size >= 0 else end])
                self._position += len(found)
                return found
        self.missing = position
        return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = (0, self._position, self._excerpt.size)[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

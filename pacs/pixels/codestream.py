"""Headers of compressed frames: dimensions and coding, read before any codec sees the bytes.

A codec takes memory by what its stream says; comparing that with the data set first is what keeps a 200-byte frame
that claims 60,000 x 60,000 pixels from costing anything.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from pacs.errors import UndecodablePixels

_SOC_SIZ = b"\xff\x4f\xff\x51"
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_JXL_SIGNATURE = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_MAX_BOXES = 64
_RLE_HEADER_BYTES = 64
_PACKET_BYTES = (188, 192, 204)
"""Of an MPEG-2 transport stream; with a time code before each, or a check sum behind it."""
_LEADING_ZEROS = 64
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot"})
"""That an MP4 or QuickTime file may begin with."""


@dataclass(frozen=True, slots=True)
class Codestream:
    """What a compressed frame says about itself."""

    rows: int
    columns: int
    components: int
    precision: int
    """Bits per sample; 0 when the header does not tell (JPEG XL)."""
    is_signed: bool = False
    start: int = 0
    """Offset of the codestream in the frame (JPEG 2000 inside a JP2 file)."""
    is_high_throughput: bool = False
    """JPEG 2000 that says in its capabilities that it is of Part 15 (HTJ2K)."""


@dataclass(frozen=True, slots=True)
class JpegCodestream(Codestream):
    """A JPEG or JPEG-LS frame header (ISO/IEC 10918-1 §B.2.2, 14495-1 §C.2.2)."""

    start_of_frame: int = 0xC0
    """Marker: C0 baseline, C1 extended, C2 progressive, C3 lossless, F7 JPEG-LS."""
    component_ids: tuple[int, ...] = ()
    is_subsampled: bool = False
    """Whether a component has fewer samples than another."""
    has_jfif: bool = False
    adobe_transform: int | None = None
    """APP14: 0 no transform, 1 YCbCr."""

    @property
    def is_lossless(self) -> bool:
        return self.start_of_frame in {0xC3, 0xF7}


def read_jpeg(frame: bytes) -> JpegCodestream:
    """Walk the marker segments up to the frame header.

    Raises:
        UndecodablePixels: no JPEG, or torn before its frame header.
    """
    if frame[:2] != b"\xff\xd8":
        raise UndecodablePixels(f"the frame is no JPEG: it starts with {frame[:2].hex() or 'nothing'}")
    position, has_jfif, adobe_transform = 2, False, None
    while position + 4 <= len(frame):
        if frame[position] != 0xFF:
            raise UndecodablePixels(f"JPEG marker expected at byte {position} of the frame")
        marker = frame[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if marker in {0xD9, 0xDA}:
            break
        if marker in {0x01, *range(0xD0, 0xD9)}:
            position += 2
            continue
        length = int.from_bytes(frame[position + 2 : position + 4], "big")
        segment = frame[position + 4 : position + 2 + length]
        if length < 2 or len(segment) != length - 2:
            raise UndecodablePixels(f"JPEG marker segment at byte {position} is longer than the frame")
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}):
            return _frame_header(marker, segment, has_jfif, adobe_transform)
        if marker == 0xE0 and segment[:4] == b"JFIF":
            has_jfif = True
        elif marker == 0xEE and segment[:5] == b"Adobe" and len(segment) >= 12:
            adobe_transform = segment[11]
        position += 2 + length
    raise UndecodablePixels("the JPEG frame ends before its frame header")


def _frame_header(marker: int, segment: bytes, has_jfif: bool, adobe_transform: int | None) -> JpegCodestream:
    if len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
        raise UndecodablePixels("the JPEG frame header is torn")
    precision, rows, columns, components = struct.unpack_from(">BHHB", segment)
    return JpegCodestream(
        rows=rows,
        columns=columns,
        components=components,
        precision=precision,
        start_of_frame=marker,
        component_ids=tuple(segment[6 + 3 * index] for index in range(components)),
        is_subsampled=len({segment[7 + 3 * index] for index in range(components)}) > 1,
        has_jfif=has_jfif,
        adobe_transform=adobe_transform,
    )


def is_jpeg_2000(frame: bytes) -> bool:
    """Whether it begins as a codestream of JPEG 2000 does, or a JP2 file."""
    return frame.startswith((_SOC_SIZ, _JP2_SIGNATURE))


def read_jpeg_2000(frame: bytes) -> Codestream:
    """Read the SIZ marker (ISO/IEC 15444-1 §A.5.1) of a codestream, bare or wrapped in a JP2 file.

    Raises:
        UndecodablePixels: no JPEG 2000, torn, or without an image area.
    """
    start = 0
    if frame.startswith(_JP2_SIGNATURE):
        start = frame.find(_SOC_SIZ)
    if start < 0 or frame[start : start + 4] != _SOC_SIZ:
        raise UndecodablePixels(f"the frame is no JPEG 2000: it starts with {frame[:4].hex() or 'nothing'}")
    if len(frame) < start + 43:
        raise UndecodablePixels("the JPEG 2000 frame ends inside its SIZ marker")
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    if right <= left or bottom <= top:
        raise UndecodablePixels("the JPEG 2000 frame has no image area in its SIZ marker")
    components = int.from_bytes(frame[start + 40 : start + 42], "big")
    depth = frame[start + 42]
    return Codestream(
        rows=bottom - top,
        columns=right - left,
        components=components,
        precision=(depth & 0x7F) + 1,
        is_signed=bool(depth & 0x80),
        start=start,
        is_high_throughput=bool(frame[start + 6] & 0x40),
    )


def read_jpeg_xl(frame: bytes) -> Codestream:
    """Read the SizeHeader of a JPEG XL codestream (ISO/IEC 18181-1 §D.2), bare or in a box file.

    Raises:
        UndecodablePixels: no JPEG XL, or torn.
    """
    codestream = _jpeg_xl_codestream(frame)
    if codestream[:2] != b"\xff\x0a":
        raise UndecodablePixels(f"the frame is no JPEG XL: it starts with {frame[:4].hex() or 'nothing'}")
    bits = _Bits(codestream[2:18])
    is_small = bits.take(1)
    rows = (bits.take(5) + 1) * 8 if is_small else bits.size()
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        columns = rows * numerator // denominator
    else:
        columns = (bits.take(5) + 1) * 8 if is_small else bits.size()
    return Codestream(rows=rows, columns=columns, components=0, precision=0)


def read_rle(head: bytes, size_bytes: int) -> tuple[int, ...]:
    """Where the segments of an RLE frame of `size_bytes` begin (PS3.5 §G.5); `head` holds its first 64 bytes.

    Raises:
        UndecodablePixels: no such header, or one that does not fit the frame.
    """
    if len(head) < _RLE_HEADER_BYTES:
        raise UndecodablePixels(f"the RLE frame has {len(head)} bytes; its header alone needs {_RLE_HEADER_BYTES}")
    count, *offsets = struct.unpack_from("<16I", head)
    if not 1 <= count <= 15:
        raise UndecodablePixels(f"the RLE header tells {count} segments; 1 to 15 are possible")
    bounds = [*offsets[:count], size_bytes]
    if bounds[0] < _RLE_HEADER_BYTES or any(start >= end for start, end in pairwise(bounds)):
        raise UndecodablePixels("the RLE header's segment offsets are out of order or beyond the frame")
    return tuple(bounds[:-1])


def check_video(head: bytes) -> None:
    """Whether `head` begins as a video does, in whatever it is wrapped: MP4, a transport stream, or bare.

    The media types of PS3.18 Table 8.7.3-5 say how pictures are coded, and senders of each use every wrapping.

    Raises:
        UndecodablePixels: it does not.
    """
    is_file = head[4:8] in _BOXES
    is_transport = any(
        head[first : first + 1] == b"\x47" == head[first + size : first + size + 1]
        for size, first in zip(_PACKET_BYTES, (0, 4, 0), strict=True)
    )
    codes = head.lstrip(b"\0")
    is_bare = 2 <= len(head) - len(codes) <= _LEADING_ZEROS and codes.startswith(b"\1")
    if not (is_file or is_transport or is_bare):
        raise UndecodablePixels(f"it is no MP4 file, transport stream or MPEG stream: it starts with {head[:8].hex()}")


def _jpeg_xl_codestream(frame: bytes) -> bytes:
    """The first bytes of the codestream in a box file (ISO/IEC 18181-2): from `jxlc` or the first `jxlp`."""
    if not frame.startswith(_JXL_SIGNATURE):
        return frame
    position = 0
    for _ in range(_MAX_BOXES):
        if position + 16 > len(frame):
            break
        length, kind = struct.unpack_from(">I4s", frame, position)
        content = position + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", frame, content)
            content += 8
        if kind == b"jxlc":
            return frame[content : content + 32]
        if kind == b"jxlp":
            return frame[content + 4 : content + 36]
        if length < 8:
            break
        position += length
    raise UndecodablePixels("the JPEG XL file holds no codestream box")


class _Bits:
    """Little-endian bit reader over at most a few bytes."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        if count > self._left:
            raise UndecodablePixels("the JPEG XL frame ends inside its size header")
        bits = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return bits

    def size(self) -> int:
        return self.take((9, 13, 18, 30)[self.take(2)]) + 1

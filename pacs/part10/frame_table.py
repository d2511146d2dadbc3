"""Where each frame lies: byte ranges of the (inflated) data set, so that a frame is read without parsing anything."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import add, sub
from typing import TYPE_CHECKING, Final

from pacs.errors import MalformedDataSet, NotFound, StoredBytesDamaged
from pacs.part10.fragments import MAX_FRAGMENTS, find_fragments, first_fragments
from pacs.part10.transfer_syntax import GE_PRIVATE_BIG_ENDIAN_PIXELS

if TYPE_CHECKING:
    from pacs.part10.header import Header

_NUMBER_OF_FRAMES: Final = 0x00280008
_SAMPLES_PER_PIXEL: Final = 0x00280002
_PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS_ALLOCATED: Final = 0x00280100
_FLOAT_BITS: Final = {0x7FE00008: 32, 0x7FE00009: 64}
_MAX_FRAMES: Final = 1 << 31

_NATIVE, _FRAGMENTS, _FRAGMENTS_DEFLATED, _NATIVE_IN_WORDS = 1, 2, 3, 4
_NATIVE_RECORD = struct.Struct("<BQQL")
_FRAGMENTS_HEAD = struct.Struct("<BLL")


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Byte ranges of the frames of one instance. Frames are counted from 1, offsets from the data set's first byte.

    Native frames have one size; encapsulated frames are one or more fragments, each kept as stored, padding included.
    """

    is_encapsulated: bool
    first_offset: int = 0
    """Native: first byte of the pixel data's value."""
    frame_bits: int = 0
    """Native: bits of one frame; not a multiple of 8 for some one-bit images, whose frames follow without padding."""
    native_count: int = 0
    is_in_words: bool = False
    """Native: the bytes of each 16-bit word lie the other way round, and frames begin or end inside words: pixels of 1
    or 8 bits as OW in big endian (PS3.5 §8.2)."""
    offsets: tuple[int, ...] = ()
    """Encapsulated: first byte of each fragment, all frames in turn."""
    lengths: tuple[int, ...] = ()
    firsts: tuple[int, ...] = (0,)
    """Encapsulated: index of the first fragment of each frame, and at the end the number of fragments."""

    def __len__(self) -> int:
        return len(self.firsts) - 1 if self.is_encapsulated else self.native_count

    def fragments(self, number: int) -> tuple[tuple[int, int], ...]:
        """(offset, length) of each part of frame `number`; a native frame has one, cut to whole bytes, or words.

        Raises:
            NotFound: there is no such frame.
        """
        self._check(number)
        if self.is_encapsulated:
            parts = slice(self.firsts[number - 1], self.firsts[number])
            return tuple(zip(self.offsets[parts], self.lengths[parts], strict=True))
        first_bit = (number - 1) * self.frame_bits
        start = first_bit >> 3
        end = first_bit + self.frame_bits + 7 >> 3
        if self.is_in_words:
            start, end = start & ~1, end + 1 & ~1
        return ((self.first_offset + start, end - start),)

    def bit_offset(self, number: int) -> int:
        """Bits of the first byte, or word, least significant first, that belong to the frame before (PS3.5 §8.1.1);
        mostly 0.

        Raises:
            NotFound: there is no such frame.
        """
        self._check(number)
        return 0 if self.is_encapsulated else (number - 1) * self.frame_bits & (15 if self.is_in_words else 7)

    def _check(self, number: int) -> None:
        if not 1 <= number <= len(self):
            raise NotFound(f"there is no frame {number}; the instance has {len(self)}")

    def encode(self) -> bytes:
        """A few bytes for native frames; about 3 per fragment otherwise."""
        if not self.is_encapsulated:
            kind = _NATIVE_IN_WORDS if self.is_in_words else _NATIVE
            return _NATIVE_RECORD.pack(kind, self.first_offset, self.frame_bits, self.native_count)
        frames, count = len(self), len(self.offsets)
        ends = map(add, self.offsets, self.lengths)
        gaps = map(sub, self.offsets, (0, *ends))
        counts = [after - before for before, after in pairwise(self.firsts)]
        columns = b"".join(
            (
                struct.pack(f"<{frames}L", *counts),
                struct.pack(f"<{count}Q", *gaps),
                struct.pack(f"<{count}L", *self.lengths),
            )
        )
        if count < 4:
            return _FRAGMENTS_HEAD.pack(_FRAGMENTS, frames, count) + columns
        return _FRAGMENTS_HEAD.pack(_FRAGMENTS_DEFLATED, frames, count) + zlib.compress(columns, 6)

    @classmethod
    def decode(cls, encoded: bytes) -> FrameTable:
        """The table that `encode` wrote; no bytes at all are a table without frames.

        Raises:
            StoredBytesDamaged: these bytes are no frame table.
        """
        if not encoded:
            return cls(is_encapsulated=False)
        try:
            if encoded[0] in (_NATIVE, _NATIVE_IN_WORDS):
                kind, first_offset, frame_bits, count = _NATIVE_RECORD.unpack(encoded)
                return cls(False, first_offset, frame_bits, count, is_in_words=kind == _NATIVE_IN_WORDS)
            return cls._decode_fragments(encoded)
        except (struct.error, zlib.error, ValueError) as error:
            raise StoredBytesDamaged(f"a frame table of {len(encoded)} bytes cannot be read: {error}") from error

    @classmethod
    def _decode_fragments(cls, encoded: bytes) -> FrameTable:
        kind, frames, count = _FRAGMENTS_HEAD.unpack_from(encoded)
        if kind not in {_FRAGMENTS, _FRAGMENTS_DEFLATED} or count > MAX_FRAGMENTS or frames > count:
            raise ValueError(f"kind {kind}, {frames} frames, {count} fragments")
        columns = encoded[_FRAGMENTS_HEAD.size :]
        expected = 4 * frames + 12 * count
        if kind == _FRAGMENTS_DEFLATED:
            columns = zlib.decompressobj().decompress(columns, expected + 1)
        if len(columns) != expected:
            raise ValueError(f"{len(columns)} bytes where {expected} are expected")
        counts = struct.unpack_from(f"<{frames}L", columns)
        gaps = struct.unpack_from(f"<{count}Q", columns, 4 * frames)
        lengths = struct.unpack_from(f"<{count}L", columns, 4 * frames + 8 * count)
        firsts = tuple(accumulate(counts, initial=0))
        if firsts[-1] != count:
            raise ValueError(f"{firsts[-1]} fragments in frames, {count} in all")
        offsets = tuple(map(sub, accumulate(map(add, gaps, lengths)), lengths))
        return cls(True, offsets=offsets, lengths=lengths, firsts=firsts)


def frame_table(header: Header) -> FrameTable:
    """Find the frames of the data set under `header`.

    What cannot be told has no frames, rather than failing: no pixel data, no Rows or Columns, torn fragments, fewer
    bytes than frames (the frames that are whole are there).
    """
    if header.pixel_data is None:
        return FrameTable(is_encapsulated=False)
    number_of_frames = header.integer(_NUMBER_OF_FRAMES)
    if number_of_frames is None or not 1 <= number_of_frames < _MAX_FRAMES:
        number_of_frames = 1
    if header.is_encapsulated:
        return _encapsulated(header, number_of_frames)
    return _native(header, number_of_frames)


def _encapsulated(header: Header, number_of_frames: int) -> FrameTable:
    try:
        fragments = find_fragments(header)
    except MalformedDataSet:
        return FrameTable(is_encapsulated=True)
    firsts = first_fragments(header, fragments, number_of_frames)
    if not firsts:
        return FrameTable(is_encapsulated=True)
    return FrameTable(
        is_encapsulated=True,
        offsets=tuple(fragments.offsets),
        lengths=tuple(fragments.lengths),
        firsts=(*firsts, len(fragments.offsets)),
    )


def _native(header: Header, number_of_frames: int) -> FrameTable:
    pixel_data = header.pixel_data
    rows, columns = header.integer(_ROWS), header.integer(_COLUMNS)
    if pixel_data is None or not rows or not columns or rows < 0 or columns < 0:
        return FrameTable(is_encapsulated=False)
    bits = _FLOAT_BITS.get(pixel_data.tag) or header.integer(_BITS_ALLOCATED) or 0
    samples = header.integer(_SAMPLES_PER_PIXEL) or 1
    if not 1 <= bits <= 64 or not 1 <= samples <= 16:
        return FrameTable(is_encapsulated=False)
    available_bits = 8 * (pixel_data.end - pixel_data.value_offset)
    frame_bits = rows * columns * samples * bits
    if samples == 3 and (header.text(_PHOTOMETRIC_INTERPRETATION) or "").endswith("_422"):
        # Two pixels share their chrominance (PS3.3 C.7.6.3.1.2), unless the writer kept all of it after all.
        subsampled_bits = rows * columns * 2 * bits
        if available_bits < frame_bits * number_of_frames and available_bits >= subsampled_bits * number_of_frames:
            frame_bits = subsampled_bits
    count = min(number_of_frames, available_bits // frame_bits)
    return FrameTable(
        is_encapsulated=False,
        first_offset=pixel_data.value_offset,
        frame_bits=frame_bits,
        native_count=count,
        is_in_words=bits in (1, 8) and frame_bits % 16 != 0 and _has_swapped_words(header),
    )


def _has_swapped_words(header: Header) -> bool:
    is_big_endian = not header.is_little_endian or header.transfer_syntax.uid == GE_PRIVATE_BIG_ENDIAN_PIXELS
    pixel_data = header.pixel_data
    if not is_big_endian or pixel_data is None or (pixel_data.end - pixel_data.value_offset) % 2:
        return False  # without its last byte there is no last word
    return header.vr(pixel_data) == "OW"

"""Look-up tables stored in data sets: Modality LUT, VOI LUT, palettes (PS3.3 §C.11.1, §C.11.2, §C.7.6.3.1.5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pacs.errors import UndecodablePixels
from pacs.part10.header import Header

_LUT_DESCRIPTOR = 0x00283002
_LUT_DATA = 0x00283006
_PALETTE_DESCRIPTORS = (0x00281101, 0x00281102, 0x00281103)
_PALETTE_DATA = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED_PALETTE_DATA = (0x00281221, 0x00281222, 0x00281223)
_MAX_ENTRIES = 1 << 16
_MAX_SEGMENTS = 1 << 16
_MAX_TABLE_BYTES = 1 << 20
"""Read of a table's data, whatever its length; 65,536 entries are 128 KB, and segments of them hardly more."""


@dataclass(frozen=True, slots=True)
class LookUpTable:
    """Entries for the input values from `first_mapped` on; values below and above take the first and last entry."""

    first_mapped: int
    bits: int
    """Bits of an entry's range."""
    entries: bytes
    """uint16, little endian; bytes, so that a table can be part of a cache's key."""

    def table(self) -> NDArray[Any]:
        return np.frombuffer(self.entries, "<u2")

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """The entry for each of `values`, as uint16."""
        table = self.table()
        return table[np.clip(values.astype(np.int64) - self.first_mapped, 0, table.size - 1)]

    def full_scale(self) -> int:
        """The largest value an entry can have; some writers say 16 bits and use 8."""
        highest = int(self.table().max(initial=0))
        return 255 if self.bits > 8 and highest <= 255 else max((1 << self.bits) - 1, highest)


Palette = tuple[LookUpTable, LookUpTable, LookUpTable]
"""Red, green, blue."""


@lru_cache(maxsize=16)
def rgb_table(tables: Palette, bits: int, *, is_signed: bool = False) -> NDArray[np.uint8]:
    """The 8-bit RGB of each index of `bits` bits, ``(1 << bits, 3)``; palettes repeat over a series, so it is kept.

    Signed indices stand where their bits say, the negative ones behind the others.

    The full scale is that of all three tables together, or a colour cast would appear.
    """
    scale = 255 / max(table.full_scale() for table in tables)
    indices = np.arange(1 << bits)
    if is_signed:
        indices[1 << bits - 1 :] -= 1 << bits
    channels = [table.apply(indices).astype(np.float32) * scale + 0.5 for table in tables]
    rgb = np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)
    rgb.flags.writeable = False
    return rgb


def lut_of_item(item: Header) -> LookUpTable | None:
    """The LUT in an item of Modality LUT Sequence or VOI LUT Sequence; None when it has none that can be used."""
    return _lut(item, _LUT_DESCRIPTOR, _words(item, _LUT_DATA))


def palette(header: Header) -> Palette:
    """Red, green and blue Palette Color Lookup Tables, also segmented ones (PS3.3 §C.7.9.2).

    Raises:
        UndecodablePixels: PALETTE COLOR without usable tables.
    """
    tables = []
    for descriptor, data, segmented in zip(_PALETTE_DESCRIPTORS, _PALETTE_DATA, _SEGMENTED_PALETTE_DATA, strict=True):
        words = _words(header, data)
        if words is None and (segments := _words(header, segmented)) is not None:
            words = expanded_segments(segments)
        table = _lut(header, descriptor, words)
        if table is None:
            raise UndecodablePixels(
                "PALETTE COLOR needs a Palette Color Lookup Table Descriptor and Data for each colour"
            )
        tables.append(table)
    return tables[0], tables[1], tables[2]


def _words(header: Header, tag: int) -> NDArray[np.uint16] | None:
    value = header.value(tag)
    if not value:
        return None
    value = value[:_MAX_TABLE_BYTES]
    order = "<" if header.is_little_endian else ">"
    return np.frombuffer(value[: len(value) // 2 * 2], f"{order}u2").astype(np.uint16)


def _lut(header: Header, descriptor_tag: int, words: NDArray[np.uint16] | None) -> LookUpTable | None:
    descriptor = header.numbers(descriptor_tag)
    if len(descriptor) < 3 or words is None or not all(abs(number) <= _MAX_ENTRIES for number in descriptor[:3]):
        return None
    # The count is unsigned even where the VR is SS (PS3.3 §C.11.1.1.1), and 0 stands for 65,536.
    count, first_mapped, bits = int(descriptor[0]) & 0xFFFF or _MAX_ENTRIES, int(descriptor[1]), int(descriptor[2])
    if first_mapped >= _MAX_ENTRIES // 2 and first_mapped + count > _MAX_ENTRIES:
        # A negative one, where the VR is that of unsigned pixels: they are rescaled before a VOI LUT (§C.11.2.1.1).
        first_mapped -= _MAX_ENTRIES
    if words.size < count and words.size * 2 >= count:
        # 8-bit entries packed two to a word (PS3.3 §C.7.6.3.1.5 for palettes, older writers for the others).
        words = np.frombuffer(words.astype("<u2").tobytes(), np.uint8)[:count].astype(np.uint16)
    words = words[:count]
    if not words.size or not 1 <= bits <= 16:
        return None
    return LookUpTable(first_mapped, bits, words.astype("<u2").tobytes())


def expanded_segments(segments: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """A segmented palette written out (PS3.3 §C.7.9.2): discrete, linear and indirect segments.

    Raises:
        UndecodablePixels: a torn or unknown segment, or more than 65,536 entries.
    """
    expanded: list[int] = []
    stream = segments.tolist()
    position = 0
    for _ in range(_MAX_SEGMENTS):
        if position >= len(stream) - 1:
            break
        if stream[position] == 2:
            if position + 4 > len(stream):
                raise UndecodablePixels("a segmented palette ends inside an indirect segment")
            repeated = (stream[position + 2] | stream[position + 3] << 16) // 2
            for _ in range(stream[position + 1]):
                repeated = _expand(stream, repeated, expanded)
            position += 4
        else:
            position = _expand(stream, position, expanded)
    return np.array(expanded, np.uint16)


def _expand(stream: list[int], position: int, expanded: list[int]) -> int:
    """Write out one discrete or linear segment; returns the position behind it."""
    if position + 2 > len(stream) or stream[position] not in {0, 1}:
        raise UndecodablePixels(f"a segmented palette has no discrete or linear segment at word {position}")
    kind, length = stream[position], stream[position + 1]
    values = stream[position + 2 : position + 2 + (length if kind == 0 else 1)]
    if not length or not values or len(values) < (length if kind == 0 else 1) or len(expanded) + length > _MAX_ENTRIES:
        raise UndecodablePixels("a segmented palette is torn, or has an empty segment or more than 65536 entries")
    if kind == 0:
        expanded.extend(values)
    else:
        if not expanded:
            raise UndecodablePixels("a segmented palette starts with a linear segment")
        line = np.linspace(expanded[-1], values[0], length + 1)[1:]
        expanded.extend(np.rint(line).astype(int).tolist())
    return position + 2 + len(values)

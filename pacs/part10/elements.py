"""Walking data elements without copying values (PS3.5 §7): tags, VRs, lengths, and where each element ends.

Nothing here recurses and nothing trusts a length: nesting and counts are bounded, and every offset is compared with
the end of the bytes before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR

from pacs.errors import MalformedDataSet

MAX_DEPTH: Final = 64
"""Sequences inside sequences; the deepest real structured reports reach about 20."""
MAX_TOP_LEVEL_ELEMENTS: Final = 1 << 16
MAX_NESTED_ELEMENTS: Final = 1 << 21
"""Elements, items and fragments of undefined length walked in one data set: 3 s of one core. An enhanced multi-frame
of 10,000 frames has about 600,000."""

MAX_REMEMBERED_ENDS: Final = 1 << 20
MAX_KEPT_ELEMENTS: Final = 1_000_000
"""Elements of one data set held in memory at once, about 400 bytes each."""

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_DELIMITATION: Final = 0xFFFEE00D
SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD
PIXEL_DATA_TAGS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""

_SHORT_VRS: Final = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US"
_LONG_VRS: Final = "OB OD OF OL OV OW SQ SV UC UN UR UT UV"
"""With a 32-bit length (PS3.5 §7.1.2)."""
_SHORT = {vr.encode(): vr for vr in _SHORT_VRS.split()}
_LONG = {vr.encode(): vr for vr in _LONG_VRS.split()}
_KNOWN = _SHORT.keys() | _LONG.keys()


class Element(NamedTuple):
    """One data element in place: where its value is, not the value."""

    tag: int
    vr: str
    """Two letters; ``US or SS`` and the like where implicit VR leaves it open; ``UN`` when nobody knows."""
    offset: int
    """First byte of the tag."""
    value_offset: int
    length: int | None
    """Bytes of the value; None when undefined."""
    end: int
    """First byte behind the element, its sequence delimiter included."""
    is_implicit_vr: bool
    """How the element itself was encoded, which may differ from the rest of the data set."""


class NestedEnds(dict[int, int]):
    """Where nested elements of undefined length end, by offset of the value, in one data set."""

    left = MAX_NESTED_ELEMENTS
    """How much may still be walked to find further ends."""


class Encoding(NamedTuple):
    """Readers for one byte order."""

    is_little_endian: bool
    explicit: struct.Struct
    implicit: struct.Struct
    length: struct.Struct


_LITTLE = Encoding(True, struct.Struct("<HH2sH"), struct.Struct("<HHL"), struct.Struct("<L"))
_BIG = Encoding(False, struct.Struct(">HH2sH"), struct.Struct(">HHL"), struct.Struct(">L"))


def encoding(is_little_endian: bool) -> Encoding:
    return _LITTLE if is_little_endian else _BIG


def tag_text(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@lru_cache(maxsize=8192)
def standard_vr(tag: int) -> str:
    """VR of a tag in PS3.6, repeating groups included; ``UN`` for private and unknown tags."""
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN" if tag & 0xFFFF else "UL"


def looks_explicit(buffer: memoryview, offset: int) -> bool:
    """Whether the element at `offset` carries a VR of PS3.5 Table 6.2-1."""
    return bytes(buffer[offset + 4 : offset + 6]) in _KNOWN


def iter_elements(  # noqa: PLR0912 -- the one hot loop; a call per element costs as much as the loop
    buffer: memoryview,
    start: int,
    end: int,
    is_implicit_vr: bool,
    is_little_endian: bool,
    depth: int = 0,
    ends: NestedEnds | None = None,
) -> Iterator[Element]:
    """Yield the elements between `start` and `end`, or up to an Item Delimitation Item, in the order stored.

    `ends` remembers where nested elements of undefined length end, so that walking a nested
    data set again does not walk its sequences again; give the same dictionary to every walk of one buffer.

    Elements with a nonsense VR in explicit data are read as implicit, and zero padding at the end is passed over,
    because real files have both.

    Raises:
        MalformedDataSet: a length beyond `end`, a torn element, bad nesting, or nesting deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise MalformedDataSet(f"sequences nested deeper than {MAX_DEPTH} at byte {start}")
    reader = encoding(is_little_endian)
    unpack = reader.explicit.unpack_from
    unpack_implicit = reader.implicit.unpack_from
    short, offset = _SHORT, start
    if ends is None:
        ends = NestedEnds()
    while offset < end:
        if offset + 8 > end:
            _check_padding(buffer, offset, end)
            return
        if is_implicit_vr:
            group, number, length = unpack_implicit(buffer, offset)
            tag = group << 16 | number
            vr, value_offset, is_implicit = standard_vr(tag), offset + 8, True
        else:
            group, number, code, length = unpack(buffer, offset)
            tag = group << 16 | number
            value_offset = offset + 8
            known = short.get(code)
            if known is not None:
                vr, is_implicit = known, False
            else:
                vr, value_offset, length, is_implicit = _long_head(buffer, offset, end, reader)
        if length != UNDEFINED:
            value_end = value_offset + length
            if value_end > end:
                raise MalformedDataSet(
                    f"{tag_text(tag)} at byte {offset} claims {length} bytes, only {end - value_offset} are left"
                )
            if group == 0xFFFE:
                if tag == ITEM_DELIMITATION:
                    return
                if tag != SEQUENCE_DELIMITATION:
                    raise MalformedDataSet(f"{tag_text(tag)} at byte {offset} stands outside a sequence")
            else:
                yield Element(tag, vr, offset, value_offset, length, value_end, is_implicit)
        else:
            known_end = ends.get(value_offset)
            value_end = known_end or end_of_undefined(buffer, tag, vr, value_offset, end, is_implicit, reader, ends)
            if vr == "UN" or vr not in {"SQ", "OB", "OW"}:
                vr = _vr_of_undefined(tag, vr)
            yield Element(tag, vr, offset, value_offset, None, value_end, is_implicit)
        offset = value_end


def usual_elements(
    buffer: memoryview,
    start: int,
    end: int,
    is_implicit_vr: bool,
    is_little_endian: bool,
    found: dict[int, Element],
    limit: int,
) -> tuple[int, int]:
    """Put elements from `start` on into `found`, by tag, as long as each has a defined length and a known VR.

    Returns where the first one stands that is not so (or `end`), for `iter_elements` to walk, and how many of `limit`
    are left. It is the same walk in half the time: every image received has a hundred of them.
    """
    reader = encoding(is_little_endian)
    offset, last = start, end - 8
    new, element = tuple.__new__, Element
    if is_implicit_vr:
        unpack_implicit = reader.implicit.unpack_from
        while offset <= last and limit:
            group, number, length = unpack_implicit(buffer, offset)
            value_end = offset + 8 + length
            if value_end > end or group == 0xFFFE:  # an undefined length is beyond any end
                break
            tag = group << 16 | number
            found[tag] = new(element, (tag, standard_vr(tag), offset, offset + 8, length, value_end, True))
            offset = value_end
            limit -= 1
        return offset, limit
    unpack, short, unpack_length = reader.explicit.unpack_from, _SHORT, reader.length.unpack_from
    while offset <= last and limit:
        group, number, code, length = unpack(buffer, offset)
        vr = short.get(code)
        value_offset = offset + 8
        if vr is None:
            vr = _LONG.get(code)
            if vr is None or offset + 12 > end:
                break
            length = unpack_length(buffer, value_offset)[0]
            value_offset = offset + 12
            if vr == "UN" and length <= 0xFFFF:
                vr = standard_vr(group << 16 | number)
        value_end = value_offset + length
        if value_end > end or group == 0xFFFE:
            break
        tag = group << 16 | number
        found[tag] = new(element, (tag, vr, offset, value_offset, length, value_end, False))
        offset = value_end
        limit -= 1
    return offset, limit


def _vr_of_undefined(tag: int, vr: str) -> str:
    """Only sequences and pixel data may have undefined length (PS3.5 §7.1, §6.2.2 for UN)."""
    return "OB" if tag in PIXEL_DATA_TAGS else "SQ"


def _check_padding(buffer: memoryview, offset: int, end: int) -> None:
    if any(buffer[offset:end]):
        raise MalformedDataSet(f"the data set ends at byte {end}, inside the element that starts at byte {offset}")


def _long_head(buffer: memoryview, offset: int, end: int, reader: Encoding) -> tuple[str, int, int, bool]:
    """VR, offset of the value, length and whether implicit, of an explicit element without a 16-bit length VR."""
    group, number, code, _ = reader.explicit.unpack_from(buffer, offset)
    tag = group << 16 | number
    vr = _LONG.get(code)
    if vr is None:
        return _head_of_unknown_vr(buffer, offset, end, reader)
    if offset + 12 > end:
        raise MalformedDataSet(f"the data set ends at byte {end}, inside {tag_text(tag)} at byte {offset}")
    long_length = reader.length.unpack_from(buffer, offset + 8)[0]
    if vr == "UN" and long_length <= 0xFFFF:
        vr = standard_vr(tag)  # PS3.5 §6.2.2: a node that did not know the attribute wrote UN
    return vr, offset + 12, long_length, False


def _head_of_unknown_vr(buffer: memoryview, offset: int, end: int, reader: Encoding) -> tuple[str, int, int, bool]:
    """As `_long_head`, for a VR that is none: the first reading behind which a next element can stand.

    A VR of a later edition of the standard has the long form (PS3.5 §7.1.2), a vendor's own mostly the short one
    (``??`` for example), and other bytes are the length of an element that was put in as implicit VR.
    """
    group, number, code, short_length = reader.explicit.unpack_from(buffer, offset)
    tag = group << 16 | number
    as_implicit = (standard_vr(tag), offset + 8, reader.implicit.unpack_from(buffer, offset)[2], True)
    if group == 0xFFFE or as_implicit[2] == UNDEFINED:
        return as_implicit
    as_short = ("UN", offset + 8, short_length, False)
    readings = [as_implicit, as_short]
    if code.isalpha() and code.isupper():
        readings.reverse()
        if short_length == 0 and offset + 12 <= end:
            readings.insert(0, ("UN", offset + 12, reader.length.unpack_from(buffer, offset + 8)[0], False))
    for reading in readings:
        behind = reading[1] + reading[2]
        if behind == end or (behind + 8 <= end and reader.implicit.unpack_from(buffer, behind)[0] >= group):
            return reading
    return readings[0]


def end_of_undefined(  # noqa: PLR0912 -- one state machine over items and elements
    buffer: memoryview,
    tag: int,
    vr: str,
    start: int,
    end: int,
    is_implicit_vr: bool,
    reader: Encoding,
    ends: NestedEnds,
) -> int:
    """Offset behind the Sequence Delimitation Item that closes the value at `start`. Iterative, bounded.

    The value of UN with undefined length is implicit VR (PS3.5 §6.2.2); each item's first element tells what it really
    is, because real files mix both. Pixel data may end with the data set, behind a whole fragment.

    Raises:
        MalformedDataSet: no delimiter, something else where an item must be, too deep, too many.
    """
    unpack = reader.implicit.unpack_from
    where = f"inside {tag_text(tag)} at byte {start}"
    sequences = [start]
    """Offsets of the values of the open sequences, outermost first."""
    items: list[bool] = []
    """For each open item of undefined length, whether it is implicit VR; one less than `sequences` between items."""
    offset = start
    for walked in range(1, ends.left + 1):
        if offset + 8 > end:
            if offset == end and len(sequences) == 1 and not items and tag in PIXEL_DATA_TAGS and offset != start:
                ends.left -= walked
                return end  # every fragment is whole; only the delimiter was never written
            raise MalformedDataSet(f"no Sequence Delimitation Item {where}; the data set ends at byte {end}")
        group, number, length = unpack(buffer, offset)
        inner = group << 16 | number
        if inner == SEQUENCE_DELIMITATION:
            offset += 8
            sequence_start = sequences.pop()
            if len(ends) < MAX_REMEMBERED_ENDS:
                ends[sequence_start] = offset
            if not sequences:
                ends.left -= walked
                return offset
            del items[len(sequences) :]  # closes an item whose own delimiter is missing, too
            continue
        if len(items) < len(sequences):
            if inner != ITEM:
                raise MalformedDataSet(f"{tag_text(inner)} at byte {offset} where an item is expected, {where}")
            offset += 8
            if length == UNDEFINED:
                items.append(not looks_explicit(buffer, offset))
                continue
        elif inner == ITEM_DELIMITATION:
            items.pop()
            offset += 8
            continue
        else:
            if group == 0xFFFE:
                raise MalformedDataSet(f"{tag_text(inner)} at byte {offset} where an element is expected, {where}")
            if items[-1]:
                offset += 8
            else:
                offset, length = _explicit_head(buffer, offset, end, reader)
            if length == UNDEFINED:
                if len(sequences) >= MAX_DEPTH:
                    raise MalformedDataSet(f"sequences nested deeper than {MAX_DEPTH} at byte {offset}, {where}")
                sequences.append(offset)
                continue
        if offset + length > end:
            raise MalformedDataSet(
                f"{tag_text(inner)} before byte {offset} claims {length} bytes, only {end - offset} are left, {where}"
            )
        offset += length
    raise MalformedDataSet(f"more than {MAX_NESTED_ELEMENTS} nested elements in the data set; the last {where}")


def _explicit_head(buffer: memoryview, offset: int, end: int, reader: Encoding) -> tuple[int, int]:
    """Offset and length of the value of the explicit element at `offset`."""
    _, _, code, length = reader.explicit.unpack_from(buffer, offset)
    if code in _SHORT:
        return offset + 8, length
    _, value_offset, length, _ = _long_head(buffer, offset, end, reader)
    return value_offset, length

"""The items of a sequence, in place (PS3.5 §7.5): where each one's data set lies, and the elements of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pacs.errors import MalformedDataSet, TooLarge
from pacs.part10.elements import (
    ITEM,
    MAX_KEPT_ELEMENTS,
    MAX_REMEMBERED_ENDS,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    Element,
    Encoding,
    NestedEnds,
    encoding,
    iter_elements,
    looks_explicit,
    tag_text,
)


class Item(NamedTuple):
    """One item of a sequence: a data set between `start` and `end`."""

    start: int
    end: int
    """Behind the last element; an Item Delimitation Item is left out."""
    is_implicit_vr: bool


def iter_items(
    buffer: memoryview, sequence: Element, is_little_endian: bool, ends: NestedEnds | None = None
) -> Iterator[Item]:
    """Yield the items of `sequence` (PS3.5 §7.5).

    The `end` of an item of undefined length is that of the sequence; walking it stops at its delimiter, and the caller
    need not: this generator finds the next item itself.

    Raises:
        MalformedDataSet: something else where an item must be, or a length beyond the sequence.
    """
    reader = encoding(is_little_endian)
    offset, end = sequence.value_offset, sequence.end
    while offset + 8 <= end:
        group, number, length = reader.implicit.unpack_from(buffer, offset)
        tag = group << 16 | number
        if tag == SEQUENCE_DELIMITATION:
            return
        if tag != ITEM:
            raise MalformedDataSet(
                f"{tag_text(tag)} at byte {offset} where an item of {tag_text(sequence.tag)} is expected"
            )
        start = offset + 8
        is_implicit = not looks_explicit(buffer, start)
        if length == UNDEFINED:
            item_end = _end_of_item(buffer, start, end, is_implicit, reader, ends if ends is not None else NestedEnds())
            yield Item(start, item_end, is_implicit)
            offset = item_end + 8
        else:
            if start + length > end:
                raise MalformedDataSet(
                    f"an item of {tag_text(sequence.tag)} at byte {offset} claims {length} bytes of {end - start}"
                )
            yield Item(start, start + length, is_implicit)
            offset = start + length
    if offset != end and any(buffer[offset:end]):
        raise MalformedDataSet(f"{tag_text(sequence.tag)} ends inside an item at byte {offset}")


def elements_by_tag(
    buffer: memoryview,
    item: Item,
    is_little_endian: bool,
    depth: int,
    ends: NestedEnds,
    limit: int = MAX_KEPT_ELEMENTS,
) -> dict[int, Element]:
    """The elements of one item; the last one when a tag comes twice.

    Raises:
        MalformedDataSet: as `iter_elements`.
        TooLarge: more than `limit` elements.
    """
    found: dict[int, Element] = {}
    walked = iter_elements(buffer, item.start, item.end, item.is_implicit_vr, is_little_endian, depth, ends)
    for count, element in enumerate(walked, start=1):
        if count > limit:
            raise TooLarge(f"an item of a sequence holds more elements than are taken ({limit})")
        found[element.tag] = element
    return found


def _end_of_item(
    buffer: memoryview, start: int, end: int, is_implicit_vr: bool, reader: Encoding, ends: NestedEnds
) -> int:
    """Offset of the Item Delimitation Item (or of the end) that closes the item whose first element is at `start`."""
    known = ends.get(start)  # never that of a sequence: its value starts behind the head of an element, not of an item
    if known is not None:
        return known
    offset = start
    for element in iter_elements(buffer, start, end, is_implicit_vr, reader.is_little_endian, 0, ends):
        offset = element.end
    if len(ends) < MAX_REMEMBERED_ENDS:
        ends[start] = offset
    return offset

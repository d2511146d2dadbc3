"""Data elements from one encoding to another: implicit, explicit, big endian to little endian (PS3.5 §7, Annex A).

Text is never decoded and numbers are never parsed: a value keeps its bytes, but for their order. So whatever a sender
wrote, also where it breaks a value representation, arrives as it was.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pacs.errors import MalformedDataSet
from pacs.part10.elements import Element, iter_elements
from pacs.part10.header import Header
from pacs.part10.sequence_items import iter_items
from pacs.part10.value_writer import (
    ITEM,
    ITEM_DELIMITATION,
    SEQUENCE_DELIMITATION,
    UNDEFINED,
    element_head,
)
from pacs.part10.values import decided_vr

_WORD_BYTES = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}


def reencoded(header: Header, element: Element, *, is_implicit_vr: bool) -> Iterator[bytes | memoryview]:
    """A top-level element of `header` in little endian, explicit or implicit VR, as buffers to join.

    Elements that have the wanted encoding already are handed out as they lie.

    Raises:
        MalformedDataSet: a sequence that can't be walked and can't be kept as it is either.
    """
    if header.is_little_endian and element.is_implicit_vr == is_implicit_vr:
        yield header.buffer[element.offset : element.end]
        return
    yield from _Writer(header, is_implicit_vr).element(element, 0)


class _Writer:
    """One data set's re-encoding; depth is bounded by `iter_elements`."""

    def __init__(self, header: Header, is_implicit_vr: bool) -> None:
        self._header = header
        self._is_implicit_vr = is_implicit_vr
        self._is_signed = header.integer(0x00280103) == 1

    def element(self, element: Element, depth: int) -> Iterator[bytes | memoryview]:
        vr = element.vr if len(element.vr) == 2 else decided_vr(element, is_signed=self._is_signed)
        if vr == "SQ":
            try:
                content = b"".join(self._items(element, depth))
            except MalformedDataSet:
                # Marked as a sequence, or unknown and taken for one, but it is none: its bytes go on as they are.
                if element.length is None or not self._header.is_little_endian:
                    raise
                vr = "UN"
            else:
                yield element_head(element.tag, "SQ", UNDEFINED, is_implicit_vr=self._is_implicit_vr)
                yield content
                yield SEQUENCE_DELIMITATION
                return
        value = self._little_endian(vr, self._header.buffer[element.value_offset : element.end])
        padding = b"\0" if len(value) % 2 else b""
        yield element_head(element.tag, vr, len(value) + len(padding), is_implicit_vr=self._is_implicit_vr)
        yield value
        yield padding

    def _items(self, sequence: Element, depth: int) -> Iterator[bytes | memoryview]:
        header = self._header
        for item in iter_items(header.buffer, sequence, header.is_little_endian, header.ends):
            yield ITEM
            for element in iter_elements(
                header.buffer,
                item.start,
                item.end,
                item.is_implicit_vr,
                header.is_little_endian,
                depth + 1,
                header.ends,
            ):
                if element.tag & 0xFFFF:
                    yield from self.element(element, depth + 1)
            yield ITEM_DELIMITATION

    def _little_endian(self, vr: str, value: memoryview) -> bytes | memoryview:
        return value if self._header.is_little_endian else swapped(value, _WORD_BYTES.get(vr, 1))


def swapped(value: memoryview, word_bytes: int) -> bytes | memoryview:
    """The value with the bytes of each word reversed; a torn last word stays as it is."""
    if word_bytes == 1:
        return value
    whole = len(value) // word_bytes * word_bytes
    return np.frombuffer(value[:whole], f"u{word_bytes}").byteswap().tobytes() + bytes(value[whole:])

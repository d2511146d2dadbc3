"""A lean walk over the top level of a data set (PS3.5 §7): which elements, and where their values are.

Nothing is copied and no value is decoded until it is asked for; native pixel data is one skip.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pacs.errors import MalformedDataSet, TooLarge
from pacs.part10 import character_sets, values
from pacs.part10.elements import (
    MAX_KEPT_ELEMENTS,
    MAX_TOP_LEVEL_ELEMENTS,
    PIXEL_DATA_TAGS,
    Element,
    NestedEnds,
    iter_elements,
    looks_explicit,
    tag_text,
    usual_elements,
)
from pacs.part10.sequence_items import Item, elements_by_tag, iter_items
from pacs.part10.shapes import Shape, known_shape, remember_shape
from pacs.part10.transfer_syntax import TransferSyntax, transfer_syntax

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Element", "Header", "Item", "iter_elements", "iter_items", "scan"]

_SPECIFIC_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103
_ITEM_HEAD_BYTES = 8
"""What tells fragments from native pixels."""
_MANY_NESTED = 500
_DEFLATED_AT_ONCE = 64 << 10
_INFLATED_AT_ONCE = 1 << 20
_COMPARED_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Header:
    """The top level of one data set, in place."""

    buffer: memoryview
    """The data set, inflated when its transfer syntax deflates it. All offsets count from its first byte."""
    elements: dict[int, Element]
    """By tag; the last one when a tag comes twice."""
    transfer_syntax: TransferSyntax
    is_implicit_vr: bool
    """As found; real files contradict their transfer syntax."""
    is_little_endian: bool
    pixel_data: Element | None
    """Pixel Data, Float Pixel Data or Double Float Pixel Data."""
    header_length: int
    """Bytes before the pixel data element; all when there is none."""
    ends: NestedEnds = field(repr=False)
    """Where nested elements of undefined length end; see `iter_elements`."""
    shape: Shape | None = field(default=None, repr=False)
    """Shared by all data sets whose elements stand at the same places; None when nobody knows one."""

    @property
    def data_set_length(self) -> int:
        """Bytes of the (inflated) data set."""
        return len(self.buffer)

    @property
    def is_encapsulated(self) -> bool:
        """Whether the pixel data really is fragments, which no transfer syntax can be trusted to say."""
        if self.pixel_data is None or self.pixel_data.length is None:
            return self.pixel_data is not None
        start = self.pixel_data.value_offset
        return self.transfer_syntax.is_encapsulated and bytes(self.buffer[start : start + 4]) == b"\xfe\xff\x00\xe0"

    def value(self, tag: int) -> memoryview | None:
        """The stored bytes of the value, of undefined length with its delimiter; None when the element is absent."""
        element = self.elements.get(tag)
        if element is None:
            return None
        return self.buffer[element.value_offset : element.end]

    def vr(self, element: Element) -> str:
        """VR of a top-level element, with ``US or SS`` and the like decided (PS3.5 Annex A.1, PS3.3 C.7.6.3)."""
        if len(element.vr) == 2:
            return element.vr
        return values.decided_vr(element, is_signed=self.integer(_PIXEL_REPRESENTATION) == 1)

    def uid(self, tag: int) -> str | None:
        """A UID without its padding, unchecked; None when absent or empty."""
        value = self.value(tag)
        return bytes(value[:1024]).decode("latin-1").strip(" \0") or None if value is not None else None

    def text(self, tag: int) -> str | None:
        """A text value, decoded with the data set's character set, padding stripped, backslashes kept."""
        value = self.value(tag)
        if value is None:
            return None
        element = self.elements[tag]
        return character_sets.decode(bytes(value), self.character_set, element.vr).strip(" \0")

    def texts(self, tag: int) -> tuple[str, ...]:
        """Each value of a text element, stripped; empty when absent or empty."""
        text = self.text(tag)
        return tuple(value.strip(" \0") for value in text.split("\\")) if text else ()

    def numbers(self, tag: int) -> tuple[float, ...]:
        """All values of a numeric element (DS, IS, FD, FL, US, SS, UL, SL, UV, SV); what is no number is left out."""
        element = self.elements.get(tag)
        if element is None:
            return ()
        return values.numbers(self.buffer, element, self.vr(element), self.is_little_endian)

    def number(self, tag: int) -> float | None:
        """The first value of a numeric element; None when absent, empty or no number."""
        return next(iter(self.numbers(tag)), None)

    def integer(self, tag: int) -> int | None:
        """The first value of a numeric element as an integer; None when absent, empty or no whole number."""
        element = self.elements.get(tag)
        if element is None:
            return None
        if element.vr == "US" and element.length == 2:  # almost always, and asked several times of every image
            start = element.value_offset
            return int.from_bytes(self.buffer[start : start + 2], "little" if self.is_little_endian else "big")
        number = self.number(tag)
        return int(number) if number is not None and number == int(number) else None

    def items(self, tag: int) -> tuple[Header, ...]:
        """The items of a top-level sequence, each as a `Header` of its own over the same bytes; empty when absent.

        Raises:
            MalformedDataSet: the sequence cannot be walked.
            TooLarge: more than `MAX_KEPT_ELEMENTS` elements and items in it.
        """
        element = self.elements.get(tag)
        if element is None or element.vr != "SQ":
            return ()
        found: list[Header] = []
        left = MAX_KEPT_ELEMENTS
        for item in iter_items(self.buffer, element, self.is_little_endian, self.ends):
            elements = elements_by_tag(self.buffer, item, self.is_little_endian, 1, self.ends, left)
            left -= len(elements) + 1
            if left < 0:
                raise TooLarge(f"more than {MAX_KEPT_ELEMENTS} items in {tag_text(tag)}")
            found.append(self._nested(item, elements))
        return tuple(found)

    def _nested(self, item: Item, elements: dict[int, Element]) -> Header:
        inherited = {
            tag: self.elements[tag]
            for tag in (_SPECIFIC_CHARACTER_SET, _PIXEL_REPRESENTATION)
            if tag in self.elements and tag not in elements
        }
        return Header(
            buffer=self.buffer,
            elements={**inherited, **elements},
            transfer_syntax=self.transfer_syntax,
            is_implicit_vr=item.is_implicit_vr,
            is_little_endian=self.is_little_endian,
            pixel_data=None,
            header_length=item.end,
            ends=self.ends,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes what stands before the pixel data, and where that began; memoryviews must be able to
        travel (`pacs.decoding`). Elements behind the pixel data stay behind.

        Raises:
            TypeError: this is an item, not a whole data set.
        """
        pixel_data, end = self.pixel_data, self.header_length
        if pixel_data is None and end != len(self.buffer):
            raise TypeError("an item can't be sent to another process; send the data set that it is part of")
        if pixel_data is not None:
            end = min(pixel_data.value_offset + _ITEM_HEAD_BYTES, len(self.buffer))
        buffer = self.buffer[:end].toreadonly()
        if not self.took_long:
            return _arrived, (buffer, self.transfer_syntax, pixel_data)
        before = {tag: element for tag, element in self.elements.items() if element.end <= end}
        if pixel_data is not None:
            before[pixel_data.tag] = pixel_data
        ends = {start: stop for start, stop in self.ends.items() if stop <= end}
        encoding = (self.is_implicit_vr, self.is_little_endian)
        return _arrived_whole, (buffer, before, self.transfer_syntax, *encoding, pixel_data, self.header_length, ends)

    @property
    def took_long(self) -> bool:
        """Whether walking it again costs more than keeping, or sending, what was found: many nested elements of
        undefined length."""
        return len(self.ends) >= _MANY_NESTED

    @property
    def character_set(self) -> tuple[str, ...]:
        """Python encodings of Specific Character Set (0008,0005)."""
        value = self.value(_SPECIFIC_CHARACTER_SET)
        return character_sets.encodings(bytes(value[:1024]) if value is not None else b"")


def scan(data_set: Buffer, transfer_syntax_uid: str, *, max_inflated_bytes: int = 1 << 30) -> Header:
    """Walk the top level of a whole data set (bytes, memoryview, mmap), without file meta information.

    The encoding is taken from `transfer_syntax_uid`, but the first element has the last word on implicit or explicit VR
    and on byte order, as real files contradict their own transfer syntax.

    Raises:
        MalformedDataSet: empty, torn, a length beyond the end, bad nesting, too many elements; names tag and byte.
        TooLarge: a deflated data set grows past `max_inflated_bytes`.
    """
    buffer = data_set if isinstance(data_set, memoryview) else memoryview(data_set)
    if buffer.format != "B" or buffer.ndim != 1:
        buffer = buffer.cast("B")
    syntax = transfer_syntax(transfer_syntax_uid)
    if syntax.is_deflated:
        buffer = memoryview(_inflated(buffer, max_inflated_bytes))
    return _scanned(buffer, syntax)


def _arrived(buffer: memoryview, syntax: TransferSyntax, pixel_data: Element | None) -> Header:
    """What `Header.__reduce__` sent."""
    if pixel_data is None:
        return _scanned(buffer, syntax)
    if pixel_data.offset:
        before = _scanned(buffer[: pixel_data.offset], syntax)
    else:
        is_implicit_vr = pixel_data.is_implicit_vr
        before = Header(buffer, {}, syntax, is_implicit_vr, syntax.is_little_endian, None, 0, NestedEnds())
    elements = {**before.elements, pixel_data.tag: pixel_data}
    return replace(before, buffer=buffer, elements=elements, pixel_data=pixel_data)


def _arrived_whole(
    buffer: memoryview,
    elements: dict[int, Element],
    syntax: TransferSyntax,
    is_implicit_vr: bool,
    is_little_endian: bool,
    pixel_data: Element | None,
    header_length: int,
    ends: dict[int, int],
) -> Header:
    """What `Header.__reduce__` sent of one that took long."""
    nested = NestedEnds(ends)
    return Header(buffer, elements, syntax, is_implicit_vr, is_little_endian, pixel_data, header_length, nested)


def _scanned(buffer: memoryview, syntax: TransferSyntax) -> Header:
    """The header of a data set that is not deflated (any more)."""
    if len(buffer) < 8:
        raise MalformedDataSet(f"a data set of {len(buffer)} bytes holds no element (PS3.5 §7.1)")
    is_little_endian = _found_byte_order(buffer, syntax.is_little_endian)
    is_implicit_vr = not looks_explicit(buffer, 0)
    ends = NestedEnds()
    shape = known_shape(buffer, is_implicit_vr, is_little_endian)
    if shape is None:
        elements, is_plain = _walked(buffer, is_implicit_vr, is_little_endian, ends)
        if is_plain:
            shape = remember_shape(buffer, is_implicit_vr, is_little_endian, elements)
    else:
        elements = shape.elements
    pixel_data: Element | None = None
    for tag in PIXEL_DATA_TAGS & elements.keys():
        pixel_data = elements[tag]
    if not elements:
        raise MalformedDataSet("the data set holds no element (PS3.5 §7.1)")
    return Header(
        buffer=buffer,
        elements=elements,
        transfer_syntax=syntax,
        is_implicit_vr=is_implicit_vr,
        is_little_endian=is_little_endian,
        pixel_data=pixel_data,
        header_length=pixel_data.offset if pixel_data is not None else len(buffer),
        ends=ends,
        shape=shape,
    )


def _walked(
    buffer: memoryview, is_implicit_vr: bool, is_little_endian: bool, ends: NestedEnds
) -> tuple[dict[int, Element], bool]:
    """The top-level elements by tag, and whether their heads alone tell where they are."""
    elements: dict[int, Element] = {}
    offset, end, left, is_plain = 0, len(buffer), MAX_TOP_LEVEL_ELEMENTS, True
    has_zeros = False
    while offset < end:
        offset, left = usual_elements(buffer, offset, end, is_implicit_vr, is_little_endian, elements, left)
        element = next(iter_elements(buffer, offset, end, is_implicit_vr, is_little_endian, 0, ends), None)
        if element is None:
            is_plain = is_plain and offset == end
            break
        if not element.tag and not (has_zeros and left):
            # Padding, of megabytes where a file was copied from a disk or a tape in blocks. Looked at twice at most.
            if _is_zero(buffer, offset):
                is_plain = False
                break
            has_zeros = True
        if not left:
            raise MalformedDataSet(f"more than {MAX_TOP_LEVEL_ELEMENTS} elements at the top level of the data set")
        is_plain = False
        elements[element.tag] = element
        offset, left = element.end, left - 1
    if elements.pop(0, None):  # zero padding
        is_plain = False
    return elements, is_plain


def _is_zero(buffer: memoryview, start: int) -> bool:
    places = range(start, len(buffer), _COMPARED_AT_ONCE)
    return not any(bytes(buffer[place : place + _COMPARED_AT_ONCE]).strip(b"\0") for place in places)


def _found_byte_order(buffer: memoryview, is_little_endian: bool) -> bool:
    """The byte order in which the first group number is small: no data set starts with a group past 00FF."""
    first, second = buffer[0], buffer[1]
    if first == 0 and second > 0:
        return False
    if second == 0 and first > 0:
        return True
    return is_little_endian


def _inflated(deflated: memoryview, limit: int) -> bytearray:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    # Piece by piece: what is inflated in one call is held twice.
    data_set = bytearray()
    try:
        for start in range(0, len(deflated), _DEFLATED_AT_ONCE):
            waiting: bytes | memoryview = deflated[start : start + _DEFLATED_AT_ONCE]
            is_more = True
            while is_more and not inflater.eof:
                piece = inflater.decompress(waiting, _INFLATED_AT_ONCE)
                waiting = inflater.unconsumed_tail
                is_more = bool(waiting) or len(piece) == _INFLATED_AT_ONCE
                data_set += piece
                if len(data_set) > limit:
                    raise TooLarge(
                        f"the deflated data set grows past {limit} bytes (setting ingest.max_inflated_bytes)"
                    )
    except zlib.error as error:
        raise MalformedDataSet(f"the deflated data set cannot be inflated: {error} (PS3.5 A.5)") from error
    if not inflater.eof:
        raise MalformedDataSet(f"the deflated data set is torn after {len(deflated)} bytes (PS3.5 A.5)")
    return data_set

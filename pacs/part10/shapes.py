"""Data sets whose elements stand where another one's stood are not walked again.

The images of a series differ in values, seldom in tags, VRs and lengths: 10 to 20 shapes in 200 real images of one.
A shape keeps what a walk found, and the heads of all elements; a data set of the same length with the same heads at
the same places has, by PS3.5 §7, the same elements. To see that takes one call instead of a step per element.
"""

from __future__ import annotations

import struct
from typing import Final

from pacs.part10.elements import Element

_MAX_ELEMENTS: Final = 16_384
"""Of all remembered shapes together; some 5 MB."""
_MAX_ALIKE: Final = 4
"""Shapes of one length that are tried."""
_MAX_SEEN: Final = 4096


class Shape:
    """Where the elements of a data set of explicit lengths are. Shared between threads; only `plan` is set later."""

    __slots__ = ("_heads", "_places", "elements", "plan")

    def __init__(self, buffer: memoryview, elements: dict[int, Element]) -> None:
        """`elements` follow each other without a gap from the first byte of `buffer` to its last."""
        self.elements = elements
        self.plan: object = None
        """What a reader of values makes of the shape, once; kept here because it must not outlive it."""
        form = "".join(
            f"{value_offset - offset}s{end - value_offset}x"
            for _, _, offset, value_offset, _, end, _ in elements.values()
        )
        self._places = struct.Struct(f"={form}")
        self._heads = self._places.unpack_from(buffer)

    def is_of(self, buffer: memoryview) -> bool:
        """Whether a data set of the same length, VR encoding and byte order has this shape."""
        return self._places.unpack_from(buffer) == self._heads


_Kind = tuple[int, bool, bool]
_known: dict[_Kind, tuple[Shape, ...]] = {}
_seen: set[_Kind] = set()
"""A shape is worth its making only where a second data set of that length comes."""


def known_shape(buffer: memoryview, is_implicit_vr: bool, is_little_endian: bool) -> Shape | None:
    """The shape of the data set in `buffer`, when one like it has been walked lately."""
    for shape in _known.get((len(buffer), is_implicit_vr, is_little_endian), ()):
        if shape.is_of(buffer):
            return shape
    return None


def remember_shape(
    buffer: memoryview, is_implicit_vr: bool, is_little_endian: bool, elements: dict[int, Element]
) -> Shape | None:
    """Remember what a walk over all of `buffer` found, if one call can tell it of another data set."""
    kind = (len(buffer), is_implicit_vr, is_little_endian)
    if kind not in _seen or not 0 < len(elements) <= _MAX_ELEMENTS // 8:
        if len(_seen) >= _MAX_SEEN:
            _seen.clear()
        _seen.add(kind)
        return None
    offset = 0
    for element in elements.values():
        if element.offset != offset or element.length is None:
            return None
        offset = element.end
    if offset != len(buffer):
        return None
    shape = Shape(buffer, elements)
    if sum(len(one.elements) for alike in list(_known.values()) for one in alike) > _MAX_ELEMENTS:
        _known.clear()
    _known[kind] = (shape, *_known.get(kind, ())[: _MAX_ALIKE - 1])
    return shape

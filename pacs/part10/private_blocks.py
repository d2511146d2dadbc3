"""Private attributes and the elements that say whose they are (PS3.5 §7.8.1)."""

from __future__ import annotations


def creator_tag(tag: int) -> int | None:
    """The Private Creator of the block that a private attribute is in; None of any other attribute."""
    if not tag >> 16 & 1 or tag & 0xFFFF < 0x1000:
        return None
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF


def is_creator(tag: int) -> bool:
    """Whether it is a Private Creator itself."""
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF

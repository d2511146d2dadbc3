"""SOP class extended negotiation of C-FIND (PS3.4 C.5.1.1): what a peer asks for beyond the baseline. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_OFFERED = bytes((1, 1, 1, 1, 0, 1, 1))
"""Bytes 1 to 7 of PS3.4 Table C.5-2; views of enhanced multi-frame images (5) are not offered."""


@dataclass(frozen=True, slots=True)
class QueryExtensions:
    """What was agreed for one presentation context."""

    is_relational: bool = False
    """No unique key above the level is needed (PS3.4 C.4.1.2.2.1)."""
    combines_date_and_time: bool = False
    is_fuzzy: bool = False
    adjusts_time_zone: bool = False
    finds_empty: bool = False
    needs_all_values: bool = False


def accepted_extensions(asked: bytes) -> bytes:
    """The answer to an item: each sub-field that is asked and offered; as many as were sent, of those known."""
    return bytes(int(byte == 1) & offered for byte, offered in zip(asked, _OFFERED, strict=False))


def query_extensions(agreed: bytes) -> QueryExtensions:
    """What `accepted_extensions` said, by name; sub-fields that were not sent are 0."""
    flags = [bool(byte) for byte in agreed.ljust(len(_OFFERED), b"\0")]
    return QueryExtensions(
        is_relational=flags[0],
        combines_date_and_time=flags[1],
        is_fuzzy=flags[2],
        adjusts_time_zone=flags[3],
        finds_empty=flags[5],
        needs_all_values=flags[6],
    )

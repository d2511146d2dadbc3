"""Encodings of a store request and its parts (RFC 9110 §8.4, RFC 2045 §6). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pacs.errors import UnsupportedMedia

_AS_IT_IS: Final = {
    "content-encoding": frozenset({"", "identity"}),
    "content-transfer-encoding": frozenset({"", "binary", "8bit", "7bit"}),
}


def check_encoding(headers: Mapping[str, str]) -> None:
    """See that bytes with these header fields, in lower case, come as they are.

    Nothing is decoded: images hardly shrink, and what inflates need not be counted before it is there. What is in an
    encoding must not be kept in it either.

    Raises:
        UnsupportedMedia: they are encoded.
    """
    for name, plain in _AS_IT_IS.items():
        value = headers.get(name, "")
        if any(coding.strip().lower() not in plain for coding in value.split(",")):
            raise UnsupportedMedia(f"{name.title()} {value[:40]!r} is not taken; send the data as it is")

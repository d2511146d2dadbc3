"""Encodings of a store request and its parts (RFC 9110 §8.4, RFC 2045 §6). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pacs.errors import UnsupportedMedia

_AS_IT_IS: Final = {
    "content-encoding": frozenset({"", "identity"}),
    "content-transfer-encoding": frozenset({"", "binary", "8bit", "7bit"}),
}


_GZIP: Final = frozenset({"gzip", "x-gzip"})


def is_gzip(content_encoding: str) -> bool:
    """Whether a body is in the one coding that is taken; raises `UnsupportedMedia` for any other."""
    codings = [
        coding for each in content_encoding.split(",") if (coding := each.strip().lower()) not in ("", "identity")
    ]
    if not codings:
        return False
    if len(codings) > 1 or codings[0] not in _GZIP:
        raise UnsupportedMedia(
            f"Content-Encoding {content_encoding[:40]!r} is not taken; send gzip, or the data as it is"
        )
    return True


def check_encoding(headers: Mapping[str, str]) -> None:
    """See that a part with these header fields, in lower case, comes as it is.

    No part is decoded: a body may be as a whole. What is in an encoding must not be kept in it either.

    Raises:
        UnsupportedMedia: they are encoded.
    """
    for name, plain in _AS_IT_IS.items():
        value = headers.get(name, "")
        if any(coding.strip().lower() not in plain for coding in value.split(",")):
            raise UnsupportedMedia(f"{name.title()} {value[:40]!r} is not taken; send the data as it is")

"""Content negotiation of PS3.18 §8.7: what the client accepts against what can be made.

Pure: a header's text in, one `Offer` out. Real clients leave quotes away (``type=application/dicom``), write
``transfer-syntax=*`` or ``*`` alone, and use media types of older editions; all of these are understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from pacs.errors import InvalidRequest, NotAcceptable

MAX_HEADER_CHARACTERS = 8192
MAX_RANGES = 100

ANY = "*/*"
MIXED = "mixed"
"""In an offer: several transfer syntaxes. No UID equals it, so only ``*``, or naming no syntax, takes it."""
MULTIPART = "multipart/related"

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(
    rf"""\s*(?P<name>{_NAME})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s",;]*))\s*(?=[;,]|\Z)"""
)
_TYPE = re.compile(rf"\s*(?P<type>{_NAME}(?:/{_NAME})?)\s*(?=[;,]|\Z)")
_NO_PARAMETER = re.compile(r"\s*(?=[;,]|\Z)")
_QUALITY = re.compile(r"(?:0?\.[0-9]{1,6}|[01](?:\.[0-9]{0,6})?)\Z")

_OLDER_NAMES = {
    "*": ANY,
    "image/x-jls": "image/jls",
    "image/dicom+jls": "image/jls",
    "image/dicom+jpeg": "image/jpeg",
    "image/dicom+jpeg-jpeg": "image/jpeg",
    "image/dicom+jpeg-ls": "image/jls",
    "image/dicom+jp2": "image/jp2",
    "image/dicom+jpx": "image/jpx",
    "image/x-dicom-rle": "image/dicom-rle",
    "image/dicom+rle": "image/dicom-rle",
    "image/x-dicom+rle": "image/dicom-rle",
    "image/pjpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
}
"""Names of PS3.18 editions before 2016, and common misspellings, with today's name."""


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One element of an Accept header."""

    media_type: str
    """Lower case: ``image/jls``, ``image/*``, ``*/*``; for multipart the type of its parts, ``*/*`` when not given."""
    is_multipart: bool = False
    transfer_syntax: str | None = None
    """A UID, ``*``, or None when the parameter is absent."""
    quality: float = 1.0
    is_second: bool = False
    """Of the header beside an ``accept`` query parameter: it counts when nothing that this names can be had."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One representation that can be made of the resource."""

    media_type: str
    transfer_syntax_uid: str | None = None
    is_multipart: bool = False
    is_only_if_named: bool = False
    """Naming the media type without a transfer syntax means another encoding: the default one (PS3.18 §8.7.3)."""
    is_lossy: bool = False
    """Making it loses what is stored, so nothing but its own UID asks for it: no ``*`` and no media type alone."""

    @property
    def part_content_type(self) -> str:
        """Content-Type of the single part, or of each part of a multipart answer."""
        return self.media_type + self._syntax

    def content_type(self, boundary: str = "") -> str:
        """Content-Type of the whole answer (PS3.18 §8.6.1.2.1)."""
        if not self.is_multipart:
            return self.part_content_type
        return f'{MULTIPART}; type="{self.media_type}"{self._syntax}; boundary={boundary}'

    def __str__(self) -> str:
        whole = f'{MULTIPART}; type="{self.media_type}"' if self.is_multipart else self.media_type
        return whole + self._syntax

    @property
    def _syntax(self) -> str:
        is_one = self.transfer_syntax_uid not in (None, MIXED)
        return f"; transfer-syntax={self.transfer_syntax_uid}" if is_one else ""


@dataclass(frozen=True, slots=True)
class ContentType:
    """A Content-Type header: the type in lower case, and its parameters with lower-case names."""

    media_type: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@lru_cache(maxsize=128)
def parse_accept(header: str | None) -> tuple[MediaRange, ...]:
    """The media ranges of an Accept header or ``accept`` query parameter; ``*/*`` when it is absent or empty.

    Those that cannot be read are passed over (PS3.18 §8.7.7) as long as there are others.

    Raises:
        InvalidRequest: nothing in it is of the grammar of RFC 9110 §12.5.1 even when read leniently, or it is longer
            than the limits.
    """
    if header is None or not header.strip():
        return (MediaRange(ANY),)
    if len(header) > MAX_HEADER_CHARACTERS:
        raise InvalidRequest(f"Accept is longer than {MAX_HEADER_CHARACTERS} characters; send fewer media types")
    ranges: list[MediaRange] = []
    problem: InvalidRequest | None = None
    position = count = 0
    while position < len(header):
        if header[position] in ", \t":
            position += 1
            continue
        begun, count = position, count + 1
        if count > MAX_RANGES:
            raise InvalidRequest(f"Accept names more than {MAX_RANGES} media types; send fewer")
        try:
            media_type, parameters, position = _media_type(header, position, "Accept")
            ranges.append(_media_range(media_type, parameters))
        except InvalidRequest as found:
            problem = problem or found
            position = header.find(",", begun) if position == begun else position
            if position < 0:
                break
    if problem is not None and not ranges:
        raise problem
    return tuple(ranges) or (MediaRange(ANY),)


def parse_content_type(header: str | None) -> ContentType:
    """A Content-Type header's type and parameters.

    Raises:
        InvalidRequest: missing or not of the form ``type/subtype; name=value``.
    """
    if not header or len(header) > MAX_HEADER_CHARACTERS:
        raise InvalidRequest("Content-Type is missing or too long; say what the body is, such as application/dicom")
    media_type, parameters, position = _media_type(header, 0, "Content-Type")
    if position != len(header) or "/" not in media_type:
        raise InvalidRequest(f"Content-Type {header[:200]!r} is not of the form type/subtype; name=value")
    return ContentType(media_type, parameters)


def choose(
    ranges: Sequence[MediaRange], offers: Sequence[Offer], obstacle: Callable[[Offer], str] = lambda offer: ""
) -> Offer:
    """The offer the client likes best; among equals the first one, so `offers` stand in the archive's preference.

    For each offer the most specific range that matches decides its quality (RFC 9110 §12.5.1). Ranges of the query
    parameter are asked first, by themselves (PS3.18 §8.7.8.1). `obstacle` tells why an offer cannot be made of this
    very resource, or nothing; it is asked only of those that the client would take.

    Raises:
        NotAcceptable: no offer matches; the message says what can be had, and why what was asked for cannot.
    """
    reasons: dict[str, None] = {}
    for is_second in (False, True):
        asked = [each for each in ranges if each.is_second is is_second]
        qualities = [(_quality(offer, asked), offer) for offer in offers]
        for quality, offer in sorted(qualities, key=lambda each: -each[0]):
            if quality <= 0:
                break
            reason = obstacle(offer)
            if not reason:
                return offer
            reasons[reason] = None
    possible = ", ".join(dict.fromkeys(str(offer) for offer in offers if not obstacle(offer))) or "nothing"
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise NotAcceptable(f"Nothing that Accept names can be made of this resource{why}; it can be had as: {possible}")


def accept_of(header: str | None, query_parameter: str | None) -> tuple[MediaRange, ...]:
    """The ranges of a request: those of the ``accept`` query parameter, and behind them those of the header, which
    count when none of the first can be had (PS3.18 §8.7.8.1) or read.

    A plus sign that came unescaped in a URL has been decoded to a space; media types hold no space, so it is put back.

    Raises:
        InvalidRequest: neither can be read.
    """
    if not query_parameter or not query_parameter.strip():
        return parse_accept(header)
    asked = re.sub(r"(?<=[a-z0-9]) (?=[a-z0-9])", "+", query_parameter, flags=re.IGNORECASE)
    if header is None or not header.strip():
        return parse_accept(asked)
    first: tuple[MediaRange, ...] = ()
    second: tuple[MediaRange, ...] = ()
    problem: InvalidRequest | None = None
    try:
        first = parse_accept(asked)
    except InvalidRequest as found:
        problem = found
    with suppress(InvalidRequest):
        second = tuple(replace(each, is_second=True) for each in parse_accept(header))
    if problem is not None and not second:
        raise problem
    return first + second


def _media_type(header: str, position: int, name: str) -> tuple[str, dict[str, str], int]:
    """One ``type/subtype; name=value ...`` from `position` up to the next comma or the end."""
    match = _TYPE.match(header, position)
    if match is None:
        raise InvalidRequest(f"{name} cannot be read at {header[position : position + 60]!r}; expected type/subtype")
    media_type = match["type"].lower()
    position = match.end()
    parameters: dict[str, str] = {}
    while position < len(header) and header[position] == ";":
        position += 1
        match = _PARAMETER.match(header, position)
        if match is None:
            rest = _NO_PARAMETER.match(header, position)
            if rest is None:
                raise InvalidRequest(f"{name} cannot be read at {header[position : position + 60]!r}; use name=value")
            position = rest.end()
            continue
        quoted = match["quoted"]
        value = match["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        parameters.setdefault(match["name"].lower(), value)
        position = match.end()
    return _OLDER_NAMES.get(media_type, media_type), parameters, position


def _media_range(media_type: str, parameters: Mapping[str, str]) -> MediaRange:
    if "/" not in media_type:
        raise InvalidRequest(f"Accept names {media_type[:60]!r}, which is no media type; write type/subtype")
    quality_text = parameters.get("q", "1")
    if not _QUALITY.match(quality_text):
        raise InvalidRequest(f"Accept has q={quality_text[:20]!r}; a quality is a number from 0 to 1")
    quality = min(float(quality_text), 1.0)
    transfer_syntax = parameters.get("transfer-syntax", "").strip() or None
    if media_type in (MULTIPART, "multipart/*"):
        part_type = parameters.get("type", "").strip().lower()
        part_type = _OLDER_NAMES.get(part_type, part_type) or ANY
        return MediaRange(part_type, is_multipart=True, transfer_syntax=transfer_syntax, quality=quality)
    return MediaRange(media_type, transfer_syntax=transfer_syntax, quality=quality)


def _quality(offer: Offer, ranges: Sequence[MediaRange]) -> float:
    best = -1
    quality = 0.0
    for accepted in ranges:
        specificity = _specificity(offer, accepted)
        if specificity > best or (specificity == best >= 0 and accepted.quality > quality):
            best, quality = specificity, accepted.quality
    return quality if best >= 0 else 0.0


def _specificity(offer: Offer, accepted: MediaRange) -> int:
    """How exactly `accepted` names `offer`; -1 when it does not."""
    if accepted.is_multipart != offer.is_multipart and not (accepted.media_type == ANY and not accepted.is_multipart):
        return -1
    if accepted.media_type == offer.media_type.lower():  # video/H265
        score = 8
    elif accepted.media_type == ANY:
        score = 2 if accepted.is_multipart else 0
    elif accepted.media_type.endswith("/*") and offer.media_type.startswith(accepted.media_type[:-1]):
        score = 4
    else:
        return -1
    if offer.is_lossy and accepted.transfer_syntax != offer.transfer_syntax_uid:
        return -1
    if accepted.transfer_syntax is None or offer.transfer_syntax_uid is None:
        return -1 if offer.is_only_if_named and accepted.media_type != ANY else score
    if accepted.transfer_syntax == "*":
        return score
    return score + 1 if accepted.transfer_syntax == offer.transfer_syntax_uid else -1

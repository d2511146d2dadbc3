"""Bodies of the worklist's requests (PS3.18 §11.1.3): one data set in JSON or XML, of bounded size. Pure."""

from __future__ import annotations

import zlib
from typing import Any, Final

from pacs.dicomweb.accept import MULTIPART, parse_content_type
from pacs.dicomweb.multipart import MultipartReader, PartBegins, PartData
from pacs.errors import InvalidRequest, MalformedDataSet, TooLarge, UnsupportedMedia
from pacs.part10.dicom_json_reader import read_json
from pacs.part10.dicom_xml_reader import read_xml

MAX_BODY_BYTES: Final = 1 << 20
"""Of a workitem, also once it is inflated; real ones have a few KB."""
_JSON: Final = ("application/dicom+json", "application/json")
_XML: Final = "application/dicom+xml"
_GZIP_WINDOW: Final = 31


def read_body(body: bytes, content_type: str | None, content_encoding: str) -> Any:
    """The data set of a body, not looked at yet; an empty one for no body at all.

    Raises:
        UnsupportedMedia: neither JSON nor XML, or in another content coding than gzip.
        TooLarge: it inflates to more than `MAX_BODY_BYTES`.
        MalformedDataSet, ProtocolViolation: it is not what its Content-Type says.
        InvalidRequest: not exactly one data set.
    """
    if not body and not content_type:
        return {}
    if not content_type:
        raise UnsupportedMedia(f"Content-Type is missing; send {_JSON[0]} or {_XML}")
    body = _inflated(body, content_encoding)
    parsed = parse_content_type(content_type)
    media_type = parsed.media_type
    if media_type == MULTIPART:
        media_type = parsed.parameters.get("type", _XML).lower()
        body = _only_part(body, parsed.parameters.get("boundary", ""))
    if media_type in _JSON:
        return _only(list(read_json(body)))
    if media_type == _XML:
        return read_xml(body)
    raise UnsupportedMedia(f"Content-Type {content_type[:100]!r} is no workitem; send {_JSON[0]} or {_XML}")


def _only(found: list[Any]) -> Any:
    if len(found) != 1:
        raise InvalidRequest(f"The body has {len(found)} data sets; send one (PS3.18 §11.4.1.4)")
    return found[0]


def _only_part(body: bytes, boundary: str) -> bytes:
    reader = MultipartReader(boundary, max_parts=2)
    parts: list[bytearray] = []
    for event in (*reader.feed(body), *reader.close()):
        if isinstance(event, PartBegins):
            parts.append(bytearray())
        elif isinstance(event, PartData):
            parts[-1] += event.data
    return bytes(_only(parts))


def _inflated(body: bytes, coding: str) -> bytes:
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip"):
        raise UnsupportedMedia(f"Content-Encoding {coding[:40]!r} is not taken; send gzip, or the body as it is")
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        inflated = inflater.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise MalformedDataSet("the body is not gzip, as its Content-Encoding says") from None
    if len(inflated) > MAX_BODY_BYTES:
        raise TooLarge(f"The body inflates to more than {MAX_BODY_BYTES} bytes")
    if not inflater.eof:
        raise MalformedDataSet("the gzip body is torn")
    return inflated

"""Videos at ``/rendered`` of an instance (PS3.18 §8.7.4): the stream as it is stored, where players take it as it is.

Nothing of it is decoded here; `pacs.dicomweb.rendered` makes pictures of single frames. A transfer syntax says how
pictures are coded, not in what they are wrapped: which of the media types the stream is, if any, is seen at its
beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.types import Scope

from pacs.dicomweb.accept import Offer
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.rendering_parameters import RenderingParameters
from pacs.dicomweb.requests import is_not_modified
from pacs.dicomweb.responses import entity_tag
from pacs.dicomweb.services import Services
from pacs.errors import InvalidRequest
from pacs.model import StoredInstance
from pacs.part10.transfer_syntax import transfer_syntax

_MPEG, _MP4, _HEVC = "video/mpeg", "video/mp4", "video/H265"
VIDEO_MEDIA_TYPES: Final = (_MPEG, _MP4, _HEVC)
_SNIFFED_BYTES: Final = 1024
_START_CODE: Final = b"\0\0\1"
_PACK_HEADER, _SEQUENCE_HEADER = 0xBA, 0xB3
_PACKET_BYTES: Final = 188
"""Of a transport stream, each beginning with a `_SYNC` byte."""
_SYNC: Final = 0x47
_QUICKTIME: Final = b"qt  "


def is_video(instance: StoredInstance) -> bool:
    """Whether its pixel data is one video stream (PS3.5 §8.2.5 to §8.2.11)."""
    return transfer_syntax(instance.transfer_syntax_uid).media_type in VIDEO_MEDIA_TYPES


def video_offers(services: Services, instance: StoredInstance) -> tuple[tuple[Offer, ...], str]:
    """The video `instance` as it is stored, where players take it so, and why they do not.

    Raises:
        NotFound: it has no pixel data.
    """
    (fragments,) = services.retrieve.frames(instance, (1,))
    found, what = media_type_of(_beginning(fragments), transfer_syntax(instance.transfer_syntax_uid).media_type)
    if found is not None:
        return (Offer(found),), ""
    return (), f"The video is stored as {what}, which no player takes as it is; with /frames/1 it can be had as stored"


def stored_video(
    services: Services, scope: Scope, instance: StoredInstance, offer: Offer, parameters: RenderingParameters
) -> Answer:
    """The stream of `instance`, which is a video, byte for byte; `offer` is that of `video_offers`.

    Raises:
        InvalidRequest: a parameter of pictures; nothing of a video is changed.
    """
    if parameters != RenderingParameters():
        raise InvalidRequest(
            "A video is given as it is stored: leave away window, viewport, quality, annotation, iccprofile and"
            " presentation states, or ask for a picture of it, such as image/jpeg"
        )
    tag = entity_tag(instance.digest, "stored video", offer.media_type)
    caching = {"etag": tag, "cache-control": services.caching_of_instances, "vary": "Accept"}
    if is_not_modified(scope, tag):
        return Answer(caching, status=304)
    (fragments,) = services.retrieve.frames(instance, (1,))
    headers = {
        "content-type": offer.content_type(),
        "content-length": str(sum(map(len, fragments))),
        "x-content-type-options": "nosniff",
        **caching,
    }
    return Answer(headers, fragments)


def media_type_of(beginning: bytes, coded_as: str) -> tuple[str | None, str]:
    """The media type of a stream that begins so, None when it is none of `VIDEO_MEDIA_TYPES`, and what it is in words;
    `coded_as` is the media type of its transfer syntax."""
    if beginning[4:8] == b"ftyp":
        return (None, "a QuickTime file") if beginning[8:12] == _QUICKTIME else (_MP4, "an MP4 file")
    if beginning[:1] == bytes([_SYNC]) and beginning[_PACKET_BYTES : _PACKET_BYTES + 1] == bytes([_SYNC]):
        return None, "an MPEG transport stream"
    if not beginning.lstrip(b"\0").startswith(b"\1") or not beginning.startswith(b"\0\0"):
        return None, "a stream of no known kind"
    if coded_as == _MPEG:
        code = beginning[3] if beginning.startswith(_START_CODE) and len(beginning) > 3 else None
        is_whole = code in (_PACK_HEADER, _SEQUENCE_HEADER)
        return (_MPEG, "an MPEG stream") if is_whole else (None, "a stream that begins in the middle")
    return (_HEVC, "a bare HEVC stream") if coded_as == _HEVC else (None, "a bare H.264 stream without an MP4 file")


def _beginning(fragments: Sequence[memoryview]) -> bytes:
    found = b""
    for fragment in fragments:
        found += bytes(fragment[: _SNIFFED_BYTES - len(found)])
        if len(found) >= _SNIFFED_BYTES:
            break
    return found

"""The query string of the URI Service, WADO-URI (PS3.18 §9.1.2, §9.4.1.2, §9.5.1.2). Pure.

Parameters nobody knows are passed over, as §8.3 has it. One that differs from a known one in case only is refused:
the picture would be another than the one that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pacs.dicomweb.accept import MediaRange, parse_accept
from pacs.dicomweb.rendering_parameters import KEYWORDS, decimal_number
from pacs.dicomweb.resources import ResourceKey
from pacs.dicomweb.search_parameters import query_fields
from pacs.errors import InvalidRequest
from pacs.model import checked_uid
from pacs.pixels.render import MAX_VIEWPORT

DICOM = "application/dicom"

_IDENTITY = ("studyUID", "seriesUID", "objectUID")
_OF_PICTURES = (
    *("frameNumber", "imageQuality", "rows", "columns", "region", "windowCenter", "windowWidth"),
    *("annotation", "imageAnnotation", "presentationUID", "presentationSeriesUID"),
)
PARAMETERS = ("requestType", *_IDENTITY, "contentType", "charset", "anonymize", "transferSyntax", *_OF_PICTURES)
_IN_LOWER_CASE = {name.lower(): name for name in PARAMETERS}
NOT_OFFERED = {
    "anonymize": "nothing is de-identified here; leave it away, or use a tool that does it as PS3.15 Annex E says",
}
AS_STORED = "*"
"""A transfer syntax that some clients always send, beside media types of pictures, too."""
_OF_PRESENTATION_STATES = ("region", "windowCenter", "windowWidth")
"""What a presentation state says itself (§9.5.1.2.5-7)."""

Region = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class UriRequest:
    """What a WADO-URI query string asks for."""

    key: ResourceKey
    content_type: str | None = None
    """As it was sent: media types separated by commas."""
    accepted: tuple[MediaRange, ...] = ()
    """`content_type`, read."""
    transfer_syntax_uid: str | None = None
    frame: int | None = None
    quality: int | None = None
    window: tuple[float, float] | None = None
    """Center and width."""
    rows: int | None = None
    columns: int | None = None
    annotation: str = ""
    """Keywords separated by commas."""
    presentation_uid: str | None = None
    presentation_series_uid: str | None = None
    region: Region | None = None
    """Left, top, right, bottom, each as a part of the image from 0 to 1."""
    of_pictures: tuple[str, ...] = field(default=())
    """Names of the parameters that were sent and that only pictures have."""

    @property
    def needs_size(self) -> bool:
        """Whether `rendering` must know the size of the image."""
        return self.region is not None

    def rendering(self, image_columns: int = 0, image_rows: int = 0) -> dict[str, str]:
        """The same picture in the parameters of the rendered resources of WADO-RS (PS3.18 §8.3.5.1)."""
        said: dict[str, str] = {}
        if self.window is not None:
            said["window"] = f"{self.window[0]!r},{self.window[1]!r},linear"
        if self.quality is not None:
            said["quality"] = str(self.quality)
        if self.annotation:
            said["annotation"] = self.annotation
        if self.presentation_uid is not None and self.presentation_series_uid is not None:
            said["presentationinstance"] = self.presentation_uid
            said["presentationseries"] = self.presentation_series_uid
        cut = None if self.region is None else _cut(self.region, image_columns, image_rows)
        if cut is not None and self.rows is None and self.columns is None:
            # Without a size, one pixel of the picture for each of the region (§9.5.1.2.4).
            said["viewport"] = f"{min(cut[2], MAX_VIEWPORT)},{min(cut[3], MAX_VIEWPORT)}"
        elif self.rows is not None or self.columns is not None:
            said["viewport"] = f"{self.columns or MAX_VIEWPORT},{self.rows or MAX_VIEWPORT}"
        if cut is not None:
            said["viewport"] += "," + ",".join(map(str, cut))
        return said


def uri_request(query_string: bytes) -> UriRequest:
    """Read a query string.

    Raises:
        InvalidRequest: names the parameter that is missing, given twice, misspelt, or cannot be understood.
        InvalidIdentity: names the one that is no UID.
    """
    said = _said(query_string)
    if said.get("requestType") != "WADO":
        raise InvalidRequest(f"requestType is {said.get('requestType', '')[:20]!r}; it must be WADO (PS3.18 §9.1.2)")
    key = ResourceKey(*(checked_uid(said.get(name), name) for name in _IDENTITY))
    for name, why in NOT_OFFERED.items():
        if name in said:
            raise InvalidRequest(f"{name} is not offered: {why}")
    of_pictures = tuple(name for name in _OF_PICTURES if name in said)
    syntax = said.get("transferSyntax")
    if syntax is not None and syntax != AS_STORED:
        checked_uid(syntax, "transferSyntax")
    if syntax not in (None, AS_STORED) and of_pictures:
        raise InvalidRequest(f"transferSyntax is of {DICOM}, {of_pictures[0]} is of pictures; send one of them")
    presentation = _presentation(said)
    return UriRequest(
        key=key,
        content_type=said.get("contentType"),
        accepted=_media_types(said["contentType"]) if "contentType" in said else (),
        transfer_syntax_uid=syntax,
        frame=_whole(said, "frameNumber", 999_999_999),
        quality=_whole(said, "imageQuality", 100),
        window=_window(said),
        rows=_whole(said, "rows", MAX_VIEWPORT),
        columns=_whole(said, "columns", MAX_VIEWPORT),
        region=_region(said["region"]) if "region" in said else None,
        annotation=_annotation(said),
        presentation_uid=presentation[0],
        presentation_series_uid=presentation[1],
        of_pictures=of_pictures,
    )


def _said(query_string: bytes) -> dict[str, str]:
    said: dict[str, str] = {}
    for name, value in query_fields(query_string):
        known = _IN_LOWER_CASE.get(name.lower())
        if known is None:
            continue
        if name != known:
            raise InvalidRequest(f"{name[:40]!r} is written {known} (PS3.18 §9.1.2)")
        if name in said:
            raise InvalidRequest(f"{name} is given twice")
        said[name] = value
    return said


def _media_types(value: str) -> tuple[MediaRange, ...]:
    try:
        ranges = parse_accept(value)
    except InvalidRequest as error:
        raise InvalidRequest(f"contentType: {error}") from None
    if any(each.is_multipart for each in ranges):
        raise InvalidRequest("contentType names multipart; one instance is sent by itself")
    return ranges


def _whole(said: Mapping[str, str], name: str, most: int) -> int | None:
    text = said.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
        raise InvalidRequest(f"{name}={text[:20]!r} is no number from 1 to {most}")
    return int(text)


def _window(said: Mapping[str, str]) -> tuple[float, float] | None:
    given = [name for name in ("windowCenter", "windowWidth") if name in said]
    if not given:
        return None
    for name in ("windowCenter", "windowWidth"):
        if name not in said:
            raise InvalidRequest(f"{given[0]} is given without {name}; a window needs both")
    center, width = (decimal_number(name, said[name]) for name in given)
    if not width >= 1:
        raise InvalidRequest(f"windowWidth={width:g} is too small; it must be 1 or more (PS3.3 §C.11.2.1.2)")
    return center, width


def _region(text: str) -> Region:
    fields = text.split(",")
    if len(fields) != 4:
        raise InvalidRequest(f"region={text[:60]!r} is not left,top,right,bottom")
    left, top, right, bottom = (decimal_number("region", each) for each in fields)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InvalidRequest(
            f"region={text[:60]!r}: left,top,right,bottom are parts of the image from 0 to 1, left before right"
        )
    return left, top, right, bottom


def _annotation(said: Mapping[str, str]) -> str:
    """The standard has had both names."""
    if "annotation" in said and "imageAnnotation" in said:
        raise InvalidRequest("annotation and imageAnnotation are the same; send one of them")
    name = "annotation" if "annotation" in said else "imageAnnotation"
    if name in said and not KEYWORDS.match(said[name]):
        raise InvalidRequest(f"{name}={said[name][:60]!r} is no list of keywords such as patient,technique")
    return said.get(name, "")


def _presentation(said: Mapping[str, str]) -> tuple[str | None, str | None]:
    names = ("presentationUID", "presentationSeriesUID")
    given = [name for name in names if name in said]
    if not given:
        return None, None
    for name in names:
        if name not in said:
            raise InvalidRequest(f"{given[0]} is given without {name}; a presentation state is named by both")
    for name in _OF_PRESENTATION_STATES:
        if name in said:
            raise InvalidRequest(f"{name} cannot be used with presentationUID: a presentation state brings its own")
    series_and_instance = [checked_uid(said[name], name) for name in names]
    return series_and_instance[0], series_and_instance[1]


def _cut(region: Region, columns: int, rows: int) -> tuple[int, int, int, int]:
    """Left, top, width and height in pixels; at least one pixel each way."""
    left, right = _pixels(region[0], region[2], columns)
    top, bottom = _pixels(region[1], region[3], rows)
    return left, top, right - left, bottom - top


def _pixels(start: float, end: float, size: int) -> tuple[int, int]:
    first = min(round(start * size), size - 1)
    return first, max(first + 1, round(end * size))

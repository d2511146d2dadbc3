"""WADO-URI: ``GET /wado?requestType=WADO&studyUID=...`` (PS3.18 §9), which many older systems link to.

Nothing is retrieved here: the request is put into the words of WADO-RS and answered by its route, so that both give
the same bytes.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp, Receive, Scope, Send

from pacs.dicomweb.accept import ANY, MediaRange
from pacs.dicomweb.requests import accepted_by
from pacs.dicomweb.responses import header_of, in_thread
from pacs.dicomweb.services import Services
from pacs.dicomweb.wado import find
from pacs.dicomweb.wado_uri_parameters import AS_STORED, DICOM, PARAMETERS, UriRequest, uri_request
from pacs.errors import InvalidRequest
from pacs.model import StoredInstance
from pacs.pixels.description import describe

WADO_URI_PATH = "/wado"
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
"""Structured reports, in PS3.18 §8.7.2 the category Text."""

_TEXTS = {
    "requestType": "`WADO`.",
    "studyUID": "Study Instance UID.",
    "seriesUID": "Series Instance UID.",
    "objectUID": "SOP Instance UID.",
    "contentType": "Media types, separated by commas; without it one frame is a picture, a report HTML, else DICOM.",
    "charset": "Taken and not needed: text is UTF-8.",
    "anonymize": "Not offered.",
    "transferSyntax": "Transfer Syntax UID of application/dicom; as stored without it, and with *.",
    "frameNumber": "Of the frame to show, from 1.",
    "imageQuality": "JPEG quality, 1 to 100.",
    "rows": "Most rows of the picture.",
    "columns": "Most columns of the picture.",
    "region": "left,top,right,bottom, each as a part of the image from 0 to 1.",
    "windowCenter": "Center of the window on rescaled values; with windowWidth.",
    "windowWidth": "Width of the window; with windowCenter.",
    "annotation": "patient, technique: written into the picture.",
    "imageAnnotation": "As annotation.",
    "presentationUID": "SOP Instance UID of a presentation state; with presentationSeriesUID.",
    "presentationSeriesUID": "Series Instance UID of the presentation state.",
}
URI_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": name,
        "in": "query",
        "required": name in ("requestType", "studyUID", "seriesUID", "objectUID"),
        "description": _TEXTS[name],
        "schema": {"type": "string"},
    }
    for name in PARAMETERS
]


class WadoUri:
    """ASGI application of the URI Service; `files` is the route of an instance, `pictures` that of its pictures."""

    def __init__(self, services: Services, files: ASGIApp, pictures: ASGIApp) -> None:
        self._services = services
        self._files = files
        self._pictures = pictures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = uri_request(scope["query_string"])
        is_file = _wants_file(asked, asked.accepted or accepted_by({**scope, "query_string": b""}))
        instance: StoredInstance | None = None
        if is_file is None or asked.needs_size:
            instance = await in_thread(self._find, scope, asked)
            is_file = not _is_shown(instance) if is_file is None else is_file
        if is_file:
            await self._files(_file_scope(scope, asked), receive, send)
            return
        size = await in_thread(self._size, instance) if instance is not None and asked.needs_size else (0, 0)
        await self._pictures(_picture_scope(scope, asked, size), receive, send)

    def _find(self, scope: Scope, asked: UriRequest) -> StoredInstance:
        return find(self._services, self._services.identify(scope), asked.key)[0]

    def _size(self, instance: StoredInstance) -> tuple[int, int]:
        description = describe(self._services.retrieve.header(instance))
        return description.columns, description.rows


def _is_shown(instance: StoredInstance) -> bool:
    """Whether `*/*` means a picture, or HTML of a report, rather than the DICOM file."""
    return instance.number_of_frames == 1 or instance.sop_class_uid.startswith(_REPORTS)


def _wants_file(asked: UriRequest, accepted: tuple[MediaRange, ...]) -> bool | None:
    """Whether the DICOM file is asked for rather than a picture; None when the instance decides (PS3.18 §8.7.4)."""
    types = [each.media_type for each in sorted(accepted, key=lambda each: -each.quality)]
    if asked.of_pictures:
        if all(map(_is_dicom, types)):
            raise InvalidRequest(f"{asked.of_pictures[0]} is of pictures; leave it away, or ask for image/jpeg")
        return False
    if asked.transfer_syntax_uid is not None:
        if not any(_is_dicom(each) or each == ANY for each in types):
            if asked.transfer_syntax_uid == AS_STORED:
                return False
            raise InvalidRequest(f"transferSyntax is of {DICOM}; leave it away, or ask for that")
        return True
    return None if types[0] == ANY else _is_dicom(types[0])


def _is_dicom(media_type: str) -> bool:
    return media_type.startswith("application/dicom") or media_type == "application/*"


def _file_scope(scope: Scope, asked: UriRequest) -> Scope:
    accept = asked.content_type or DICOM
    if asked.transfer_syntax_uid is not None:
        accept = f"{DICOM}; transfer-syntax={asked.transfer_syntax_uid}"
    path = f"{scope.get('root_path', '')}{asked.key.path}"
    urls = {
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": urlencode({"accept": accept}).encode("ascii"),
    }
    return {**_without_accept(scope), **urls, "path_params": _uids(asked)}


def _without_accept(scope: Scope) -> Scope:
    """Of the request that is made of it: what is accepted stands in its parameter, and nothing else will do."""
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"accept"]}


def _uids(asked: UriRequest) -> dict[str, str | None]:
    key = asked.key
    return {"study": key.study_instance_uid, "series": key.series_instance_uid, "instance": key.sop_instance_uid}


def _picture_scope(scope: Scope, asked: UriRequest, size: tuple[int, int]) -> Scope:
    frame = "" if asked.frame is None else f"/frames/{asked.frame}"
    path = f"{scope.get('root_path', '')}{asked.key.path}{frame}/rendered"
    said = asked.rendering(*size)
    if asked.content_type or header_of(scope, b"accept"):
        said["accept"] = asked.content_type or header_of(scope, b"accept") or ANY
    parameters = _uids(asked) if asked.frame is None else _uids(asked) | {"frame": str(asked.frame)}
    urls = {"path": path, "raw_path": path.encode("ascii"), "query_string": urlencode(said).encode("ascii")}
    return {**_without_accept(scope), **urls, "path_params": parameters}

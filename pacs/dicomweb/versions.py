"""Routes of our own: all versions of an instance, and each one's bytes (no resource of PS3.18)."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pacs.dicomweb.accept import Offer, choose
from pacs.dicomweb.openapi import binary
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey
from pacs.dicomweb.responses import REVALIDATE, PiecesResponse, encoded_json, entity_tag, not_modified
from pacs.dicomweb.services import Services
from pacs.dicomweb.wado import DICOM
from pacs.errors import InvalidRequest, NotFound
from pacs.retrieve import Version

_VERSIONS = "/studies/{study}/series/{series}/instances/{instance}/versions"
_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z")
_JSON = Offer("application/json")
_SCHEMA = {"schema": {"type": "array", "items": {"type": "object", "required": ["version", "isServed", "sha256"]}}}


def version_routes(services: Services) -> APIRouter:
    """The list as JSON, and a version as the Part 10 file it is kept as."""
    router = APIRouter(tags=["Versions"], default_response_class=Response)

    @router.get(
        _VERSIONS, summary="All versions of an instance", responses={200: {"content": {_JSON.media_type: _SCHEMA}}}
    )
    def versions(request: Request, study: str, series: str, instance: str) -> Response:
        found = _versions(services, request)
        choose(accepted_by(request.scope), (_JSON,))
        body = encoded_json([_described(version) for version in found])
        return Response(body, headers={"cache-control": "no-store"}, media_type=_JSON.media_type)

    @router.get(
        _VERSIONS + "/{number}",
        summary="A version as DICOM file",
        responses={200: {"content": binary(DICOM)}, 304: {"description": "The client has it already"}},
    )
    def version(request: Request, study: str, series: str, instance: str, number: str) -> Response:
        if not _NUMBER.match(number):
            raise InvalidRequest(f"The version {number[:20]!r} is no number; versions are counted from 1")
        found = _versions(services, request)
        if int(number) > len(found):
            raise NotFound(f"there is no version {number}; the instance has {len(found)}")
        kept = found[int(number) - 1].instance
        if kept is None:
            raise NotFound(f"the bytes of version {number} were not found when the index was rebuilt")
        offer = choose(accepted_by(request.scope), (Offer(DICOM, kept.transfer_syntax_uid),))
        tag = entity_tag(kept.digest, offer.content_type())
        if is_not_modified(request.scope, tag):
            return not_modified(tag, REVALIDATE)
        file = services.retrieve.file(kept)
        headers = {"content-type": offer.content_type(), "etag": tag, "cache-control": REVALIDATE, "vary": "Accept"}
        return PiecesResponse([file], headers, length=len(file))

    return router


def _versions(services: Services, request: Request) -> list[Version]:
    principal = services.identify(request.scope)
    key = ResourceKey.of(request.path_params)
    return services.retrieve.versions(
        principal, key.study_instance_uid, key.series_instance_uid or "", key.sop_instance_uid or ""
    )


def _described(version: Version) -> dict[str, Any]:
    kept, superseded = version.instance, version.superseded
    described: dict[str, Any] = {
        "version": version.number,
        "isServed": superseded is None,
        "sha256": version.digest,
        "isKept": kept is not None,
    }
    if kept is not None:
        described |= {
            "transferSyntaxUID": kept.transfer_syntax_uid,
            "bytes": kept.location.length,
            "receivedAt": kept.stored_at.isoformat(timespec="milliseconds"),
            "source": version.source,
        }
    if superseded is not None:
        described |= {
            "supersededAt": superseded.superseded_at.isoformat(timespec="milliseconds"),
            "reason": superseded.reason,
        }
    return described

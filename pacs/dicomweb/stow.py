"""STOW-RS: ``POST /studies`` and ``POST /studies/{}`` (PS3.18 §10.5), streamed into the ingest path."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pacs import log
from pacs.dicomweb.accept import MULTIPART, Offer, choose, parse_content_type
from pacs.dicomweb.http_errors import log_refusal
from pacs.dicomweb.multipart import MultipartReader, Part, derived_boundary, encoded
from pacs.dicomweb.openapi import data_sets
from pacs.dicomweb.requests import accepted_by
from pacs.dicomweb.resources import ResourceKey, service_base
from pacs.dicomweb.responses import encoded_json
from pacs.dicomweb.services import Services
from pacs.dicomweb.store_body import Body, OpenBodies
from pacs.dicomweb.store_encoding import is_gzip
from pacs.dicomweb.store_inflating import InflatingReader
from pacs.dicomweb.store_metadata import DICOM_JSON, DICOM_XML
from pacs.dicomweb.store_request import DICOM, PartReader, SinglePart, StoreRequest
from pacs.dicomweb.store_response import (
    Failed,
    Result,
    store_response,
    store_status,
    stored_location,
    unlisted_failures,
)
from pacs.errors import NotAcceptable, PacsError, ProtocolViolation, UnsupportedMedia
from pacs.model import Source
from pacs.part10.dicom_xml import to_xml

P = ParamSpec("P")
T = TypeVar("T")

_MAX_WORKING = 16
"""Store requests that are worked on at once in one process. While a client is waited for, its request is none."""

_MEDIA_TYPES = (DICOM, DICOM_JSON, DICOM_XML)
_ANSWERS = (Offer(DICOM_JSON), Offer("application/json"), Offer(DICOM_XML), Offer(DICOM_XML, is_multipart=True))

_receivers = ThreadPoolExecutor(_MAX_WORKING, "dicomweb-receive")

_OPENAPI = {
    "requestBody": {
        "required": True,
        "content": {
            f'multipart/related; type="{media_type}"': {"schema": {"type": "string", "format": "binary"}}
            for media_type in _MEDIA_TYPES
        }
        | {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in _MEDIA_TYPES},
    }
}

_OUTCOME = data_sets(is_array=False)
_OUTCOME["application/json"] = {
    "schema": {"anyOf": [_OUTCOME[DICOM_JSON]["schema"], {"$ref": "#/components/schemas/Error"}]}
}
_WARNING = {"Warning": {"schema": {"type": "string"}, "description": "299: how many more failed than are listed."}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": _OUTCOME, "headers": _WARNING}
    for status, text in {
        200: "All are durable",
        202: "Some failed, or were stored with a warning",
        **dict.fromkeys((400, 403, 409, 413, 415, 503, 507), "None was stored"),
    }.items()
}


def store_routes(services: Services) -> APIRouter:
    """The routes of the store transaction."""
    router = APIRouter(tags=["STOW-RS"], default_response_class=Response, responses=_RESPONSES)
    store = _Store(services)

    @router.post("/studies", summary="Store instances", openapi_extra=_OPENAPI)
    async def store_instances(request: Request) -> Response:
        return await store.answer(request, None)

    @router.post("/studies/{study}", summary="Store instances of one study", openapi_extra=_OPENAPI)
    async def store_instances_of_study(request: Request, study: str) -> Response:
        return await store.answer(request, study)

    return router


class _Store:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._bodies = OpenBodies(services.http)

    async def answer(self, request: Request, study: str | None) -> Response:
        with self._bodies.opened(request) as body:
            return await self._answer(request, study, body)

    async def _answer(self, request: Request, study: str | None, body: Body) -> Response:
        try:
            answer_type = _answer_type(request)
            store_request = self._open(request, study)
            await self._receive(body, store_request)
            results = await _in_thread(store_request.results)
        except PacsError:
            await body.drain()
            raise
        except ClientDisconnect:
            log.warning("store request was cut off", path=request.url.path)
            return Response(status_code=400)  # nobody is there to read it
        return _response(results, request, study, answer_type)

    def _open(self, request: Request, study: str | None) -> StoreRequest:
        principal = self._services.identify(request.scope)
        if study is not None:
            study = ResourceKey.of({"study": study}).study_instance_uid
        reader, media_type = _reader(request)
        source = Source(principal, "STOW-RS", request.client.host if request.client else "")
        base = f"{service_base(request.scope)}/studies{'' if study is None else '/' + study}"
        decoding = self._services.retrieve.decoding
        return StoreRequest(self._services.ingest, source, reader, study, media_type, base, decoding)

    async def _receive(self, body: Body, store_request: StoreRequest) -> None:
        """Feed the body as it comes. No thread waits for the client."""
        waiting = bytearray()
        try:
            async for chunk in body.chunks():
                waiting += chunk
                if len(waiting) >= self._bodies.step_bytes:
                    await _in_thread(store_request.feed, bytes(waiting))
                    waiting.clear()
            await _in_thread(store_request.feed, bytes(waiting))
            await _in_thread(store_request.close)
        except ProtocolViolation as violation:
            if store_request.is_without_outcome:
                await _in_thread(store_request.abort)
                raise
            await _in_thread(store_request.fail, violation)
            await body.drain()
        except BaseException:
            # Also when the client went away or the server stops: what was whole stays, the rest is forgotten.
            await asyncio.shield(_in_thread(store_request.abort))
            raise


def _reader(request: Request) -> tuple[PartReader, str]:
    """What reads the body, and what its parts are, by its Content-Type and Content-Encoding.

    Raises:
        UnsupportedMedia: for any other.
        ProtocolViolation: its boundary is none.
    """
    is_inflated = is_gzip(",".join(request.headers.getlist("content-encoding")))
    reader, media_type = _plain_reader(request)
    return InflatingReader(reader) if is_inflated else reader, media_type


def _plain_reader(request: Request) -> tuple[MultipartReader | SinglePart, str]:
    header = request.headers.get("content-type")
    if not header:
        raise UnsupportedMedia("Content-Type is missing; it says what the body is")
    content_type = parse_content_type(header)
    if content_type.media_type in _MEDIA_TYPES:
        return SinglePart(content_type), content_type.media_type
    part_type = content_type.parameters.get("type", DICOM).lower()
    if content_type.media_type != MULTIPART or part_type not in _MEDIA_TYPES:
        raise UnsupportedMedia(f"Content-Type {header[:100]!r} cannot be stored")
    return MultipartReader(content_type.parameters.get("boundary", "")), part_type


def _answer_type(request: Request) -> Offer:
    """What the answer comes in. Who accepts none of it still gets it, as JSON: storing never fails for that."""
    try:
        return choose(accepted_by(request.scope), _ANSWERS)
    except NotAcceptable:
        return _ANSWERS[0]


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_receivers, functools.partial(function, *args, **kwargs))


def _response(results: list[Result], request: Request, study: str | None, offer: Offer) -> Response:
    status = store_status(results)
    for failure in [result for result in results if isinstance(result, Failed)][:100]:
        log_refusal(failure.error, status, request.method, request.url.path)
    base = service_base(request.scope)
    answer = store_response(results, base, study)
    headers = {"cache-control": "no-store"}
    if status == 503:
        headers["retry-after"] = "5"
    if location := stored_location(results, base):
        headers |= {"location": location, "content-location": location}
    if unlisted := unlisted_failures(results):
        headers["warning"] = f'299 {base} "{unlisted}"'
    if offer.media_type != DICOM_XML:
        return Response(encoded_json(answer), status, headers, offer.media_type)
    document = to_xml(answer)
    if not offer.is_multipart:
        return Response(document, status, headers, DICOM_XML)
    boundary = derived_boundary(hashlib.sha256(document).hexdigest())
    body = b"".join(encoded(boundary, [Part(DICOM_XML, (document,))]))
    return Response(body, status, headers | {"content-type": offer.content_type(boundary)})

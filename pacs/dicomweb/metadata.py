"""WADO-RS metadata and bulk data (PS3.18 §10.4.1.1.4, §10.4.1.1.7, Annex F)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Scope

from pacs.dicomweb.accept import Offer, choose
from pacs.dicomweb.frame_representations import frame_offers
from pacs.dicomweb.frames import frames_answer
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.multipart import Part, derived_boundary, encoded, encoded_length
from pacs.dicomweb.qido import DICOM_XML, JSON_OFFERS
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey, bulk_data_path, service_base
from pacs.dicomweb.responses import (
    REVALIDATE,
    VARY,
    accepts_gzip,
    compressed,
    entity_tag,
    json_array,
    not_modified,
)
from pacs.dicomweb.services import Services
from pacs.dicomweb.wado import find
from pacs.model import DicomJson, StoredInstance
from pacs.part10.dicom_xml import to_xml
from pacs.part10.transfer_syntax import OCTET_STREAM, transfer_syntax

XML_OFFERS = (Offer(DICOM_XML, is_multipart=True), Offer(DICOM_XML))
_PIXEL_DATA = "7FE00010"
_AVAILABLE_TRANSFER_SYNTAX_UID = "00083002"
_PIECE_BYTES = 65536
_BULK_OFFERS = (Offer(OCTET_STREAM, is_multipart=True), Offer(OCTET_STREAM))


def metadata_routes(services: Services) -> APIRouter:
    """The routes for the JSON of a study, series and instance, and for values too large for it."""
    router = APIRouter(tags=["WADO-RS"], default_response_class=Response)

    @router.get("/studies/{study}/metadata", summary="Attributes of all instances of a study")
    def study_metadata(request: Request, study: str) -> Response:
        return _metadata(services, request, ResourceKey.of({"study": study}))

    @router.get("/studies/{study}/series/{series}/metadata", summary="Attributes of all instances of a series")
    def series_metadata(request: Request, study: str, series: str) -> Response:
        return _metadata(services, request, ResourceKey.of({"study": study, "series": series}))

    @router.get("/studies/{study}/series/{series}/instances/{instance}/metadata", summary="Attributes of an instance")
    def instance_metadata(request: Request, study: str, series: str, instance: str) -> Response:
        key = ResourceKey.of({"study": study, "series": series, "instance": instance})
        return _metadata(services, request, key)

    return router


def _metadata(services: Services, request: Request, key: ResourceKey) -> Response:
    principal = services.identify(request.scope)
    accepted = accepted_by(request.scope)
    instances = find(services, principal, key)
    offers = JSON_OFFERS + XML_OFFERS if len(instances) == 1 else JSON_OFFERS + XML_OFFERS[:1]
    offer = choose(accepted, offers)
    base = service_base(request.scope)
    is_compressed = accepts_gzip(request.headers.get("accept-encoding"))
    coding = "gzip" if is_compressed else "identity"
    tag = entity_tag(base, str(offer), coding, *(instance.digest for instance in instances))
    if is_not_modified(request.scope, tag):
        return not_modified(tag, REVALIDATE)
    boundary = derived_boundary(tag)
    attributes = (_attributes(services, instance, base) for instance in instances)
    body = _in_pieces(_documents(attributes, offer, boundary))
    if is_compressed:
        body = compressed(body)
    # The first piece is made before the answer begins, so that an error still has its own status.
    body = chain([next(body)], body)
    headers = {"content-type": offer.content_type(boundary), "etag": tag, "cache-control": REVALIDATE, "vary": VARY}
    if is_compressed:
        headers["content-encoding"] = "gzip"
    return StreamingResponse(body, headers=headers)


def _documents(attributes: Iterator[DicomJson], offer: Offer, boundary: str) -> Iterator[bytes]:
    """JSON: one array. XML: one document for each instance, which only multipart can hold several of."""
    if offer.media_type != DICOM_XML:
        yield from json_array(attributes)
    elif offer.is_multipart:
        for piece in encoded(boundary, (Part(DICOM_XML, (to_xml(each),)) for each in attributes)):
            yield bytes(piece)
    else:
        yield from map(to_xml, attributes)


def _attributes(services: Services, instance: StoredInstance, base: str) -> DicomJson:
    key = instance.key
    path = ResourceKey(key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid).path
    attributes = services.retrieve.metadata(instance, f"{base}{path}/bulkdata")
    # What frames and instance come in: the file meta that says so is no part of it, and viewers choose decoders by it.
    attributes[_AVAILABLE_TRANSFER_SYNTAX_UID] = {"vr": "UI", "Value": [instance.transfer_syntax_uid]}
    return dict(sorted(attributes.items()))


def _in_pieces(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces: each one costs a thread hop when it is sent."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= _PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def bulk_data_of(services: Services) -> Callable[[Scope], Answer]:
    """The function of the bulk data route: a value by its path, or pixel data as its frames."""

    def prepare(scope: Scope) -> Answer:
        principal = services.identify(scope)
        key = ResourceKey.of(scope["path_params"])
        path = bulk_data_path(scope["path_params"]["path"])
        accepted = accepted_by(scope)
        (instance,) = find(services, principal, key)
        if path == _PIXEL_DATA and instance.number_of_frames and _is_in_fragments(instance):
            numbers = range(1, instance.number_of_frames + 1)
            offer = choose(accepted, frame_offers(instance.transfer_syntax_uid, is_one_frame=len(numbers) == 1))
            return frames_answer(services, scope, instance, numbers, offer)
        offer = choose(accepted, _BULK_OFFERS)
        location = f"{service_base(scope)}{key.path}/bulkdata/{path}"
        identity = (instance.digest, offer.content_type(), location)
        tag = entity_tag(*identity)
        headers = {"etag": tag, "cache-control": services.caching_of_instances, "vary": "Accept"}
        if is_not_modified(scope, tag):
            return Answer(headers, status=304)
        value = services.retrieve.bulk_data(instance, path)
        if not offer.is_multipart:
            headers |= {"content-type": offer.content_type(), "content-length": str(len(value))}
            return Answer(headers, (value,))
        boundary = derived_boundary(*identity)
        parts = [Part(OCTET_STREAM, (value,), location)]
        headers["content-type"] = offer.content_type(boundary)
        headers["content-length"] = str(encoded_length(boundary, parts))
        return Answer(headers, encoded(boundary, parts))

    return prepare


def _is_in_fragments(instance: StoredInstance) -> bool:
    syntax = transfer_syntax(instance.transfer_syntax_uid)
    return syntax.is_encapsulated or not syntax.is_known

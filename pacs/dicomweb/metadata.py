"""WADO-RS metadata and bulk data (PS3.18 §10.4.1.1.4, §10.4.1.1.7, Annex F), plain ASGI."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from starlette.types import Scope

from pacs.dicomweb.accept import Offer, choose
from pacs.dicomweb.frames import chosen_offer, frames_answer
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.metadata_text import ArrayOfMetadata
from pacs.dicomweb.multipart import Part, derived_boundary, encoded, encoded_length
from pacs.dicomweb.qido import DICOM_XML, JSON_OFFERS
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey, bulk_data_path, service_base
from pacs.dicomweb.responses import REVALIDATE, VARY, accepts_gzip, compressed, entity_tag, header_of
from pacs.dicomweb.services import Services
from pacs.dicomweb.wado import find
from pacs.metadata import SeriesRow, identity_of_instance
from pacs.model import DicomJson, StoredInstance
from pacs.part10.dicom_xml import to_xml
from pacs.part10.transfer_syntax import OCTET_STREAM, transfer_syntax

XML_OFFERS = (Offer(DICOM_XML, is_multipart=True), Offer(DICOM_XML))
_PIXEL_DATA = "7FE00010"
_AVAILABLE_TRANSFER_SYNTAX_UID = "00083002"
_PIECE_BYTES = 65536
_BULK_OFFERS = (Offer(OCTET_STREAM, is_multipart=True), Offer(OCTET_STREAM))


def metadata_of(services: Services) -> Callable[[Scope], Answer]:
    """The function of the metadata routes, for a study, a series and an instance.

    JSON of series that have settled is looked up; it is sent as it is kept, or inflated.
    """

    def prepare(scope: Scope) -> Answer:
        principal = services.identify(scope)
        key = ResourceKey.of(scope["path_params"])
        accepted = accepted_by(scope)
        coding = "gzip" if accepts_gzip(header_of(scope, b"accept-encoding")) else "identity"
        is_instance = key.sop_instance_uid is not None
        series: Sequence[SeriesRow] = ()
        if not is_instance:
            series = services.retrieve.series(principal, key.study_instance_uid, key.series_instance_uid)
        instances = find(services, principal, key) if is_instance else []
        is_one = is_instance or sum(row.instances for row in series) == 1
        offer = choose(accepted, JSON_OFFERS + (XML_OFFERS if is_one else XML_OFFERS[:1]))
        headers = {"cache-control": services.caching_of_instances if is_instance else REVALIDATE, "vary": VARY}
        if offer.media_type == DICOM_XML:
            return _in_xml(services, scope, instances or find(services, principal, key), offer, coding, headers)
        found = [services.retrieve.series_metadata(principal, key.study_instance_uid, row) for row in series]
        identities = [each.identity for each in found] or [identity_of_instance(instances[0])]
        base = service_base(scope)
        tag = entity_tag(base, str(offer), coding, *identities)
        headers["etag"] = tag
        if is_not_modified(scope, tag):
            return Answer(headers, status=304)
        array = ArrayOfMetadata(
            [each.text for each in found] or [services.retrieve.instance_metadata(instances[0])], base
        )
        headers["content-type"] = offer.content_type()
        if coding == "gzip":
            pieces = array.compressed()
            headers |= {"content-encoding": "gzip", "content-length": str(sum(map(len, pieces)))}
            return Answer(headers, pieces)
        headers["content-length"] = str(array.size)
        return Answer(headers, array.pieces() if array.is_long else [*array.pieces()], is_lazy=array.is_long)

    return prepare


def _in_xml(
    services: Services,
    scope: Scope,
    instances: Sequence[StoredInstance],
    offer: Offer,
    coding: str,
    headers: dict[str, str],
) -> Answer:
    """One document for each instance, which only multipart can hold several of; made while it is sent."""
    base = service_base(scope)
    tag = entity_tag(base, str(offer), coding, *(instance.digest for instance in instances))
    headers["etag"] = tag
    if is_not_modified(scope, tag):
        return Answer(headers, status=304)
    boundary = derived_boundary(tag)
    documents = (to_xml(_attributes(services, instance, base)) for instance in instances)
    pieces: Iterator[bytes] = documents
    if offer.is_multipart:
        pieces = map(bytes, encoded(boundary, (Part(DICOM_XML, (document,)) for document in documents)))
    headers["content-type"] = offer.content_type(boundary)
    if coding == "gzip":
        headers["content-encoding"] = coding
        return Answer(headers, compressed(pieces), is_lazy=True)
    return Answer(headers, _in_pieces(pieces), is_lazy=True)


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
            offer = chosen_offer(services, instance, accepted, is_one_frame=len(numbers) == 1)
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

"""WADO-RS metadata and bulk data (PS3.18 §10.4.1.1.4, §10.4.1.1.7, Annex F), plain ASGI."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.types import Scope

from pacs.dicomweb.accept import MediaRange, Offer, choose
from pacs.dicomweb.frames import chosen_offer, frames_answer
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.metadata_text import TextOfMetadata
from pacs.dicomweb.multipart import Part, derived_boundary, encoded, encoded_length
from pacs.dicomweb.qido import DICOM_XML, JSON_OFFERS
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey, bulk_data_path, service_base
from pacs.dicomweb.responses import REVALIDATE, VARY, accepts_gzip, entity_tag, header_of
from pacs.dicomweb.services import Services
from pacs.dicomweb.wado import find
from pacs.metadata import Form, SeriesMetadata, SeriesRow, identity_of_instance
from pacs.model import Principal, StoredInstance
from pacs.part10.transfer_syntax import OCTET_STREAM, transfer_syntax
from pacs.part10.xml_text import BOUNDARY

XML_OFFERS = (Offer(DICOM_XML, is_multipart=True), Offer(DICOM_XML))
_PIXEL_DATA = "7FE00010"
_BULK_OFFERS = (Offer(OCTET_STREAM, is_multipart=True), Offer(OCTET_STREAM))


def metadata_of(services: Services) -> Callable[[Scope], Answer]:
    """The function of the metadata routes, for a study, a series and an instance.

    That of series that have settled is looked up; it is sent as it is kept, or inflated.
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
        offer, found = _chosen(services, principal, key, series, accepted, is_one=is_one)
        if _is_single_document(offer) and not is_instance and sum(each.instances for each in found) != 1:
            # Another came since it was counted: no document has room for two.
            offer, found = _chosen(services, principal, key, series, accepted, is_one=False)
        form = _form(offer)
        headers = {"cache-control": services.caching_of_instances if is_instance else REVALIDATE, "vary": VARY}
        identities = [each.identity for each in found] or [identity_of_instance(instances[0])]
        base = service_base(scope)
        tag = entity_tag(base, str(offer), coding, *identities)
        headers["etag"] = tag
        if is_not_modified(scope, tag):
            return Answer(headers, status=304)
        text = TextOfMetadata(
            form,
            [each.text for each in found] or [services.retrieve.instance_metadata(instances[0], form)],
            base,
            is_one_document=_is_single_document(offer),
        )
        headers["content-type"] = offer.content_type(BOUNDARY if form is Form.XML else "")
        if coding == "gzip":
            pieces = text.compressed()
            headers |= {"content-encoding": "gzip", "content-length": str(sum(map(len, pieces)))}
            return Answer(headers, pieces)
        headers["content-length"] = str(text.size)
        return Answer(headers, text.pieces() if text.is_long else [*text.pieces()], is_lazy=text.is_long)

    return prepare


def _chosen(
    services: Services,
    principal: Principal,
    key: ResourceKey,
    series: Sequence[SeriesRow],
    accepted: Sequence[MediaRange],
    *,
    is_one: bool,
) -> tuple[Offer, list[SeriesMetadata]]:
    """What to answer in, and what is told of each series in it. Only multipart holds several documents of XML."""
    offer = choose(accepted, JSON_OFFERS + (XML_OFFERS if is_one else XML_OFFERS[:1]))
    study, form = key.study_instance_uid, _form(offer)
    return offer, [services.retrieve.series_metadata(principal, study, row, form) for row in series]


def _form(offer: Offer) -> Form:
    return Form.XML if offer.media_type == DICOM_XML else Form.JSON


def _is_single_document(offer: Offer) -> bool:
    return offer.media_type == DICOM_XML and not offer.is_multipart


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

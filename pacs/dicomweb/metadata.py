"""WADO-RS metadata (PS3.18 §10.4.1.1.2, Annex F), plain ASGI."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.types import Scope

from pacs.dicomweb.accept import MediaRange, Offer, choose
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.metadata_text import TextOfMetadata
from pacs.dicomweb.qido import DICOM_XML, JSON_OFFERS
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey, service_base
from pacs.dicomweb.responses import REVALIDATE, VARY, accepts_gzip, entity_tag, header_of
from pacs.dicomweb.services import Services
from pacs.dicomweb.wado import find
from pacs.metadata import Form, SeriesMetadata, SeriesRow, identity_of_instance
from pacs.model import Principal
from pacs.part10.xml_text import BOUNDARY

XML_OFFERS = (Offer(DICOM_XML, is_multipart=True), Offer(DICOM_XML))


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

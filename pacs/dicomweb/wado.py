"""WADO-RS studies, series and instances as DICOM files (PS3.18 §10.4.1.1.1-3), plain ASGI."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.types import Scope

from pacs.dicomweb.accept import MIXED, Offer, choose
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.multipart import Part, derived_boundary, encoded, encoded_length
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey, service_base
from pacs.dicomweb.responses import REVALIDATE, entity_tag
from pacs.dicomweb.services import Services
from pacs.model import Principal, StoredInstance
from pacs.part10.file_meta import write_file_meta
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from pacs.pixels.transcode import to_native

DICOM = "application/dicom"


def instances_of(services: Services) -> Callable[[Scope], Answer]:
    """The routes' function, for a study, a series and an instance."""

    def prepare(scope: Scope) -> Answer:
        principal = services.identify(scope)
        key = ResourceKey.of(scope["path_params"])
        accepted = accepted_by(scope)
        instances = find(services, principal, key)
        offer = choose(accepted, instance_offers(instances))
        base = service_base(scope)
        identity = (base, offer.content_type(), *(instance.digest for instance in instances))
        tag = entity_tag(*identity)
        # A study or series may still grow.
        cache_control = services.caching_of_instances if key.sop_instance_uid else REVALIDATE
        headers = {"etag": tag, "cache-control": cache_control, "vary": "Accept"}
        if is_not_modified(scope, tag):
            return Answer(headers, status=304)
        if not offer.is_multipart:
            file = _file(services, instances[0], offer)
            return Answer({**headers, "content-type": offer.content_type(), "content-length": str(len(file))}, (file,))
        boundary = derived_boundary(*identity)
        headers["content-type"] = offer.content_type(boundary)
        if not offer.is_only_if_named:
            length = encoded_length(boundary, (_part(instance, base, offer, b"") for instance in instances))
            headers["content-length"] = str(length + sum(instance.location.length for instance in instances))
        parts = (_part(instance, base, offer, _file(services, instance, offer)) for instance in instances)
        return Answer(headers, encoded(boundary, parts), is_lazy=True)

    return prepare


def find(services: Services, principal: Principal, key: ResourceKey) -> list[StoredInstance]:
    """The instances that a study, series or instance URL names. Raises `NotFound` when there are none."""
    if key.series_instance_uid is not None and key.sop_instance_uid is not None:
        retrieve = services.retrieve
        return [retrieve.instance(principal, key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid)]
    return services.retrieve.instances(
        principal, study_instance_uid=key.study_instance_uid, series_instance_uid=key.series_instance_uid
    )


def instance_offers(instances: Sequence[StoredInstance]) -> tuple[Offer, ...]:
    """As stored, byte for byte: many instances as multipart, one also by itself.

    Explicit VR Little Endian is made for who names it. ``application/dicom`` without a transfer syntax gives what is
    stored although PS3.18 §8.7.3.2 means Explicit VR Little Endian: what goes in comes out.
    """
    syntaxes = {instance.transfer_syntax_uid for instance in instances}
    syntax = syntaxes.pop() if len(syntaxes) == 1 else MIXED
    offers: list[Offer] = []
    for is_multipart in (True, False) if len(instances) == 1 else (True,):
        offers.append(Offer(DICOM, syntax, is_multipart))
        if syntax != EXPLICIT_VR_LITTLE_ENDIAN:
            offers.append(Offer(DICOM, EXPLICIT_VR_LITTLE_ENDIAN, is_multipart, is_only_if_named=True))
    return tuple(offers)


def _file(services: Services, instance: StoredInstance, offer: Offer) -> bytes | memoryview:
    """The Part 10 file as stored, or re-encoded when the offer is. Raises `UndecodablePixels`."""
    if not offer.is_only_if_named or instance.transfer_syntax_uid == offer.transfer_syntax_uid:
        return services.retrieve.file(instance)
    data_set = services.retrieve.data_set(instance)
    meta = write_file_meta(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.key.sop_instance_uid,
        transfer_syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN,
    )
    return meta + to_native(data_set, instance.transfer_syntax_uid, EXPLICIT_VR_LITTLE_ENDIAN)


def _part(instance: StoredInstance, base: str, offer: Offer, file: bytes | memoryview) -> Part:
    key = instance.key
    path = ResourceKey(key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid).path
    syntax = offer.transfer_syntax_uid if offer.is_only_if_named else instance.transfer_syntax_uid
    return Part(f"{DICOM}; transfer-syntax={syntax}", (file,), base + path)

"""WADO-RS studies, series and instances as DICOM files (PS3.18 §10.4.1.1.1-3), plain ASGI."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from starlette.types import Scope

from pacs.dicomweb.accept import MIXED, Offer, choose
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.multipart import Part, derived_boundary, encoded, encoded_length
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey, service_base
from pacs.dicomweb.responses import IMMUTABLE, REVALIDATE, entity_tag
from pacs.dicomweb.services import Services
from pacs.model import Principal, StoredInstance

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
        # An instance never changes; a study or series may still grow.
        cache_control = IMMUTABLE if key.sop_instance_uid else REVALIDATE
        headers = {"etag": tag, "cache-control": cache_control, "vary": "Accept"}
        if is_not_modified(scope, tag):
            return Answer(headers, status=304)
        if not offer.is_multipart:
            file = services.retrieve.file(instances[0])
            return Answer({**headers, "content-type": offer.content_type(), "content-length": str(len(file))}, (file,))
        boundary = derived_boundary(*identity)
        headers["content-type"] = offer.content_type(boundary)
        length = encoded_length(boundary, (_part(instance, base, b"") for instance in instances))
        headers["content-length"] = str(length + sum(instance.location.length for instance in instances))
        return Answer(headers, _files(services, instances, base, boundary), is_lazy=True)

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
    """As stored, byte for byte: many instances as multipart, one also by itself."""
    syntaxes = {instance.transfer_syntax_uid for instance in instances}
    syntax = syntaxes.pop() if len(syntaxes) == 1 else MIXED
    offers = [Offer(DICOM, syntax, is_multipart=True)]
    if len(instances) == 1:
        offers.append(Offer(DICOM, syntax))
    return tuple(offers)


def _files(
    services: Services, instances: Sequence[StoredInstance], base: str, boundary: str
) -> Iterator[bytes | memoryview]:
    parts = (_part(instance, base, services.retrieve.file(instance)) for instance in instances)
    return encoded(boundary, parts)


def _part(instance: StoredInstance, base: str, file: bytes | memoryview) -> Part:
    key = instance.key
    path = ResourceKey(key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid).path
    return Part(f"{DICOM}; transfer-syntax={instance.transfer_syntax_uid}", (file,), base + path)

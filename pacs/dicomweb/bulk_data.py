"""WADO-RS bulk data and pixel data (PS3.18 §10.4.1.1.5-6, §10.4.3.3.5-6), plain ASGI: one value, or all there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from starlette.types import Scope

from pacs.dicomweb.accept import MediaRange, Offer, choose
from pacs.dicomweb.documents import document, file_offers
from pacs.dicomweb.frame_representations import frame_offers, is_as_stored
from pacs.dicomweb.frames import frames_answer
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.multipart import Part, derived_boundary, encoded, encoded_length
from pacs.dicomweb.partial_answers import encoded_if_any, refusal
from pacs.dicomweb.requests import is_not_modified
from pacs.dicomweb.resources import ResourceKey, bulk_data_path, service_base
from pacs.dicomweb.responses import REVALIDATE, entity_tag
from pacs.dicomweb.services import Services
from pacs.dicomweb.stored_video import is_video
from pacs.dicomweb.wado import asked_for
from pacs.errors import NotFound, PacsError
from pacs.model import StoredInstance
from pacs.part10.elements import PIXEL_DATA_TAGS
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, OCTET_STREAM, transfer_syntax
from pacs.pixels.form import form_of_frames

_PIXEL_DATA = "7FE00010"
_OCTETS = Offer(OCTET_STREAM, is_multipart=True)
_BULK_OFFERS = (_OCTETS, Offer(OCTET_STREAM))
_NATIVE_OFFERS = tuple(Offer(OCTET_STREAM, EXPLICIT_VR_LITTLE_ENDIAN, is_multipart=each) for each in (True, False))
"""Of native pixel data of which nobody says how it is shaped: there is no other form of it."""

_PathsOf = Callable[[StoredInstance], Iterable[str]]


def bulk_data_of(services: Services) -> Callable[[Scope], Answer]:
    """The function of the route of one value by its path; pixel data also as its frames."""

    def prepare(scope: Scope) -> Answer:
        _, accepted, (instance,) = asked_for(services, scope)
        path = bulk_data_path(scope["path_params"]["path"])
        return _one(services, scope, instance, path, accepted)

    return prepare


def pixel_data_of(services: Services) -> Callable[[Scope], Answer]:
    """The function of the pixel data routes, for a study, a series and an instance."""

    def paths_of(instance: StoredInstance) -> list[str]:
        elements = services.retrieve.header(instance).elements
        return [f"{tag:08X}" for tag in sorted(PIXEL_DATA_TAGS) if tag in elements]

    def prepare(scope: Scope) -> Answer:
        key, accepted, instances = asked_for(services, scope)
        if key.sop_instance_uid is None:
            return _many(services, scope, key, instances, accepted, paths_of)
        path = next(iter(paths_of(instances[0])), None)
        if path is None:
            raise NotFound(f"the instance {key.sop_instance_uid} has no pixel data")
        return _one(services, scope, instances[0], path, accepted)

    return prepare


def all_bulk_data_of(services: Services) -> Callable[[Scope], Answer]:
    """The function of the bulk data routes without a path: what all bulk data URIs of the metadata lead to."""

    def prepare(scope: Scope) -> Answer:
        key, accepted, instances = asked_for(services, scope)
        return _many(services, scope, key, instances, accepted, services.retrieve.bulk_data_paths)

    return prepare


def _one(
    services: Services, scope: Scope, instance: StoredInstance, path: str, accepted: Sequence[MediaRange]
) -> Answer:
    location = f"{service_base(scope)}{ResourceKey.of_instance(instance.key).path}/bulkdata/{path}"
    is_pixel_data = path == _PIXEL_DATA and instance.number_of_frames > 0
    files = file_offers(instance.sop_class_uid, path)
    values = _NATIVE_OFFERS if path == _PIXEL_DATA and not _is_in_fragments(instance) else _BULK_OFFERS
    offer = _chosen(services, instance, accepted) if is_pixel_data else choose(accepted, (*values, *files))
    if offer in files:
        return document(services, scope, instance, accepted)
    if is_pixel_data and not _is_whole(instance, offer):
        numbers = range(1, instance.number_of_frames + 1)
        return frames_answer(services, scope, instance, numbers, offer, location=location)
    is_decoded = is_pixel_data and _is_in_fragments(instance)
    value = memoryview(b"") if is_decoded else services.retrieve.bulk_data(instance, path)
    form = form_of_frames() if is_decoded else "stored"
    identity = (instance.digest, offer.content_type(), location, form)
    tag = entity_tag(*identity)
    headers = {"etag": tag, "cache-control": services.caching_of_instances, "vary": "Accept"}
    if is_not_modified(scope, tag):
        return Answer(headers, status=304)
    if is_decoded:
        return _decoded(services, instance, {**headers, "content-type": offer.content_type()})
    if not offer.is_multipart:
        headers |= {"content-type": offer.content_type(), "content-length": str(len(value))}
        return Answer(headers, (value,))
    boundary = derived_boundary(*identity)
    parts = [Part(offer.part_content_type, (value,), location)]
    headers["content-type"] = offer.content_type(boundary)
    headers["content-length"] = str(encoded_length(boundary, parts))
    return Answer(headers, encoded(boundary, parts))


def _decoded(services: Services, instance: StoredInstance, headers: dict[str, str]) -> Answer:
    """Several compressed frames as one native value. Of a range only its frames are decoded."""
    transcoding = services.transcoding
    length = transcoding.pixel_data_length(instance)
    if length is None:
        return Answer(headers, transcoding.pixel_data(instance), is_lazy=True, waits_for_decoder=True)
    return Answer(
        {**headers, "content-length": str(length)},
        transcoding.pixel_data(instance),
        is_lazy=True,
        waits_for_decoder=True,
        cut=lambda start, end: transcoding.pixel_data(instance, start, end),
    )


def _many(
    services: Services,
    scope: Scope,
    key: ResourceKey,
    instances: Sequence[StoredInstance],
    accepted: Sequence[MediaRange],
    paths_of: _PathsOf,
) -> Answer:
    """A part for each value, each found when the one before is sent, in the form that the client likes best of it.

    A value that cannot be had in an accepted form says so in its place.
    """
    images = {instance.transfer_syntax_uid: instance for instance in instances if instance.number_of_frames}
    offers = dict.fromkeys(offer for image in images.values() for offer in _offers(image) if offer.is_multipart)
    media_type = choose(accepted, (*offers, _OCTETS)).media_type
    base = service_base(scope)
    digests = (instance.digest for instance in instances)
    identity = (base, scope["path"], media_type, repr(accepted), form_of_frames(), *digests)
    tag, boundary = entity_tag(*identity), derived_boundary(*identity)
    # A study or series may still grow.
    cache_control = services.caching_of_instances if key.sop_instance_uid else REVALIDATE
    headers = {"etag": tag, "cache-control": cache_control, "vary": "Accept"}
    if is_not_modified(scope, tag):
        return Answer(headers, status=304)
    headers["content-type"] = Offer(media_type, is_multipart=True).content_type(boundary)

    def parts() -> Iterator[tuple[Part, PacsError | None]]:
        is_empty = True
        for instance in instances:
            for part in _parts(services, instance, accepted, base, paths_of):
                is_empty = False
                yield part
        if is_empty:
            raise NotFound("Nothing in it is of this kind; its metadata says what it holds")

    return Answer(headers, encoded_if_any(boundary, parts()), is_lazy=True, waits_for_decoder=True)


def _parts(
    services: Services, instance: StoredInstance, accepted: Sequence[MediaRange], base: str, paths_of: _PathsOf
) -> Iterator[tuple[Part, PacsError | None]]:
    location = f"{base}{ResourceKey.of_instance(instance.key).path}/bulkdata"
    try:
        for path in paths_of(instance):
            location = f"{base}{ResourceKey.of_instance(instance.key).path}/bulkdata/{path}"
            try:
                for part in _value_parts(services, instance, path, accepted, location):
                    yield part, None
            except PacsError as problem:
                yield refusal(problem, location), problem
    except PacsError as problem:
        yield refusal(problem, location), problem


def _value_parts(
    services: Services, instance: StoredInstance, path: str, accepted: Sequence[MediaRange], location: str
) -> Iterator[Part]:
    if path != _PIXEL_DATA or instance.number_of_frames == 0:
        choose(accepted, (_OCTETS,))
        yield Part(OCTET_STREAM, (services.retrieve.bulk_data(instance, path),), location)
        return
    offer = _chosen(services, instance, accepted, is_multipart=True)
    if _is_whole(instance, offer):
        yield Part(offer.part_content_type, (services.retrieve.bulk_data(instance, path),), location)
        return
    uid = offer.transfer_syntax_uid or EXPLICIT_VR_LITTLE_ENDIAN
    for number in range(1, instance.number_of_frames + 1):
        if is_as_stored(offer, instance.transfer_syntax_uid):
            (frame,) = services.retrieve.frames(instance, (number,))
        else:
            frame = (memoryview(services.transcoding.frame_of_many(instance, number, uid).data),)
        yield Part(offer.part_content_type, frame, location)


def _chosen(
    services: Services, instance: StoredInstance, accepted: Sequence[MediaRange], *, is_multipart: bool = False
) -> Offer:
    """The representation of the pixel data of `instance` that the client likes best and that can be made of it.

    Raises:
        NotAcceptable: there is none; says which there are.
    """

    def obstacle(offer: Offer) -> str:
        stored = instance.transfer_syntax_uid
        if is_as_stored(offer, stored) or (_is_whole(instance, offer) and not _is_in_fragments(instance)):
            return ""
        return services.transcoding.obstacle(instance, offer.transfer_syntax_uid or EXPLICIT_VR_LITTLE_ENDIAN)

    offers = _offers(instance)
    return choose(accepted, [offer for offer in offers if offer.is_multipart] if is_multipart else offers, obstacle)


def _offers(instance: StoredInstance) -> tuple[Offer, ...]:
    """What the pixel data can be had as: the value as it would be native, or frames in parts.

    Alone, several frames are only had as the native value.
    """
    offers = frame_offers(instance.transfer_syntax_uid, is_one_frame=instance.number_of_frames == 1)
    if is_video(instance):
        # Bytes of no named syntax cannot be mistaken for native pixels here: there are none.
        return tuple(
            replace(offer, is_only_if_named=False)
            for offer in offers
            if is_as_stored(offer, instance.transfer_syntax_uid)
        )
    if not _is_in_fragments(instance):
        # Big endian values are given in little endian order only.
        offers = tuple(
            offer
            for offer in offers
            if offer.media_type != OCTET_STREAM or offer.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
        )
    if instance.number_of_frames == 1:
        return offers
    return (*offers, Offer(OCTET_STREAM, EXPLICIT_VR_LITTLE_ENDIAN))


def _is_whole(instance: StoredInstance, offer: Offer) -> bool:
    """Whether `offer` is the native value rather than frames. What is stored in fragments is frames unless a single
    part is to hold several."""
    if offer.media_type != OCTET_STREAM or offer.transfer_syntax_uid != EXPLICIT_VR_LITTLE_ENDIAN:
        return False
    return not _is_in_fragments(instance) or (instance.number_of_frames > 1 and not offer.is_multipart)


def _is_in_fragments(instance: StoredInstance) -> bool:
    syntax = transfer_syntax(instance.transfer_syntax_uid)
    return syntax.is_encapsulated or not syntax.is_known

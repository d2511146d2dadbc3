"""WADO-RS frames: ``/studies/{}/series/{}/instances/{}/frames/{list}`` (PS3.18 §10.4.1.1.6), plain ASGI."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from starlette.types import Scope

from pacs.dicomweb.accept import MediaRange, Offer, choose
from pacs.dicomweb.frame_representations import frame_offers, is_as_stored
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.multipart import Part, derived_boundary, encoded, encoded_length
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey, frame_numbers, service_base
from pacs.dicomweb.responses import entity_tag
from pacs.dicomweb.services import Services
from pacs.model import StoredInstance
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN
from pacs.pixels.form import form_of_frames

_MOST_KEPT_BYTES = 8 << 20
"""Of frames that are sent from memory in one answer; more are looked up one by one."""


def frames_of(services: Services) -> Callable[[Scope], Answer]:
    """The route's function: all frame numbers are checked before the first byte leaves."""

    def prepare(scope: Scope) -> Answer:
        principal = services.identify(scope)
        key = ResourceKey.of(scope["path_params"])
        numbers = frame_numbers(scope["path_params"]["frames"])
        accepted = accepted_by(scope)
        instance = services.retrieve.instance(
            principal, key.study_instance_uid, key.series_instance_uid or "", key.sop_instance_uid or ""
        )
        offer = chosen_offer(services, instance, accepted, is_one_frame=len(numbers) == 1)
        return frames_answer(services, scope, instance, numbers, offer)

    return prepare


def chosen_offer(
    services: Services, instance: StoredInstance, accepted: Sequence[MediaRange], *, is_one_frame: bool
) -> Offer:
    """The representation of frames of `instance` that the client likes best and that can be made of them.

    Raises:
        NotAcceptable: there is none; says which there are.
    """
    stored = instance.transfer_syntax_uid

    def obstacle(offer: Offer) -> str:
        if is_as_stored(offer, stored):
            return ""
        return services.transcoding.obstacle(instance, offer.transfer_syntax_uid or EXPLICIT_VR_LITTLE_ENDIAN)

    return choose(accepted, frame_offers(stored, is_one_frame=is_one_frame), obstacle)


def frames_answer(
    services: Services,
    scope: Scope,
    instance: StoredInstance,
    numbers: Sequence[int],
    offer: Offer,
    *,
    location: str | None = None,
) -> Answer:
    """The frames in the representation `offer`; `location` is that of all parts, else each has its own.

    Raises:
        NotFound: a number is out of range.
        UndecodablePixels: they cannot be made into what was chosen.
    """
    base = f"{service_base(scope)}{ResourceKey.of_instance(instance.key).path}/frames/"
    locations = [location or f"{base}{number}" for number in numbers]
    form = "stored" if is_as_stored(offer, instance.transfer_syntax_uid) else form_of_frames()
    identity = (instance.digest, offer.content_type(), location or base, ",".join(map(str, numbers)), form)
    tag = entity_tag(*identity)
    headers = {"etag": tag, "cache-control": services.caching_of_instances, "vary": "Accept"}
    if max(numbers) <= instance.number_of_frames and is_not_modified(scope, tag):
        return Answer(headers, status=304)
    stored = services.retrieve.frames(instance, numbers)
    if not is_as_stored(offer, instance.transfer_syntax_uid):
        return _transcoded(services, instance, numbers, offer, headers, locations, identity)
    if not offer.is_multipart:
        (frame,) = stored
        length = sum(len(fragment) for fragment in frame)
        return Answer({**headers, "content-type": offer.content_type(), "content-length": str(length)}, frame)
    boundary = derived_boundary(*identity)
    parts = [Part(offer.part_content_type, frame, place) for place, frame in zip(locations, stored, strict=True)]
    return _whole_parts(offer, headers, boundary, parts)


def _whole_parts(offer: Offer, headers: dict[str, str], boundary: str, parts: Sequence[Part]) -> Answer:
    headers["content-type"] = offer.content_type(boundary)
    headers["content-length"] = str(encoded_length(boundary, parts))
    return Answer(headers, encoded(boundary, parts))


def _transcoded(
    services: Services,
    instance: StoredInstance,
    numbers: Sequence[int],
    offer: Offer,
    headers: dict[str, str],
    locations: Sequence[str],
    identity: Sequence[str],
) -> Answer:
    """Frames made one after the other while they are sent, so that memory holds one of them; those that are kept and
    not large, all at once."""
    uid = offer.transfer_syntax_uid or EXPLICIT_VR_LITTLE_ENDIAN
    if not offer.is_multipart:

        def whole(frame: bytes) -> Answer:
            length = str(len(frame))
            return Answer({**headers, "content-type": offer.content_type(), "content-length": length}, (frame,))

        kept = services.transcoding.kept_frame(instance, numbers[0], uid)
        if kept is not None:
            return whole(kept)
        return Answer({}, make=lambda: whole(services.transcoding.frame(instance, numbers[0], uid)))
    boundary = derived_boundary(*identity)
    ready = _kept(services, instance, numbers, uid)
    if ready is not None:
        made = [Part(offer.part_content_type, (frame,), place) for place, frame in zip(locations, ready, strict=True)]
        return _whole_parts(offer, headers, boundary, made)

    def parts() -> Iterator[Part]:
        for number, place in zip(numbers, locations, strict=True):
            frame = services.transcoding.frame(instance, number, uid)
            yield Part(offer.part_content_type, (frame,), place)

    return Answer(
        {**headers, "content-type": offer.content_type(boundary)},
        encoded(boundary, parts()),
        is_lazy=True,
        waits_for_decoder=True,
    )


def _kept(services: Services, instance: StoredInstance, numbers: Sequence[int], uid: str) -> list[bytes] | None:
    """The frames if all of them were made before and are still there; None, too, when memory should not hold them."""
    found: list[bytes] = []
    size = 0
    for number in numbers:
        frame = services.transcoding.kept_frame(instance, number, uid)
        if frame is None or size + len(frame) > _MOST_KEPT_BYTES:
            return None
        found.append(frame)
        size += len(frame)
    return found

"""Thumbnails of studies, series, instances and frames (PS3.18 §10.4.1.1.4), plain ASGI: mostly looked up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.types import Scope

from pacs.dicomweb.accept import Offer, choose
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.rendering_parameters import PARAMETERS, rendering_parameters
from pacs.dicomweb.requests import accepted_by, is_not_modified, query_parameters
from pacs.dicomweb.resources import ResourceKey, frame_numbers
from pacs.dicomweb.responses import REVALIDATE, entity_tag
from pacs.dicomweb.services import Services
from pacs.errors import InvalidRequest, NotAcceptable, NotFound
from pacs.model import Principal, StoredInstance
from pacs.pixels.form import form_of_pictures
from pacs.pixels.thumbnail import THUMBNAIL_SIDE, Box, thumbnail
from pacs.thumbnails import Chosen, NotMade
from pacs.video_frames import number_of_pictures

THUMBNAIL_MEDIA_TYPES = ("image/jpeg", "image/png")
THUMBNAIL_PARAMETERS: list[dict[str, Any]] = [
    {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
    for name, text in (("accept", PARAMETERS["accept"]), ("viewport", "columns,rows that it fits into"))
]
_OFFERS = tuple(Offer(media_type) for media_type in THUMBNAIL_MEDIA_TYPES)
_USUAL_BOX = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
_NO_IMAGE = "There is no image in it, so no picture can be made; retrieve it as application/dicom"


def thumbnails_of(services: Services) -> Callable[[Scope], Answer]:
    """The routes' function. ``viewport`` gives another size; nothing of the patient is drawn on it."""

    def prepare(scope: Scope) -> Answer:
        principal = services.identify(scope)
        key = ResourceKey.of(scope["path_params"])
        box = _box(scope)
        offer = choose(accepted_by(scope), _OFFERS)
        frame = _frame(scope)

        def answer(chosen: Chosen) -> Answer:
            return _answer(services, scope, principal, chosen, box, offer)

        try:
            return answer(_chosen(services, principal, key, frame, make=False))
        except NotMade:
            return Answer({}, make=lambda: _made(answer(_chosen(services, principal, key, frame, make=True))))

    return prepare


def _made(answer: Answer) -> Answer:
    return answer if answer.make is None else answer.make()


def _answer(services: Services, scope: Scope, principal: Principal, chosen: Chosen, box: Box, offer: Offer) -> Answer:
    """The picture of `chosen`, or what makes it when it is kept in another size or type."""
    key = ResourceKey.of(scope["path_params"])
    caching = services.caching_of_instances if key.sop_instance_uid else REVALIDATE
    drawn = (chosen.digest, str(chosen.frame), offer.media_type, str(box))
    tag = entity_tag("thumbnail", form_of_pictures(), *drawn)
    headers = {"etag": tag, "cache-control": caching, "vary": "Accept"}
    if is_not_modified(scope, tag):
        return Answer(headers, status=304)

    def sent(picture: bytes) -> Answer:
        described = {"content-type": offer.content_type(), "content-length": str(len(picture))}
        return Answer({**headers, **described}, (picture,))

    picture = chosen.picture
    if box != _USUAL_BOX or offer.media_type != THUMBNAIL_MEDIA_TYPES[0] or not picture:
        study = key.study_instance_uid
        return Answer({}, make=lambda: sent(_drawn(services, principal, study, chosen, box, offer.media_type)))
    return sent(picture)


def _chosen(services: Services, principal: Principal, key: ResourceKey, frame: int | None, *, make: bool) -> Chosen:
    """The frame that stands for the resource, with its small picture; raises `NotMade` as `Thumbnails`."""
    retrieve, study = services.retrieve, key.study_instance_uid
    if key.series_instance_uid is None or key.sop_instance_uid is None:
        rows = retrieve.series(principal, study, key.series_instance_uid)
        if key.series_instance_uid is None:
            chosen = retrieve.thumbnails.of_study(principal.hospital, study, rows, make=make)
        else:
            chosen = retrieve.thumbnails.of_series(principal.hospital, study, rows[0], make=make)
        if chosen.is_nothing:
            raise NotAcceptable(_NO_IMAGE)
        return chosen
    instance = retrieve.instance(principal, study, key.series_instance_uid, key.sop_instance_uid)
    if instance.number_of_frames == 0:
        raise NotAcceptable(_NO_IMAGE)
    if frame is None:
        return retrieve.thumbnails.of_instance(instance, make=make)
    return _of_frame(services, instance, frame, make=make)


def _of_frame(services: Services, instance: StoredInstance, frame: int, *, make: bool) -> Chosen:
    if frame > (count := number_of_pictures(instance)):
        raise NotFound(f"frame {frame} is not there: the instance has {count}, counted from 1")
    picture = services.retrieve.thumbnails.of_frame(instance, frame, make=make)
    key = instance.key
    return Chosen(key.series_instance_uid, key.sop_instance_uid, instance.digest, frame, 0, picture=picture)


def _drawn(services: Services, principal: Principal, study: str, chosen: Chosen, box: Box, media_type: str) -> bytes:
    """In another size or type than the kept one."""
    retrieve = services.retrieve
    instance = retrieve.instance(principal, study, chosen.series_instance_uid, chosen.sop_instance_uid)
    header, fragments = retrieve.frame_to_show(instance, chosen.frame, is_near=True)
    return retrieve.decoding.run(
        thumbnail, header, fragments, frame_number=chosen.frame, box=box, media_type=media_type
    )


def _box(scope: Scope) -> Box:
    parameters = rendering_parameters(query_parameters(scope))
    if parameters.has_region:
        raise InvalidRequest("viewport takes columns,rows only for a thumbnail (PS3.18 §8.3.5.1.3)")
    viewport = parameters.viewport
    return _USUAL_BOX if viewport is None else (viewport.columns, viewport.rows)


def _frame(scope: Scope) -> int | None:
    if "frame" not in scope["path_params"]:
        return None
    numbers = frame_numbers(scope["path_params"]["frame"])
    if len(numbers) != 1:
        raise InvalidRequest("One thumbnail shows one frame; ask for each frame by itself")
    return numbers[0]

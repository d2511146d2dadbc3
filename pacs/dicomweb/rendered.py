"""Rendered resources and thumbnails (PS3.18 §10.4.1.1.3, §10.4.1.1.5, §10.4.1.1.8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pacs.dicomweb.accept import Offer, choose
from pacs.dicomweb.openapi import binary
from pacs.dicomweb.rendering_parameters import RenderingParameters, rendering_parameters
from pacs.dicomweb.requests import accepted_by, is_not_modified
from pacs.dicomweb.resources import ResourceKey, frame_numbers
from pacs.dicomweb.responses import REVALIDATE, entity_tag, not_modified
from pacs.dicomweb.services import Services
from pacs.dicomweb.wado import find
from pacs.errors import InvalidRequest, NotAcceptable, UndecodablePixels
from pacs.model import StoredInstance
from pacs.pixels.render import JPEG_MEDIA_TYPE, PNG_MEDIA_TYPE, rendered
from pacs.pixels.thumbnail import THUMBNAIL_SIDE, middle, thumbnail

_OFFERS = (Offer(JPEG_MEDIA_TYPE), Offer(PNG_MEDIA_TYPE))
_MAX_TRIED = 3
"""Instances tried when the middle one cannot be decoded; more would make one request expensive."""

_PARAMETERS: list[dict[str, Any]] = [
    {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
    for name, text in (
        ("window", "center,width[,linear|linear-exact|sigmoid] on rescaled values"),
        ("viewport", "columns,rows[,left,top,width,height]"),
        ("quality", "JPEG quality, 1 to 100"),
    )
]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture", "content": binary(*(offer.media_type for offer in _OFFERS))},
    304: {"description": "The client has it already"},
}
_SERIES = "/studies/{study}/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_FRAME = _INSTANCE + "/frames/{frame}"


def rendered_routes(services: Services) -> APIRouter:
    """Pictures for people: of a study and series their middle image, of an instance its first frame."""
    router = APIRouter(tags=["Rendered"], default_response_class=Response)
    pictures = Pictures(services)

    def add(path: str, summary: str, make: Callable[[Request], Response]) -> None:
        extra = {"parameters": _PARAMETERS + _path_parameters(path)}
        router.add_api_route(path, make, methods=["GET"], summary=summary, responses=_RESPONSES, openapi_extra=extra)

    for path, what in (
        ("/studies/{study}", "study"),
        (_SERIES, "series"),
        (_INSTANCE, "instance"),
        (_FRAME, "frame"),
    ):
        add(f"{path}/rendered", f"Picture of a {what}", pictures.rendered)
        add(f"{path}/thumbnail", f"Small picture of a {what}", pictures.thumbnail)
    return router


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [piece[1:-1] for piece in path.split("/") if piece.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


class Pictures:
    """Makes pictures. Thread-safe."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def rendered(self, request: Request) -> Response:
        """The image at full size, or scaled to ``viewport``."""
        parameters = rendering_parameters(request.query_params)

        def make(instance: StoredInstance, frame: int, offer: Offer) -> bytes:
            header = self._services.retrieve.header(instance)
            (fragments,) = self._services.retrieve.frames(instance, (frame,))
            return rendered(
                header,
                fragments,
                frame_number=frame,
                media_type=offer.media_type,
                window=parameters.window,
                viewport=parameters.viewport,
                quality=parameters.quality,
            )

        return self._answer(request, parameters, "rendered", make)

    def thumbnail(self, request: Request) -> Response:
        """A small picture; ``viewport`` gives another size."""
        parameters = rendering_parameters(request.query_params)
        viewport = parameters.viewport
        side = THUMBNAIL_SIDE if viewport is None else max(viewport.columns, viewport.rows)

        def make(instance: StoredInstance, frame: int, offer: Offer) -> bytes:
            if side == THUMBNAIL_SIDE and offer.media_type == JPEG_MEDIA_TYPE:
                return self._services.retrieve.thumbnail(instance, frame)
            header = self._services.retrieve.header(instance)
            (fragments,) = self._services.retrieve.frames(instance, (frame,))
            return thumbnail(header, fragments, frame_number=frame, side=side, media_type=offer.media_type)

        return self._answer(request, parameters, "thumbnail", make)

    def _answer(
        self,
        request: Request,
        parameters: RenderingParameters,
        kind: str,
        make: Callable[[StoredInstance, int, Offer], bytes],
    ) -> Response:
        principal = self._services.identify(request.scope)
        key = ResourceKey.of(request.path_params)
        asked_frame = _frame_of(request.path_params)
        offer = choose(accepted_by(request.scope), _OFFERS)
        instances = find(self._services, principal, key)
        candidates = _candidates(instances)
        if not candidates:
            raise NotAcceptable("There is no image in it, so no picture can be made; retrieve it as application/dicom")
        is_one = key.sop_instance_uid is not None
        cache_control = self._services.caching_of_instances if is_one else REVALIDATE
        problem: UndecodablePixels | None = None
        for instance in candidates[:_MAX_TRIED]:
            is_first = is_one and kind == "rendered"
            frame = asked_frame or (1 if is_first else middle(instance.number_of_frames))
            tag = entity_tag(instance.digest, kind, str(frame), offer.media_type, parameters.identity)
            if is_not_modified(request.scope, tag):
                return not_modified(tag, cache_control)
            try:
                picture = make(instance, frame, offer)
            except UndecodablePixels as error:
                problem = problem or error
                continue
            headers = {
                "content-type": offer.content_type(),
                "etag": tag,
                "cache-control": cache_control,
                "vary": "Accept",
            }
            return Response(picture, headers=headers)
        assert problem is not None  # noqa: S101 -- for the type checker: the loop ran at least once
        raise problem


def _frame_of(path_parameters: Mapping[str, Any]) -> int | None:
    if "frame" not in path_parameters:
        return None
    numbers = frame_numbers(path_parameters["frame"])
    if len(numbers) != 1:
        raise InvalidRequest("One picture shows one frame; ask for each frame by itself")
    return numbers[0]


def _candidates(instances: list[StoredInstance]) -> list[StoredInstance]:
    """Those with frames, the middle one first: the first slice of a series is often empty."""
    images = [instance for instance in instances if instance.number_of_frames > 0]
    if not images:
        return []
    chosen = middle(len(images)) - 1
    return [images[chosen], *images[chosen + 1 :], *reversed(images[:chosen])]

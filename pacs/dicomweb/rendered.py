"""Rendered resources (PS3.18 §10.4.1.1.3), plain ASGI: pictures and documents for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from starlette.types import Scope

from pacs import log
from pacs.dicomweb.accept import MediaRange, Offer, choose
from pacs.dicomweb.documents import document, is_document
from pacs.dicomweb.hot import Answer
from pacs.dicomweb.multipart import Part, derived_boundary
from pacs.dicomweb.partial_answers import encoded_if_any, refusal
from pacs.dicomweb.rendered_offers import PARTS, STILLS, chosen_offer, offers_of
from pacs.dicomweb.rendered_subjects import Subject, subjects_of
from pacs.dicomweb.rendering_parameters import PARAMETERS, RenderingParameters, rendering_parameters
from pacs.dicomweb.requests import accepted_by, is_not_modified, query_parameters
from pacs.dicomweb.resources import ResourceKey, frame_numbers, service_base
from pacs.dicomweb.responses import REVALIDATE, entity_tag
from pacs.dicomweb.services import Services
from pacs.dicomweb.stored_video import is_video, stored_video, video_offers
from pacs.dicomweb.text_fonts import font_for
from pacs.dicomweb.wado import find
from pacs.errors import NotAcceptable, NotFound, PacsError, UndecodablePixels
from pacs.measured.stages import DECODE
from pacs.model import Principal, StoredInstance
from pacs.part10.header import Header
from pacs.pixels.animation import MOVING_MEDIA_TYPES, MP4_MEDIA_TYPE, durations_ms
from pacs.pixels.annotation import patient_lines, technique_lines
from pacs.pixels.light import LightImage, light_image
from pacs.pixels.rendering import (
    Frame,
    Rendering,
    check_length,
    film_of,
    picture_for_film,
    rendered_as,
    window_of_film,
)
from pacs.pixels.thumbnail import middle
from pacs.pixels.video import can_decode_videos
from pacs.pixels.video_stream import NOT_INSTALLED
from pacs.recent import Recent
from pacs.video_frames import number_of_pictures

_MAX_TRIED = 3
"""Instances tried when the middle one cannot be decoded; more would make one request expensive."""
_MAKES_NO_SENSE = (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What a file says of its pixels may be anything; whoever wrote it, the archive has no error."""
_SHORT_QUERY_BYTES = 256
_LIGHT_IMAGE_BYTES, _LIGHT_IMAGES = 1 << 10, 4096
"""Of one that is remembered, and how many are."""

FILM_MEDIA_TYPES = (MP4_MEDIA_TYPE,)
"""Of several frames of one image, besides an animated GIF."""
DOCUMENT_MEDIA_TYPES = ("text/html", "text/plain", "application/pdf", "text/xml", "model/stl", "model/obj", "model/mtl")
RENDERED_PARAMETERS: list[dict[str, Any]] = [
    {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
    for name, text in PARAMETERS.items()
]


def rendered_of(services: Services) -> Callable[[Scope], Answer]:
    """The routes' function: of a study and series their middle image, or all of them in parts."""
    return Pictures(services).rendered


class Pictures:
    """Makes pictures. Thread-safe."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._light_images: Recent[LightImage] = Recent(_LIGHT_IMAGE_BYTES * _LIGHT_IMAGES)
        """By digest, of bytes that were compared with it."""

    def rendered(self, scope: Scope) -> Answer:
        """What Accept asks for of the resource: one picture, a film, pictures in parts, or a document."""
        principal = self._services.identify(scope)
        parameters = _parameters(scope)
        accepted = accepted_by(scope)
        path_parameters = scope["path_params"]
        key = ResourceKey.of(path_parameters)
        frames = frame_numbers(path_parameters["frame"]) if "frame" in path_parameters else ()
        instances = find(self._services, principal, key)
        if key.sop_instance_uid is None:
            return self._of_many(scope, principal, instances, accepted, parameters)
        if is_document(instances[0].sop_class_uid) and not frames:
            return document(self._services, scope, instances[0], accepted)
        if is_video(instances[0]) and not frames:
            return self._of_video(
                scope, principal, instances[0], accepted, parameters, self._services.caching_of_instances
            )
        subjects = subjects_of(self._services, principal, instances[0], frames, parameters)
        count = number_of_pictures(instances[0])
        if frames and max(frames) > count:
            raise NotFound(f"frame {max(frames)} is asked for; the instance has {count}")
        offers = offers_of(subjects)
        offer = chosen_offer(accepted, offers, parameters)
        if offer.is_multipart:
            return self._in_parts(scope, subjects, offer, parameters)
        return self._one(scope, subjects[:1], offer, parameters, self._services.caching_of_instances)

    def _of_many(
        self,
        scope: Scope,
        principal: Principal,
        instances: Sequence[StoredInstance],
        accepted: Sequence[MediaRange],
        parameters: RenderingParameters,
    ) -> Answer:
        images = [instance for instance in instances if instance.number_of_frames > 0]
        documents = [instance for instance in instances if is_document(instance.sop_class_uid)]
        if (images and all(map(is_video, images))) or (documents and not images):
            # Nothing that a picture can be made of.
            shown = images or documents
            one = shown[middle(len(shown)) - 1]
            if images:
                return self._of_video(scope, principal, one, accepted, parameters, REVALIDATE)
            answer = document(self._services, scope, one, accepted)
            return replace(answer, headers={**answer.headers, "cache-control": REVALIDATE})
        candidates = _candidates(instances)
        offer = chosen_offer(accepted, (*STILLS, *PARTS), parameters)
        if offer.is_multipart:
            subjects = [
                subject
                for instance in images
                for subject in subjects_of(self._services, principal, instance, _still_of(instance), parameters)
            ]
            return self._in_parts(scope, subjects, offer, parameters, len(instances) - len(images))
        tried = [
            replace(subject, frames=(middle(candidate.number_of_frames),))
            for candidate in candidates[:_MAX_TRIED]
            for subject in subjects_of(self._services, principal, candidate, (), parameters)[:1]
        ]
        return self._one(scope, tried, offer, parameters, REVALIDATE)

    def _of_video(
        self,
        scope: Scope,
        principal: Principal,
        instance: StoredInstance,
        accepted: Sequence[MediaRange],
        parameters: RenderingParameters,
        cache_control: str,
    ) -> Answer:
        """The video as it is stored, or its middle frame."""
        videos, why_not = video_offers(self._services, instance)
        stills = (*STILLS, *PARTS) if can_decode_videos() else ()
        try:
            offer = chosen_offer(accepted, (*videos, *stills), parameters)
        except NotAcceptable as problem:
            why = why_not or ("" if stills else NOT_INSTALLED)
            raise NotAcceptable(f"{why}. {problem}" if why else str(problem)) from None

        def played(video: Offer) -> Answer:
            answer = stored_video(self._services, scope, instance, video, parameters)
            return replace(answer, headers={**answer.headers, "cache-control": cache_control})

        if offer in videos:
            return played(offer)
        subjects = subjects_of(self._services, principal, instance, _still_of(instance), parameters)
        if offer.is_multipart:
            return self._in_parts(scope, subjects, offer, parameters)
        answer = self._one(scope, subjects[:1], offer, parameters, cache_control)
        if (make := answer.make) is None:
            return answer

        def made() -> Answer:
            try:
                return make()
            except UndecodablePixels as problem:
                if parameters == RenderingParameters():
                    with suppress(NotAcceptable):
                        return played(choose(accepted, videos))
                raise UndecodablePixels(f"{why_not or f'It can be had as {videos[0]}'}. {problem}") from problem

        return Answer({}, make=made)

    def _one(
        self,
        scope: Scope,
        subjects: Sequence[Subject],
        offer: Offer,
        parameters: RenderingParameters,
        cache_control: str,
    ) -> Answer:
        """A still or a film of the first of `subjects` that can be decoded."""
        if offer.media_type not in MOVING_MEDIA_TYPES:
            subjects = [replace(subject, frames=subject.frames[:1]) for subject in subjects]

        kind = (offer.media_type, "rendered", parameters.identity)
        # Encoders of films write other bytes in another process: a weak tag, so that nobody joins parts of two of them.
        weak = "W/" if offer.media_type == MP4_MEDIA_TYPE else ""
        tags = [weak + entity_tag(*subject.identity, *kind) for subject in subjects]
        is_there = max(subjects[0].frames) <= number_of_pictures(subjects[0].instance)
        if is_there and is_not_modified(scope, tags[0]):
            return _not_modified(tags[0], cache_control)

        rendering = _rendering(subjects[0], offer.media_type, parameters)
        light = self._light(subjects[0], rendering)

        def made() -> Answer:
            problem: UndecodablePixels | None = None
            for subject, tag in zip(subjects, tags, strict=True):
                try:
                    if light is not None and subject is subjects[0]:
                        picture = self._drawn_here(light, subject, rendering)
                    else:
                        picture = self._picture(subject, offer.media_type, parameters)
                except UndecodablePixels as error:
                    problem = problem or error
                    continue
                headers = _headers(offer.content_type(), tag, cache_control) | {"content-length": str(len(picture))}
                return Answer({**headers, **_warnings(parameters)}, (picture,))
            assert problem is not None  # noqa: S101 -- for the type checker: the loop ran at least once
            try:
                raise problem
            finally:
                # Its traceback holds this frame: Python 3.11 may crash when it clears such a circle with memoryviews
                # in it.
                del problem

        return Answer({}, make=made) if light is None else made()

    def _light(self, subject: Subject, rendering: Rendering) -> LightImage | None:
        """What is to be known of its image for a picture that waits for no decoder; None when it has to wait."""
        if len(subject.frames) > 1:
            return None
        instance = subject.instance
        found = self._light_images.get((instance.digest, instance.transfer_syntax_uid))
        if found is None:
            header = self._services.retrieve.header(instance)
            try:
                found = light_image(header)
            except (UndecodablePixels, *_MAKES_NO_SENSE):
                return None
        return found if found is not None and found.takes(rendering) else None

    def _drawn_here(self, light: LightImage, subject: Subject, rendering: Rendering) -> bytes:
        _, fragments = self._frame(subject)
        instance = subject.instance
        self._light_images.put((instance.digest, instance.transfer_syntax_uid), light, _LIGHT_IMAGE_BYTES)
        try:
            with DECODE:
                return light.rendered(fragments, rendering)
        except _MAKES_NO_SENSE as fault:
            raise _without_sense(fault, rendering) from fault

    def _in_parts(
        self,
        scope: Scope,
        subjects: Sequence[Subject],
        offer: Offer,
        parameters: RenderingParameters,
        left_out: int = 0,
    ) -> Answer:
        """Every frame as a part of its own, each made when the one before is sent; an error when none can be."""
        base = service_base(scope)
        identity = [base, str(offer), parameters.identity, *(part for subject in subjects for part in subject.identity)]
        tag, boundary = entity_tag(*identity), derived_boundary(*identity)
        if is_not_modified(scope, tag):
            return _not_modified(tag, REVALIDATE)
        headers = {
            **_headers(offer.content_type(boundary), tag, REVALIDATE),
            **_warnings(parameters, f"{left_out} instances hold no image and are left out" if left_out else ""),
        }

        numbered = (replace(subject, frames=(number,)) for subject in subjects for number in subject.frames)
        parts = (self._part(each, offer.media_type, parameters, base) for each in numbered)
        return Answer(headers, encoded_if_any(boundary, parts), is_lazy=True, waits_for_decoder=True)

    def _part(
        self, subject: Subject, media_type: str, parameters: RenderingParameters, base: str
    ) -> tuple[Part, PacsError | None]:
        """A frame, or why it cannot be shown: the others can be."""
        location = f"{base}{subject.path}/frames/{subject.frames[0]}/rendered"
        try:
            return Part(media_type, (self._picture(subject, media_type, parameters),), location), None
        except PacsError as problem:
            return refusal(problem, location), problem

    def _picture(self, subject: Subject, media_type: str, parameters: RenderingParameters) -> bytes:
        rendering = _rendering(subject, media_type, parameters)
        light = self._light(subject, rendering)
        if light is not None:
            return self._drawn_here(light, subject, rendering)
        header = self._services.retrieve.header(subject.instance)
        if not rendering.is_plain:
            font = font_for(self._services.http.annotation_font, _texts(header, subject, parameters))
            rendering = replace(rendering, font=font)
        if len(subject.frames) > 1:
            return self._film(header, subject, rendering)
        frame = self._frame(subject)
        try:
            return self._services.retrieve.decoding.run(rendered_as, header, frame, rendering)
        except _MAKES_NO_SENSE as fault:
            raise _without_sense(fault, rendering) from fault

    def _film(self, header: Header, subject: Subject, rendering: Rendering) -> bytes:
        """Frames are decoded one by one, so that a long film keeps nobody else waiting for long."""
        check_length(header, len(subject.frames), rendering)
        run = self._services.retrieve.decoding.run
        if rendering.window is None and rendering.presentation is None:
            among = replace(subject, frames=(subject.frames[len(subject.frames) // 2],))
            rendering = replace(rendering, window=run(window_of_film, header, self._frame(among)))
        pictures = [
            run(picture_for_film, header, self._frame(replace(subject, frames=(number,))), rendering)
            for number in subject.frames
        ]
        shown_ms = durations_ms(header, subject.frames)
        return run(film_of, pictures, shown_ms, rendering.media_type, rendering.quality)

    def _frame(self, subject: Subject) -> Frame:
        """The first of its frames."""
        number = subject.frames[0]
        return number, self._services.retrieve.frame_to_show(subject.instance, number)[1]


def _parameters(scope: Scope) -> RenderingParameters:
    query_string: bytes = scope["query_string"]
    return _read(query_string) if len(query_string) <= _SHORT_QUERY_BYTES else _read.__wrapped__(query_string)


@lru_cache(maxsize=256)
def _read(query_string: bytes) -> RenderingParameters:
    """The same for all images of a series that is looked through."""
    return rendering_parameters(query_parameters({"query_string": query_string}))


def _rendering(subject: Subject, media_type: str, parameters: RenderingParameters) -> Rendering:
    """What is wanted, still without letters for what is written on it."""
    return Rendering(
        media_type=media_type,
        window=parameters.window,
        viewport=parameters.viewport,
        quality=parameters.quality,
        annotations=parameters.annotations,
        icc_profile=parameters.icc_profile,
        presentation=subject.state,
        sop_instance_uid=subject.instance.key.sop_instance_uid,
    )


def _without_sense(fault: Exception, rendering: Rendering) -> UndecodablePixels:
    log.failure("picture cannot be made", fault, sop_instance_uid=rendering.sop_instance_uid)
    why = "what the image says of how it is shown makes no sense; retrieve it as application/dicom"
    return UndecodablePixels(why)


def _headers(content_type: str, tag: str, cache_control: str) -> dict[str, str]:
    caching = {"etag": tag, "cache-control": cache_control, "vary": "Accept"}
    return {"content-type": content_type, **caching, "x-content-type-options": "nosniff"}


def _not_modified(tag: str, cache_control: str) -> Answer:
    return Answer({"etag": tag, "cache-control": cache_control, "vary": "Accept"}, status=304)


def _warnings(parameters: RenderingParameters, left_out: str = "") -> dict[str, str]:
    """What is told beside the picture (PS3.18 §8.3.5.1.1); the values are keywords, checked."""
    unknown = ", ".join(parameters.unknown_annotations)
    said = [f"The following annotation values are not supported: {unknown}"] if unknown else []
    said += [left_out] if left_out else []
    return {"warning": ", ".join(f'299 pacs "{text}"' for text in said)} if said else {}


def _texts(header: Header, subject: Subject, parameters: RenderingParameters) -> Iterator[str]:
    """What will be written on the picture, to see which letters are needed."""
    if "patient" in parameters.annotations:
        yield from patient_lines(header)
    if "technique" in parameters.annotations:
        yield from technique_lines(header, 1, 1)
    for layer in subject.state.layers if subject.state is not None else ():
        for text in layer.texts:
            yield from text.lines


def _still_of(instance: StoredInstance) -> tuple[int, ...]:
    """Of a video the middle frame, of which a picture tells more than of the first; of others nothing is said."""
    return (middle(number_of_pictures(instance)),) if is_video(instance) else ()


def _candidates(instances: Sequence[StoredInstance]) -> list[StoredInstance]:
    """Those with frames, the middle one first: the first slice of a series is often empty."""
    images = [instance for instance in instances if instance.number_of_frames > 0]
    images = [instance for instance in images if not is_video(instance)] or images
    if not images:
        raise NotAcceptable("There is no image in it, so no picture can be made; retrieve it as application/dicom")
    chosen = middle(len(images)) - 1
    return [images[chosen], *images[chosen + 1 :], *reversed(images[:chosen])]

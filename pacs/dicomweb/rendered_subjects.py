"""Which frames of which instances a rendered resource shows, and with which presentation state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pacs.dicomweb.rendering_parameters import RenderingParameters, require_no_transformation
from pacs.dicomweb.resources import ResourceKey
from pacs.dicomweb.services import Services
from pacs.dicomweb.text_fonts import identity_of_font
from pacs.errors import InvalidRequest, NotAcceptable, NotFound
from pacs.model import Principal, StoredInstance
from pacs.pixels.form import form_of_pictures, form_of_videos
from pacs.pixels.presentation_state import (
    OTHER_PRESENTATION_STATE_CLASSES,
    PRESENTATION_STATE_CLASSES,
    PresentationState,
    Reference,
    presentation_state,
)
from pacs.pixels.video import is_video

_MAX_SHOWN = 1000
"""Images of one presentation state."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Frames of one image."""

    instance: StoredInstance
    frames: tuple[int, ...]
    """Numbers from 1, not checked."""
    state: PresentationState | None = None
    state_digest: str = ""
    is_list: bool = False
    """The URL names these frames, and more than one."""
    form: str = ""
    """Of what is made of it: libraries, and the font when something may be written on it."""

    @property
    def identity(self) -> tuple[str, ...]:
        """Differs when a picture could."""
        return self.instance.digest, self.state_digest, ",".join(map(str, self.frames)), self.form

    @property
    def path(self) -> str:
        """Of the instance, below the service's base."""
        return ResourceKey.of_instance(self.instance.key).path


def subjects_of(
    services: Services,
    principal: Principal,
    instance: StoredInstance,
    frames: Sequence[int],
    parameters: RenderingParameters,
) -> list[Subject]:
    """What to show for an instance: its own frames, or those that it refers to when it is a presentation state.

    Raises:
        NotAcceptable: no image, or a presentation state that cannot be shown.
        InvalidRequest: a presentation state that is not for this image, or parameters that it does not go with.
        NotFound: a presentation state that is not kept.
    """
    if instance.sop_class_uid in PRESENTATION_STATE_CLASSES | OTHER_PRESENTATION_STATE_CLASSES:
        require_no_transformation(parameters)
        if frames or parameters.presentation_instance is not None:
            raise InvalidRequest("a presentation state has no frames, and cannot be shown with another one")
        return _referenced(services, principal, instance)
    if instance.number_of_frames == 0:
        raise NotAcceptable("There is no image in it, so no picture can be made; retrieve it as application/dicom")
    numbers = tuple(frames) or tuple(range(1, instance.number_of_frames + 1))
    if parameters.presentation_instance is None:
        form = _form(services, instance, may_write=bool(parameters.annotations))
        return [Subject(instance, numbers, is_list=len(frames) > 1, form=form)]
    stored = _state_instance(services, principal, instance, parameters)
    state = presentation_state(services.retrieve.header(stored), stored.sop_class_uid)
    uid = instance.key.sop_instance_uid
    if not any(reference.is_of(uid, number) for reference in state.references for number in numbers):
        raise InvalidRequest(f"presentationinstance {stored.key.sop_instance_uid} is not for this image")
    return [
        Subject(instance, numbers, state, stored.digest, len(frames) > 1, _form(services, instance, may_write=True))
    ]


def _form(services: Services, image: StoredInstance, *, may_write: bool) -> str:
    form = form_of_videos() if is_video(image.transfer_syntax_uid) else form_of_pictures()
    return f"{form} {identity_of_font(services.http.annotation_font) if may_write else ''}"


def _state_instance(
    services: Services, principal: Principal, instance: StoredInstance, parameters: RenderingParameters
) -> StoredInstance:
    """The presentation state of the study that the parameters name."""
    study, uid = instance.key.study_instance_uid, parameters.presentation_instance
    assert uid is not None  # noqa: S101 -- for the type checker; the caller looked
    if parameters.presentation_series is not None:
        return services.retrieve.instance(principal, study, parameters.presentation_series, uid)
    return services.retrieve.instances(principal, study_instance_uid=study, sop_instance_uid=uid)[0]


def _referenced(services: Services, principal: Principal, stored: StoredInstance) -> list[Subject]:
    """The images of a presentation state that are kept here, in its order."""
    state = presentation_state(services.retrieve.header(stored), stored.sop_class_uid)
    subjects = []
    for reference in state.references[:_MAX_SHOWN]:
        image = _image(services, principal, stored, reference)
        if image is not None:
            numbers = reference.frames or tuple(range(1, image.number_of_frames + 1))
            subjects.append(Subject(image, numbers, state, stored.digest, form=_form(services, image, may_write=True)))
    if not subjects:
        raise NotAcceptable("none of the images that the presentation state is for is kept here")
    return subjects


def _image(
    services: Services, principal: Principal, stored: StoredInstance, reference: Reference
) -> StoredInstance | None:
    study = stored.key.study_instance_uid
    try:
        image = services.retrieve.instance(principal, study, reference.series_instance_uid, reference.sop_instance_uid)
    except NotFound:
        return None
    return image if image.number_of_frames > 0 else None

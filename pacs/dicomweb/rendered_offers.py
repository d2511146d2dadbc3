"""In which media types a rendered resource can be had, and which of them Accept likes best (PS3.18 §8.7.4). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pacs.dicomweb.accept import MediaRange, Offer, choose
from pacs.dicomweb.rendered_subjects import Subject
from pacs.dicomweb.rendering_parameters import RenderingParameters
from pacs.errors import InvalidRequest, NotAcceptable
from pacs.pixels.animation import MP4_MEDIA_TYPE, can_make_mp4
from pacs.pixels.picture_formats import GIF_MEDIA_TYPE, STILL_MEDIA_TYPES, WITH_PROFILE

STILLS = tuple(Offer(media_type) for media_type in STILL_MEDIA_TYPES)
PARTS = tuple(Offer(media_type, is_multipart=True) for media_type in STILL_MEDIA_TYPES)
_FILMS = (Offer(MP4_MEDIA_TYPE),)


def offers_of(subjects: Sequence[Subject]) -> tuple[Offer, ...]:
    """What can be made of `subjects`: one frame as a picture, or in a part; several as a film too. A list of frames is
    a list of parts first."""
    if sum(len(subject.frames) for subject in subjects) == 1:
        return (*STILLS, *PARTS)
    films = _FILMS if can_make_mp4() else ()
    if subjects[0].is_list:
        return (*PARTS, Offer(GIF_MEDIA_TYPE), *films)
    return (*STILLS, *films, *PARTS)


def chosen_offer(accepted: Sequence[MediaRange], offers: Sequence[Offer], parameters: RenderingParameters) -> Offer:
    """As `choose`; an offer that does not go with `parameters` is an `InvalidRequest`."""
    try:
        offer = _choice(tuple(accepted), tuple(offers))
    except NotAcceptable as problem:
        if not can_make_mp4() and any(each.media_type == MP4_MEDIA_TYPE for each in accepted):
            why = "video/mp4 needs the package pacs[video], which is not installed here"
            raise NotAcceptable(f"{problem}; {why}") from None
        raise
    if parameters.icc_profile not in {"", "no"} and offer.media_type not in WITH_PROFILE:
        raise InvalidRequest(f"iccprofile={parameters.icc_profile}: {offer.media_type} holds no colour profile")
    return offer


_choice = lru_cache(maxsize=128)(choose)
"""The same few clients ask for the same few things."""

"""In which forms the frames of an instance can be had (PS3.18 §8.7.3.3, §10.4.1.1.6). Pure."""

from __future__ import annotations

from pacs.dicomweb.accept import Offer
from pacs.part10.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    OCTET_STREAM,
    transfer_syntax,
)
from pacs.pixels.encode import HTJ2K_LOSSLESS_RPCL, LOSSLESS_ENCODABLE, LOSSY_ENCODABLE

_SAME_AS_EXPLICIT = frozenset(
    {IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN}
)
"""A frame of these has the same bytes as one of Explicit VR Little Endian."""

_NOT_DEFAULT = frozenset({HTJ2K_LOSSLESS_RPCL, *LOSSY_ENCODABLE})
"""Of what is made here, the syntaxes that their media type alone does not mean (PS3.18 Table 8.7.3-5)."""


def frame_offers(transfer_syntax_uid: str, *, is_one_frame: bool) -> tuple[Offer, ...]:
    """What can be made of frames stored with this transfer syntax, in the archive's order of preference.

    As stored comes first: it costs nothing. ``application/octet-stream`` without a transfer syntax means Explicit VR
    Little Endian (PS3.18 Table 8.7.3-2), so compressed frames have it only when their syntax, or ``*``, is named.
    Big endian frames are offered as stored only by name, because PS3.18 §8.7.3.1 forbids that syntax on the web.
    Then comes what can be made without loss where the pixels allow it (`pacs.transcoding`), and last, only by its UID,
    what loses some of it.
    """
    stored = transfer_syntax(transfer_syntax_uid)
    offers: list[Offer] = []
    for is_multipart in (True, False) if is_one_frame else (True,):
        native = Offer(OCTET_STREAM, EXPLICIT_VR_LITTLE_ENDIAN, is_multipart)
        by_name = Offer(OCTET_STREAM, transfer_syntax_uid, is_multipart, is_only_if_named=True)
        if transfer_syntax_uid in _SAME_AS_EXPLICIT or (stored.is_known and not stored.is_encapsulated):
            offers += [native, by_name] if by_name.transfer_syntax_uid != EXPLICIT_VR_LITTLE_ENDIAN else [native]
        elif stored.media_type == OCTET_STREAM:
            offers += [by_name, native]
        else:
            offers += [Offer(stored.media_type, transfer_syntax_uid, is_multipart), by_name, native]
        offers += _made(transfer_syntax_uid, is_multipart=is_multipart)
    return tuple(offers)


def _made(stored_uid: str, *, is_multipart: bool) -> list[Offer]:
    return [
        Offer(
            transfer_syntax(uid).media_type,
            uid,
            is_multipart,
            is_only_if_named=uid in _NOT_DEFAULT,
            is_lossy=uid in LOSSY_ENCODABLE,
        )
        for uid in (*LOSSLESS_ENCODABLE, *LOSSY_ENCODABLE)
        if uid != stored_uid
    ]


def is_as_stored(offer: Offer, transfer_syntax_uid: str) -> bool:
    """Whether the offer's bytes are the stored ones."""
    if offer.transfer_syntax_uid == transfer_syntax_uid:
        return True
    return offer.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN and transfer_syntax_uid in _SAME_AS_EXPLICIT

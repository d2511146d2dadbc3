"""Which forms of frames are offered for every transfer syntax."""

from __future__ import annotations

import pytest
from pydicom.uid import AllTransferSyntaxes

from pacs.dicomweb.accept import choose, parse_accept
from pacs.dicomweb.frame_representations import frame_offers, is_as_stored

EXPLICIT = "1.2.840.10008.1.2.1"
PRIVATE = "1.2.3.4.5"


@pytest.mark.parametrize("uid", [*map(str, AllTransferSyntaxes), PRIVATE])
def test_every_transfer_syntax_has_explicit_little_endian_and_its_own(uid: str) -> None:
    offers = frame_offers(uid, is_one_frame=True)
    for accept in (
        "application/octet-stream",
        f"multipart/related; type=application/octet-stream; transfer-syntax={EXPLICIT}",
    ):
        assert choose(parse_accept(accept), offers).transfer_syntax_uid == EXPLICIT
    assert choose(parse_accept(f"application/octet-stream; transfer-syntax={uid}"), offers).transfer_syntax_uid == uid


@pytest.mark.parametrize("uid", [*map(str, AllTransferSyntaxes), PRIVATE])
def test_lists_are_never_single_part(uid: str) -> None:
    assert all(offer.is_multipart for offer in frame_offers(uid, is_one_frame=False))


@pytest.mark.parametrize(
    ("uid", "media_type", "syntax"),
    [
        ("1.2.840.10008.1.2", "application/octet-stream", EXPLICIT),
        ("1.2.840.10008.1.2.1.99", "application/octet-stream", EXPLICIT),
        ("1.2.840.10008.1.2.2", "application/octet-stream", EXPLICIT),
        ("1.2.840.10008.1.2.4.50", "image/jpeg", "1.2.840.10008.1.2.4.50"),
        ("1.2.840.10008.1.2.4.201", "image/jphc", "1.2.840.10008.1.2.4.201"),
        ("1.2.840.10008.1.2.5", "image/dicom-rle", "1.2.840.10008.1.2.5"),
        ("1.2.840.10008.1.2.4.102", "video/mp4", "1.2.840.10008.1.2.4.102"),
        (PRIVATE, "application/octet-stream", PRIVATE),
    ],
)
def test_anything_takes_what_is_stored(uid: str, media_type: str, syntax: str) -> None:
    for accept in ("*/*", "multipart/related"):
        offer = choose(parse_accept(accept), frame_offers(uid, is_one_frame=True))
        assert (offer.media_type, offer.transfer_syntax_uid, offer.is_multipart) == (media_type, syntax, True)


def test_stored_or_made() -> None:
    for uid, is_stored in (
        ("1.2.840.10008.1.2", True),
        ("1.2.840.10008.1.2.2", False),
        ("1.2.840.10008.1.2.4.80", False),
    ):
        offer = choose(parse_accept("application/octet-stream"), frame_offers(uid, is_one_frame=True))
        assert is_as_stored(offer, uid) is is_stored

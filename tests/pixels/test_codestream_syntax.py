"""The transfer syntax that a frame shows by itself."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacs.errors import UndecodablePixels
from pacs.pixels.codestream_syntax import check_kind, shown_transfer_syntax

PIXELS = (np.arange(4096, dtype="<u2").reshape(64, 64) * 7) % 251
FAMILY = "1.2.840.10008.1.2.4."


@pytest.mark.parametrize(
    ("media_type", "frame", "last"),
    [
        ("image/jpeg", imagecodecs.jpeg8_encode(PIXELS.astype("u1")), "50"),
        ("image/jpeg", imagecodecs.ljpeg_encode(PIXELS), "57"),
        ("image/jls", imagecodecs.jpegls_encode(PIXELS), "80"),
        ("image/jls", imagecodecs.jpegls_encode(PIXELS, level=3), "81"),
        ("image/jp2", imagecodecs.jpeg2k_encode(PIXELS, reversible=True), "90"),
        ("image/jp2", imagecodecs.jpeg2k_encode(PIXELS, level=30, reversible=False), "91"),
        ("image/jphc", imagecodecs.htj2k_encode(PIXELS), "201"),
        ("image/jxl", b"anything", "112"),
        ("video/mp4", b"anything", "102"),
    ],
)
def test_shown(media_type: str, frame: bytes, last: str) -> None:
    assert shown_transfer_syntax(media_type, frame) == FAMILY + last


def test_others() -> None:
    assert shown_transfer_syntax("image/png", b"") == ""
    with pytest.raises(UndecodablePixels):
        shown_transfer_syntax("image/jpeg", b"\x89PNG")


_OF_MEDIA_TYPE = {
    "image/jpeg": {"50", "51", "55", "57", "70", "80", "81"},
    "image/jls": {"50", "51", "55", "57", "70", "80", "81"},
    "image/jp2": {"90", "91"},
    "image/jphc": {"201", "203"},
}


@given(st.sampled_from(sorted(_OF_MEDIA_TYPE)), st.binary(max_size=60))
def test_any_bytes(media_type: str, noise: bytes) -> None:
    for frame in (noise, b"\xff\xd8" + noise, b"\xff\x4f\xff\x51" + noise):
        try:
            shown = shown_transfer_syntax(media_type, frame)
        except UndecodablePixels:
            continue
        assert shown.removeprefix(FAMILY) in _OF_MEDIA_TYPE[media_type]


_BEGINNINGS = {
    "image/jpeg": imagecodecs.jpeg8_encode(PIXELS.astype("u1")),
    "image/jls": imagecodecs.jpegls_encode(PIXELS),
    "image/jp2": imagecodecs.jpeg2k_encode(PIXELS),
    "image/jxl": imagecodecs.jpegxl_encode(PIXELS),
    "image/dicom-rle": (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + b"\0\1",
    "video/mp4": b"\0\0\0\x18ftypmp42",
    "video/mpeg": b"\0\0\1\xba",
    "video/H265": (b"\x47" + bytes(187)) * 2,
}


@pytest.mark.parametrize("media_type", _BEGINNINGS)
def test_a_frame_is_of_one_kind_only(media_type: str) -> None:
    frame = _BEGINNINGS[media_type]
    check_kind(media_type, frame, len(frame))
    for other in _BEGINNINGS:
        if not (media_type.startswith("video/") and other.startswith("video/")) and other != media_type:
            with pytest.raises(UndecodablePixels):
                check_kind(other, frame, len(frame))


@given(st.sampled_from(sorted(_BEGINNINGS)), st.binary(max_size=300))
def test_any_bytes_are_of_a_kind_or_not(media_type: str, noise: bytes) -> None:
    for frame in (noise, _BEGINNINGS[media_type][:2] + noise, _BEGINNINGS[media_type][: len(noise)]):
        try:
            check_kind(media_type, frame, len(frame))
        except UndecodablePixels:
            continue
        assert len(frame) >= 3

"""What the conformance statement says can be had of a stored image: in which transfer syntax, or not at all.

Written down here from the statement, not taken from the archive's code.
"""

from __future__ import annotations

from tests.integration.matrix_samples import (
    DEFLATED_FRAME,
    ENCAPSULATED_UNCOMPRESSED,
    EXPLICIT,
    FAMILY,
    NATIVE,
    RLE,
    Sample,
)

OCTETS = "application/octet-stream"
BASELINE, JPEG_XL = FAMILY + "50", FAMILY + "110"
MADE = {
    "image/jphc": (FAMILY + "201", FAMILY + "202"),
    "image/jls": (FAMILY + "80",),
    "image/jp2": (FAMILY + "90",),
    "image/jpeg": (FAMILY + "70",),
    "image/jxl": (JPEG_XL,),
    "image/dicom-rle": (RLE,),
}
"""Without loss; the first is what the media type alone means."""
FIRST_OF_ANY = {"image/jphc": FAMILY + "202"}
"""Where ``transfer-syntax=*`` means another one: the one that a viewer can stop reading."""
LOSSLESS = tuple(uid for uids in MADE.values() for uid in uids)
STORED_AS = {
    "image/jpeg": ("50", "51", "53", "55", "57", "70"),
    "image/jls": ("80", "81"),
    "image/jp2": ("90", "91"),
    "image/jpx": ("92", "93"),
    "image/jxl": ("110", "111", "112"),
    "image/jphc": ("201", "202", "203"),
    "video/mp4": ("102", "103", "104", "105", "106"),
    "video/mpeg": ("100", "101"),
    "video/H265": ("107", "108"),
}
MEDIA_TYPE = {FAMILY + last: media_type for media_type, all_of_it in STORED_AS.items() for last in all_of_it} | {
    RLE: "image/dicom-rle"
}
"""Of a frame as stored; what is not here is ``application/octet-stream``."""
DECODED = (
    NATIVE
    | {RLE, DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED}
    | {uid for uid, media_type in MEDIA_TYPE.items() if not media_type.startswith("video/")}
)
LOSSY = {FAMILY + last for last in ("50", "51", "53", "55", "81", "91", "93", "111", "112", "203")}
_TO_RGB = {FAMILY + last for last in ("50", "51", "53", "55", "110", "111", "112")}
"""Colour comes out of these as RGB."""


_DEFAULTS = (FAMILY + "201", FAMILY + "80", FAMILY + "70", FAMILY + "90", JPEG_XL, RLE)
"""What ``image/*`` makes of a native image, the first that can be."""


def stored_media_type(sample: Sample) -> str:
    return MEDIA_TYPE.get(sample.uid, OCTETS)


def can_be_decoded(sample: Sample) -> bool:
    """As far as the data set tells it."""
    return bool(sample.pixels) and sample.uid in DECODED


def has_pictures(sample: Sample) -> bool:
    """Also of a video, of which nothing else is made."""
    return (can_be_decoded(sample) or sample.is_video) and not sample.is_damaged


def can_be_made(sample: Sample, uid: str) -> bool:
    """Whether the frames can be had in `uid`, as stored or made."""
    if not sample.pixels:
        return False
    if uid == sample.uid:
        return True
    if not can_be_decoded(sample):
        return False
    if uid == EXPLICIT:
        return True
    if uid not in (*LOSSLESS, BASELINE) or sample.pixels != "PixelData" or sample.bits not in (8, 16):
        return False
    data_set, photometric = sample.data_set, decoded_photometric(sample)
    if uid == JPEG_XL:
        return not data_set.PixelRepresentation and photometric in {"RGB", "MONOCHROME1", "MONOCHROME2"}
    if uid == BASELINE:
        is_shown = photometric in {"RGB", "YBR_FULL", "MONOCHROME1", "MONOCHROME2"}
        return sample.bits == 8 and not data_set.PixelRepresentation and is_shown
    return photometric in {"RGB", "YBR_FULL", "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}


def decoded_photometric(sample: Sample) -> str:
    if sample.data_set.SamplesPerPixel == 1:
        return sample.photometric
    if sample.photometric in {"YBR_RCT", "YBR_ICT"} or sample.uid in _TO_RGB:
        return "RGB"
    return "YBR_FULL" if sample.photometric == "YBR_FULL_422" else sample.photometric


def frames_in(sample: Sample, media_type: str, asked: str | None) -> str | None:
    """The transfer syntax of frames for ``Accept: media_type; transfer-syntax=asked``; None: 406."""
    stored = stored_media_type(sample)
    if media_type in ("*/*", "image/*"):
        is_image = stored.startswith("image/")
        if media_type == "*/*" or is_image:
            return _as_stored(sample)
        return next((uid for uid in _DEFAULTS if can_be_made(sample, uid)), None)
    if media_type == OCTETS:
        if asked is None:
            return EXPLICIT if can_be_made(sample, EXPLICIT) else None
        if asked == "*":
            return _as_stored(sample)
        return asked if asked in (sample.uid, EXPLICIT) and can_be_made(sample, asked) else None
    if asked in (None, "*") and stored == media_type:
        return sample.uid
    if asked is None:
        made = MADE.get(media_type, ("",))[0]
    elif asked == "*":
        made = FIRST_OF_ANY.get(media_type, MADE.get(media_type, ("",))[0])
    else:
        made = asked if MEDIA_TYPE.get(asked) == media_type else ""
    return made if made and can_be_made(sample, made) else None


def _as_stored(sample: Sample) -> str:
    """Nothing but its own name gives big endian, which PS3.18 §8.7.3.1 keeps off the web; native frames of other
    encodings have the bytes of Explicit VR Little Endian, and that name."""
    return EXPLICIT if sample.uid in NATIVE else sample.uid


def file_in(sample: Sample, asked: str | None) -> str | None:
    """The transfer syntax of an instance for ``Accept: application/dicom; transfer-syntax=asked``; None: 406."""
    if asked in (None, "*", sample.uid):
        return sample.uid
    if asked == EXPLICIT:
        is_made = not sample.pixels or can_be_decoded(sample)
        return EXPLICIT if is_made and sample.uid in DECODED else None
    return asked if asked in LOSSLESS and can_be_made(sample, asked) else None

"""What each Transfer Syntax UID says about the bytes (PS3.5 Annex A, PS3.6 Annex A, PS3.18 Table 8.7.3-5)."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom._uid_dict import UID_dictionary

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"
GE_PRIVATE_BIG_ENDIAN_PIXELS = "1.2.840.113619.5.2"
"""Implicit VR little endian whose pixel data alone is big endian; old GE systems send it."""

_IMPLICIT = {IMPLICIT_VR_LITTLE_ENDIAN, GE_PRIVATE_BIG_ENDIAN_PIXELS, "1.2.840.10008.1.20"}
_DEFLATED = {DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
_REFERENCED = {"1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"}
"""JPIP: the pixels are elsewhere, the data set holds only their URL."""

OCTET_STREAM = "application/octet-stream"
_MEDIA_TYPES = {
    "image/jpeg": (*range(50, 67), 70),
    "image/jls": (80, 81),
    "image/jp2": (90, 91),
    "image/jpx": (92, 93),
    "video/mpeg": (100, 101),
    "video/mp4": (102, 103, 104, 105, 106),
    "video/H265": (107, 108),
    "image/jxl": (110, 111, 112),
    "image/jphc": (201, 202, 203),
}
_MEDIA_TYPE_BY_UID = {
    RLE_LOSSLESS: "image/dicom-rle",
    **{f"1.2.840.10008.1.2.4.{last}": media for media, numbers in _MEDIA_TYPES.items() for last in numbers},
}


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """The encoding that one Transfer Syntax UID names."""

    uid: str
    name: str
    is_implicit_vr: bool
    is_little_endian: bool
    is_encapsulated: bool
    """Pixel data comes as fragments of frames; for an unknown syntax only the data set itself can tell."""
    is_deflated: bool
    """The whole data set is deflated (RFC 1951), not single frames."""
    media_type: str
    """Content type of one frame as stored; ``application/octet-stream`` when uncompressed or none is registered."""
    is_known: bool = True


def _known(uid: str, name: str) -> TransferSyntax:
    media_type = _MEDIA_TYPE_BY_UID.get(uid, _MEDIA_TYPE_BY_UID.get(uid.removesuffix(".1"), OCTET_STREAM))
    is_encapsulated = (
        uid.startswith("1.2.840.10008.1.2.4.") or uid in {RLE_LOSSLESS, ENCAPSULATED_UNCOMPRESSED, DEFLATED_IMAGE_FRAME}
    ) and uid not in _REFERENCED
    return TransferSyntax(
        uid=uid,
        name=name,
        is_implicit_vr=uid in _IMPLICIT,
        is_little_endian=uid != EXPLICIT_VR_BIG_ENDIAN,
        is_encapsulated=is_encapsulated,
        is_deflated=uid in _DEFLATED,
        media_type=media_type,
    )


# Registered later than the dictionary of some pydicom releases.
_REGISTERED = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    DEFLATED_IMAGE_FRAME: "Deflated Image Frame Compression",
    GE_PRIVATE_BIG_ENDIAN_PIXELS: "GE Private Implicit VR Big Endian Pixel Data",
    **{uid: entry[0] for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"},
}
_TRANSFER_SYNTAXES = {uid: _known(uid, name) for uid, name in _REGISTERED.items()}


def transfer_syntax(uid: str) -> TransferSyntax:
    """Return what `uid` names. Never fails.

    An unknown or private UID is taken as explicit VR little endian (PS3.5 §10.1 allows no other new encoding); whether
    its pixel data is encapsulated is then decided by the data set (`pacs.part10.header.Header.is_encapsulated`).
    """
    known = _TRANSFER_SYNTAXES.get(uid)
    if known is not None:
        return known
    return TransferSyntax(
        uid=uid,
        name="Unknown Transfer Syntax",
        is_implicit_vr=False,
        is_little_endian=True,
        is_encapsulated=False,
        is_deflated=False,
        media_type=OCTET_STREAM,
        is_known=False,
    )

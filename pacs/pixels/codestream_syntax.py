"""Which transfer syntax a compressed frame is in, read from its own header, when nobody says so.

Sources: ISO/IEC 10918-1 §B.2, 14495-1 §C.2.3, 15444-1 §A.6.1; the media types of PS3.18 Table 8.7.3-5.
"""

from __future__ import annotations

from pacs.errors import UndecodablePixels
from pacs.part10.transfer_syntax import RLE_LOSSLESS
from pacs.pixels.codestream import (
    JpegCodestream,
    check_video,
    read_jpeg,
    read_jpeg_2000,
    read_jpeg_xl,
    read_rle,
)

HEAD_BYTES = 1 << 16
"""Enough of a frame for `shown_transfer_syntax`."""

_FAMILY = "1.2.840.10008.1.2.4."
_REVERSIBLE = {"image/jp2": ("90", "91"), "image/jpx": ("92", "93"), "image/jphc": ("201", "203")}
_FIXED = {
    "image/dicom-rle": RLE_LOSSLESS,
    # Says nothing about losses, so it is true of every JPEG XL frame.
    "image/jxl": _FAMILY + "112",
    "video/mpeg": _FAMILY + "100",
    "video/mpeg2": _FAMILY + "100",
    "video/mp4": _FAMILY + "102",
    "video/h265": _FAMILY + "107",
}
_JPEG_LS = 0xF7
_START_OF_FRAME = {0xC0: "50", 0xC1: "51", 0xC2: "55"}


def check_kind(media_type: str, head: bytes, size_bytes: int) -> None:
    """See whether a frame, or a video, of `size_bytes` that starts with `head` is of `media_type`. Decodes nothing.

    `head` may end anywhere. What it lacks counts as torn, so who gets an error and has more of the frame tries with
    that. A media type of no transfer syntax is passed.

    Raises:
        UndecodablePixels: it is not, or it is torn.
    """
    media_type = media_type.lower()
    if media_type in ("image/jpeg", "image/jls"):
        kind = read_jpeg(head).start_of_frame
        if (kind == _JPEG_LS) is not (media_type == "image/jls"):
            raise UndecodablePixels(f"its frame header is of kind {kind:02X}, which {media_type} does not have")
    elif media_type in _REVERSIBLE:
        read_jpeg_2000(head)
    elif media_type == "image/jxl":
        read_jpeg_xl(head)
    elif media_type == "image/dicom-rle":
        read_rle(head, size_bytes)
    elif media_type.startswith("video/"):
        check_video(head)


def shown_transfer_syntax(media_type: str, head: bytes) -> str:
    """The Transfer Syntax UID of a frame that starts with `head` and is said to be `media_type`; empty for no other.

    Raises:
        UndecodablePixels: the frame is none of that media type.
    """
    media_type = media_type.lower()
    if media_type in ("image/jpeg", "image/jls"):
        return _FAMILY + _jpeg(read_jpeg(head), head)
    if media_type in _REVERSIBLE:
        start = read_jpeg_2000(head).start
        reversible, irreversible = _REVERSIBLE[media_type]
        return _FAMILY + (reversible if _is_reversible(head, start) else irreversible)
    return _FIXED.get(media_type, "")


def _jpeg(frame: JpegCodestream, head: bytes) -> str:
    if frame.start_of_frame in _START_OF_FRAME:
        return _START_OF_FRAME[frame.start_of_frame]
    # Start of scan: marker, length, Ns, Ns x 2, then the predictor or NEAR.
    scan = head.find(b"\xff\xda")
    parameter = scan + 5 + 2 * frame.components
    value = head[parameter] if scan >= 0 and parameter < len(head) else 0
    if frame.start_of_frame == _JPEG_LS:
        return "81" if value else "80"
    if frame.start_of_frame == 0xC3:
        return "70" if value == 1 else "57"
    raise UndecodablePixels(f"JPEG frames of kind {frame.start_of_frame:02X} have no transfer syntax")


def _is_reversible(head: bytes, start: int) -> bool:
    marker = head.find(b"\xff\x52", start)
    return marker >= 0 and head[marker + 13 : marker + 14] == b"\1"

"""The Image Pixel Description Macro of a store request (PS3.18 §10.5.2): what metadata says of its pixel data against
what a compressed frame says of itself, and what metadata leaves to the frame. Pure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pacs.dicomweb.store_pixels import first_value
from pacs.errors import MalformedDataSet, UndecodablePixels
from pacs.part10.data_set_writer import encoded_data_set
from pacs.part10.elements import tag_text
from pacs.part10.transfer_syntax import transfer_syntax
from pacs.pixels.codestream import Codestream, JpegCodestream, read_jpeg, read_jpeg_2000
from pacs.pixels.video import VideoMeasure, is_video

_PIXEL_DATA: Final = "7FE00010"
SAMPLES, PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION = 0x00280002, 0x00280004, 0x00280006
NUMBER_OF_FRAMES, ROWS, COLUMNS = 0x00280008, 0x00280010, 0x00280011
BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_VR: Final = {
    SAMPLES: "US",
    PHOTOMETRIC_INTERPRETATION: "CS",
    PLANAR_CONFIGURATION: "US",
    NUMBER_OF_FRAMES: "IS",
    ROWS: "US",
    COLUMNS: "US",
    BITS_ALLOCATED: "US",
    BITS_STORED: "US",
    HIGH_BIT: "US",
    PIXEL_REPRESENTATION: "US",
}
_JPEG: Final = frozenset({"image/jpeg", "image/jls"})
_JPEG_2000: Final = frozenset({"image/jp2", "image/jpx", "image/jphc"})
_NAMES_OF_RGB: Final = (82, 71, 66)
"""Identifiers of components that encoders give to red, green and blue that they left as they are."""
_MOST_BITS: Final = 32
_FAMILY: Final = "1.2.840.10008.1.2.4."
_VIDEOS: Final = {"video/mpeg": ("100", "101"), "video/mp4": ("102", "104"), "video/H265": ("107", "108")}
"""Transfer syntaxes of main level and high level, of level 4.1 and 4.2, of 8 and 10 bits."""
_MAIN_LEVEL_ROWS, _MAIN_LEVEL_COLUMNS = 576, 720
_LEVEL_4_1_BLOCKS: Final = 245_760
"""Macroblocks in a second (H.264 Table A-1)."""
_CODING_STYLE: Final = b"\xff\x52"


@dataclass(frozen=True, slots=True)
class Description:
    """What a compressed frame, or a picture, says of its pixels."""

    rows: int
    columns: int
    samples: int
    bits: int
    photometric_interpretation: str
    is_signed: bool = False
    frames: int = 0
    """Of a picture or video that holds them all; 0 of one frame of them, and where it is not known."""
    is_video: bool = False

    def check_agrees(self, said: Mapping[int, Any]) -> None:
        """See that nothing of `said` by metadata contradicts it.

        Raises:
            MalformedDataSet: something does; nobody could decode what is stored so.
        """
        told = ((ROWS, self.rows), (COLUMNS, self.columns), (SAMPLES, self.samples), (NUMBER_OF_FRAMES, self.frames))
        for tag, found in told:
            if found and said.get(tag, found) != found:
                raise MalformedDataSet(f"{tag_text(tag)} is {said[tag]} in the metadata, and {found} in a frame")
        allocated = said.get(BITS_ALLOCATED)
        if isinstance(allocated, int) and self.bits > allocated:
            raise MalformedDataSet(f"a frame has {self.bits} bits, and (0028,0100) of the metadata is {allocated}")

    def element(self, tag: int, said: Mapping[int, Any]) -> bytes:
        """The element of the data set for an attribute of the macro that metadata left out; empty for none.

        Raises:
            MalformedDataSet: it cannot be left out, as the frame does not say it, or no image has it.
        """
        stored = said.get(BITS_STORED, self.bits)
        value = {
            SAMPLES: self.samples,
            PHOTOMETRIC_INTERPRETATION: self.photometric_interpretation,
            PLANAR_CONFIGURATION: 0 if self.samples > 1 else None,
            NUMBER_OF_FRAMES: self.frames if self.frames > 1 or self.is_video else None,
            ROWS: self.rows,
            COLUMNS: self.columns,
            BITS_ALLOCATED: next(bits for bits in (8, 16, _MOST_BITS) if self.bits <= bits),
            BITS_STORED: self.bits,
            HIGH_BIT: stored - 1 if isinstance(stored, int) and stored > 0 else None,
            PIXEL_REPRESENTATION: int(self.is_signed),
        }[tag]
        if value is None:
            return b""
        if not value and tag in (ROWS, COLUMNS, NUMBER_OF_FRAMES):
            where = (
                "its video (only one with an index, or a short one, tells it)" if self.is_video else "a frame's header"
            )
            raise MalformedDataSet(f"{tag_text(tag)} is in neither the metadata nor {where}")
        (written,) = encoded_data_set({f"{tag:08X}": {"vr": _VR[tag], "Value": [value]}})
        assert isinstance(written, bytes)  # noqa: S101 -- for the type checker: nothing of it comes apart
        return written


def said_by(attributes: Any) -> dict[int, Any]:
    """The values of the macro in `attributes`, which may be anything; those that are there."""
    said: dict[int, Any] = {}
    for tag, vr in _VR.items():
        value = first_value(attributes, f"{tag:08X}")
        if value is None:
            continue
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            said[tag] = value if vr == "CS" else int(value)
    return said


def with_places(attributes: Any) -> tuple[Any, frozenset[int]]:
    """`attributes`, which may be anything, with a place for each attribute of the macro that is left out beside pixel
    data that comes apart: a BulkDataURI that leads to nothing. And the tags of those places."""
    if type(attributes) is not dict:
        return attributes, frozenset()
    pixel_data = attributes.get(_PIXEL_DATA, attributes.get(_PIXEL_DATA.lower()))
    if not isinstance(pixel_data, dict) or "BulkDataURI" not in pixel_data:
        return attributes, frozenset()
    left_out = [tag for tag in _VR if f"{tag:08X}" not in attributes]
    places = {f"{tag:08X}": {"vr": _VR[tag], "BulkDataURI": "derived"} for tag in left_out}
    return {**attributes, **places}, frozenset(left_out)


def description_of(media_type: str, head: bytes) -> Description | None:
    """What a frame of `media_type` that starts with `head` says of its pixels; None of other kinds of frames.

    Raises:
        UndecodablePixels: it is torn, or has pixels that no image of DICOM has.
    """
    if media_type in _JPEG:
        jpeg = read_jpeg(head)
        return _described(jpeg, _colours_of_jpeg(jpeg))
    if media_type in _JPEG_2000:
        frame = read_jpeg_2000(head)
        return _described(frame, _colours_of_jpeg_2000(head, frame.start))
    return None


def description_of_video(video: VideoMeasure) -> Description:
    """What a video says of its pixels (PS3.5 §8.2.5 to §8.2.11)."""
    colours = "YBR_PARTIAL_420"
    return Description(video.rows, video.columns, 3, video.bits, colours, frames=video.frames, is_video=True)


def syntax_of_video(video: VideoMeasure, named: str) -> str:
    """The transfer syntax of a video: `named` where it is of that kind, else the one that its kind and size have.

    Raises:
        MalformedDataSet: `named` is of another kind of video.
    """
    if transfer_syntax(named).media_type == video.media_type:
        return named
    if is_video(named):
        raise MalformedDataSet(f"the video is of the kind {video.media_type}, and the metadata says {named}")
    is_larger = {
        "video/mpeg": video.rows > _MAIN_LEVEL_ROWS or video.columns > _MAIN_LEVEL_COLUMNS,
        "video/mp4": -(-video.rows // 16) * -(-video.columns // 16) * video.rate > _LEVEL_4_1_BLOCKS,
        "video/H265": video.bits > 8,
    }[video.media_type]
    return _FAMILY + _VIDEOS[video.media_type][is_larger]


def _described(frame: Codestream, colours: str) -> Description:
    if frame.components not in (1, 3) or not 0 < frame.precision <= _MOST_BITS:
        raise UndecodablePixels(
            f"it has {frame.components} components of {frame.precision} bits; an image has 1 or 3 of up to {_MOST_BITS}"
        )
    photometric_interpretation = colours if frame.components == 3 else "MONOCHROME2"
    return Description(
        frame.rows, frame.columns, frame.components, frame.precision, photometric_interpretation, frame.is_signed
    )


def _colours_of_jpeg(frame: JpegCodestream) -> str:
    is_transformed = frame.adobe_transform == 1 if frame.is_lossless else frame.adobe_transform != 0
    if not is_transformed or frame.component_ids == _NAMES_OF_RGB:
        return "RGB"
    return "YBR_FULL_422" if frame.is_subsampled else "YBR_FULL"


def _colours_of_jpeg_2000(head: bytes, start: int) -> str:
    """ISO/IEC 15444-1 §A.6.1: whether the components are transformed, and with which wavelet."""
    marker = head.find(_CODING_STYLE, start)
    if marker < 0 or marker + 13 >= len(head) or not head[marker + 8]:
        return "RGB"
    return "YBR_RCT" if head[marker + 13] == 1 else "YBR_ICT"

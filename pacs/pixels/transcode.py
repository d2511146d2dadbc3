"""Stored pixels to other transfer syntaxes, for who does not know the stored one or wants another (PS3.5 Annex A)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pacs.errors import UndecodablePixels
from pacs.part10.frame_table import FrameTable, frame_table
from pacs.part10.header import Header, scan
from pacs.part10.transfer_syntax import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    GE_PRIVATE_BIG_ENDIAN_PIXELS,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from pacs.part10.value_writer import element_head
from pacs.pixels.decode import DECODABLE, JPEG, JPEG_XL, LOSSY, Fragment, decode
from pacs.pixels.description import PixelDescription, describe
from pacs.pixels.encode import EncodedFrame, encode, obstacle
from pacs.pixels.native import little_endian
from pacs.pixels.recoded import has_encapsulated_icon
from pacs.pixels.reencode import reencoded, swapped

_PHOTOMETRIC_INTERPRETATION = 0x00280004
_PLANAR_CONFIGURATION = 0x00280006
_LOSSY_IMAGE_COMPRESSION = 0x00282110
_ICON_IMAGE_SEQUENCE = 0x00880200
_OFFSET_TABLES = {0x7FE00001, 0x7FE00002, 0x7FE00003}
"""Extended Offset Table, its lengths, Encapsulated Pixel Data Value Total Length."""
_FLOAT_BYTES = {0x7FE00008: 4, 0x7FE00009: 8}

Decoded = Callable[[PixelDescription, Sequence[Fragment]], EncodedFrame]
"""What `decoded_frame` is."""

MAX_NATIVE_BYTES = 1 << 31
"""Pixel data that would grow past this is refused: a data set is made whole in memory."""


def native_frame(description: PixelDescription, fragments: Sequence[Fragment]) -> bytes:
    """One frame as Explicit VR Little Endian has it: samples of a pixel together, 1-bit pixels packed.

    Native frames keep their photometric interpretation and planar configuration; only the byte order changes.
    Compressed colour comes out as `decode` tells, mostly RGB.

    Raises:
        UndecodablePixels: the frame can't be decoded.
    """
    if not description.is_encapsulated:
        return little_endian(description, bytes(fragments[0]) if len(fragments) == 1 else b"".join(fragments))
    pixels = decode(description, fragments).pixels
    return _packed(pixels.tobytes()) if description.bits_allocated == 1 else pixels.tobytes()


def transcoding_obstacle(description: PixelDescription, target_uid: str) -> str:
    """Why frames like these cannot be had in `target_uid`, as far as can be told without decoding them; else empty."""
    if description.is_encapsulated and description.transfer_syntax_uid not in DECODABLE:
        return f"there is no decoder for the stored transfer syntax {description.transfer_syntax_uid}"
    if target_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return ""
    return obstacle(description, _decoded_name(description), target_uid)


def transcoded_frame(description: PixelDescription, fragments: Sequence[Fragment], target_uid: str) -> EncodedFrame:
    """One stored frame in `target_uid`: Explicit VR Little Endian or one of `pacs.pixels.encode.ENCODABLE`.

    Lossless unless `target_uid` is lossy. A native frame in Explicit VR Little Endian keeps its photometric
    interpretation and planar configuration; everything else has the samples of a pixel together.

    Raises:
        UndecodablePixels: it can't be decoded, or has no place in `target_uid`.
    """
    if target_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        if not description.is_encapsulated:
            return EncodedFrame(native_frame(description, fragments), description.photometric_interpretation)
        decoded = decode(description, fragments)
        pixels = decoded.pixels.tobytes()
        native = _packed(pixels) if description.bits_allocated == 1 else pixels
        return EncodedFrame(native, decoded.photometric_interpretation)
    reason = transcoding_obstacle(description, target_uid)
    if reason:
        raise UndecodablePixels(f"the frame can't be made into {target_uid}: {reason}")
    decoded = decode(description, fragments)
    return encode(decoded.pixels, description, decoded.photometric_interpretation, target_uid)


def _decoded_name(description: PixelDescription) -> str:
    """The photometric interpretation that `decode` gives, as far as the data set tells it."""
    name, uid = description.photometric_interpretation, description.transfer_syntax_uid
    is_from_codec = description.samples_per_pixel == 3 and description.is_encapsulated
    if is_from_codec and (uid in JPEG_XL or uid in JPEG & LOSSY or name in {"YBR_RCT", "YBR_ICT"}):
        return "RGB"
    return "YBR_FULL" if name == "YBR_FULL_422" else name


def decoded_frame(description: PixelDescription, fragments: Sequence[Fragment]) -> EncodedFrame:
    """The cells of one decoded frame, a byte for each pixel of 1 bit. Raises `UndecodablePixels`."""
    frame = decode(description, fragments)
    return EncodedFrame(frame.pixels.tobytes(), frame.photometric_interpretation)


def to_native(
    data_set: bytes | memoryview, transfer_syntax_uid: str, target_uid: str, *, decoded: Decoded = decoded_frame
) -> bytes:
    """A whole data set, as stored in `transfer_syntax_uid`, in Explicit or Implicit VR Little Endian.

    Decompressed colour gets its right Photometric Interpretation and Planar Configuration 0, decompressed lossy frames
    are marked as such. All other values keep their bytes; what would be wrong goes: group lengths, offset tables and
    an icon that is compressed itself. `decoded` does what `decoded_frame` does, perhaps in another process.

    Raises:
        UndecodablePixels: pixels that can't be decoded, more than `MAX_NATIVE_BYTES` of them, or another target.
        MalformedDataSet, TooLarge: `data_set` can't be walked or inflated.
    """
    if target_uid not in {EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN}:
        raise UndecodablePixels(f"data sets are made only in Explicit and Implicit VR Little Endian, not {target_uid}")
    header = scan(data_set, transfer_syntax_uid)
    is_implicit_vr = target_uid == IMPLICIT_VR_LITTLE_ENDIAN
    return b"".join(native_data_set(header, is_implicit_vr=is_implicit_vr, decoded=decoded))


def native_data_set(
    header: Header, *, is_implicit_vr: bool = False, decoded: Decoded = decoded_frame
) -> Iterator[bytes | memoryview]:
    """What `to_native` makes, as pieces; values that keep their encoding are handed out as they lie."""
    changed: dict[int, tuple[str, bytes]] = {}
    if header.pixel_data is not None:
        changed = _decompressed(header, decoded) if header.is_encapsulated else _reordered(header)
    return _elements(header, changed, is_implicit_vr)


def _elements(
    header: Header, changed: dict[int, tuple[str, bytes]], is_implicit_vr: bool
) -> Iterator[bytes | memoryview]:
    left_out = _OFFSET_TABLES if header.is_encapsulated else set()
    if has_encapsulated_icon(header):
        left_out = left_out | {_ICON_IMAGE_SEQUENCE}
    for tag in sorted(header.elements.keys() | changed.keys()):
        if tag in changed:
            vr, value = changed[tag]
            yield element_head(tag, vr, len(value), is_implicit_vr=is_implicit_vr)
            yield value
        elif tag & 0xFFFF and tag not in left_out:
            yield from reencoded(header, header.elements[tag], is_implicit_vr=is_implicit_vr)


def _reordered(header: Header) -> dict[int, tuple[str, bytes]]:
    """Native pixel data whose words must be swapped; nothing when they lie right."""
    pixel_data = header.pixel_data
    assert pixel_data is not None  # noqa: S101 -- for the type checker; the caller looked
    if header.is_little_endian and header.transfer_syntax.uid != GE_PRIVATE_BIG_ENDIAN_PIXELS:
        return {}  # and nothing has to be known of the pixels
    value = header.buffer[pixel_data.value_offset : pixel_data.end]
    if pixel_data.tag in _FLOAT_BYTES:
        word_bytes, is_big_endian = _FLOAT_BYTES[pixel_data.tag], not header.is_little_endian
    else:
        description = describe(header)
        is_big_endian = description.is_big_endian
        word_bytes = description.bits_allocated // 8 if description.bits_allocated > 8 else 1 + description.is_word
    if not is_big_endian or word_bytes == 1:
        return {}
    return {pixel_data.tag: (header.vr(pixel_data), _even(bytes(swapped(value, word_bytes))))}


def _decompressed(header: Header, decoded: Decoded) -> dict[int, tuple[str, bytes]]:
    """The elements that decompressing replaces or adds."""
    description = describe(header)
    table = frame_table(header)
    expected = description.number_of_frames
    if len(table) < expected:
        raise UndecodablePixels(f"the data set says {expected} frames; {len(table)} are there")
    size = description.samples_per_frame * max(1, description.bits_allocated // 8) * expected
    if size > MAX_NATIVE_BYTES:
        raise UndecodablePixels(f"decompressed, the pixels would take {size} bytes; at most {MAX_NATIVE_BYTES}")
    photometric_interpretation, pixel_data = _decoded_frames(header, description, table, decoded)
    changed = {
        _PHOTOMETRIC_INTERPRETATION: ("CS", _even(photometric_interpretation.encode(), b" ")),
        0x7FE00010: ("OW" if description.bits_allocated > 8 else "OB", _even(pixel_data)),
    }
    if description.samples_per_pixel > 1:
        changed[_PLANAR_CONFIGURATION] = ("US", b"\0\0")
    if description.transfer_syntax_uid in LOSSY and not header.text(_LOSSY_IMAGE_COMPRESSION):
        changed[_LOSSY_IMAGE_COMPRESSION] = ("CS", b"01")
    return changed


def _decoded_frames(
    header: Header, description: PixelDescription, table: FrameTable, decoded: Decoded
) -> tuple[str, bytes]:
    """Photometric interpretation and native bytes of all frames."""
    native = bytearray()
    interpretations = set()
    for number in range(1, description.number_of_frames + 1):
        fragments = [header.buffer[offset : offset + length] for offset, length in table.fragments(number)]
        frame = decoded(description, fragments)
        interpretations.add(frame.photometric_interpretation)
        native += frame.data
    if len(interpretations) != 1:
        raise UndecodablePixels(
            f"frames of one image decode to different colours: {', '.join(sorted(interpretations))}"
        )
    # Frames of a packed image follow each other without a gap (PS3.5 §8.1.1), so all are packed at once.
    return interpretations.pop(), _packed(native) if description.bits_allocated == 1 else bytes(native)


def _packed(bits: bytes | bytearray) -> bytes:
    """Bytes of 0 and 1 as bits, least significant first."""
    return np.packbits(np.frombuffer(bits, np.uint8), bitorder="little").tobytes()


def _even(value: bytes, padding: bytes = b"\0") -> bytes:
    return value + padding if len(value) % 2 else value

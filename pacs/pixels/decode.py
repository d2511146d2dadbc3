"""One stored frame, in any transfer syntax, to an array (PS3.5 §8, §10, Annex A)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import imagecodecs
import numpy as np

from pacs.errors import UndecodablePixels
from pacs.pixels.codestream import Codestream, JpegCodestream, is_jpeg_2000, read_jpeg, read_jpeg_2000, read_jpeg_xl
from pacs.pixels.description import MAX_FRAME_BYTES, PixelDescription, check
from pacs.pixels.native import Pixels, cell_type, unpack
from pacs.pixels.rle import decode_rle
from pacs.pixels.video import is_video, rgb_of_ppm

Fragment = bytes | bytearray | memoryview

JPEG = {f"1.2.840.10008.1.2.4.{process}" for process in (50, 51, 53, 55, 57, 70)}
JPEG_LS = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
JPEG_2000 = {f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 92, 93)}
HTJ2K = {f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203)}
JPEG_XL = {f"1.2.840.10008.1.2.4.{number}" for number in (110, 111, 112)}
RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"
NATIVE = {f"1.2.840.10008.1.2{suffix}" for suffix in ("", ".1", ".1.98", ".1.99", ".2")}
_MARKED = JPEG | JPEG_LS | JPEG_2000 | HTJ2K
LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 81, 91, 93, 111, 112, 203)}
DECODABLE = NATIVE | JPEG | JPEG_LS | JPEG_2000 | HTJ2K | JPEG_XL | {RLE, DEFLATED_FRAME}
"""Transfer syntaxes that `decode` takes. Of a video it takes a frame that `pacs.pixels.video` decoded."""

_JPEG_LS_FRAME = 0xF7
_END_OF_IMAGE = b"\xff\xd9"
_LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""
_END_BYTES = 64
"""Where it stands; some writers pad frames."""


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One frame after its transfer syntax is undone, before any rescale, window or palette."""

    pixels: Pixels
    """``(rows, columns)`` or ``(rows, columns, 3)``, never planar, never subsampled; possibly read-only.

    The cell type is that of Bits Allocated and Pixel Representation. Bits above Bits Stored are as stored.
    """
    photometric_interpretation: str
    """Of `pixels`: RGB where the codec undid YBR_RCT, YBR_ICT or a JPEG's YCbCr; else as described."""


def decode(
    description: PixelDescription, fragments: Sequence[Fragment], *, max_frame_bytes: int = MAX_FRAME_BYTES
) -> DecodedFrame:
    """Decode one frame, given as its stored fragments.

    1-bit native frames must start at a byte, as `pacs.retrieve` hands them out. Lossy frames are clamped to
    Bits Stored. The frame of a video is what `pacs.pixels.video.video_frame` made of it.

    Raises:
        UndecodablePixels: a transfer syntax without a decoder, a damaged frame, dimensions in the frame other than
            the description's, or a frame larger than `max_frame_bytes`.
    """
    check(description, max_frame_bytes)
    frame = bytes(fragments[0]) if len(fragments) == 1 else b"".join(fragments)
    uid = description.transfer_syntax_uid
    if is_video(uid):
        return _of_video(description, frame)
    try:
        if not description.is_encapsulated or uid in NATIVE:
            pixels = unpack(description, frame)
        elif uid == RLE:
            pixels = decode_rle(description, frame)
        elif uid in _MARKED:
            return _decode_marked(description, frame)
        elif uid in JPEG_XL:
            return _decode_jpeg_xl(description, frame)
        elif uid == DEFLATED_FRAME:
            pixels = unpack(
                description, _inflated(frame, max(description.native_frame_bytes, description.samples_per_frame))
            )
        else:
            raise UndecodablePixels(f"no decoder for transfer syntax {uid}")
    except (RuntimeError, ValueError, TypeError, IndexError, MemoryError, OverflowError) as error:
        # Codecs tell what is wrong with their input through these and subclasses of them.
        raise UndecodablePixels(f"the frame can't be decoded as {uid}: {error}") from error
    return DecodedFrame(pixels, _expanded(description.photometric_interpretation))


def _of_video(description: PixelDescription, picture: bytes) -> DecodedFrame:
    pixels: Pixels = rgb_of_ppm(picture)
    if pixels.shape[:2] != (description.rows, description.columns):
        rows, columns, samples = pixels.shape
        raise _disagreement(description, rows, columns, samples)
    if description.samples_per_pixel == 1:
        pixels = np.rint(pixels @ np.array(_LUMINANCE)).astype(np.uint8)
    if description.bits_stored > 8:  # shown with 8 again
        pixels = pixels.astype(cell_type(description)) << description.bits_stored - 8
    return DecodedFrame(pixels, "RGB" if pixels.ndim == 3 else "MONOCHROME2")


def _expanded(photometric_interpretation: str) -> str:
    """The name of what `unpack` makes of a subsampled frame."""
    return "YBR_FULL" if photometric_interpretation == "YBR_FULL_422" else photometric_interpretation


def _inflated(frame: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size)
    except zlib.error as error:
        raise UndecodablePixels(f"the deflated frame is damaged: {error}") from error


def _decode_marked(description: PixelDescription, frame: bytes) -> DecodedFrame:
    """A frame of the standards that begin each codestream with its kind, which is believed before the data set: some
    senders compress otherwise than they say."""
    if is_jpeg_2000(frame) or (description.transfer_syntax_uid in JPEG_2000 | HTJ2K and frame[:2] != b"\xff\xd8"):
        return _decode_jpeg_2000(description, frame)
    header = read_jpeg(frame)
    if header.start_of_frame == _JPEG_LS_FRAME:
        return _decode_jpeg_ls(description, header, frame)
    return _decode_jpeg(description, header, frame)


def _decode_jpeg(description: PixelDescription, header: JpegCodestream, frame: bytes) -> DecodedFrame:
    _check_agreement(description, header)
    photometric_interpretation = description.photometric_interpretation
    if header.is_lossless or header.components == 1:
        # Lossless processes store samples as they are; naming one space on both sides keeps them so.
        space = "GRAY" if header.components == 1 else "RGB"
        pixels = imagecodecs.jpeg8_decode(frame, colorspace=space, outcolorspace=space)
        photometric_interpretation = _expanded(photometric_interpretation)
    else:
        space = "YCBCR" if _is_ycbcr(description, header) else "RGB"
        pixels = imagecodecs.jpeg8_decode(frame, colorspace=space, outcolorspace="RGB")
        photometric_interpretation = "RGB"
    return DecodedFrame(_fitted(description, header, pixels), photometric_interpretation)


def _is_ycbcr(description: PixelDescription, header: JpegCodestream) -> bool:
    """Whether a lossy colour JPEG holds YCbCr: its own markers decide, then Photometric Interpretation."""
    if header.adobe_transform is not None:
        return header.adobe_transform != 0
    if header.has_jfif:
        return True
    if header.component_ids in {(82, 71, 66), (114, 103, 98)}:
        return False
    return description.photometric_interpretation != "RGB"


def _decode_jpeg_ls(description: PixelDescription, header: JpegCodestream, frame: bytes) -> DecodedFrame:
    _check_agreement(description, header)
    if _END_OF_IMAGE not in frame[-_END_BYTES:]:
        # The codec finds out too, after reading zeros for 8 s where a frame takes 5 ms.
        raise UndecodablePixels("the JPEG-LS frame is cut: it has no end (marker FFD9)")
    pixels = _fitted(description, header, imagecodecs.jpegls_decode(frame))
    return DecodedFrame(pixels, _expanded(description.photometric_interpretation))


def _decode_jpeg_2000(description: PixelDescription, frame: bytes) -> DecodedFrame:
    header = read_jpeg_2000(frame)
    _check_agreement(description, header)
    codestream = frame[header.start :]
    if description.transfer_syntax_uid in HTJ2K - LOSSY and header.is_high_throughput:
        # Left to itself it hands out planes where the codestream has no colour transformation.
        pixels = imagecodecs.htj2k_decode(codestream, planar=False if header.components > 1 else None)
    else:
        # Also for lossy HTJ2K: OpenJPH as wrapped lets overshoot wrap around, OpenJPEG clamps it.
        pixels = imagecodecs.jpeg2k_decode(codestream)
    photometric_interpretation = description.photometric_interpretation
    if photometric_interpretation in {"YBR_RCT", "YBR_ICT"}:
        photometric_interpretation = "RGB"
    return DecodedFrame(_fitted(description, header, pixels), _expanded(photometric_interpretation))


def _decode_jpeg_xl(description: PixelDescription, frame: bytes) -> DecodedFrame:
    header = read_jpeg_xl(frame)
    if (header.rows, header.columns) != (description.rows, description.columns):
        raise _disagreement(description, header.rows, header.columns, description.samples_per_pixel)
    pixels = imagecodecs.jpegxl_decode(frame, index=0, keeporientation=True)
    photometric_interpretation = description.photometric_interpretation
    is_colour = description.samples_per_pixel == 3
    header = Codestream(header.rows, header.columns, description.samples_per_pixel, pixels.dtype.itemsize * 8)
    return DecodedFrame(_fitted(description, header, pixels), "RGB" if is_colour else photometric_interpretation)


def _check_agreement(description: PixelDescription, header: Codestream) -> None:
    if (header.rows, header.columns, header.components) != (
        description.rows,
        description.columns,
        description.samples_per_pixel,
    ):
        raise _disagreement(description, header.rows, header.columns, header.components)


def _disagreement(description: PixelDescription, rows: int, columns: int, components: int) -> UndecodablePixels:
    return UndecodablePixels(
        f"the compressed frame is {rows} x {columns} x {components}, but the data set says "
        f"{description.rows} x {description.columns} x {description.samples_per_pixel}"
    )


def _fitted(description: PixelDescription, header: Codestream, pixels: Pixels) -> Pixels:
    """Bring a codec's array to the described cell type: width, sign, and for lossy frames the range."""
    shape: tuple[int, ...] = (description.rows, description.columns)
    if description.samples_per_pixel > 1:
        shape = (*shape, description.samples_per_pixel)
    if pixels.shape != shape:
        raise UndecodablePixels(f"the codec gave an array of {pixels.shape}, not {shape}")
    wanted = cell_type(description)
    if pixels.dtype.kind not in "iu" or header.precision > 8 * wanted.itemsize:
        raise UndecodablePixels(
            f"the compressed frame has samples of {pixels.dtype}, {header.precision} bits; "
            f"Bits Allocated is {description.bits_allocated}"
        )
    if pixels.dtype.kind == "u" and description.is_signed:
        pixels = _sign_extended(pixels.astype(wanted.str.replace("i", "u")).view(wanted), header.precision)
    elif pixels.dtype.kind == "i" and not description.is_signed:
        pixels = pixels.astype(wanted.str.replace("u", "i")).view(wanted) & ((1 << header.precision) - 1)
    pixels = pixels.astype(wanted, copy=False)
    return _clamped(description, pixels) if description.transfer_syntax_uid in LOSSY else pixels


def _sign_extended(pixels: Pixels, precision: int) -> Pixels:
    """Two's complement of `precision` bits in wider signed cells: most codecs know only unsigned samples."""
    shift = 8 * pixels.dtype.itemsize - precision
    return (pixels << shift) >> shift if shift > 0 else pixels


def _clamped(description: PixelDescription, pixels: Pixels) -> Pixels:
    """Keep what a lossy codec put beyond the stored bits from wrapping around to the other end."""
    bits = description.bits_stored
    if bits >= 8 * pixels.dtype.itemsize or description.high_bit != bits - 1:
        return pixels
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if description.is_signed else (0, (1 << bits) - 1)
    return np.clip(pixels, low, high)

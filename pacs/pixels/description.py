"""What the Image Pixel Module says about stored pixels (PS3.3 §C.7.6.3), in typed form."""

from __future__ import annotations

from dataclasses import dataclass

from pacs.errors import UndecodablePixels
from pacs.part10.header import Header
from pacs.part10.transfer_syntax import GE_PRIVATE_BIG_ENDIAN_PIXELS

_SAMPLES_PER_PIXEL = 0x00280002
_PHOTOMETRIC_INTERPRETATION = 0x00280004
_PLANAR_CONFIGURATION = 0x00280006
_NUMBER_OF_FRAMES = 0x00280008
_ROWS = 0x00280010
_COLUMNS = 0x00280011
_BITS_ALLOCATED = 0x00280100
_BITS_STORED = 0x00280101
_HIGH_BIT = 0x00280102
_PIXEL_REPRESENTATION = 0x00280103
_PIXEL_DATA = 0x7FE00010
_OVERLAY_BITS_ALLOCATED, _OVERLAY_BIT_POSITION, _OVERLAY_DATA = 0x0100, 0x0102, 0x3000
OVERLAY_GROUPS = range(0x6000, 0x6020, 2)

MAX_FRAME_BYTES = 1 << 29
"""A larger decoded frame is refused before memory is taken; tiles, slices and mammograms need 0.1 to 60 MB."""


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """Shape and coding of one frame as it is stored."""

    transfer_syntax_uid: str
    rows: int
    columns: int
    samples_per_pixel: int = 1
    photometric_interpretation: str = "MONOCHROME2"
    bits_allocated: int = 16
    """1, 8, 16, 32 or 64."""
    bits_stored: int = 16
    high_bit: int = 15
    is_signed: bool = False
    is_float: bool = False
    """Float or Double Float Pixel Data (7FE0,0008), (7FE0,0009)."""
    is_planar: bool = False
    """Planar Configuration 1: all red samples, then green, then blue (native data only)."""
    number_of_frames: int = 1
    is_encapsulated: bool = False
    """The pixel data really is fragments, whatever the transfer syntax says."""
    is_big_endian: bool = False
    """Native pixels have their most significant byte first."""
    is_word: bool = False
    """The pixel data's VR is OW: in big endian, bytes of two 8-bit pixels are swapped (PS3.5 §8.2)."""
    has_overlay_in_cells: bool = False
    """Bits of the cells above High Bit are an overlay's, as older images have it (PS3.5 §8.1.2)."""

    @property
    def pixels_per_frame(self) -> int:
        return self.rows * self.columns

    @property
    def samples_per_frame(self) -> int:
        return self.rows * self.columns * self.samples_per_pixel

    @property
    def is_subsampled(self) -> bool:
        """Native frames hold one Cb and Cr for two pixels (PS3.3 §C.7.6.3.1.2)."""
        return self.photometric_interpretation in {"YBR_FULL_422", "YBR_PARTIAL_422"} and self.samples_per_pixel == 3

    @property
    def native_frame_bytes(self) -> int:
        """Bytes of one frame in a native transfer syntax, rounded up to a whole byte for 1-bit pixels."""
        samples = self.pixels_per_frame * 2 if self.is_subsampled else self.samples_per_frame
        return (samples * self.bits_allocated + 7) // 8


def describe(header: Header) -> PixelDescription:
    """Read the Image Pixel Module of a scanned data set.

    Raises:
        UndecodablePixels: no pixel data, or no usable rows, columns, samples or bits.
    """
    pixel_data = header.pixel_data
    if pixel_data is None:
        raise UndecodablePixels("the instance has no pixel data")
    is_float = pixel_data.tag != _PIXEL_DATA
    bits_allocated = _number(header, _BITS_ALLOCATED, 8 if not is_float else 32)
    if is_float:
        bits_allocated = 32 if pixel_data.tag == 0x7FE00008 else 64
    bits_stored = _number(header, _BITS_STORED, bits_allocated)
    if is_float or not 1 <= bits_stored <= bits_allocated:
        bits_stored = bits_allocated
    high_bit = _number(header, _HIGH_BIT, bits_stored - 1)
    samples = _number(header, _SAMPLES_PER_PIXEL, 1)
    description = PixelDescription(
        transfer_syntax_uid=header.transfer_syntax.uid,
        rows=_number(header, _ROWS, 0),
        columns=_number(header, _COLUMNS, 0),
        samples_per_pixel=samples,
        photometric_interpretation=_photometric_interpretation(header, samples),
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=high_bit if bits_stored - 1 <= high_bit < bits_allocated else bits_stored - 1,
        is_signed=_number(header, _PIXEL_REPRESENTATION, 0) == 1,
        is_float=is_float,
        is_planar=samples > 1 and _number(header, _PLANAR_CONFIGURATION, 0) == 1,
        number_of_frames=max(1, _number(header, _NUMBER_OF_FRAMES, 1)),
        is_encapsulated=header.is_encapsulated,
        is_big_endian=not header.is_little_endian or header.transfer_syntax.uid == GE_PRIVATE_BIG_ENDIAN_PIXELS,
        is_word=header.vr(pixel_data) == "OW",
        has_overlay_in_cells=bits_stored < bits_allocated and _has_overlay_in_cells(header),
    )
    check(description)
    return description


def check(description: PixelDescription, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
    """Refuse what no decoder here can take, before memory is used.

    Raises:
        UndecodablePixels: a value outside the standard's range, or a frame larger than `max_frame_bytes`.
    """
    rows, columns = description.rows, description.columns
    if not (0 < rows <= 65535 and 0 < columns <= 65535):
        raise UndecodablePixels(f"Rows x Columns is {rows} x {columns}; both must be 1 to 65535")
    if description.samples_per_pixel not in {1, 3}:
        raise UndecodablePixels(f"Samples per Pixel is {description.samples_per_pixel}; only 1 and 3 can be decoded")
    if description.bits_allocated not in {1, 8, 16, 32, 64}:
        raise UndecodablePixels(f"Bits Allocated is {description.bits_allocated}; only 1, 8, 16, 32, 64 can be decoded")
    if description.bits_allocated == 1 and description.samples_per_pixel != 1:
        raise UndecodablePixels("1-bit pixels with more than one sample can't be decoded")
    if not 1 <= description.bits_stored <= description.high_bit + 1 <= description.bits_allocated:
        raise UndecodablePixels(
            f"Bits Stored {description.bits_stored}, High Bit {description.high_bit} and Bits Allocated "
            f"{description.bits_allocated} contradict each other"
        )
    size = description.samples_per_frame * max(1, description.bits_allocated // 8)
    if size > max_frame_bytes:
        raise UndecodablePixels(f"one frame would need {size} bytes; at most {max_frame_bytes} are decoded")


def _has_overlay_in_cells(header: Header) -> bool:
    elements = header.elements
    return any(
        group << 16 | _OVERLAY_BIT_POSITION in elements
        and group << 16 | _OVERLAY_DATA not in elements
        and header.integer(group << 16 | _OVERLAY_BITS_ALLOCATED) not in (None, 1)
        for group in OVERLAY_GROUPS
    )


def _photometric_interpretation(header: Header, samples: int) -> str:
    text = (header.text(_PHOTOMETRIC_INTERPRETATION) or "").strip().upper()
    return text or ("RGB" if samples == 3 else "MONOCHROME2")


def _number(header: Header, tag: int, default: int) -> int:
    number = header.integer(tag)
    return default if number is None else number

"""How long native pixel data is by the metadata of a store request (PS3.3 §C.7.6.3, PS3.5 §8.1.1). Pure.

A file is kept as sent, whatever its pixel data; here the archive writes the data set, and writes no half of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pacs.errors import MalformedDataSet
from pacs.part10.transfer_syntax import transfer_syntax


@dataclass(frozen=True, slots=True)
class PixelMeasure:
    """What the Image Pixel Module of one instance says of lengths."""

    number_of_frames: int = 1
    frame_bits: tuple[int, ...] = ()
    """Of a native frame: two where both are met (`pacs.pixels.native.frame_size`), none where nothing is said."""
    rle_segments: int = 0
    """Of an RLE frame (PS3.5 §G.2); 0 where nothing is said."""

    def check_whole(self, length: int, transfer_syntax_uid: str = "") -> None:
        """See whether native pixel data of `length` bytes is that of all frames.

        What is longer by less than a frame is taken as padding, which some writers add. But where `transfer_syntax_uid`
        is a compressed one, which the metadata names, the exact length is all that speaks against it.

        Raises:
            MalformedDataSet: it is not.
        """
        frames = self.number_of_frames
        # The frames of single bits follow each other bit by bit; some writers begin each at a byte.
        totals = {
            (total, (bits + 7) // 8)
            for bits in self.frame_bits
            for total in ((bits * frames + 7) // 8, (bits + 7) // 8 * frames)
        }
        if transfer_syntax(transfer_syntax_uid).is_encapsulated:
            if not any(total <= length <= total + total % 2 for total, _ in totals):
                raise MalformedDataSet(
                    f"the metadata says {transfer_syntax_uid}, the pixel data came as application/octet-stream, and its"
                    f" {length} bytes are not the length of native pixels{self._expected()}; send compressed frames in"
                    " their own media type (PS3.18 Table 8.7.3-5)"
                )
        elif totals and not any(total <= length < total + max(frame, 2) for total, frame in totals):
            raise MalformedDataSet(
                f"the pixel data has {length} bytes, which is not what Rows, Columns, Samples per Pixel, Bits Allocated"
                f" and Number of Frames make{self._expected()}"
            )

    def frame_bytes(self, lengths: Sequence[int]) -> int:
        """Bytes of each native frame that come apart in parts of these `lengths`, one of which may be padding.

        Raises:
            MalformedDataSet: the frames cannot be put together, or a part is not one frame.
        """
        if not self.frame_bits or any(bits % 8 for bits in self.frame_bits):
            raise MalformedDataSet(
                "native frames that come apart can be joined only if the metadata says Rows, Columns, Samples per Pixel"
                " and Bits Allocated and a frame is a number of whole bytes; send all frames as one part"
            )
        for bits in self.frame_bits:
            size = bits // 8
            if all(size <= length <= size + size % 2 for length in lengths):
                return size
        found = ", ".join(map(str, sorted(set(lengths))[:10]))
        raise MalformedDataSet(f"parts for one native frame each have {found} bytes{self._expected()}")

    def _expected(self) -> str:
        sizes = " or ".join(f"{(bits * self.number_of_frames + 7) // 8}" for bits in self.frame_bits)
        return f" ({sizes} in {self.number_of_frames} frames)" if sizes else ""


def pixel_measure(attributes: Any) -> PixelMeasure:
    """What `attributes`, in the DICOM JSON Model, say; they may be anything."""
    frames = max(1, _number(attributes, "00280008"))
    rows, columns = _number(attributes, "00280010"), _number(attributes, "00280011")
    samples, allocated = _number(attributes, "00280002"), _number(attributes, "00280100")
    bits = rows * columns * samples * allocated
    if min(rows, columns, samples, allocated) <= 0:
        return PixelMeasure(frames)
    sizes = [bits]
    photometric_interpretation = first_value(attributes, "00280004")
    if samples == 3 and photometric_interpretation in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        sizes.append(bits // 3 * 2)
    return PixelMeasure(frames, tuple(sizes), samples * max(1, allocated // 8))


def first_value(attributes: Any, key: str) -> Any:
    """The first Value of an attribute of a data set that may be anything, or None."""
    attribute = attributes.get(key) if isinstance(attributes, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _number(attributes: Any, key: str) -> int:
    value = first_value(attributes, key)
    try:
        return int(value) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0

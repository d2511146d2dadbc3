"""In which transfer syntax a data set really is, whatever its sender said (PS3.5 Annex A)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pacs.part10.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

if TYPE_CHECKING:
    from pacs.part10.frame_table import FrameTable
    from pacs.part10.header import Header

_NATIVE: Final = {
    (True, True): IMPLICIT_VR_LITTLE_ENDIAN,
    (False, True): EXPLICIT_VR_LITTLE_ENDIAN,
    (False, False): EXPLICIT_VR_BIG_ENDIAN,
}
"""By (is_implicit_vr, is_little_endian)."""


def own_transfer_syntax(header: Header, frames: FrameTable) -> str:
    """UID of the uncompressed transfer syntax in which the data set plainly is; the announced one where that is right,
    or where nothing better can be said.

    Other readers believe what a file's head or a presentation context says: bytes must not go out under a wrong name.
    Plainly: all its elements are encoded alike, and what should be fragments of frames is native pixels, exactly as
    many as it has. What was announced deflated, private or unknown stays so.
    """
    announced = header.transfer_syntax
    if not (announced.is_encapsulated or announced.uid in _NATIVE.values()):
        return announced.uid
    found = _NATIVE.get((header.is_implicit_vr, header.is_little_endian), announced.uid)
    if found == announced.uid or header.is_encapsulated:
        return announced.uid
    if announced.is_encapsulated and header.pixel_data is None and found == EXPLICIT_VR_LITTLE_ENDIAN:
        return announced.uid  # nothing is there that it could compress
    if announced.is_encapsulated and header.pixel_data is not None and not _is_exactly_native(header, frames):
        return announced.uid
    is_mixed = any(element.is_implicit_vr != header.is_implicit_vr for element in header.elements.values())
    return announced.uid if is_mixed else found


def _is_exactly_native(header: Header, frames: FrameTable) -> bool:
    pixel_data = header.pixel_data
    if pixel_data is None or frames.is_encapsulated or not len(frames):
        return False
    left_bits = 8 * (pixel_data.end - pixel_data.value_offset) - frames.native_count * frames.frame_bits
    return 0 <= left_bits < 16

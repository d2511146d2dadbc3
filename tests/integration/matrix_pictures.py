"""What a picture must look like, and a frame as a file: plain numpy and pydicom, nothing of the archive."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, apply_modality_lut
from pydicom.uid import UID

_OF_PIXELS = (
    *("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
)
_CHANGES_THE_PICTURE = {
    *("ModalityLUTSequence", "VOILUTSequence", "PresentationLUTShape", "PresentationLUTSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "VOILUTFunction", "PixelPaddingValue"),
}
_COLOUR_TRANSFORMED = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202")


def frame_as_file(explicit: FileDataset, uid: str, frame: bytes) -> bytes:
    """A Part 10 file with one compressed frame and what the Image Pixel Module says beside it (PS3.5 §8.2)."""
    made = FileDataset("", Dataset(), file_meta=Dataset(), preamble=b"\0" * 128)
    for name in _OF_PIXELS:
        setattr(made, name, explicit[name].value)
    made.PhotometricInterpretation = explicit.PhotometricInterpretation
    if made.SamplesPerPixel == 3:
        made.PlanarConfiguration = 0
        if uid == "1.2.840.10008.1.2.4.50":
            made.PhotometricInterpretation = "YBR_FULL_422"
        elif uid in _COLOUR_TRANSFORMED and made.PhotometricInterpretation == "RGB":
            made.PhotometricInterpretation = "YBR_RCT"
    made.add_new("PixelData", "OB", encapsulate([frame]))
    made["PixelData"].is_undefined_length = True
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = UID(uid)
    stream = io.BytesIO()
    is_known = UID(uid).is_transfer_syntax
    options: dict[str, Any] = {} if is_known else {"implicit_vr": False, "little_endian": True, "force_encoding": True}
    dcmwrite(stream, made, **options)
    return stream.getvalue()


def expected_picture(explicit: FileDataset, pixels: NDArray[Any]) -> NDArray[Any] | None:
    """The picture of decoded pixels by the formulas of PS3.3 §C.11.1 and §C.11.2.1.2; None where more than the first
    window, rescaling, a palette or plain RGB makes it."""
    names = {element.keyword for element in explicit}
    if names & _CHANGES_THE_PICTURE or any(0x6000 <= element.tag.group < 0x6100 for element in explicit):
        return None
    if explicit.SamplesPerPixel == 3:
        return pixels.astype(int) if pixels.dtype == np.uint8 and explicit.BitsStored == 8 else None
    if explicit.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(pixels, explicit)
        return (colours >> 8 if colours.dtype.itemsize == 2 else colours).astype(int)
    center, width = explicit.get("WindowCenter"), explicit.get("WindowWidth")
    if center in (None, "") or width in (None, "") or pixels.dtype.kind == "f":
        return None
    center, width = (float(each[0] if isinstance(each, MultiValue) else each) for each in (center, width))
    values = apply_modality_lut(pixels, explicit).astype(float)
    if width <= 1:
        return None
    shown = np.clip(((values - (center - 0.5)) / (width - 1) + 0.5) * 255, 0, 255)
    if np.ptp(shown) < 1:
        return None  # a window in which nothing is seen gives way to one that is found
    return np.rint(255 - shown if explicit.PhotometricInterpretation == "MONOCHROME1" else shown).astype(int)

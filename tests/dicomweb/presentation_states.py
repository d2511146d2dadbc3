"""Presentation states made in code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset, FileDataset

from tests.dicomweb.served import image

GRAYSCALE = "1.2.840.10008.5.1.4.1.1.11.1"


def items(*data_sets: Dataset) -> list[Dataset]:
    return list(data_sets)


def made(**attributes: Any) -> Dataset:
    data_set = Dataset()
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    return data_set


def reference_to(shown: Dataset, *frames: int) -> Dataset:
    found = made(ReferencedSOPClassUID=shown.SOPClassUID, ReferencedSOPInstanceUID=shown.SOPInstanceUID)
    if frames:
        found.ReferencedFrameNumber = list(frames)
    return found


def window(center: float, width: float, **more: Any) -> Dataset:
    return made(WindowCenter=center, WindowWidth=width, **more)


def area(left: int, top: int, right: int, bottom: int, **more: Any) -> Dataset:
    values = {"PresentationSizeMode": "SCALE TO FIT", "PresentationPixelAspectRatio": [1, 1], **more}
    return made(
        DisplayedAreaTopLeftHandCorner=[left, top], DisplayedAreaBottomRightHandCorner=[right, bottom], **values
    )


def graphic(kind: str, *numbers: float, units: str = "PIXEL", filled: str = "N") -> Dataset:
    return made(
        GraphicAnnotationUnits=units,
        GraphicDimensions=2,
        NumberOfGraphicPoints=len(numbers) // 2,
        GraphicData=list(numbers),
        GraphicType=kind,
        GraphicFilled=filled,
    )


def text(words: str, *box: float, units: str = "PIXEL") -> Dataset:
    return made(
        UnformattedTextValue=words,
        BoundingBoxAnnotationUnits=units,
        BoundingBoxTopLeftHandCorner=list(box[:2]),
        BoundingBoxBottomRightHandCorner=list(box[2:]),
        BoundingBoxTextHorizontalJustification="LEFT",
    )


def drawing(layer: str, *graphics: Dataset, texts: Iterable[Dataset] = ()) -> Dataset:
    found = made(GraphicLayer=layer)
    if graphics:
        found.GraphicObjectSequence = items(*graphics)
    if texts:
        found.TextObjectSequence = items(*texts)
    return found


def layer(name: str, order: int, grey: int = 0xFFFF) -> Dataset:
    return made(GraphicLayer=name, GraphicLayerOrder=order, GraphicLayerRecommendedDisplayGrayscaleValue=grey)


def state(*shown: Dataset, sop_class: str = GRAYSCALE, **attributes: Any) -> FileDataset:
    """A presentation state of the study of `shown`, which are of one series."""
    series = made(
        SeriesInstanceUID=shown[0].SeriesInstanceUID, ReferencedImageSequence=items(*map(reference_to, shown))
    )
    values: dict[str, Any] = {
        "SOPClassUID": sop_class,
        "StudyInstanceUID": shown[0].StudyInstanceUID,
        "Modality": "PR",
        "SpecificCharacterSet": "ISO_IR 192",
        "ReferencedSeriesSequence": items(series),
        "PresentationLUTShape": "IDENTITY",
        **attributes,
    }
    pixels = dict.fromkeys(
        ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
         "SamplesPerPixel", "PhotometricInterpretation", "WindowCenter", "WindowWidth")
    )  # fmt: skip
    return image(**{**pixels, **values})

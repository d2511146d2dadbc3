"""Images whose pictures need no decoder: which they are, and that their pictures are those of everybody else."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from pacs.errors import InvalidRequest, UndecodablePixels
from pacs.part10.header import Header
from pacs.pixels.display import Window
from pacs.pixels.light import light_image
from pacs.pixels.render import Viewport
from pacs.pixels.rendering import Rendering, rendered_as
from tests.dicomweb.served import image
from tests.pixels import images
from tests.pixels.test_presentation import scanned

JPEG_LS = "1.2.840.10008.1.2.4.80"


def is_light(header: Header, rendering: Rendering) -> bool:
    found = light_image(header)
    return found is not None and found.takes(rendering)


def test_light_is_what_no_codec_touches() -> None:
    plain = scanned(image())
    assert is_light(plain, Rendering())
    assert is_light(plain, Rendering(window=Window(9, 3), viewport=Viewport(1024, 1024), quality=3))
    for rendering in (
        Rendering("image/png"),
        Rendering(annotations=("patient",)),
        Rendering(icc_profile="srgb"),
        Rendering(viewport=Viewport(1025, 1024)),
    ):
        assert not is_light(plain, rendering)
    assert is_light(scanned(image(Rows=1024, Columns=1024)), Rendering())
    assert not is_light(scanned(image(Rows=1024, Columns=1025)), Rendering())
    assert not is_light(scanned(image(BitsAllocated=32)), Rendering())
    pixels = images.gradient()
    assert is_light(images.scanned(images.data_set(pixels)), Rendering())
    assert not is_light(images.scanned(images.compressed(pixels, b"\xff\xd8"), JPEG_LS), Rendering())
    assert not is_light(scanned(image(PerFrameFunctionalGroupsSequence=[Dataset()])), Rendering())
    assert not is_light(scanned(image(ModalityLUTSequence=[Dataset()])), Rendering())
    assert not is_light(scanned(image(VOILUTSequence=[Dataset()])), Rendering())
    assert not is_light(scanned(image(PhotometricInterpretation="PALETTE COLOR")), Rendering())
    many = "\\".join(["1"] * 200)
    assert not is_light(scanned(image(WindowCenter=many, WindowWidth=many)), Rendering())
    overlaid = image()
    overlaid.add_new(0x60000010, "US", 16)
    overlaid.add_new(0x60003000, "OW", bytes(48))
    assert not is_light(scanned(overlaid), Rendering())


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0},
        {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "2", "RescaleIntercept": "-1024"},
        {"WindowCenter": "40", "WindowWidth": "400", "PixelPaddingValue": 7, "Modality": "CT"},
        {"PixelSpacing": ["1", "2"]},
        {"PixelAspectRatio": ["3", "1"]},
    ],
)
def test_its_pictures_are_those_that_a_decoder_makes(said: dict[str, object]) -> None:
    subject = image(**said)
    header, fragments = scanned(subject), (memoryview(subject.PixelData),)
    found = light_image(header)
    assert found is not None
    pictures = set()
    for window in (None, Window(100, 50), Window(100, 50, "SIGMOID")):
        for viewport in (None, Viewport(9, 9), Viewport(30, 30, 2, 2, -7, 5)):
            for quality in (20, 90):
                rendering = Rendering(window=window, viewport=viewport, quality=quality)
                picture = found.rendered(fragments, rendering)
                assert picture == rendered_as(header, (1, fragments), rendering)
                pictures.add(picture)
    assert len(pictures) > 6


def test_colour_is_light_as_well() -> None:
    pixels = images.colours()
    for interpretation in ("RGB", "YBR_FULL"):
        header = images.scanned(images.data_set(pixels, photometric_interpretation=interpretation))
        found, fragments = light_image(header), (memoryview(pixels.tobytes()),)
        assert found is not None
        assert found.rendered(fragments, Rendering()) == rendered_as(header, (1, fragments), Rendering())


def test_what_cannot_be_drawn_is_refused_as_by_a_decoder() -> None:
    subject = image()
    found = light_image(scanned(subject))
    assert found is not None
    with pytest.raises(UndecodablePixels, match="bytes"):
        found.rendered((memoryview(subject.PixelData)[:-2],), Rendering())
    with pytest.raises(InvalidRequest, match="outside"):
        found.rendered((memoryview(subject.PixelData),), Rendering(viewport=Viewport(9, 9, 400, 0)))
    del subject.PixelData
    with pytest.raises(UndecodablePixels, match="no pixel data"):
        light_image(scanned(subject))

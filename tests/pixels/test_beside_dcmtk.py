"""Pictures beside those of DCMTK: of real images with a window, and of presentation states."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from pacs.part10.file_meta import read_file_meta
from pacs.part10.frame_bytes import frame_bytes
from pacs.part10.frame_table import frame_table
from pacs.part10.header import scan
from pacs.pixels.render import picture_of
from pacs.pixels.rendering import Rendering, picture_as
from tests.dicomweb.presentation_states import area, items, state, window
from tests.dicomweb.served import image, written
from tests.pixels.test_presentation import read, scanned

pytestmark = [
    pytest.mark.dcmtk,
    pytest.mark.skipif(shutil.which("dcmj2pnm") is None, reason="needs DCMTK (dcmj2pnm)"),
]

SUBJECTS = [
    "dcm_qa_12bit/In/12bitSigned_0x0F0F.dcm",
    "dcm_qa_12bit/In/12bitUnsigned_0x0F0F.dcm",
    "dcm_qa_ts/In/3.dcm",
    "dcm_qa_ts/In/4.dcm",
    "dcm_qa_ts/In/5.dcm",
    "hard-cases/data/WG04/REF/MR1_UNC",
    "hard-cases/data/WG04/RLE/MR4_RLE",
    "pydicom-data/data_store/data/color-pl.dcm",
    "pydicom-data/data_store/data/color-px.dcm",
    "pydicom-data/data_store/data/MR-SIEMENS-DICOM-WithOverlays.dcm",
]


def of_dcmtk(file: Path, *options: str) -> np.ndarray:
    png = file.parent / "dcmtk.png"
    subprocess.run(
        ["dcmj2pnm", *options, "--write-png", str(file), str(png)], check=True, capture_output=True, timeout=60
    )
    with Image.open(png) as found:
        return np.asarray(found.convert("RGB")).astype(int)


@pytest.mark.corpus
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_real_image_with_its_own_window(name: str, corpus: Path, tmp_path: Path) -> None:
    if not (corpus / name).exists():
        pytest.skip(f"{name} is not in the folder of real images")
    content = (corpus / name).read_bytes()
    (tmp_path / "image.dcm").write_bytes(content)
    meta = read_file_meta(content)
    header = scan(memoryview(content)[meta.data_set_offset :], meta.transfer_syntax_uid)
    (fragments,) = frame_bytes(frame_table(header), header.buffer, (1,))
    is_grey = (header.text(0x00280004) or "").startswith("MONOCHROME")
    expected = of_dcmtk(tmp_path / "image.dcm", *(("+Wi", "1") if is_grey else ()))
    picture = picture_as(header, (1, fragments), Rendering())
    ours = np.repeat(picture[..., np.newaxis], 3, axis=-1) if picture.ndim == 2 else picture
    assert np.abs(expected - ours).max() <= 1


def ramp(**attributes: Any) -> FileDataset:
    pixels = np.add.outer(np.arange(40) * 20, np.arange(60) * 30).astype("<u2")
    uids = {"PatientBirthDate": "", "PatientSex": "", "ReferringPhysicianName": "", "PatientOrientation": ""}
    return image(Rows=40, Columns=60, PixelData=pixels.tobytes(), BitsStored=12, HighBit=11, **uids, **attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"PresentationLUTShape": "INVERSE"},
        {"SoftcopyVOILUTSequence": items(window(900, 700))},
        {"SoftcopyVOILUTSequence": items(window(900, 700)), "ImageRotation": 90, "ImageHorizontalFlip": "Y"},
        {"ImageRotation": 270, "ImageHorizontalFlip": "N", "PresentationLUTShape": "INVERSE"},
        {
            "RescaleSlope": 2, "RescaleIntercept": -1024, "RescaleType": "US",
            "SoftcopyVOILUTSequence": items(window(0, 1500)),
        },
    ],
)  # fmt: skip
@pytest.mark.skipif(shutil.which("dcmp2pgm") is None, reason="needs DCMTK (dcmp2pgm)")
def test_a_presentation_state(attributes: dict[str, Any], tmp_path: Path) -> None:
    subject = ramp()
    turned = attributes.get("ImageRotation", 0) % 180 == 90
    whole = area(1, 1, 60, 40)
    given = {"ImageRotation": 0, "ImageHorizontalFlip": "N", **attributes}
    made = state(
        subject, **given, DisplayedAreaSelectionSequence=items(whole), ContentLabel="TEST", ContentDescription="",
        PresentationCreationDate="20240101", PresentationCreationTime="101010", ContentCreatorName="",
        PatientBirthDate="", PatientSex="", ReferringPhysicianName="", Manufacturer="",
        FrameOfReferenceUID=generate_uid(),
    )  # fmt: skip
    (tmp_path / "image.dcm").write_bytes(written(subject))
    (tmp_path / "state.dcm").write_bytes(written(made))
    command = ["dcmp2pgm", "--pstate", "state.dcm", "image.dcm", "picture.pgm"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    with Image.open(io.BytesIO((tmp_path / "picture.pgm").read_bytes())) as found:
        expected = np.asarray(found).astype(int)
    rendering = Rendering(presentation=read(made), sop_instance_uid=subject.SOPInstanceUID)
    ours = picture_as(scanned(subject), (1, [memoryview(subject.PixelData)]), rendering)
    assert ours.shape == expected.shape == ((60, 40) if turned else (40, 60))
    assert np.abs(expected - ours).max() <= 1


def test_control_another_window_is_another_picture(tmp_path: Path) -> None:
    subject = ramp()
    (tmp_path / "image.dcm").write_bytes(written(subject))
    header = scanned(subject)
    ours = picture_of(header, [memoryview(subject.PixelData)])
    assert np.abs(of_dcmtk(tmp_path / "image.dcm", "+Wi", "1")[..., 0] - ours).max() <= 1
    assert np.abs(of_dcmtk(tmp_path / "image.dcm", "+Ww", "300", "900")[..., 0] - ours).max() > 50

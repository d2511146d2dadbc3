"""CT slices of the usual size (512 x 512, 16 bit, 525 KB), each with identity of its own, made without a scanner."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

ROWS = COLUMNS = 512


@dataclass(frozen=True)
class Slice:
    """One instance, ready to be sent."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    patient_id: str
    data_set: bytes
    """Explicit VR Little Endian, without preamble and file meta."""
    frame: bytes
    """Pixel data, 524,288 bytes unless another size was asked for."""


def make_series(count: int, *, seed: int, patients: int = 1, edge: int = ROWS) -> list[Slice]:
    """`count` slices of `edge` x `edge`, split evenly over `patients` patients with one study and series each."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : edge * 1j, -1 : 1 : edge * 1j]
    body = np.where(x**2 / 0.8 + y**2 / 0.5 < 1, 40.0, -1000.0)
    slices = []
    per_patient = -(-count // patients)
    for number in range(count):
        patient, within = divmod(number, per_patient)
        lung = 900 * ((x - 0.35) ** 2 / 0.08 + y**2 / (0.15 + 0.001 * within) < 1)
        lung += 900 * ((x + 0.35) ** 2 / 0.08 + y**2 / (0.15 + 0.001 * within) < 1)
        pixels = (body - lung + random.normal(0, 12, body.shape)).astype("<i2")
        slices.append(_slice(pixels, f"{seed}-{patient}", within + 1))
    return slices


def _slice(pixels: np.ndarray, patient: str, number: int) -> Slice:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = generate_uid()
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20261122"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "101500"
    ds.AccessionNumber = f"A{patient}"
    ds.Modality = "CT"
    ds.Manufacturer = "synthetic"
    ds.ReferringPhysicianName = "Referring^Doctor"
    ds.StudyDescription = "CT chest"
    ds.SeriesDescription = "chest 1.0 mm"
    ds.PatientName = f"Bench^Patient {patient}"
    ds.PatientID = f"B{patient}"
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "O"
    ds.BodyPartExamined = "CHEST"
    ds.SliceThickness = "1.0"
    ds.KVP = "120"
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", patient])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", patient])
    ds.StudyID = "1"
    ds.SeriesNumber = "1"
    ds.InstanceNumber = str(number)
    ds.ImagePositionPatient = ["-250", "-250", str(float(number))]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame", patient])
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelSpacing = ["0.9765625", "0.9765625"]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    ds.RescaleIntercept, ds.RescaleSlope = "0", "1"
    ds.PixelData = frame = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return Slice(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.PatientID, buffer.getvalue(), frame)


def part10(image: Slice) -> bytes:
    """The slice as a file (PS3.10 §7)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(image.sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("2.25.1")
    buffer = io.BytesIO()
    empty = Dataset()
    empty.file_meta = meta
    empty.preamble = bytes(128)
    dcmwrite(buffer, empty, enforce_file_format=True)
    return buffer.getvalue() + image.data_set

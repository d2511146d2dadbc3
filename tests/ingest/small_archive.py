"""A whole write path over a folder, and small data sets to send to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from pacs.index import Index
from pacs.ingest import Ingest
from pacs.model import Principal, Source, Stored
from pacs.settings import IngestSettings
from pacs.storage.disk import Disk
from pacs.storage.segments import SegmentStore

EXPLICIT = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


def encoded(number: int = 1, *, pixel_bytes: int = 512, **changes: Any) -> bytes:
    """A small CT slice, Explicit VR Little Endian, without file meta; a change to None leaves the attribute out."""
    data_set = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": CT,
        "SOPInstanceUID": f"1.2.3.{number}",
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.2",
        "PatientID": "P1",
        "PatientName": "Kim^Minsu",
        "Modality": "CT",
        "InstanceNumber": str(number),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 16,
        "Columns": pixel_bytes // 32,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        **changes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(data_set, keyword, value)
    data_set.add_new(0x7FE00010, "OW", bytes([number & 255]) * pixel_bytes)
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    write_dataset(file, data_set)
    return file.getvalue()


@dataclass
class Place:
    """One archive's write path over a folder, as one process has it."""

    store: SegmentStore
    index: Index
    ingest: Ingest

    def send(self, content: bytes, *, step: int = 100_000, hospital: str = "default", **announced: Any) -> Stored:
        source = Source(Principal("CT_1", hospital), "C-STORE", "127.0.0.1")
        with self.ingest.begin(source, EXPLICIT, **announced) as reception:
            for start in range(0, len(content), step):
                reception.write(memoryview(content)[start : start + step])
            return reception.commit()

    def close(self) -> None:
        self.ingest.close()
        self.store.close()
        self.index.close()


def open_place(folder: Path, *, disk: Disk | None = None, **settings: Any) -> Place:
    index = Index.open(f"sqlite:///{folder / 'index.sqlite'}")
    index.migrate()
    store = SegmentStore(folder / "objects", disk=disk)
    return Place(store, index, Ingest(store, index, IngestSettings(**settings)))

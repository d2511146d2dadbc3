"""Senders that store without a pause until the archive goes away, and remember what was acknowledged, and when."""

from __future__ import annotations

import hashlib
import io
import itertools
import struct
import threading
import time
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from typing import Protocol

import httpx
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from benchmarks.streaming_sender import ConnectionLost, StreamingAssociation
from tests.waiting import wait_until

_UID_LENGTH = 64
_ROOT = generate_uid()[:20].rstrip(".")
_numbers = itertools.count(1)
_BOUNDARY = "crash"


@dataclass(frozen=True)
class Acknowledged:
    """One instance that the archive said it keeps."""

    sop_instance_uid: str
    digest: str
    """SHA-256 of the data set as sent."""
    moment: float
    """`time.monotonic` after the answer was read."""


class Acknowledging(Protocol):
    """Somebody who stores, and what was acknowledged to him."""

    @property
    def acknowledged(self) -> Sized: ...


def wait_until_each_has(count: int, senders: Sequence[Acknowledging]) -> None:
    """Wait for `count` acknowledgements to each of `senders`."""
    wait_until(lambda: min(len(one.acknowledged) for one in senders) >= count, 60, why="nothing is being stored")


def new_uid() -> str:
    """64 characters, so that one takes another's place without moving anything."""
    tail = str(next(_numbers))
    return f"{_ROOT}.1{tail.zfill(_UID_LENGTH - len(_ROOT) - 2)}"


class Instances:
    """Data sets of one series, each with identity and pixels of its own, made by replacing bytes."""

    def __init__(self) -> None:
        self.study, self.series = new_uid(), new_uid()
        self._placeholder = new_uid()
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, self._placeholder
        ds.StudyInstanceUID, ds.SeriesInstanceUID = self.study, self.series
        ds.PatientID, ds.PatientName, ds.Modality, ds.InstanceNumber = "CRASH", "Crash^Test", "CT", "1"
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows = ds.Columns = 16
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
        encoded = io.BytesIO()
        dcmwrite(encoded, ds, implicit_vr=False, little_endian=True, enforce_file_format=False)
        self._head = encoded.getvalue()

    def make(self, pixel_bytes: int) -> tuple[str, bytes]:
        """SOP Instance UID and data set (Explicit VR Little Endian, no file meta)."""
        uid = new_uid()
        seed = hashlib.sha256(uid.encode()).digest()
        pixels = (seed * (pixel_bytes // len(seed) + 1))[: pixel_bytes // 2 * 2]
        head = self._head.replace(self._placeholder.encode(), uid.encode())
        return uid, head + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, len(pixels)) + pixels


def part10(uid: str, data_set: bytes) -> bytes:
    """The data set as a file (PS3.10 §7)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, UID(uid)
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, UID("2.25.1")
    file, empty = io.BytesIO(), Dataset()
    empty.file_meta, empty.preamble = meta, bytes(128)
    dcmwrite(file, empty, enforce_file_format=True)
    return file.getvalue() + data_set


def _size_of(number: int) -> int:
    """Mostly small, some past ``ingest.memory_bytes_per_instance`` of the crash tests (256 KB)."""
    return 400_000 if number % 16 == 7 else 20_000 + 997 * (number % 13)


@dataclass
class Sender(threading.Thread):
    """Base of both; `acknowledged` grows while it runs, `refused` holds statuses other than success."""

    port: int
    instances: Instances = field(default_factory=Instances)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.enough = threading.Event()

    def __hash__(self) -> int:
        return id(self)

    def keep(self, uid: str, data_set: bytes) -> None:
        self.acknowledged.append(Acknowledged(uid, hashlib.sha256(data_set).hexdigest(), time.monotonic()))


class DicomSender(Sender):
    """One association after the other, one C-STORE after the other."""

    def run(self) -> None:
        try:
            with StreamingAssociation("127.0.0.1", self.port, "PACS", timeout_s=30) as association:
                for number in itertools.count():
                    if self.enough.is_set():
                        association.release()
                        return
                    uid, data_set = self.instances.make(_size_of(number))
                    status = association.store(uid, [data_set])
                    if status == 0:
                        self.keep(uid, data_set)
                    else:
                        self.refused.append(status)
        except ConnectionLost:
            return


class StowSender(Sender):
    """One STOW-RS request of three instances after the other."""

    def run(self) -> None:
        headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'}
        url = f"http://127.0.0.1:{self.port}/dicomweb/studies"
        with httpx.Client(headers={**headers, "Accept": "application/dicom+json"}, timeout=30) as client:
            for number in itertools.count():
                if self.enough.is_set():
                    return
                sent = dict(self.instances.make(_size_of(3 * number + one)) for one in range(3))
                try:
                    answer = client.post(url, content=multipart([part10(*one) for one in sent.items()]))
                    stored = answer.json().get("00081199", {}).get("Value", []) if answer.content else []
                except (httpx.HTTPError, ValueError):
                    return
                for item in stored:
                    uid = item["00081155"]["Value"][0]
                    self.keep(uid, sent[uid])
                if len(stored) < len(sent):
                    self.refused.append(answer.status_code)


def multipart(files: list[bytes]) -> bytes:
    """Body of a STOW-RS request (PS3.18 §10.5.1)."""
    parts = [f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + file + b"\r\n" for file in files]
    return b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])

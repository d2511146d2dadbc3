"""The DICOMweb door on real services and a real uvicorn on loopback, and small instances to put into it."""

from __future__ import annotations

import asyncio
import contextlib
import email
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from pacs.dicomweb.app import dicomweb_app
from pacs.dicomweb.resources import ResourceKey
from pacs.index import Index
from pacs.ingest import Ingest
from pacs.model import Principal, Source
from pacs.part10.file_meta import read_file_meta
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.settings import IngestSettings
from pacs.storage.derived import DerivedStore
from pacs.storage.segments import SegmentStore


class Door:
    """An archive and how to reach it."""

    def __init__(self, ingest: Ingest, search: Search, retrieve: Retrieve) -> None:
        self.ingest = ingest
        self.search = search
        self.retrieve = retrieve

    def keep(self, data_set: FileDataset) -> ResourceKey:
        """Put an instance into the archive, not through the door."""
        self.ingest.store_file(Source(Principal("test"), "import"), written(data_set))
        return ResourceKey(data_set.StudyInstanceUID, data_set.SeriesInstanceUID, data_set.SOPInstanceUID)


class ServedDoor(Door):
    """Behind a real uvicorn."""

    base: str
    client: httpx.Client


class DoorInMemory(Door):
    """Called as an ASGI application; no socket is opened."""

    base = "http://archive.test/dicomweb"

    def get(self, path: str, **headers: str) -> httpx.Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("GET", path, headers=fields)

    def post(self, path: str, content: bytes, content_type: str | None = "application/dicom") -> httpx.Response:
        return self.request(
            "POST", path, content=content, headers={"content-type": content_type} if content_type else {}
        )

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, options))

    def application(self) -> Any:
        return dicomweb_app(self.ingest, self.search, self.retrieve)

    async def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        application = mounted(self.application())
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=self.base) as client:
            # httpx asks for everything and for gzip by default; a test says so when it wants that.
            client.headers.pop("accept", None)
            client.headers.pop("accept-encoding", None)
            return await client.request(method, path, **options)


class OneDoorInMemory(DoorInMemory):
    """The same application for all requests, as a server has; making one costs more than most requests."""

    _application: Any = None

    def application(self) -> Any:
        self._application = self._application or super().application()
        return self._application


@contextlib.contextmanager
def archive_under(folder: Path, settings: IngestSettings | None = None) -> Iterator[tuple[Ingest, Search, Retrieve]]:
    """The services of an archive that keeps everything under `folder`."""
    index = Index.open(f"sqlite:///{folder / 'index.sqlite'}")
    index.migrate()
    store = SegmentStore(folder / "objects")
    settings = settings or IngestSettings()
    ingest = Ingest(store, index, settings)
    derived, change = DerivedStore(folder / "derived"), settings.duplicates == "keep-both"
    try:
        yield ingest, Search(index), Retrieve(store, index, derived, instances_change=change)
    finally:
        ingest.close()
        store.close()
        index.close()


@contextlib.contextmanager
def served_door(folder: Path, settings: IngestSettings | None = None) -> Iterator[ServedDoor]:
    """The door on a free port of the loopback interface."""
    with (
        archive_under(folder, settings) as (ingest, search, retrieve),
        serving(mounted(dicomweb_app(ingest, search, retrieve))) as origin,
        httpx.Client(base_url=f"{origin}/dicomweb") as client,
    ):
        door = ServedDoor(ingest, search, retrieve)
        door.base, door.client = f"{origin}/dicomweb", client
        yield door


def mounted(door: Any) -> Starlette:
    """At ``/dicomweb``, as the composition root has it."""
    return Starlette(routes=[Mount("/dicomweb", door)])


@contextlib.contextmanager
def serving(application: ASGIApp) -> Iterator[str]:
    """The application on a free port of the loopback interface; its address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    is_started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            is_started.set()

    config = uvicorn.Config(application, log_config=None, access_log=False, lifespan="off")
    server = Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        assert is_started.wait(20), "uvicorn did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()


def image(**attributes: Any) -> FileDataset:
    """A small CT slice that can be seen; `attributes` are added or replaced by keyword."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data_set = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    rows, columns = 16, 24
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientName": "KIM^SU",
        "PatientID": "P1",
        "StudyDate": "20240101",
        "StudyTime": "101010",
        "StudyID": "S1",
        "AccessionNumber": "A1",
        "Modality": "CT",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "WindowCenter": 200,
        "WindowWidth": 400,
        "PixelData": np.arange(rows * columns, dtype="<u2").tobytes(),
    }
    for keyword, value in (values | attributes).items():
        if value is not None:
            setattr(data_set, keyword, value)
    meta.MediaStorageSOPInstanceUID = data_set.get("SOPInstanceUID", generate_uid())
    return data_set


def written(data_set: Dataset) -> bytes:
    """As a Part 10 file."""
    stream = io.BytesIO()
    dcmwrite(stream, data_set, enforce_file_format=True)
    return stream.getvalue()


def data_set_bytes(file: bytes) -> bytes:
    """What follows the file meta information."""
    return file[read_file_meta(file).data_set_offset :]


def parts_of(answer: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """Header fields and bytes of each part of a multipart answer, read by the standard library."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content)
    assert message.is_multipart(), answer.headers
    found = []
    for part in message.walk():
        if part is message:
            continue
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert int(part.get("Content-Length", len(payload))) == len(payload)
        found.append(({name.lower(): value for name, value in part.items()}, payload))
    return found


def multipart_body(files: list[bytes], boundary: str = "B") -> tuple[bytes, dict[str, str]]:
    """Body and header fields of a store request."""
    parts = b"".join(
        b"--" + boundary.encode() + b"\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files
    )
    content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return parts + b"--" + boundary.encode() + b"--\r\n", {"content-type": content_type}

"""An archive in memory that holds all samples, and is asked without a socket."""

from __future__ import annotations

import asyncio
import functools
import io
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI
from pydicom import dcmread
from pydicom.dataset import FileDataset

from pacs.ingest import Ingest
from pacs.model import Principal, Source
from tests.dicomweb.served import mounted
from tests.integration import matrix_rules as rules
from tests.integration.independent_pixels import Pixels, pixels_of
from tests.integration.matrix_samples import EXPLICIT, Sample

HOST = "archive.test"


@dataclass(eq=False)
class Archive:
    """All samples in one archive behind its door."""

    application: FastAPI
    ingest: Ingest
    loop: asyncio.AbstractEventLoop
    samples: list[Sample]
    right: set[tuple[Sample, int, str, bytes]] = field(default_factory=set)
    """Frames, by number and transfer syntax, whose pixels were compared; 0 stands for whole files."""

    def at(self, level: str) -> list[Sample]:
        """Those that are asked for at a level. Instances and frames: all. The other levels have the same code below
        them and take turns, but for PACS_SOAK; each study here holds one instance."""
        turns = {"study": slice(0, None, 3), "series": slice(1, None, 3), "frames": slice(2, None, 3)}
        if level not in turns or os.environ.get("PACS_SOAK"):
            return self.samples
        taken = self.samples[turns[level]]
        others = [sample for sample in self.samples if not rules.can_be_decoded(sample) or sample.is_damaged]
        return [*taken, *(sample for sample in others if sample not in taken)]

    def keep(self, sample: Sample) -> None:
        self.ingest.store_file(Source(Principal("test"), "import"), sample.file)

    def get(self, path: str, accept: str, **query: str) -> httpx.Response:
        """Without a client and a socket: they would cost more than most answers do."""
        return self.loop.run_until_complete(self._get(path, accept, urlencode(query)))

    async def _get(self, path: str, accept: str, query: str) -> httpx.Response:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": "/dicomweb" + path, "raw_path": b"/dicomweb" + path.encode(), "query_string": query.encode(),
            "root_path": "", "headers": [(b"host", HOST.encode()), (b"accept", accept.encode())],
            "server": (HOST, 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        await self._mounted(scope, receive, send)
        body = b"".join(bytes(message.get("body", b"")) for message in sent[1:])
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=body)

    @functools.cached_property
    def _mounted(self) -> Any:
        return mounted(self.application)

    @functools.cache  # noqa: B019 -- one archive for this module
    def explicit(self, sample: Sample) -> FileDataset:
        """What the archive makes of it in Explicit VR Little Endian."""
        answer = self.get(sample.path, f"application/dicom; transfer-syntax={EXPLICIT}")
        assert answer.status_code == 200, (sample, answer.text)
        return dcmread(io.BytesIO(answer.content))

    @functools.cache  # noqa: B019
    def pixels(self, sample: Sample) -> Pixels:
        """Those of `explicit`, which a test of its own compares with an independent decoder's."""
        answer = self.get(sample.path, f"application/dicom; transfer-syntax={EXPLICIT}")
        return pixels_of(answer.content)


def described(media_type: str, asked: str | None, *, is_multipart: bool = False) -> str:
    syntax = f"; transfer-syntax={asked}" if asked else ""
    return f'multipart/related; type="{media_type}"{syntax}' if is_multipart else media_type + syntax


def is_refused(answer: httpx.Response) -> bool:
    """406 with a reason and what to do."""
    if answer.status_code != 406 or answer.headers["content-type"] != "application/json":
        return False
    return all(answer.json()[key] for key in ("error", "hint"))

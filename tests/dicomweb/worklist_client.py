"""Requests to a DICOMweb door with a worklist, in memory."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest.mock import create_autospec

import httpx

from pacs.dicomweb.app import dicomweb_app
from pacs.dicomweb.ups_app import add_worklist
from pacs.ingest import Ingest
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.worklist.service import Worklist
from tests.dicomweb.served import mounted
from tests.worklist.workitems import claim, new_uid, workitem

JSON = "application/dicom+json"


class Client:
    """What the door does not answer is raised."""

    def __init__(self, worklist: Worklist) -> None:
        self.worklist = worklist
        door = dicomweb_app(create_autospec(Ingest), create_autospec(Search), create_autospec(Retrieve))
        add_worklist(door, worklist)
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(mounted(door)), base_url="http://archive.test/dicomweb"
        )
        self._client.headers.pop("accept-encoding", None)

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """`body` is bytes, or a data set that is sent as JSON."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            fields.setdefault("content-type", JSON)
        return self._runner.run(self._client.request(method, path, content=body, headers=fields))

    def created(self, **values: Any) -> str:
        uid = new_uid()
        answer = self.request("POST", f"/workitems?{uid}", workitem(**values))
        assert answer.status_code == 201, answer.text
        return uid

    def claimed(self, **values: Any) -> tuple[str, str]:
        uid, transaction = self.created(**values), new_uid()
        assert self.request("PUT", f"/workitems/{uid}/state", claim(transaction)).status_code == 200
        return uid, transaction

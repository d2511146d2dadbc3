"""Timing, HEAD and errors around every route."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from pacs.dicomweb.door import Door
from pacs.errors import Busy, NotFound
from pacs.measured.counts import Counts


def answer_of(application: Any, method: str = "GET") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Door(application, Counts.alone()), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://h") as client:
            return await client.request(method, "/x")

    return asyncio.run(ask())


def failing(error: Exception) -> Any:
    async def application(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    return application


async def echo(scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["method"].encode()})


def test_every_answer_is_timed() -> None:
    for application in (echo, failing(NotFound("gone")), failing(ValueError("secret"))):
        assert answer_of(application).headers["server-timing"].startswith("total;dur=")


def test_head_is_asked_as_get() -> None:
    assert answer_of(echo, "HEAD").content in (b"GET", b"")


def test_errors_become_answers() -> None:
    assert answer_of(failing(NotFound("gone"))).json()["error"] == "gone"
    busy = answer_of(failing(Busy("full", retry_after_s=7)))
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "7")


def test_an_unexpected_error_shows_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    answer = answer_of(failing(ValueError("secret")))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert any(record.message == "request failed" for record in caplog.records)


def test_an_answer_that_has_begun_is_broken_off() -> None:
    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise NotFound("half way")

    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(NotFound):
        asyncio.run(Door(application, Counts.alone())(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start"]

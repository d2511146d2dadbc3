"""One connection too many is told so, in the form of every other answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from pacs.processes.direct_protocol import DirectHttpProtocol

MOST = 3


async def small(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        small, http=DirectHttpProtocol, ws="none", lifespan="off", log_config=None, limit_concurrency=MOST
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(20)
    listening.close()


def test_it_says_why_and_when_to_come_again(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert client.get("/").status_code == 204
        others = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(MOST)]
        while (answer := client.get("/")).status_code == 204:
            pass  # until the server has accepted all of them
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert set(answer.json()) == {"error", "hint"}
        for other in others:
            other.close()
        while (answer := client.get("/")).status_code == 503:
            pass
        assert answer.status_code == 204

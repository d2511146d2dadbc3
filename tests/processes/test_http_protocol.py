"""Peers that stop in the middle lose their place, with short time-outs on a server of the test's own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from pacs.processes import http_protocol
from pacs.processes.http_protocol import BoundedHttpProtocol

pytestmark = pytest.mark.real_time(0.1)

MEGABYTES = 64


async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(MEGABYTES):
        await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http_protocol, "WRITE_TIMEOUT_S", 0.3)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(large, http=BoundedHttpProtocol, ws="none", lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(20)
    listening.close()


def peer(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_cut(connection: socket.socket) -> bool:
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("said", [b"", b"\r\n", b"GET / HT", b"GET / HTTP/1.1\r\nX: y\r\n"])
def test_a_head_that_never_ends(port: int, said: bytes) -> None:
    with peer(port) as connection:
        connection.sendall(said)
        assert is_cut(connection)


def test_dripping_does_not_buy_time(port: int) -> None:
    with peer(port) as connection:
        started = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() - started < 10:
                connection.sendall(b"G")
                time.sleep(0.05)


def test_a_second_head_has_the_same_limit(port: int) -> None:
    with peer(port) as connection:
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /")
        assert is_cut(connection)


def test_a_peer_that_reads_nothing_loses_its_answer(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    is_given_up = threading.Event()
    connection_lost = BoundedHttpProtocol.connection_lost

    def lost(protocol: BoundedHttpProtocol, exc: Exception | None) -> None:
        connection_lost(protocol, exc)
        is_given_up.set()

    monkeypatch.setattr(BoundedHttpProtocol, "connection_lost", lost)
    with peer(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert is_given_up.wait(20)
        received = 0
        try:
            while part := connection.recv(1 << 20):
                received += len(part)
        except ConnectionResetError:
            pass
        assert received < MEGABYTES << 20


def test_an_honest_peer_gets_all_of_it(port: int) -> None:
    with peer(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = 0
        while part := connection.recv(1 << 20):
            received += len(part)
        assert received > MEGABYTES << 20

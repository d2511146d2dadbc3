"""A peer that does not read, and heads that are no handshake, on the protocol class itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from pacs.processes import websocket_protocol
from pacs.processes.websocket_protocol import BoundedWebSocketProtocol

HANDSHAKE = (
    b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Transport(asyncio.Transport):
    """Remembers what was written and how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = ""

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default


async def application(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    for _ in range(1000):
        await send({"type": "websocket.send", "text": "x" * 1000})


def opened(head: bytes) -> tuple[BoundedWebSocketProtocol, Transport]:
    config = uvicorn.Config(application, ws=BoundedWebSocketProtocol, log_config=None)
    config.load()
    protocol, transport = BoundedWebSocketProtocol(config, ServerState(), {}), Transport()
    protocol.connection_made(transport)
    protocol.data_received(head)
    return protocol, transport


@pytest.mark.parametrize("head", [b"\x00\xff\r\n\r\n", HANDSHAKE.replace(b"\r\n\r\n", b"\r\nx: y" * 300 + b"\r\n\r\n")])
def test_a_head_that_cannot_be_read_is_refused_with_a_reason(head: bytes) -> None:
    async def run() -> None:
        _, transport = opened(head)
        assert transport.written.startswith(b"HTTP/1.1 400 Bad Request")
        assert b'"hint"' in transport.written
        assert transport.ended == "closed"

    asyncio.run(run())


def test_who_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "WRITE_TIMEOUT_S", 0.01)

    async def run() -> None:
        protocol, transport = opened(HANDSHAKE)
        protocol.pause_writing()  # as the transport says when its buffer is full
        async with asyncio.timeout(10):
            while not transport.ended:
                await asyncio.sleep(0.005)
        assert transport.ended == "aborted"
        protocol.connection_lost(None)

    asyncio.run(run())


def test_who_reads_in_time_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(websocket_protocol, "WRITE_TIMEOUT_S", 0.01)

    async def run() -> None:
        protocol, transport = opened(HANDSHAKE)
        protocol.pause_writing()
        protocol.resume_writing()
        await asyncio.sleep(0.05)
        assert transport.ended != "aborted"
        protocol.connection_lost(None)

    asyncio.run(run())


def test_a_stop_does_not_wait_for_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "CLOSE_TIMEOUT_S", 0.01)

    async def run() -> None:
        protocol, transport = opened(HANDSHAKE)
        await asyncio.sleep(0)
        protocol.pause_writing()
        protocol.shutdown()
        assert transport.ended != "aborted", "who reads has a moment to say good-bye"
        async with asyncio.timeout(10):
            while transport.ended != "aborted":
                await asyncio.sleep(0.005)
        assert transport.ended == "aborted"
        protocol.connection_lost(None)

    asyncio.run(run())

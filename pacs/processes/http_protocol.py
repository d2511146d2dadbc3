"""The HTTP/1.1 connection with limits: a head that does not end, in bytes or in time, and a peer that does not read.

uvicorn bounds bodies (by flow control) and idle time between requests, but neither the bytes nor the time of a
request's head: without this, one peer with one connection takes all memory, and a thousand silent ones all places.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pacs import log
from pacs.measured.stages import ARRIVED

MAX_HEAD_BYTES = 128 << 10
"""Request line and header fields together, or trailers; long query strings and Accept fields are a few KB."""
MAX_URL_BYTES = 0xFFFF
"""What httptools can take apart."""
HEAD_TIMEOUT_S = 20.0
"""From connecting, or from the first byte of a further request, until its header fields are complete."""
WRITE_TIMEOUT_S = 60.0
"""Longest time in which a peer reads nothing of an answer that waits for it."""


async def _too_many(_scope: Scope, _receive: Receive, send: Send) -> None:
    """ASGI: what one connection too many is told."""
    why = {"error": "Too many connections are open", "hint": "Nothing was lost; close some, and try again shortly."}
    body = json.dumps(why).encode("ascii")
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"retry-after", b"5"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class BoundedHttpProtocol(HttpToolsProtocol):
    """Given to uvicorn as its ``http`` protocol class."""

    url = b""
    _bytes_without_progress = 0
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn's own answer says neither what was wrong nor when to come again.
        self._most, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._bytes_without_progress += len(data)
        super().data_received(data)
        # Most heads come whole; a timer for each would cost as much as reading it.
        is_idle = self.cycle is None or self.cycle.response_complete
        if self._head_timer is None and self._bytes_without_progress and is_idle and not self.transport.is_closing():
            self._await_head()
        if self._bytes_without_progress > MAX_HEAD_BYTES and not self.transport.is_closing():
            log.warning("request refused", why=f"its head is larger than {MAX_HEAD_BYTES} bytes")
            if not self._refuse_long_url():
                self._refuse(431, "Request Header Fields Too Large", f"The head is larger than {MAX_HEAD_BYTES} bytes")

    def on_headers_complete(self) -> None:
        self._bytes_without_progress = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self.answered_at_once():
            return
        self.scope[ARRIVED] = time.perf_counter()  # type: ignore[typeddict-unknown-key]
        if not self.is_one_too_many():
            super().on_headers_complete()
            return
        served, self.app = self.app, _too_many
        try:
            super().on_headers_complete()
        finally:
            self.app = served

    def is_one_too_many(self) -> bool:
        """Whether more connections are open, or requests being answered, than may be."""
        return self._most is not None and max(len(self.connections), len(self.tasks)) > self._most

    def answered_at_once(self) -> bool:
        """For a subclass: whether the request whose header fields were read last has been answered already."""
        return False

    def on_body(self, body: bytes) -> None:
        self._bytes_without_progress = 0
        super().on_body(body)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._await_reading()

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        if not self._refuse_long_url():
            self._refuse(400, "Bad Request", msg)

    def _refuse_long_url(self) -> bool:
        if len(self.url) <= MAX_URL_BYTES:
            return False
        self._refuse(414, "URI Too Long", f"The URL is longer than {MAX_URL_BYTES} bytes", "Ask for less at once.")
        return True

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up, "its request has no end")

    def _await_reading(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self._require_reading, waiting)

    def _require_reading(self, waiting_before: int) -> None:
        """One large piece may take its reader longer than that; it must only go on."""
        if self.transport.get_write_buffer_size() < waiting_before:
            self._await_reading()
        else:
            self._give_up("it reads nothing of its answer")

    def _give_up(self, why: str) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None or self._bytes_without_progress:  # a silent connection is no event
            log.warning("connection closed", peer=self.client[0] if self.client else "", why=why)
        self.transport.abort()

    def _refuse(self, status: int, phrase: str, message: str, hint: str = "Send a request as RFC 9112 has it.") -> None:
        """Answer what never became a request, as every other error is answered."""
        body = json.dumps({"error": message, "hint": hint}).encode("ascii")
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None

"""The WebSocket connection with limits: a head that is no handshake, and a peer that does not read.

uvicorn pings and gives up who does not answer, but closes the connection only when everything that waits for it was
read: a peer that reads nothing would hold it, and what waits, for ever.
"""

from __future__ import annotations

import asyncio
import json

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from pacs import log

WRITE_TIMEOUT_S = 30.0
"""Longest time in which a peer reads nothing of what waits for it."""
CLOSE_TIMEOUT_S = 2.0
"""Longest time in which it takes the end of a connection."""


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """Given to uvicorn as its ``ws`` protocol class."""

    _write_timer: asyncio.TimerHandle | None = None
    _end_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated:
            super().data_received(data)
            return
        # uvicorn expects the head to be one that it can read itself, and fails otherwise.
        self.conn.receive_data(data)
        if self.conn.parser_exc is None and self.conn.handshake_exc is None:
            self.handle_events()
            return
        log.warning("request refused", method="WEBSOCKET", why="its head is no handshake", status=400)
        self.handshake_complete = self.close_sent = True
        body = json.dumps(
            {"error": "This is no WebSocket handshake", "hint": "Send a request as RFC 6455 §4.1 has it."}
        )
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n{body}".encode("ascii"))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._write_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self._give_up, "it reads nothing of its events")

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._end("it answers no ping")

    def shutdown(self) -> None:
        super().shutdown()
        self._end("the archive stops")

    def _end(self, why: str) -> None:
        if self._end_timer is None and not self.disconnected:
            self._end_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self._give_up, why)

    def _give_up(self, why: str) -> None:
        if not self.disconnected:
            log.warning("connection closed", peer=self.client[0] if self.client else "", why=why)
            self.transport.abort()

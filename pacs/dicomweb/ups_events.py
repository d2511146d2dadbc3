"""Notifications over WebSocket (PS3.18 §8.10.4, §8.10.5): the events of a subscriber, from the table they wait in.

An event may have been made in any process. One look at the end of the table, every `worklist.poll_s` and for all
connections of a process together, tells whether there are new ones. What was sent is forgotten when it is certain to
have arrived: the connection has answered a later ping. Otherwise it is sent again on the next connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from pacs import log
from pacs.dicomweb.http_errors import answer_to
from pacs.dicomweb.responses import in_thread
from pacs.dicomweb.services import Identify
from pacs.errors import Busy, PacsError
from pacs.worklist.guards import check_subscriber
from pacs.worklist.service import Worklist

PING_INTERVAL_S: Final = 10.0
PING_TIMEOUT_S: Final = 10.0
"""A peer that does not answer a ping for so long is gone."""
CERTAIN_AFTER_S: Final = PING_INTERVAL_S + PING_TIMEOUT_S + 1.0
"""A connection that still stands so long after an event was sent has answered a ping that came behind it."""
_CLOSED_AFTER_S: Final = 1.0
"""Of a connection that the peer closed in order: it has read what was sent so long before."""
MAX_MESSAGE_BYTES: Final = 4096
"""From a client, who has nothing to say here."""
_MAX_MESSAGES: Final = 100
_BATCH: Final = 100
_GOING_AWAY = frozenset({1000, 1001})
_POLICY_VIOLATION: Final = 1008


class EventChannels:
    """The WebSockets of one process, as an ASGI application; used by one event loop."""

    def __init__(self, worklist: Worklist, identify: Identify) -> None:
        self._worklist = worklist
        self._identify = identify
        self._settings = worklist.settings
        self._open: dict[tuple[str, str], set[_Channel]] = {}
        self._poller: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a connection, or refuse it as an HTTP request is refused."""
        await receive()  # websocket.connect
        try:
            hospital = self._identify(scope).hospital
            key = (hospital, check_subscriber(scope["path_params"]["aetitle"]))
            self._check_room(key)
        except PacsError as problem:
            await refuse(send, *answer_to(problem))
            return
        channel = _Channel(self._worklist, key, receive, send)
        self._open.setdefault(key, set()).add(channel)
        try:
            await send({"type": "websocket.accept"})
            if self._poller is None:
                self._poller = asyncio.create_task(self._poll())
            log.event("subscriber connected", subscriber=key[1], hospital=key[0])
            await channel.run()
        finally:
            self._forget(channel)
            log.event("subscriber disconnected", subscriber=key[1], hospital=key[0], events=channel.sent)

    def _check_room(self, key: tuple[str, str]) -> None:
        if len(self._open.get(key, ())) >= self._settings.max_connections_per_subscriber:
            raise Busy(f"{key[1]} has enough connections (worklist.max_connections_per_subscriber)")
        if sum(map(len, self._open.values())) >= self._settings.max_connections:
            raise Busy("too many subscribers are connected (worklist.max_connections)")

    def _forget(self, channel: _Channel) -> None:
        channels = self._open[channel.key]
        channels.discard(channel)
        if not channels:
            del self._open[channel.key]
        if not self._open and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _poll(self) -> None:
        """Wake the connections of whom something is told. A database that fails is asked again."""
        known = -1
        while True:
            pause_s = self._settings.poll_s
            try:
                if known < 0:
                    known, told = await in_thread(self._worklist.newest), set(self._open)
                else:
                    known, told = await in_thread(self._worklist.news, known)
                for key in told:
                    for channel in self._open.get(key, ()):
                        channel.has_news.set()
            except Exception as problem:  # noqa: BLE001 -- whatever it is, subscribers are to be told later
                log.warning("events cannot be looked for", why=str(problem) or type(problem).__name__)
                pause_s = max(1.0, pause_s)
            await asyncio.sleep(pause_s)


class _Channel:
    """One connection."""

    def __init__(self, worklist: Worklist, key: tuple[str, str], receive: Receive, send: Send) -> None:
        self.key = key
        self.has_news = asyncio.Event()
        self.sent = 0
        self._worklist = worklist
        self._receive = receive
        self._send = send
        self._last = 0
        self._uncertain: deque[tuple[float, int]] = deque()
        """When, and up to which number, events were sent that may not have arrived."""
        self._messages = 0

    async def run(self) -> None:
        """Until the peer goes, or the server stops."""
        listening = asyncio.create_task(self._listen())
        try:
            while not listening.done():
                self.has_news.clear()
                is_more = await self._send_waiting()
                await self._forget_certain(CERTAIN_AFTER_S)
                if not is_more:
                    await self._wait(listening)
        except OSError:
            pass  # the peer is gone; what it did not get stays
        finally:
            if listening.done() and not listening.cancelled() and listening.result() in _GOING_AWAY:
                await self._forget_certain(_CLOSED_AFTER_S)
            listening.cancel()

    async def _listen(self) -> int:
        """Read and drop what the peer says; the code with which the connection ends."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or 1006)
            self._messages += 1
            if self._messages > _MAX_MESSAGES:
                await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "say nothing here"})
                return _POLICY_VIOLATION

    async def _send_waiting(self) -> bool:
        """Send what waits, a batch at a time; whether there may be more."""
        try:
            batch = await in_thread(self._worklist.waiting, *self.key, self._last, _BATCH)
        except PacsError as problem:
            log.warning("events cannot be read", why=str(problem))
            self.has_news.set()
            await asyncio.sleep(1.0)
            return False
        for number, report in batch:
            await self._send({"type": "websocket.send", "text": json.dumps(report, ensure_ascii=False)})
            self._last = number
            self.sent += 1
            self._uncertain.append((asyncio.get_running_loop().time(), number))
        return len(batch) == _BATCH

    async def _forget_certain(self, after_s: float) -> None:
        before = asyncio.get_running_loop().time() - after_s
        number = 0
        while self._uncertain and self._uncertain[0][0] <= before:
            _, number = self._uncertain.popleft()
        if number:
            with contextlib.suppress(PacsError):  # it is sent again, at the worst
                await in_thread(self._worklist.delivered, *self.key, number)

    async def _wait(self, listening: asyncio.Task[int]) -> None:
        """For news, for the end, or until something sent has become certain."""
        timeout_s = None
        if self._uncertain:
            timeout_s = max(0.05, self._uncertain[0][0] + CERTAIN_AFTER_S - asyncio.get_running_loop().time())
        news = asyncio.create_task(self.has_news.wait())
        try:
            await asyncio.wait({news, listening}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()


async def refuse(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    """Answer the request for a WebSocket with an HTTP error (ASGI's ``websocket.http.response``)."""
    fields: list[Any] = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "websocket.http.response.start", "status": status, "headers": fields})
    await send({"type": "websocket.http.response.body", "body": body})

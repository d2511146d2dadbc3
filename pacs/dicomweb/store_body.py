"""Bodies of store requests as they come: no thread waits for one, and none is waited for without end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from starlette.requests import ClientDisconnect, Request

from pacs import log
from pacs.errors import Busy, InvalidRequest
from pacs.http_settings import HttpSettings
from pacs.pace import Pace

MAX_OPEN = 256
"""Bodies that arrive at once in one process. Each costs a socket and what `OpenBodies.step_bytes` says."""
SLOW_AFTER_S = 10.0
"""Of waiting for one body; before that nobody can say how fast its sender is."""
_SLOW_BYTES_PER_S = 1 << 16
"""Whoever sends less than this gives way when all places are taken: scanners and gateways send a hundred times more."""
_STEP_BYTES = 1 << 18
_LEAST_STEP_BYTES = 1 << 16
_STEPS_TOGETHER_BYTES = 8 << 20
_MAX_DRAINED_BYTES = 64 << 20
"""Of a body that is refused unread, so that the client gets to read the answer."""


class OpenBodies:
    """The bodies that are arriving in this process. Used by one event loop."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._bodies: set[Body] = set()

    @property
    def step_bytes(self) -> int:
        """How much of a body is gathered before it is worked on: less when many arrive, so that memory is bounded."""
        share = _STEPS_TOGETHER_BYTES // max(1, len(self._bodies))
        return max(_LEAST_STEP_BYTES, min(_STEP_BYTES, share))

    @contextlib.contextmanager
    def opened(self, request: Request) -> Iterator[Body]:
        """A place for the body of `request`; when all are taken, the slowest sender loses its own.

        Raises:
            Busy: all are taken, and nobody is slow.
        """
        if len(self._bodies) >= MAX_OPEN:
            slow = [body for body in self._bodies if body.bytes_per_s < _SLOW_BYTES_PER_S]
            if not slow:
                raise Busy(f"{MAX_OPEN} store requests are being received; no more are taken at once", retry_after_s=2)
            slowest = min(slow, key=lambda body: body.bytes_per_s)
            slowest.give_way()
            self._bodies.discard(slowest)
        body = Body(request, self._settings)
        self._bodies.add(body)
        try:
            yield body
        finally:
            self._bodies.discard(body)


class Body:
    """One body as it comes."""

    def __init__(self, request: Request, settings: HttpSettings) -> None:
        self._stream = request.stream()
        self._request = request
        self._pace = Pace(settings.body_timeout_s, settings.least_bytes_per_s)
        self._received_bytes = 0
        self._waited_s = 0.0
        self._waiting: asyncio.Timeout | None = None
        self._waiting_since = 0.0
        self._is_given_up = False
        self._must_give_way = False

    @property
    def bytes_per_s(self) -> float:
        """How fast it comes; infinite while nobody waits for it, or has not waited for long."""
        if self._waiting is None:
            return float("inf")
        waited_s = self._waited_s + asyncio.get_running_loop().time() - self._waiting_since
        return self._received_bytes / waited_s if waited_s > SLOW_AFTER_S else float("inf")

    def give_way(self) -> None:
        """End the wait for its next bytes now."""
        if self._waiting is not None:
            self._must_give_way = True
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def chunks(self) -> AsyncIterator[bytes]:
        """What has not been read yet.

        Raises:
            InvalidRequest: nothing, or next to nothing, came for ``http.body_timeout_s``.
            Busy: others need the place of this slow sender.
            ClientDisconnect: the client is gone.
        """
        while not self._is_given_up:
            chunk = await self._next()
            if chunk is None:
                return
            self._received_bytes += len(chunk)
            yield chunk

    async def _next(self) -> bytes | None:
        loop = asyncio.get_running_loop()
        self._waiting_since = started = loop.time()
        chunk: bytes | None = None
        try:
            async with asyncio.timeout(self._pace.left_s) as self._waiting:
                chunk = await anext(self._stream, None)
        except TimeoutError:
            self._is_given_up = True
            raise self._why_given_up() from None
        finally:
            self._waiting = None
            waited_s = loop.time() - started
            self._waited_s += waited_s
            self._pace.waited(waited_s, len(chunk or b""))
        if self._must_give_way:  # its bytes came at the very moment in which the wait for them was to end
            self._is_given_up = True
            raise self._why_given_up()
        return chunk

    def _why_given_up(self) -> Busy | InvalidRequest:
        client = self._request.client
        if self._must_give_way:
            why = "it comes more slowly than all others, and every place is taken"
            problem: Busy | InvalidRequest = Busy(f"The body is given up: {why}; send again", retry_after_s=10)
        else:
            why = "the body stopped arriving, or hardly anything of it came"
            problem = InvalidRequest(f"{why.capitalize()} (http.body_timeout_s, http.least_bytes_per_s)")
        log.warning("store request given up", why=why, peer=client.host if client else "", bytes=self._received_bytes)
        return problem

    async def drain(self) -> None:
        """Read and drop the rest, within reason: a client that is still sending does not read an answer."""
        drained = 0
        with contextlib.suppress(InvalidRequest, Busy, ClientDisconnect):
            async for chunk in self.chunks():
                drained += len(chunk)
                if drained > _MAX_DRAINED_BYTES:
                    return

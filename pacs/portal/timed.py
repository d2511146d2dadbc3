"""Around the portal: its answers are counted and carry Server-Timing, as those of the other doors do."""

from __future__ import annotations

from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pacs.measured.counts import Counts
from pacs.measured.kinds import kind
from pacs.measured.stages import ARRIVED

_PAGE: Final = kind("page")
_OTHER: Final = kind("other")
_NO_PAGES: Final = ("/health/", "/metrics")


class Timed:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at: float = scope.get(ARRIVED) or perf_counter()
        kind = _OTHER if scope["path"].startswith(_NO_PAGES) else _PAGE

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                timing = self._counts.finished(kind, perf_counter() - started_at, message["status"])
                message["headers"] = [*message.get("headers", ()), (b"server-timing", timing)]
            await send(message)

        await self._app(scope, receive, timed)

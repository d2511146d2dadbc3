"""Around every route: time it, answer HEAD, turn errors into answers."""

from __future__ import annotations

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pacs import log
from pacs.dicomweb.http_errors import answer_to, log_refusal
from pacs.errors import PacsError


class Door:
    """ASGI middleware: every answer carries Server-Timing, and no error leaves without its JSON body.

    HEAD is answered as GET; the server leaves the body away.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = perf_counter()
        is_started = False

        async def timed(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                duration = f"app;dur={(perf_counter() - started_at) * 1000:.2f}".encode("ascii")
                message["headers"] = [*message.get("headers", ()), (b"server-timing", duration)]
            await send(message)

        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        try:
            await self._app(scope, receive, timed)
        except Exception as error:
            path = scope.get("path", "")
            if is_started:
                # Too late for a status: the connection is broken, so that nobody takes the answer for whole.
                log.failure("answer was broken off", error, method=method, path=path[:500])
                raise
            if not isinstance(error, PacsError):
                log.failure("request failed", error, method=method, path=path[:500], status=500)
            status, headers, body = answer_to(error)
            if isinstance(error, PacsError):
                log_refusal(error, status, method, path)
            await _send(timed, status, headers, body)


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    fields.append((b"content-length", str(len(body)).encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})

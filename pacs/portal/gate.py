"""In front of every route: who may ask at all, and the header fields that every answer carries."""

from __future__ import annotations

import json
from collections.abc import Callable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pacs import log
from pacs.access.web_origins import OURS_ONLY, Forbidden, WebOrigins
from pacs.measured.counts import Counts
from pacs.measured.kinds import kind
from pacs.ready_answer import ReadyAnswer

# No browser guesses a type: what a peer stored must never run as a page.
_NO_GUESSING = (b"x-content-type-options", b"nosniff")
_NOSNIFF = b"\r\nx-content-type-options:"
_OTHER = kind("other")
_NAMES = frozenset((_NO_GUESSING[0], OURS_ONLY[0]))
_ASKED = frozenset(
    (b"host", b"origin", b"referer", b"sec-fetch-site", b"x-forwarded-host", b"access-control-request-private-network")
)


def _lines(*fields: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"%s: %s\r\n" % field for field in fields)


_USUAL_LINES, _USUAL_LINES_BESIDE_NOSNIFF = _lines(_NO_GUESSING, OURS_ONLY), _lines(OURS_ONLY)


def _asked(scope: Scope) -> tuple[dict[bytes, bytes], bool]:
    """The header fields that decide, and whether there are several Host fields."""
    fields: dict[bytes, bytes] = {}
    is_ambiguous = False
    for name, value in scope["headers"]:
        if name in _ASKED:
            is_ambiguous = is_ambiguous or (name == b"host" and name in fields)
            fields[name] = value
    return fields, is_ambiguous


def _is_preflight(scope: Scope) -> bool:
    asks = any(name == b"access-control-request-method" for name, _ in scope["headers"])
    return scope["method"] == "OPTIONS" and asks


class Gate:
    """ASGI middleware; see `pacs.access.web_origins` for what it lets in."""

    def __init__(
        self, app: ASGIApp, origins: WebOrigins, counts: Counts | None = None, *, viewed: str = "/dicomweb/"
    ) -> None:
        """What lies below the path `viewed` may be read by pages of the origins that the operator named."""
        self._app = app
        self._origins = origins
        self._viewed = viewed if origins.has_viewers else None
        self._counts = counts or Counts.alone()
        self._app_at_once: Callable[[Scope], ReadyAnswer | None] | None = getattr(app, "at_once", None)

    def at_once(self, scope: Scope) -> ReadyAnswer | None:
        """See `pacs.ready_answer`."""
        if self._app_at_once is None:
            return None
        fields, is_ambiguous = _asked(scope)
        if is_ambiguous or self._origins.refusal(scope["method"], fields) is not None:
            return None
        answer = self._app_at_once(scope)
        if answer is None:
            return None
        is_said = _NOSNIFF in answer.fields
        if self._is_viewed(scope):
            lines = _lines(*self._origins.viewer_fields(fields))
            return answer.with_fields(lines if is_said else _lines(_NO_GUESSING) + lines)
        return answer.with_fields(_USUAL_LINES_BESIDE_NOSNIFF if is_said else _USUAL_LINES)

    def _is_viewed(self, scope: Scope) -> bool:
        return self._viewed is not None and scope["path"].startswith(scope.get("root_path", "") + self._viewed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = perf_counter()
        fields, is_ambiguous = _asked(scope)
        more: tuple[tuple[bytes, bytes], ...] = (OURS_ONLY,)

        async def with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [field for field in message.get("headers", ()) if field[0] not in _NAMES]
                message["headers"] = [*kept, _NO_GUESSING, *more]
            await send(message)

        refusal = self._origins.refusal(scope["method"], fields)
        if is_ambiguous:
            refusal = Forbidden(400, "The request has several Host fields", "Send one (RFC 9112 §3.2).")
        if refusal is None:
            preflight = None
            if self._is_viewed(scope):
                more = self._origins.viewer_fields(fields)
                preflight = self._origins.preflight_fields(fields) if _is_preflight(scope) else None
            if preflight is None:
                await self._app(scope, receive, with_fields)
                return
            more = preflight
            timing = self._counts.finished(_OTHER, perf_counter() - begun, 204)
            await with_fields({"type": "http.response.start", "status": 204, "headers": [(b"server-timing", timing)]})
            await send({"type": "http.response.body", "body": b""})
            return
        log.warning("request refused", method=scope["method"], why=refusal.message, status=refusal.status)
        timing = self._counts.finished(_OTHER, perf_counter() - begun, refusal.status)
        body = json.dumps({"error": refusal.message, "hint": refusal.hint}).encode("ascii")
        await with_fields(
            {
                "type": "http.response.start",
                "status": refusal.status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"cache-control", b"no-store"),
                    (b"server-timing", timing),
                    (b"content-length", str(len(body)).encode("ascii")),
                    # What is left of its body is not read.
                    (b"connection", b"close"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in whom a request that changes something would be let in from: a browser opens a WebSocket to anywhere
        for any page, sends what it knows of the user, and leaves the origin to the server to check (RFC 6455 §10.2).
        """
        fields, is_ambiguous = _asked(scope)
        refusal = self._origins.refusal("WEBSOCKET", fields)
        if is_ambiguous:
            refusal = Forbidden(400, "The request has several Host fields", "Send one (RFC 9112 §3.2).")
        if refusal is None:
            await self._app(scope, receive, send)
            return
        log.warning("request refused", method="WEBSOCKET", why=refusal.message, status=refusal.status)
        body = json.dumps({"error": refusal.message, "hint": refusal.hint}).encode("ascii")
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        headers += [_NO_GUESSING, OURS_ONLY]
        await receive()
        await send({"type": "websocket.http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})

"""Around every route: let it in, time it, answer HEAD, turn errors into answers."""

from __future__ import annotations

from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pacs import log
from pacs.dicomweb.admission import Admission
from pacs.dicomweb.http_errors import answer_to, log_refusal, status_of
from pacs.dicomweb.request_kinds import kind_of, refined
from pacs.dicomweb.requests import ASKED_BY_HEAD
from pacs.errors import PacsError
from pacs.measured import stages
from pacs.measured.counts import Counts
from pacs.measured.kinds import Kind, kind
from pacs.measured.stages import Stages

_STORE: Final = kind("store")


class Door:
    """ASGI middleware: every answer is counted and carries Server-Timing, and no error leaves without its JSON body.

    HEAD is answered as GET; the server leaves the body away.
    """

    def __init__(
        self, app: ASGIApp, counts: Counts, admission: Admission | None = None, kind: Kind | None = None
    ) -> None:
        """`kind`: of all requests that come here; else each one's URL tells."""
        self._app = app
        self._counts = counts
        self._admission = admission
        self._kind = kind
        self._limited = frozenset() if admission is None else admission.limited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind = self._kind or kind_of(
            scope["method"], scope["path"].removeprefix(scope.get("root_path", "")), scope.get("query_string", b"")
        )
        answering = _Answering(self._counts, kind, scope, receive, send)
        admission = self._admission if kind.number in self._limited else None
        if admission is not None:
            refusal = await admission.enter(kind)
            answering.begins()
            if refusal is not None:
                # One line in the log says that they give way; a line for each would add to what burns.
                await answering.refuse(refusal)
                return
        try:
            await answering.run(self._app)
        finally:
            if admission is not None:
                admission.leave(kind)


class _Answering:
    """One request while it is answered."""

    __slots__ = (
        "_counts",
        "_kind",
        "_method",
        "_path",
        "_receive",
        "_scope",
        "_send",
        "_since",
        "account",
        "is_started",
    )

    def __init__(self, counts: Counts, kind: Kind, scope: Scope, receive: Receive, send: Send) -> None:
        self._counts = counts
        self._kind = kind
        self._method = scope["method"]
        self._path = scope["path"]
        self._scope = scope
        self._receive = receive
        self._send = send
        self.is_started = False
        self._since: float = scope.get(stages.ARRIVED) or perf_counter()
        self.account = Stages()

    def begins(self) -> None:
        """It had to wait for its turn until now."""
        waited_s = perf_counter() - self._since
        if waited_s > 0.001:
            self.account.add(stages.WAIT, waited_s)

    async def run(self, app: ASGIApp) -> None:
        """Have `app` answer; an error becomes the answer while there is none."""
        method, scope = self._method, self._scope
        if method == "HEAD":
            scope = {**scope, "method": "GET", ASKED_BY_HEAD: True}
        stages.begin(self.account)
        try:
            await app(scope, self._timed_receive if self._kind is _STORE else self._receive, self._timed)
        except Exception as error:
            if self.is_started:
                # Too late for a status: the connection is broken, so that nobody takes the answer for whole.
                log.failure("answer was broken off", error, method=method, path=self._path[:500])
                raise
            if isinstance(error, PacsError):
                log_refusal(error, status_of(error), method, self._path)
            else:
                log.failure("request failed", error, method=method, path=self._path[:500], status=500)
            await self.refuse(error)

    async def refuse(self, error: Exception) -> None:
        status, headers, body = answer_to(error)
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        fields.append((b"content-length", str(len(body)).encode("ascii")))
        await self._timed({"type": "http.response.start", "status": status, "headers": fields})
        await self._send({"type": "http.response.body", "body": body})

    async def _timed(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_started = True
            account = self.account
            timing = self._counts.finished(
                refined(self._kind, account.kind),
                perf_counter() - self._since,
                message["status"],
                account.hospital,
                account,
            )
            message["headers"] = [*message.get("headers", ()), (b"server-timing", timing)]
        await self._send(message)

    async def _timed_receive(self) -> Message:
        """What the sender takes for its body is not our time."""
        message = await self._receive()
        self._since = perf_counter()
        return message

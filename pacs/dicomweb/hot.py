"""Plain ASGI routes for what viewers ask for thousands of times: one thread hop, then bytes to the socket.

FastAPI's request, dependency and response objects cost more than finding a frame does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter

from starlette.types import Receive, Scope, Send

from pacs.dicomweb.byte_ranges import asked_range, cut
from pacs.dicomweb.http_errors import body as error_body
from pacs.dicomweb.http_errors import hint_for
from pacs.dicomweb.kept_answers import KeptAnswers, fields_of_304, request_key
from pacs.dicomweb.request_kinds import kind_of, refined
from pacs.dicomweb.requests import ASKED_BY_HEAD, content_location
from pacs.dicomweb.responses import (
    header_of,
    in_decoding_thread,
    in_thread,
    is_known_to_client,
    problem,
    send_pieces,
)
from pacs.dicomweb.threads import Threads
from pacs.errors import PacsError
from pacs.measured import stages
from pacs.measured.counts import Counts
from pacs.measured.kinds import Kind
from pacs.model import Principal
from pacs.ready_answer import ReadyAnswer
from pacs.retrieve import ChangeMark

_METHODS = ("GET", "HEAD")
_END = object()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hot route answers: status, header fields and the body's pieces."""

    headers: Mapping[str, str]
    pieces: Iterable[bytes | memoryview] = ()
    status: int = 200
    is_lazy: bool = field(default=False)
    """Taking the next piece may wait for storage or decode pixels, so it is done in a thread."""
    waits_for_decoder: bool = field(default=False)
    """Taking the next piece waits for a decoder, so it is done where no look-up waits."""
    cut: Callable[[int, int], Iterable[bytes | memoryview]] | None = field(default=None)
    """Gives the bytes from one place to before another without taking those before; else all pieces are gone through,
    which is too much for lazy ones."""
    make: Callable[[], Answer] | None = field(default=None)
    """Gives the answer itself, after waiting for a decoder; everything else here is empty then."""

    @property
    def has_ranges(self) -> bool:
        """Whether its bytes are the same each time, so that parts of two answers go together."""
        is_weak = self.headers.get("etag", "").startswith("W/")
        return self.status == 200 and "content-length" in self.headers and not is_weak


@dataclass(frozen=True, slots=True)
class Keeping:
    """How routes remember what they answered, and who it was for."""

    identify: Callable[[Scope], Principal]
    mark: Callable[[Principal, str], ChangeMark]
    """Of a study, for a principal."""
    kept: KeptAnswers
    counts: Counts

    def at_once(self, scope: Scope, root_path: str) -> ReadyAnswer | None:
        """What is remembered for this request, a GET or HEAD without a range; see `pacs.ready_answer`."""
        begun = perf_counter()
        try:
            principal = self.identify(scope)
            kept = self.kept.get(request_key(scope, principal, root_path))
        except PacsError:
            return None  # the ordinary way says why
        if kept is None:
            return None
        is_known = is_known_to_client(header_of(scope, b"if-none-match"), kept.answer.headers["etag"])
        answer = kept.not_modified if is_known else kept.whole
        if answer is None:
            return None
        timing = self.counts.finished(kept.kind, perf_counter() - begun, answer.status, principal.hospital)
        return answer.with_fields(b"server-timing: %s\r\n" % timing)


class HotRoute:
    """An ASGI application around a function that looks up and reads; it runs in a thread of its own pool.

    With `keeping` what the function answered is remembered and given again to the same principal without a thread, as
    long as nothing of the study has changed; who asks is still found out each time.
    """

    def __init__(
        self,
        prepare: Callable[[Scope], Answer],
        *,
        keeping: Keeping | None = None,
        most_bytes: int = 4096,
        threads: Threads = in_thread,
    ) -> None:
        """`most_bytes`: of an answer that is remembered, besides what lies in mapped files. `threads`: in which
        the function runs."""
        self._prepare = prepare
        self._keeping = keeping
        self._most_bytes = most_bytes
        self._in_thread = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in _METHODS:
            refusal = problem(405, f"{scope['method']} is not offered here", {"allow": ", ".join(_METHODS)})
            await refusal(scope, receive, send)
            return
        answer = await self._answer(scope)
        if answer.cut is not None or not answer.is_lazy:
            answer = _ranged(answer, scope)
        if answer.is_lazy:
            await self._send_lazily(scope, receive, send, answer)
        else:
            await send_pieces(send, answer.headers, answer.pieces, status=answer.status)

    async def _answer(self, scope: Scope) -> Answer:
        if self._keeping is None:
            return await self._prepared(scope)
        principal = self._keeping.identify(scope)
        key = request_key(scope, principal, scope.get("root_path", ""))
        kept = self._keeping.kept.get(key)
        if kept is not None:
            if is_known_to_client(header_of(scope, b"if-none-match"), kept.answer.headers["etag"]):
                return Answer(fields_of_304(kept.answer), status=304)
            if kept.whole is None:
                kept = None
        if kept is None:
            # Before anything is looked up: a change that comes after it must be seen.
            mark = self._keeping.mark(principal, scope["path_params"]["study"])
            answer = await self._prepared(scope)
            return self._keeping.kept.keep(key, mark, answer, _kind(scope), most_bytes=self._most_bytes)
        return kept.answer

    async def _prepared(self, scope: Scope) -> Answer:
        answer = await self._in_thread(self._prepare, scope)
        answer = answer if answer.make is None else await in_decoding_thread(answer.make)
        return _located(answer, scope) if _is_expected(answer, scope) else _not_as_expected()

    async def _send_lazily(self, scope: Scope, receive: Receive, send: Send, answer: Answer) -> None:
        """Piece by piece, and no further than somebody waits for them; of HEAD the head alone.

        Nothing is sent before there is a first piece that is not empty, so that failing can still be the answer; also
        of HEAD, where a decoder decides.
        """
        if ASKED_BY_HEAD in scope and not answer.waits_for_decoder:
            await send_pieces(send, answer.headers, (), status=answer.status)
            return
        pieces = iter(answer.pieces)
        run_in_thread = in_decoding_thread if answer.waits_for_decoder else self._in_thread
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            first = await run_in_thread(_next, pieces)
            while first == b"" and not gone.done():
                first = await run_in_thread(_next, pieces)
            if ASKED_BY_HEAD in scope:
                await send_pieces(send, answer.headers, (), status=answer.status)
                return
            await send_pieces(send, answer.headers, (), status=answer.status, is_last=False)
            while first is not _END and not gone.done():
                await send({"type": "http.response.body", "body": first, "more_body": True})
                first = await run_in_thread(_next, pieces)
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            if isinstance(pieces, Generator):
                with contextlib.suppress(ValueError):  # it still runs, and ends by itself: this task was ended
                    await run_in_thread(pieces.close)


async def _disconnected(receive: Receive) -> None:
    """Ends when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        await asyncio.sleep(0)


def _kind(scope: Scope) -> Kind:
    account = stages.current()
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return refined(kind_of("GET", path, scope["query_string"]), account.kind if account is not None else None)


def _is_expected(answer: Answer, scope: Scope) -> bool:
    """Whether If-Match allows `answer` (RFC 9110 §13.1.1): compared strongly, before If-None-Match and Range."""
    condition = header_of(scope, b"if-match")
    if condition is None or answer.status not in (200, 304):
        return True
    names = [name.strip() for name in condition.split(",")]
    tag = answer.headers.get("etag", "W/")
    return "*" in names or (not tag.startswith("W/") and tag in names)


def _located(answer: Answer, scope: Scope) -> Answer:
    """With the URL of the representation that it is, or stands for."""
    location = content_location(scope) if "etag" in answer.headers else ""
    return replace(answer, headers={**answer.headers, "content-location": location}) if location else answer


def _not_as_expected() -> Answer:
    why = error_body("What is kept here is not what If-Match names", hint_for(412))
    headers = {"content-type": "application/json", "cache-control": "no-store", "content-length": str(len(why))}
    return Answer(headers, (why,), status=412)


def _ranged(answer: Answer, scope: Scope) -> Answer:
    """The part of `answer` that the request asks for (RFC 9110 §14); of bytes that lie in memory or in a mapping, or
    that `answer` can cut."""
    if not answer.has_ranges:
        return answer
    length = answer.headers["content-length"]
    headers = {**answer.headers, "accept-ranges": "bytes"}
    is_get = scope["method"] == "GET" and ASKED_BY_HEAD not in scope
    part = asked_range(header_of(scope, b"range"), int(length)) if is_get else None
    condition = header_of(scope, b"if-range")
    if part is None or (condition is not None and condition != headers.get("etag")):
        return replace(answer, headers=headers)
    if not part.is_satisfiable:
        why = error_body(f"the answer has {length} bytes, none of them in the range asked for", hint_for(416))
        headers = {"content-range": f"bytes */{length}", "accept-ranges": "bytes", "content-length": str(len(why))}
        return Answer({**headers, "content-type": "application/json"}, (why,), status=416)
    headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{length}"
    headers["content-length"] = str(part.end - part.start)
    if answer.cut is not None:
        return replace(answer, headers=headers, pieces=answer.cut(part.start, part.end), status=206, cut=None)
    return Answer(headers, cut(answer.pieces, part), status=206)


def _next(pieces: Iterator[bytes | memoryview]) -> object:
    return next(pieces, _END)

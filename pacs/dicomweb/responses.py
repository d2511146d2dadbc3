"""Sending answers over ASGI: pieces that are never joined, entity tags, compression."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pacs.dicomweb.http_errors import body as error_body
from pacs.dicomweb.http_errors import hint_for
from pacs.dicomweb.threads import Threads

IMMUTABLE = "private, max-age=86400, immutable"
"""For what is named by UIDs and never changes; private, so that no shared cache keeps an image."""
REVALIDATE = "private, no-cache"
"""For what grows while a series arrives: kept by the browser, asked for again each time by its entity tag."""

_EDITION = "2"
"""Of how answers are put together; another one gives other bytes."""
_GZIP_LEVEL = 5
_GZIP_WINDOW = 31
"""zlib's word for a 32 KB window in a gzip wrapper."""

in_thread = Threads(8, "dicomweb-read")
"""Look-ups and reads of the hot routes; apart from the pool in which store requests wait for the disk."""
in_making_thread = Threads(4, "dicomweb-make")
"""Look-ups of thumbnails, so that those of a whole list of studies keep no frame waiting."""
in_drawing_thread = Threads(4, "dicomweb-draw")
"""Pictures that need no decoder, and look-ups for the others."""
in_decoding_thread = Threads(8, "dicomweb-decode")
"""What waits for a decoder: who only looks up waits neither here nor behind it."""


def entity_tag(*identity: str) -> str:
    """A strong entity tag (RFC 9110 §8.8.3) of everything that decides an answer's bytes."""
    return '"' + hashlib.sha256("\n".join((_EDITION, *identity)).encode()).hexdigest()[:32] + '"'


def is_known_to_client(if_none_match: str | None, tag: str) -> bool:
    """Whether If-None-Match names `tag`, so that 304 is the whole answer. Compared weakly (RFC 9110 §13.1.2)."""
    if not if_none_match:
        return False
    names = [name.strip().removeprefix("W/") for name in if_none_match.split(",")]
    return tag.removeprefix("W/") in names or "*" in names


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether Accept-Encoding allows gzip, and likes nothing that can be sent better (RFC 9110 §12.5.3)."""
    qualities: dict[str, float] = {}
    for item in (accept_encoding or "").lower().split(","):
        coding, _, parameters = item.strip().partition(";")
        name, _, text = parameters.replace(" ", "").partition("=")
        try:
            quality = float(text) if name == "q" else 1.0
        except ValueError:
            quality = 0.0
        qualities[coding.strip().removeprefix("x-")] = quality
    gzip = qualities.get("gzip", qualities.get("*", 0.0))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def header_of(scope: Scope, name: bytes) -> str | None:
    """A request's header field, several of the same name joined by commas; None when absent."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ", ".join(values) if values else None


async def send_pieces(
    send: Send,
    headers: Mapping[str, str],
    pieces: Iterable[bytes | memoryview],
    *,
    status: int = 200,
    is_last: bool = True,
) -> None:
    """Send an answer; each piece goes to the transport as it is. More may follow when `is_last` is false."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if is_last:
        await send({"type": "http.response.body", "body": b""})


class PiecesResponse(Response):
    """A FastAPI answer of pieces in memory that are not joined."""

    def __init__(
        self, pieces: Sequence[bytes | memoryview], headers: Mapping[str, str], *, length: int, status_code: int = 200
    ) -> None:
        super().__init__(status_code=status_code)
        self._pieces = pieces
        self._fields = {**headers, "content-length": str(length)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_pieces(send, self._fields, self._pieces, status=self.status_code)


def not_modified(tag: str, cache_control: str) -> Response:
    """304 (RFC 9110 §15.4.5)."""
    return Response(status_code=304, headers={"etag": tag, "cache-control": cache_control, "vary": VARY})


VARY = "Accept, Accept-Encoding"


def problem(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error answer that comes from routing itself, in the same form as every other."""
    return Response(
        error_body(message, hint_for(status)),
        status,
        {**(headers or {}), "content-type": "application/json", "cache-control": "no-store"},
    )


def json_array(items: Iterable[Any]) -> Iterator[bytes]:
    """A JSON array, one piece per item."""
    is_first = True
    for item in items:
        yield (b"[" if is_first else b",") + encoded_json(item)
        is_first = False
    yield b"[]" if is_first else b"]"


def encoded_json(value: Any) -> bytes:
    """Compact UTF-8 JSON; lone surrogates, which no JSON reader takes, become question marks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def compressed(pieces: Iterable[bytes], *, flush_bytes: int = 65536) -> Iterator[bytes]:
    """The pieces as one gzip stream, in pieces of about `flush_bytes`."""
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    waiting = bytearray()
    for piece in pieces:
        waiting += compressor.compress(piece)
        if len(waiting) >= flush_bytes:
            yield bytes(waiting)
            waiting.clear()
    waiting += compressor.flush()
    yield bytes(waiting)

"""HTTP/1.1 where answers that are ready leave in the same turn of the event loop in which their request came.

uvicorn starts a task for each request and passes messages to it; finding a kept answer costs a tenth of that. Only
plain requests are answered here: GET and HEAD without a body, on a connection that is kept alive and owes nothing. All
others, and all that the application does not answer at once, go the ordinary way, which says the same.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from pacs import log
from pacs.processes.http_protocol import BoundedHttpProtocol
from pacs.ready_answer import ReadyAnswer
from pacs.storage.mapped_file import FilePiece

_JOINED_BYTES: Final = 64 << 10
"""Up to here header and body are joined for one call; larger pieces are not copied."""
_NOT_PLAIN: Final = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"range",
        # Believed of proxies only, which uvicorn's own middleware decides on the ordinary way.
        b"x-forwarded-proto",
        b"x-forwarded-for",
    }
)


class _NoEvent:
    def set(self) -> None:
        """Nobody waits for it."""


class _Answered:
    """In place of uvicorn's cycle of a request: what is looked at of one that is over."""

    response_complete: Final = True
    keep_alive = True
    message_event: Final = _NoEvent()


_ANSWERED: Any = _Answered()


class DirectHttpProtocol(BoundedHttpProtocol):
    """Given to uvicorn as its ``http`` protocol class; asks the application's ``at_once``, see `pacs.ready_answer`."""

    _direct: socket.socket | None = None
    """The connection's socket without its transport."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._at_once: Callable[[Any], ReadyAnswer | None] | None = getattr(self.config.app, "at_once", None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._direct is not None:
            self._direct.detach()  # the transport closes it
            self._direct = None
        super().connection_lost(exc)

    def answered_at_once(self) -> bool:
        """Whether the request is plain and its answer was ready; then it has been sent."""
        if self._at_once is None or not self._is_plain():
            return False
        answer = self._at_once(self.scope)
        if answer is None:
            return False
        head = b"".join(
            [
                STATUS_LINE[answer.status],
                *(b"%s: %s\r\n" % field for field in self.server_state.default_headers),
                answer.fields,
                b"\r\n",
            ]
        )
        self._send(head, answer.body if self.scope["method"] == "GET" else ())
        self.cycle = _ANSWERED
        self.on_response_complete()
        return True

    def _is_plain(self) -> bool:
        """Completes `scope` as uvicorn does."""
        if (self.cycle is not None and not self.cycle.response_complete) or self.transport.get_write_buffer_size():
            return False
        parser, scope, url = self.parser, self.scope, self.url
        method = parser.get_method()
        if (
            method not in (b"GET", b"HEAD")
            or not url.startswith(b"/")
            or b"%" in url.partition(b"?")[0]
            or b"#" in url
            or not url.isascii()
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
            or parser.should_upgrade()
            or self.transport.is_closing()
            or self.is_one_too_many()
        ):
            return False
        if any(name in _NOT_PLAIN for name, _ in self.headers):
            return False
        raw_path, _, query = url.partition(b"?")
        scope["method"] = method.decode("ascii")
        scope["path"] = self.root_path + raw_path.decode("ascii")
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["query_string"] = query
        return True

    def _send(self, head: bytes, body: Sequence[bytes | memoryview | FilePiece]) -> None:
        if any(isinstance(piece, FilePiece) for piece in body) and self.scheme == "http":
            self._send_from_file((head, *body))
            return
        pieces = [piece.view if isinstance(piece, FilePiece) else piece for piece in body]
        if len(head) + sum(map(len, pieces)) <= _JOINED_BYTES:
            self.transport.write(b"".join((head, *pieces)))
            return
        for piece in (head, *pieces):
            self.transport.write(piece)

    def _send_from_file(self, pieces: Sequence[bytes | memoryview | FilePiece]) -> None:
        """What the socket takes now goes there without a copy; the rest, in order, is the transport's, which waits
        until the peer reads, and is written from the mapping."""
        try:
            number, sent = self._sent_directly(pieces)
        except OSError as problem:
            if not isinstance(problem, ConnectionError):
                log.failure("answer was broken off", problem)
            self.transport.abort()
            return
        for at in range(number, len(pieces)):
            piece = pieces[at]
            view = memoryview(piece.view if isinstance(piece, FilePiece) else piece)
            self.transport.write(view[sent:] if at == number else view)

    def _sent_directly(self, pieces: Sequence[bytes | memoryview | FilePiece]) -> tuple[int, int]:
        """The number of the piece that was not sent to its end, and how much of it was; raises OSError."""
        direct = self._direct or self._connected()
        last = len(pieces) - 1
        for number, piece in enumerate(pieces):
            try:
                if isinstance(piece, FilePiece):
                    sent = _sent_of_file(direct, piece)
                else:
                    sent = direct.send(piece, socket.MSG_MORE if number < last else 0)
            except BlockingIOError:
                return number, 0
            if sent < len(piece.view if isinstance(piece, FilePiece) else piece):
                return number, sent
        return len(pieces), 0

    def _connected(self) -> socket.socket:
        known = self.transport.get_extra_info("socket")
        self._direct = socket.socket(known.family, known.type, known.proto, fileno=known.fileno())
        return self._direct


def _sent_of_file(direct: socket.socket, piece: FilePiece) -> int:
    length, sent = len(piece.view), 0
    while sent < length:
        try:
            count = os.sendfile(direct.fileno(), piece.handle, piece.offset + sent, length - sent)
        except BlockingIOError:
            break
        if count == 0:
            raise OSError("the file ends before what is to be sent of it")
        sent += count
    return sent

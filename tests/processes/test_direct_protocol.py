"""What is answered at once is what the ordinary way answers, whoever asks and however."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from pacs.processes import direct_protocol, http_protocol
from pacs.processes.direct_protocol import DirectHttpProtocol
from pacs.ready_answer import ReadyAnswer
from pacs.storage.mapped_file import FilePiece, MappedFile, piece_of_file

pytestmark = pytest.mark.real_time(0.1)

TAG = '"1"'
LARGE = os.urandom(24 << 20)
SMALL = b"small"
FRAME = ("multipart/related", b"--b\r\n\r\n", b"\r\n--b--\r\n")


class Application:
    """Ready for ``/small``, ``/frame`` and ``/large``; every other way it says the same, and counts."""

    def __init__(self, folder: Path) -> None:
        (folder / "file").write_bytes(LARGE)
        self.path = folder / "file"
        self.view = memoryview(MappedFile.of(os.open(self.path, os.O_RDONLY)))
        self.ordinary = self.at_once_asked = self.direct = 0

    def body(self, path: str) -> tuple[bytes | memoryview, ...]:
        frame = self.view[1000 : 1000 + (512 << 10)]
        return {"/small": (SMALL,), "/frame": (FRAME[1], frame, FRAME[2]), "/large": (self.view,)}[path]

    def fields(self, body: tuple[bytes | memoryview, ...]) -> list[tuple[bytes, bytes]]:
        return [(b"etag", TAG.encode()), (b"content-length", str(sum(map(len, body))).encode())]

    def at_once(self, scope: Any) -> ReadyAnswer | None:
        self.at_once_asked += 1
        if scope["path"] not in ("/small", "/frame", "/large"):
            return None
        self.direct += 1
        body = self.body(scope["path"])
        if dict(scope["headers"]).get(b"if-none-match") == TAG.encode():
            return ReadyAnswer(304, b'etag: "1"\r\n')
        pieces: list[bytes | memoryview | FilePiece] = [
            (piece_of_file(piece) if isinstance(piece, memoryview) else None) or piece for piece in body
        ]
        lines = b"".join(b"%s: %s\r\n" % field for field in self.fields(body))
        return ReadyAnswer(200, lines, tuple(pieces))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.ordinary += 1
        while (await receive()).get("more_body"):
            pass
        body = self.body(scope["path"])
        if dict(scope["headers"]).get(b"if-none-match") == TAG.encode():
            await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", TAG.encode())]})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": self.fields(body)})
            for piece in body:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Served:
    def __init__(self, application: Application, port: int, server: uvicorn.Server) -> None:
        self.application = application
        self.port = port
        self.server = server

    def connect(self, received_bytes: int | None = None) -> socket.socket:
        connection = socket.socket()
        if received_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received_bytes)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def answer(self, request: bytes) -> bytes:
        """All that comes until the connection is closed; `request` must ask for that."""
        with self.connect() as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(1 << 20), b""))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(http_protocol, "WRITE_TIMEOUT_S", 0.5)
    application = Application(tmp_path)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application, http=DirectHttpProtocol, ws="none", lifespan="off", log_config=None, server_header=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield Served(application, listening.getsockname()[1], server)
    server.should_exit = True
    thread.join(20)
    listening.close()


def request(path: str, method: str = "GET", body: bytes = b"", version: str = "1.1", **fields: str) -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: a"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def comparable(answers: bytes) -> bytes:
    return re.sub(rb"date: [^\r]*\r\n", b"", answers)


LAST = request("/small", connection="close")
REQUESTS = {
    "get": request("/small"),
    "frame": request("/frame"),
    "large": request("/large"),
    "head": request("/frame", "HEAD"),
    "known": request("/frame", if_none_match=TAG),
    "known head": request("/frame", "HEAD", if_none_match=TAG),
    "another tag": request("/frame", if_none_match='"2"'),
    "query": request("/small?a=b%20c&d"),
    "pipelined": request("/frame")
    + request("/small")
    + request("/frame", "HEAD")
    + request("/small", if_none_match=TAG),
    "behind a large one": request("/large") + request("/large") + request("/small"),
    "body": request("/small", body=b"abc", content_length="3"),
    "empty body": request("/small", content_length="0"),
    "chunked body": request("/small", body=b"3\r\nabc\r\n0\r\n\r\n", transfer_encoding="chunked"),
    "expects": request("/small", body=b"abc", content_length="3", expect="100-continue"),
    "range": request("/frame", range="bytes=0-1"),
    "post": request("/small", "POST", b"abc", content_length="3"),
    "percent": request("/sm%61ll"),
    "upgrade": request("/small", connection="upgrade", upgrade="other"),
}
AT_ONCE = {"get": 1, "frame": 1, "large": 1, "head": 1, "known": 1, "known head": 1, "another tag": 1, "query": 1}


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_say_the_same(served: Served, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_both = comparable(served.answer(REQUESTS[name] + LAST))
    if name in AT_ONCE:
        assert (served.application.direct, served.application.ordinary) == (AT_ONCE[name], 1), "the last one closes"
    elif "pipelined" not in name and "behind" not in name:
        assert served.application.direct == 0
    monkeypatch.setattr(DirectHttpProtocol, "answered_at_once", lambda self: False)
    assert comparable(served.answer(REQUESTS[name] + LAST)) == with_both
    assert with_both.endswith(SMALL)


def test_http_1_0_goes_the_ordinary_way(served: Served) -> None:
    assert served.answer(request("/small", version="1.0")).endswith(SMALL)
    assert (served.application.direct, served.application.ordinary) == (0, 1)


def test_a_head_that_comes_in_pieces(served: Served) -> None:
    with served.connect() as connection:
        for byte in request("/small"):
            connection.sendall(bytes([byte]))
        assert connection.recv(1000).endswith(SMALL)
    assert served.application.direct == 1


def test_many_requests_on_one_connection(served: Served) -> None:
    with served.connect() as connection, connection.makefile("rb") as answers:
        for _ in range(300):
            connection.sendall(request("/frame"))
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.startswith(b"content-length"):
                    length = int(line.split(b":")[1])
            assert answers.read(length)[len(FRAME[1]) : 600000] == LARGE[1000 : 1000 + (512 << 10)] + FRAME[2]
    assert served.application.direct == 300


def test_a_slow_reader_gets_all_of_it(served: Served) -> None:
    with served.connect(received_bytes=4096) as connection:
        connection.sendall(request("/large") + LAST)
        received = bytearray()
        while piece := connection.recv(300_000):
            received += piece
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert rest[: len(LARGE)] == LARGE
    assert rest.endswith(SMALL)


def test_who_reads_nothing_is_owed_one_answer_and_then_nothing(served: Served) -> None:
    with served.connect(received_bytes=4096) as connection:
        for _ in range(20):
            connection.sendall(request("/large"))
        assert served.application.direct <= 1
        received = 0
        with pytest.raises(ConnectionResetError):
            threading.Event().wait(1.5)  # longer than it may read nothing
            while piece := connection.recv(1 << 20):
                received += len(piece)
            raise ConnectionResetError
        assert received < len(LARGE)
    assert served.application.direct + served.application.ordinary <= 2


def test_who_goes_away_harms_nobody(served: Served) -> None:
    for _ in range(20):
        connection = served.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(request("/large"))
        connection.close()
    assert served.answer(request("/frame") + LAST).endswith(SMALL)


def test_descriptors_are_not_lost(served: Served) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    served.answer(request("/frame") + LAST)
    before = opened()
    for _ in range(30):
        served.answer(request("/frame") + LAST)
    assert opened() <= before + 3


def test_a_file_that_was_cut_ends_the_connection_and_nothing_else(served: Served) -> None:
    os.truncate(served.application.path, 5000)
    with served.connect() as connection:
        connection.sendall(request("/frame"))
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                received += piece
            raise ConnectionResetError
        assert len(received) < 10_000
    assert served.answer(LAST).endswith(SMALL)


def test_too_many_connections_are_refused_on_the_ordinary_way(served: Served) -> None:
    served.server.config.limit_concurrency = 1
    with served.connect(), served.connect() as second:
        second.sendall(request("/small"))
        assert second.recv(1000)[:12] == b"HTTP/1.1 503"
    assert served.application.direct == 0


def test_the_module_says_what_is_not_plain() -> None:
    assert {b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"range"} <= direct_protocol._NOT_PLAIN

"""What is given again without a look-up: to the same principal, for the same request, while its bytes are there."""

from __future__ import annotations

import asyncio
import mmap
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Scope

from pacs.dicomweb import kept_answers
from pacs.dicomweb.hot import Answer, HotRoute
from pacs.errors import NotFound
from pacs.model import Principal

IMMUTABLE = {"cache-control": "private, immutable", "etag": '"1"', "content-length": "5"}


class Asked:
    """A route whose function counts its calls."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.calls = 0
        self.principal = Principal("one")
        self._answer = answer
        self.route = HotRoute(self._prepare, identify=lambda _: self.principal)

    def _prepare(self, _scope: Scope) -> Answer:
        self.calls += 1
        if self._answer is None:
            raise NotFound("nothing here")
        return self._answer

    def get(self, path: str = "/a", query: bytes = b"", **fields: str) -> tuple[int, bytes]:
        messages: list[Any] = []
        headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": headers}

        async def send(message: Any) -> None:
            messages.append(message)

        async def receive() -> Any:
            return {"type": "http.request"}

        asyncio.run(self.route(scope, receive, send))
        return messages[0]["status"], b"".join(message["body"] for message in messages[1:])


def test_the_same_request_is_answered_again_without_the_function() -> None:
    asked = Asked(Answer(IMMUTABLE, iter([b"fra", b"me"])))
    assert [asked.get(host="h", accept="x/y"), asked.get(host="h", accept="x/y")] == [(200, b"frame")] * 2
    assert asked.calls == 1
    assert asked.get(host="h", accept="x/y", if_none_match='"1"') == (304, b"")
    assert asked.get(host="h", accept="x/y", range="bytes=1-2") == (206, b"ra")
    assert asked.calls == 1


@pytest.mark.parametrize(
    "other",
    [{"host": "h2"}, {"accept": "x/z"}, {"path": "/b"}, {"query": b"accept=x%2Fz"}],
    ids=str,
)
def test_another_request_is_looked_up(other: dict[str, Any]) -> None:
    asked = Asked(Answer(IMMUTABLE, [b"frame"]))
    asked.get(host="h", accept="x/y")
    asked.get(**{"host": "h", "accept": "x/y", **other})
    assert asked.calls == 2


def test_another_principal_is_looked_up_for_itself() -> None:
    asked = Asked(Answer(IMMUTABLE, [b"frame"]))
    asked.get()
    asked.principal = Principal("two", hospital="other")
    asked.get()
    assert asked.calls == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer({**IMMUTABLE, "cache-control": "private, no-cache"}, [b"frame"]),
        Answer(IMMUTABLE, [b"frame"], status=404),
        Answer(IMMUTABLE, [b"frame"], is_lazy=True),
        Answer({**IMMUTABLE, "content-length": "5000"}, [bytes(5000)]),
    ],
    ids=["may change", "no success", "made while it is sent", "decoded"],
)
def test_what_may_change_or_takes_memory_is_not_kept(answer: Answer) -> None:
    asked = Asked(answer)
    asked.get()
    asked.get()
    assert asked.calls == 2


def test_an_error_is_not_kept() -> None:
    asked = Asked()
    for _ in range(2):
        with pytest.raises(NotFound):
            asked.get()
    assert asked.calls == 2


def test_a_file_that_was_cut_is_not_touched_again(tmp_path: Path) -> None:
    file = tmp_path / "segment"
    file.write_bytes(bytes(3 * mmap.PAGESIZE))
    with file.open("rb") as opened:
        mapping = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    asked = Asked(Answer({**IMMUTABLE, "content-length": "10"}, [memoryview(mapping)[:10]]))
    asked.get()
    asked.get()
    assert asked.calls == 1
    with file.open("r+b") as opened:
        opened.truncate(10)
    asked.get()
    assert asked.calls == 2


def test_the_answers_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "_MOST", 3)
    asked = Asked(Answer(IMMUTABLE, [b"frame"]))
    for number in range(5):
        asked.get(f"/{number}")
    asked.get("/4")
    assert asked.calls == 5
    asked.get("/0")
    assert asked.calls == 6

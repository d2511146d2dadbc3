"""Plain ASGI routes: pieces are passed on untouched, late errors keep their status."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pacs.dicomweb.hot import Answer, HotRoute
from pacs.dicomweb.requests import ASKED_BY_HEAD
from pacs.errors import UndecodablePixels

SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": []}


def sent_by(route: HotRoute, scope: dict[str, Any] = SCOPE) -> list[Any]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(route(scope, receive, send))
    return messages


@pytest.mark.parametrize("is_lazy", [False, True])
def test_pieces_are_not_joined_or_copied(is_lazy: bool) -> None:
    pieces = [b"head", memoryview(b"frame"), b"tail"]
    messages = sent_by(HotRoute(lambda _: Answer({"x": "y"}, pieces, is_lazy=is_lazy)))
    assert messages[0]["headers"] == [(b"x", b"y")]
    bodies = [message["body"] for message in messages[1:]]
    assert all(sent is piece for sent, piece in zip(bodies, pieces, strict=False))
    assert [message.get("more_body", False) for message in messages[1:]] == [True, True, True, False]


def test_an_error_before_the_first_piece_is_raised_before_the_answer_begins() -> None:
    def pieces() -> Iterator[bytes]:
        raise UndecodablePixels("no")
        yield b""

    with pytest.raises(UndecodablePixels):
        sent_by(HotRoute(lambda _: Answer({}, pieces(), is_lazy=True)))


def test_other_methods_are_refused() -> None:
    messages = sent_by(HotRoute(lambda _: Answer({})), {**SCOPE, "method": "PUT"})
    assert messages[0]["status"] == 405


def lazily(made: list[int], *, waits_for_decoder: bool = False, beginning: list[bytes] | None = None) -> HotRoute:
    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            made.append(number)
            yield (beginning or [])[number] if number < len(beginning or []) else b"piece"

    answer = Answer({"content-type": "text/plain"}, pieces(), is_lazy=True, waits_for_decoder=waits_for_decoder)
    return HotRoute(lambda _: answer)


def asked(route: HotRoute, **scope: Any) -> list[Any]:
    """What is sent in answer to a GET, to somebody who waits for all of it."""
    sent: list[Any] = []

    async def ask() -> None:
        async def receive() -> Any:
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await route({"type": "http", "method": "GET", "headers": [], **scope}, receive, send)

    asyncio.run(ask())
    return sent


def test_nothing_is_made_for_who_is_gone() -> None:
    made: list[int] = []
    sent: list[Any] = []

    async def ask() -> None:
        is_gone = asyncio.Event()

        async def receive() -> Any:
            await is_gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == 5:
                is_gone.set()
                await asyncio.sleep(0.01)

        await lazily(made)({"type": "http", "method": "GET", "headers": []}, receive, send)

    asyncio.run(ask())
    assert 4 <= len(made) < 20


def test_head_makes_nothing_but_what_decides() -> None:
    made: list[int] = []
    sent = asked(lazily(made), **{ASKED_BY_HEAD: True})
    assert made == []
    assert sent[0]["status"] == 200
    # What waits for a decoder may still fail, and GET says so.
    sent = asked(lazily(made, waits_for_decoder=True, beginning=[b"", b""]), **{ASKED_BY_HEAD: True})
    assert made == [0, 1, 2]
    assert [message.get("body") for message in sent] == [None, b""]


def test_empty_pieces_come_before_anything_is_sent() -> None:
    sent = asked(lazily([], beginning=[b"", b"", b"first"]))
    assert [message.get("body") for message in sent[:3]] == [None, b"first", b"piece"]
    assert len(sent) == 1 + 998 + 1

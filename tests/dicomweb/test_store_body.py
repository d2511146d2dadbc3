"""How long a body is waited for, and who gives way when every place is taken; no socket, short allowances."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Any

import pytest

from pacs.dicomweb import store_body
from pacs.dicomweb.store_body import Body, OpenBodies
from pacs.errors import Busy, InvalidRequest
from pacs.http_settings import HttpSettings

pytestmark = pytest.mark.real_time(0.03)


class Sender:
    """Stands for a request: sends `chunk` every `pause_s`, `count` times, then ends or is silent."""

    def __init__(self, chunk: bytes, pause_s: float, count: float = math.inf, *, then_silent: bool = False) -> None:
        self._sending = (chunk, pause_s, count, then_silent)
        self.client = None

    async def stream(self) -> AsyncIterator[bytes]:
        chunk, pause_s, count, then_silent = self._sending
        sent = 0
        while sent < count:
            await asyncio.sleep(pause_s)
            yield chunk
            sent += 1
        if then_silent:
            await asyncio.sleep(60)


def opened(bodies: OpenBodies, sender: Sender) -> Any:
    return bodies.opened(sender)  # type: ignore[arg-type]


async def read(body: Body) -> int:
    size = 0
    async for chunk in body.chunks():
        size += len(chunk)
    return size


def settings(least_bytes_per_s: float = 1000.0) -> HttpSettings:
    return HttpSettings(body_timeout_s=0.3, least_bytes_per_s=least_bytes_per_s)


def run(sender: Sender, of: HttpSettings) -> int:
    async def whole() -> int:
        with opened(OpenBodies(of), sender) as body:
            return await asyncio.wait_for(read(body), 10)

    return asyncio.run(whole())


@pytest.mark.parametrize(
    "sender", [lambda: Sender(b"x", 0.01), lambda: Sender(b"x" * 1000, 0, 3, then_silent=True)], ids=["drip", "silence"]
)
def test_a_sender_that_keeps_us_waiting_is_given_up(sender: Callable[[], Sender]) -> None:
    with pytest.raises(InvalidRequest, match=r"http\.least_bytes_per_s"):
        run(sender(), settings())


def test_the_same_drip_is_waited_for_where_that_is_allowed() -> None:
    assert run(Sender(b"x", 0.01, 60), settings(least_bytes_per_s=10)) == 60


def test_what_is_done_with_the_bytes_is_not_counted() -> None:
    async def slow_archive() -> int:
        size = 0
        with opened(OpenBodies(settings()), Sender(b"x" * 100, 0.01, 4)) as body:
            async for chunk in body.chunks():
                size += len(chunk)
                await asyncio.sleep(0.15)
        return size

    assert asyncio.run(slow_archive()) == 400


def test_what_is_given_up_is_not_drained() -> None:
    async def twice() -> None:
        with opened(OpenBodies(settings()), Sender(b"x", 0.01)) as body:
            with pytest.raises(InvalidRequest):
                await read(body)
            await asyncio.wait_for(body.drain(), 0.1)

    asyncio.run(twice())


def test_the_slowest_gives_way_when_all_places_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_body, "MAX_OPEN", 3)
    monkeypatch.setattr(store_body, "SLOW_AFTER_S", 0.05)

    async def full() -> None:
        bodies = OpenBodies(HttpSettings())
        with (
            opened(bodies, Sender(b"x" * 500, 0.01)) as slow,
            opened(bodies, Sender(b"x" * 10, 0.01)) as slowest,
            opened(bodies, Sender(b"x" * 500, 0.01)) as another,
        ):
            readers = [asyncio.create_task(read(body)) for body in (slow, slowest, another)]
            with pytest.raises(Busy), opened(bodies, Sender(b"", 0)):
                pass  # nobody has been waited for long enough to be called slow
            await asyncio.sleep(0.15)
            with opened(bodies, Sender(b"x" * 1000, 0, 5)) as honest:
                assert await read(honest) == 5000
            with pytest.raises(Busy, match="slowly"):
                await readers[1]
            assert not readers[0].done()
            assert not readers[2].done()
            for reader in readers:
                reader.cancel()

    asyncio.run(full())


def test_a_sender_gives_way_also_when_bytes_come_at_that_very_moment() -> None:
    async def at_that_moment() -> None:
        class Meanwhile(Sender):
            async def stream(self) -> AsyncIterator[bytes]:
                async for chunk in super().stream():
                    bodies[0].give_way()
                    yield chunk

        bodies: list[store_body.Body] = []
        with opened(OpenBodies(HttpSettings()), Meanwhile(b"x", 0.01)) as body:
            bodies.append(body)
            with pytest.raises(Busy, match="slowly"):
                await asyncio.wait_for(read(body), 5)

    asyncio.run(at_that_moment())


def test_many_bodies_hold_no_more_memory_than_a_few() -> None:
    async def together() -> list[int]:
        bodies = OpenBodies(HttpSettings())
        steps = [bodies.step_bytes]
        with ExitStack() as stack:
            for _ in range(store_body.MAX_OPEN):
                stack.enter_context(opened(bodies, Sender(b"", 0)))
            steps.append(bodies.step_bytes)
        return steps

    few, many = asyncio.run(together())
    assert few == 1 << 18
    assert many * store_body.MAX_OPEN <= 16 << 20

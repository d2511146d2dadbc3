"""Blocking functions called from an event loop: as many at once as there are threads, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from pacs.dicomweb.threads import Threads
from pacs.errors import NotFound
from pacs.measured import stages


def test_what_it_returns_and_raises() -> None:
    threads = Threads(2, "test-outcome")

    def failing(why: str) -> None:
        raise NotFound(why)

    async def calls() -> None:
        assert await threads(int, "ff", base=16) == 255
        with pytest.raises(NotFound, match="not here"):
            await threads(failing, "not here")
        with pytest.raises(RuntimeError, match="nothing is left"):
            await threads(next, iter(()))
        name = await threads(lambda: threading.current_thread().name)
        assert name.startswith("test-outcome_")

    asyncio.run(calls())
    asyncio.run(calls())  # another loop


def test_as_many_at_once_as_there_may_be_threads() -> None:
    threads, most = Threads(3, "test-most"), 3
    lock, running, highest = threading.Lock(), 0, 0
    together = threading.Barrier(most)

    def work() -> str:
        nonlocal running, highest
        with lock:
            running += 1
            highest = max(highest, running)
        together.wait(10)
        with lock:
            running -= 1
        return threading.current_thread().name

    async def calls() -> set[str]:
        for _ in range(20):
            await threads(int)
        names = set(await asyncio.gather(*(threads(work) for _ in range(4 * most))))
        assert await threads(lambda: threading.current_thread().name) in names
        return names

    assert len(asyncio.run(calls())) == most
    assert highest == most


def test_one_after_the_other_needs_one_thread() -> None:
    threads = Threads(8, "test-few")

    async def calls() -> set[str]:
        return {await threads(lambda: threading.current_thread().name) for _ in range(50)}

    names = asyncio.run(calls())
    # Its place is free before its answer is heard of; never more than one is at work.
    assert names == {"test-few_0"}


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    threads, go_on, begun = Threads(1, "test-cancelled"), threading.Event(), []

    async def calls() -> None:
        first = asyncio.ensure_future(threads(go_on.wait, 10))
        second = asyncio.ensure_future(threads(begun.append, "second"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        go_on.set()
        assert await first
        await threads(begun.append, "third")

    asyncio.run(calls())
    assert begun == ["third"]


def test_a_loop_that_ended_meanwhile_is_no_fault() -> None:
    threads, go_on, begun = Threads(1, "test-ended"), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(10)

    async def leave() -> None:
        asyncio.ensure_future(threads(work))  # noqa: RUF006 -- ended with the loop
        await asyncio.to_thread(begun.wait, 10)

    asyncio.run(leave())
    go_on.set()

    async def again() -> int:
        return await threads(int, "7")

    assert asyncio.run(again()) == 7


def test_each_works_on_the_account_of_its_request() -> None:
    threads = Threads(1, "test-account")

    async def calls() -> None:
        account = stages.Stages()
        stages.begin(account)
        assert await threads(stages.current) is account
        stages.begin(None)
        assert await threads(stages.current) is None

    asyncio.run(calls())


def test_nothing_is_held_of_what_is_over() -> None:
    class Large:
        """Stands for an answer, or what an error refers to."""

    threads = Threads(1, "test-held")
    seen: list[weakref.ref[Large]] = []

    def work(fails: bool) -> Large:
        large = Large()
        seen.append(weakref.ref(large))
        if fails:
            raise NotFound("not here")
        return large

    async def calls() -> None:
        await threads(work, False)
        with pytest.raises(NotFound):
            await threads(work, True)

    gc.disable()
    try:
        asyncio.run(calls())
        threads._calls.put(None)
        threads._threads[0].join(10)
        assert [each() for each in seen] == [None, None]
    finally:
        gc.enable()


def test_they_end_with_the_process() -> None:
    threads = Threads(2, "test-end")

    async def call() -> None:
        await threads(int)

    asyncio.run(call())
    threads._end()
    assert not any(thread.is_alive() for thread in threads._threads)

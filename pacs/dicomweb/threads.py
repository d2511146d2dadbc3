"""Threads for what blocks, and the shortest way from an event loop there and back."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic, perf_counter
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from pacs.measured import stages

P = ParamSpec("P")
T = TypeVar("T")

_WORTH_TELLING_S: Final = 0.001
_END_S: Final = 15.0
"""For what is in hand when the process ends."""


class _Call(NamedTuple):
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    function: Callable[[], Any]


class Threads:
    """Threads of their own for one kind of work: ``await threads(function, ...)`` calls a blocking function there.

    Also from several event loops. An executor makes a future with a lock and a condition for each call and chains it
    to one of the loop, which costs more than most look-ups take.
    """

    def __init__(self, count: int, name: str) -> None:
        """At most `count` threads, started when they are needed."""
        self._most = count
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._in_hand = 0
        self._threads: list[threading.Thread] = []

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop, account = asyncio.get_running_loop(), stages.current()
        call = functools.partial(function, *args, **kwargs)
        if account is not None:
            call = functools.partial(_accounted, account, perf_counter(), call)
        answer: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._in_hand += 1
            if self._in_hand > len(self._threads) < self._most:
                self._start_one()
        self._calls.put(_Call(loop, answer, call))
        try:
            return await answer
        finally:
            # An error's traceback holds this frame, and the future holds the error: Python 3.11 may crash when its
            # collector clears such a circle with memoryviews in it.
            del answer

    def _start_one(self) -> None:
        if not self._threads:
            atexit.register(self._end)
        # Not waited for without an end when the process ends: what a decoder or a disk never answers would keep it.
        thread = threading.Thread(target=self._work, name=f"{self._name}_{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._in_hand -= not self._threads
            if not self._threads:
                raise
            return  # the others do it
        self._threads.append(thread)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            value, problem = (None, None) if call.answer.cancelled() else _outcome(call.function)
            with self._lock:
                self._in_hand -= 1
            with contextlib.suppress(RuntimeError):  # its loop is closed
                call.loop.call_soon_threadsafe(_tell, call.answer, value, problem)
            del call, value, problem  # nothing is held while there is nothing to do

    def _end(self) -> None:
        for _ in self._threads:
            self._calls.put(None)
        end = monotonic() + _END_S
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))


def _outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """What it returned or raised; in a frame of its own, so that no error holds a frame that holds it."""
    try:
        return function(), None
    except StopIteration as problem:  # which no future takes
        return None, RuntimeError(f"nothing is left to be made: {problem}")
    except BaseException as problem:  # noqa: BLE001 -- it is raised where the answer is waited for
        return None, problem


def _tell(answer: asyncio.Future[Any], value: Any, problem: BaseException | None) -> None:
    if answer.cancelled():
        return
    if problem is None:
        answer.set_result(value)
    else:
        answer.set_exception(problem)


def _accounted(account: stages.Stages, asked_at: float, call: Callable[[], T]) -> T:
    """`call` on the account of its request, with the time that it waited for a thread."""
    waited_s = perf_counter() - asked_at
    if waited_s > _WORTH_TELLING_S:
        account.add(stages.WAIT, waited_s)
    stages.begin(account)
    try:
        return call()
    finally:
        stages.begin(None)

"""Where the time of one request goes. The services say when they wait for index, storage or a codec; the door that
answers begins the account and shows it. Whoever works for no request pays one look-up."""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter
from types import TracebackType
from typing import Final


class Stages:
    """The account of one request. Its threads work for it one after the other."""

    __slots__ = ("hospital", "kind", "spent_s")

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = {}
        self.kind: str | None = None
        """The kind of request that it turned out to be, where its URL could not tell."""
        self.hospital = ""

    def add(self, name: str, seconds: float) -> None:
        self.spent_s[name] = self.spent_s.get(name, 0.0) + seconds

    def as_server_timing(self) -> bytes:
        """Further metrics of a Server-Timing field, each after a comma."""
        return "".join(f", {name};dur={seconds * 1000:.2f}" for name, seconds in self.spent_s.items()).encode("ascii")


_current: ContextVar[Stages | None] = ContextVar("stages", default=None)

begin: Final = _current.set
"""Make an account, or none, that of the running task or thread, and of what it starts with its context."""
current: Final = _current.get
"""The account of the request that is worked for; None when there is none."""


def turned_out(kind: str) -> None:
    """Say what kind of request this is."""
    stages = _current.get()
    if stages is not None:
        stages.kind = kind


class Stage:
    """``with INDEX:`` adds the time inside to the running request. One object serves all threads, also nested."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        stages = _current.get()
        if stages is not None:
            stages.spent_s[self.name] = stages.spent_s.get(self.name, 0.0) - perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        stages = _current.get()
        if stages is not None:
            stages.spent_s[self.name] += perf_counter()


INDEX: Final = Stage("index")
STORAGE: Final = Stage("storage")
DECODE: Final = Stage("decode")
WAITING: Final = Stage("wait")
WAIT: Final = WAITING.name
ARRIVED: Final = "pacs.arrived"
"""Key of an ASGI scope: `perf_counter()` when the request's header fields were complete, if the server told it."""

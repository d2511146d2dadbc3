"""The pool of decoder processes: pure functions on unknown pixels are called here, and not in a process that serves."""

from __future__ import annotations

import builtins
import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from pacs import errors, log
from pacs.decoding import messages
from pacs.decoding.decoder import Decoder, Lost, Nursery
from pacs.decoding.messages import Kind
from pacs.errors import Busy, PacsError, UndecodablePixels
from pacs.measured.stages import DECODE, WAITING
from pacs.settings import DecodingSettings

P = ParamSpec("P")
T = TypeVar("T")


class Decoding(Protocol):
    """Calls pure functions on unknown pixels. Thread-safe; it blocks."""

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns, or raises what it raises.

        Raises:
            UndecodablePixels: it crashed, or took more memory or time than one image may.
            Busy: too much else is being decoded.
        """
        ...


class InThisProcess:
    """No protection, no hop: for programs of one person's own images, and for tests that look at something else."""

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Decoding.run`, without its bounds."""
        return function(*args, **kwargs)


class Workers:
    """As many processes as the settings say, started when they are needed and replaced when they die. Thread-safe.

    `function` is any function at the top level of a module of `pacs.pixels`, or of those named here. Its arguments
    can be pickled or are memoryviews, a `Header`, or tuples, lists and frozen values of them; it returns bytes, text,
    numbers, None, or tuples, lists and dictionaries of those. Sent is what lies between: hand over the fragments of one
    frame and take back the picture, not the array.
    """

    def __init__(self, settings: DecodingSettings, modules: Sequence[str] = ()) -> None:
        """`modules` hold further functions to be called; decoders can't load anything themselves."""
        self._settings = settings
        self._modules = modules
        self._free = threading.Condition()
        self._idle: list[Decoder] = []
        self._count = 0
        """Decoders that exist or are being made."""
        self._waiting = 0
        self._nursing = threading.Lock()
        self._nurseries: list[Nursery] = []
        """The one in use, or none."""
        weakref.finalize(self, _close, self._nurseries, self._idle)

    def start(self) -> None:
        """Begin to load what decoders need, without waiting for it; otherwise the first call does so."""
        with self._nursing:
            self._begun()

    def close(self) -> None:
        """End all processes; a call in hand fails."""
        with self._nursing:
            _close(self._nurseries, self._idle)

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Decoding.run`."""
        work = messages.message(Kind.WORK, (function, args, kwargs))
        with WAITING:
            decoder = self._taken()
        try:
            with DECODE:
                kind, value = decoder.ask(work, self._settings.deadline_s)
        except Lost as problem:
            why = self._replaced(decoder, str(problem))
            log.warning("decoder replaced", function=function.__name__, why=why)
            raise UndecodablePixels(f"making something of these pixels {why}; they can be had as stored") from problem
        except BaseException:
            self._replaced(decoder, "was broken off")
            raise
        finally:
            # An error's traceback would hold these views: Python 3.11 may crash when its collector clears a circle
            # with memoryviews that others look through.
            work.clear()
        with self._free:
            self._idle.append(decoder)
            self._free.notify()
        if kind is Kind.RESULT:
            return cast("T", value)
        raise _error(kind, value)

    def _taken(self) -> Decoder:
        """An idle decoder, a new one while there may be more, or the next that becomes idle."""
        with self._free:
            if not self._idle and self._count >= self._settings.workers:
                if self._waiting >= self._settings.waiting:
                    raise Busy("too many images are being decoded at once; try again shortly", retry_after_s=2)
                self._waiting += 1
                try:
                    self._free.wait_for(self._is_free, self._settings.wait_s)
                finally:
                    self._waiting -= 1
                if not self._is_free():
                    raise Busy("decoding of other images takes too long; try again shortly", retry_after_s=5)
            decoder = self._idle.pop() if self._idle else None
            if decoder is None:
                self._count += 1
        if decoder is not None and decoder.is_waiting():
            return decoder
        try:
            if decoder is not None:
                # It was killed while it had nothing to do, for want of memory perhaps: not the fault of what comes now.
                self._ended(decoder)
            return self._made()
        except BaseException:
            self._forget_one()
            raise

    def _is_free(self) -> bool:
        return bool(self._idle) or self._count < self._settings.workers

    def _made(self) -> Decoder:
        with self._nursing:
            try:
                return self._begun().decoder()
            except Lost:
                # It was killed, by somebody or for want of memory; once more, and then it is a fault of the machine.
                _close(self._nurseries, [])
                try:
                    return self._begun().decoder()
                except Lost as problem:
                    raise Busy("no decoder can be started; the operator's log says why", retry_after_s=30) from problem

    def _begun(self) -> Nursery:
        if not self._nurseries:
            self._nurseries.append(Nursery(self._settings.memory_bytes, self._settings.processor_s, self._modules))
        return self._nurseries[0]

    def _replaced(self, decoder: Decoder, why: str) -> str:
        """Why it ended; the next call makes another one."""
        how = self._ended(decoder)
        self._forget_one()
        return why or how or "ended the decoder"

    def _ended(self, decoder: Decoder) -> str:
        with self._nursing:
            if self._nurseries:
                return self._nurseries[0].end(decoder)
        decoder.close()
        return ""

    def _forget_one(self) -> None:
        with self._free:
            self._count -= 1
            self._free.notify()


def _close(nurseries: list[Nursery], idle: list[Decoder]) -> None:
    while nurseries:
        nurseries.pop().close()
    while idle:
        idle.pop().close()


def _error(kind: Kind, told: Any) -> Exception:
    """The error that a decoder told of."""
    if not (isinstance(told, tuple) and len(told) >= 2 and all(isinstance(text, str) for text in told)):
        return UndecodablePixels("the decoder's answer can't be read")
    name, message = told[:2]
    found = getattr(errors if kind is Kind.REFUSAL else builtins, name, None)
    if kind is Kind.REFUSAL and isinstance(found, type) and issubclass(found, PacsError):
        return found(message)
    is_known = kind is Kind.FAULT and isinstance(found, type) and issubclass(found, Exception)
    fault = cast("type[Exception]", found)(message) if is_known else RuntimeError(f"{name}: {message}")
    for text in told[2:]:
        fault.add_note(text)
    return fault


@functools.cache
def workers_of_this_process() -> Workers:
    """The pool of who was given none; with the default limits, started when it is needed."""
    return Workers(DecodingSettings())

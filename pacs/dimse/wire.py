"""Bytes to and from one peer, blocking, with time-outs: over bare TCP, or TCP under TLS."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from typing import Protocol

from pacs.dimse.scp.service import AssociationLost

_TIMEVAL = struct.Struct("ll")
_MOST_BUFFERS = 512
"""Below the system's limit of buffers in one sendmsg (IOV_MAX, 1024)."""
_TLS_RECORD_BYTES = 16 << 10


class Silence(AssociationLost):
    """The peer sent or took nothing, or too little, for as long as was allowed."""


class HandshakeFailed(AssociationLost):
    """No TLS with this peer; the message says why."""


class Wire(Protocol):
    """Used by one thread; only `interrupt` and `cut` may be called from others."""

    description: str
    """``TLSv1.3 TLS_AES_256_GCM_SHA384``, or empty without TLS."""

    def open(self, deadline: float) -> None:
        """Make it ready for bytes, until `time.monotonic()` is `deadline`. Raises `Silence`, `HandshakeFailed`."""

    def receive(self, room: memoryview, timeout_s: float) -> int | None:
        """Receive into `room`: how many bytes, 0 at the end of the stream, None when nothing came in time.

        With `timeout_s` 0 it only looks.
        """

    def send(self, buffers: list[memoryview]) -> int:
        """Send at least one byte of `buffers`; returns how many.

        Raises:
            TimeoutError: the peer took nothing in the send time-out.
            OSError: it is gone.
        """

    def end_sending(self) -> None:
        """Let the peer see the end of the stream."""

    def interrupt(self) -> None:
        """Make the thread that reads see the end of the stream."""

    def cut(self) -> None:
        """Make every wait end, in both directions."""

    def close(self) -> None: ...


class PlainWire:
    """Time-outs are the kernel's (SO_RCVTIMEO): one system call per read, no polling."""

    description = ""

    def __init__(self, connected: socket.socket, send_timeout_s: float) -> None:
        self._socket = connected
        self._timeout_s = -1.0
        connected.setblocking(True)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(send_timeout_s))

    def open(self, deadline: float) -> None:
        pass

    def receive(self, room: memoryview, timeout_s: float) -> int | None:
        try:
            if timeout_s <= 0:
                return self._socket.recv_into(room, 0, socket.MSG_DONTWAIT)
            # The kernel's time-out stays as it is when it is about what is asked, or less, which hardly ever ends a
            # wait: it saves a system call for almost every read.
            if not 0 < self._timeout_s <= 1.1 * timeout_s:
                self._set_timeout(timeout_s)
            while True:
                try:
                    return self._socket.recv_into(room)
                except BlockingIOError:
                    timeout_s -= self._timeout_s
                    if timeout_s <= 0:
                        return None
                    self._set_timeout(timeout_s)
        except BlockingIOError:
            return None
        except OSError:
            return 0

    def _set_timeout(self, timeout_s: float) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s))
        self._timeout_s = timeout_s

    def send(self, buffers: list[memoryview]) -> int:
        try:
            return self._socket.sendmsg(buffers[:_MOST_BUFFERS])
        except BlockingIOError as problem:
            raise TimeoutError from problem

    def end_sending(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def interrupt(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


class TlsWire:
    """The end of the stream without TLS's own goodbye is taken as an end: DICOM says itself what is whole."""

    def __init__(
        self, connected: socket.socket, context: ssl.SSLContext, send_timeout_s: float, *, server_name: str | None
    ) -> None:
        """`server_name` is whom the peer's certificate must name, when we are the client; None when we serve."""
        self.description = ""
        self._send_timeout_s = send_timeout_s
        self._is_blocking: bool | None = None
        self.socket = context.wrap_socket(
            connected, server_side=server_name is None, do_handshake_on_connect=False, server_hostname=server_name
        )

    def open(self, deadline: float) -> None:
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            self.socket.do_handshake()
        except TimeoutError as problem:
            raise Silence("no TLS handshake in time") from problem
        except ssl.SSLCertVerificationError as problem:
            raise HandshakeFailed(f"TLS: the peer's certificate is refused: {problem.verify_message}") from problem
        except ssl.SSLError as problem:
            raise HandshakeFailed(f"TLS: {_words(problem)}") from problem
        except OSError as problem:
            raise AssociationLost("the peer is gone before TLS was there") from problem
        suite = self.socket.cipher()
        self.description = f"{self.socket.version()} {suite[0] if suite else ''}".rstrip()

    def receive(self, room: memoryview, timeout_s: float) -> int | None:
        """All records that are there, as far as there is room: one step of the caller for many of 16 KB."""
        self._make_blocking(False)
        received = 0
        while received < len(room):
            try:
                count = self.socket.recv_into(room[received:])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wants:
                if received:
                    break
                timeout_s = self._wait(isinstance(wants, ssl.SSLWantReadError), timeout_s)
                if timeout_s <= 0:
                    return None
                continue
            except OSError:
                count = 0
            if not count:
                break  # what came before the end is given first; the end is there the next time, too
            received += count
        return received

    def _wait(self, is_to_read: bool, timeout_s: float) -> float:
        """Wait until the socket is ready; how much of the time is left, nothing when it is not."""
        if timeout_s <= 0:
            return 0.0
        started = time.monotonic()
        ready = select.poll()
        ready.register(self.socket, select.POLLIN if is_to_read else select.POLLOUT)
        if not ready.poll(1000 * timeout_s):
            return 0.0
        return max(0.001, timeout_s - (time.monotonic() - started))

    def _make_blocking(self, is_blocking: bool) -> None:
        """A system call, so it is made only when it changes something."""
        if self._is_blocking is not is_blocking:
            self.socket.settimeout(self._send_timeout_s if is_blocking else 0)
            self._is_blocking = is_blocking

    def send(self, buffers: list[memoryview]) -> int:
        self._make_blocking(True)
        return self.socket.send(_one_record(buffers))

    def end_sending(self) -> None:
        self._make_blocking(False)
        with contextlib.suppress(OSError, ValueError):
            self.socket.unwrap()  # says goodbye, and does not wait for the peer's
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_WR)

    # ssl.SSLSocket.shutdown would take TLS away under the thread that reads; the bare socket's is what is meant.

    def interrupt(self) -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RD)

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        self.socket.close()


def _one_record(buffers: list[memoryview]) -> memoryview | bytes:
    """The first of `buffers` when it fills a record, else several together: a record costs what a system call does."""
    if len(buffers) == 1 or len(buffers[0]) >= _TLS_RECORD_BYTES:
        return buffers[0]
    parts: list[memoryview] = []
    left = _TLS_RECORD_BYTES
    for buffer in buffers:
        parts.append(buffer[:left])
        left -= len(parts[-1])
        if not left:
            break
    return b"".join(parts)


def _words(problem: ssl.SSLError) -> str:
    reason = (problem.reason or str(problem)).replace("_", " ").lower()
    if reason in ("wrong version number", "http request"):
        return f"{reason} (the peer does not speak TLS)"
    return reason


def _timeval(seconds: float) -> bytes:
    # Zero would mean for ever.
    microseconds = max(1000, int(seconds * 1_000_000))
    return _TIMEVAL.pack(microseconds // 1_000_000, microseconds % 1_000_000)

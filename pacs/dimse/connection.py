"""One TCP connection around one `Association`: blocking reads and writes with time-outs, nothing else."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable, Sequence

from pacs.dimse.scp.service import AssociationLost
from pacs.dimse.upper_layer.association import Association, Output
from pacs.dimse.upper_layer.events import Event
from pacs.dimse.wire import HandshakeFailed, PlainWire, Silence, TlsWire, Wire
from pacs.errors import ProtocolViolation
from pacs.pace import Pace

__all__ = ["Connection", "HandshakeFailed", "Silence"]

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_USEFUL_BYTES = 32 << 10
_BATCH_BYTES = 256 << 10
_BATCH_BUFFERS = 256


class Connection:
    """A wire and its association, used by one thread.

    Args:
        send_timeout_s: how long the peer may take nothing.
        least_bytes_per_s: what it has to take in the long run.
        tls: speak TLS; `open` must be called then, before anything else.
        server_name: whom the peer's certificate must name, where we are the client.
    """

    def __init__(
        self,
        connected: socket.socket,
        association: Association,
        *,
        send_timeout_s: float,
        least_bytes_per_s: float = 1.0,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        self.association = association
        self._send_timeout_s = send_timeout_s
        self._least_bytes_per_s = least_bytes_per_s
        self._put_back: Event | None = None
        self.received_bytes = 0
        """All that has come over this connection."""
        self.useful_at = time.monotonic()
        """When the peer last had something of being here: it took what we sent, or has sent `_USEFUL_BYTES` more."""
        self._is_useful_from = _USEFUL_BYTES
        self.waits_for_peer = False
        """Whether the thread waits for bytes now; for other threads to see."""
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._wire: Wire
        if tls is None:
            self._wire = PlainWire(connected, send_timeout_s)
            self._socket = connected
        else:
            wire = TlsWire(connected, tls, send_timeout_s, server_name=server_name)
            self._wire, self._socket = wire, wire.socket

    @property
    def protection(self) -> str:
        """Version and suite of TLS; empty without."""
        return self._wire.description

    def open(self, deadline: float) -> None:
        """Shake hands, if there is TLS, until `time.monotonic()` is `deadline`.

        Raises:
            HandshakeFailed: no TLS, no certificate, or not the right one.
            AssociationLost: the peer is gone, or too slow.
        """
        self._wire.open(deadline)

    # -- events

    def next_event(self, timeout_s: float, *, deadline: float | None = None) -> Event:
        """Wait for the next event.

        Args:
            timeout_s: longest silence.
            deadline: `time.monotonic()` at which to give up however much the peer says.

        Raises:
            Silence: nothing came in time.
            AssociationLost: the association is over and every event has been taken.
        """
        while True:
            event = self.waiting_event()
            if event is not None:
                return event
            self.flush()
            if self.association.is_over:
                raise AssociationLost(self.association.violation or "the association is over")
            wait_s = timeout_s if deadline is None else min(timeout_s, deadline - time.monotonic())
            if wait_s <= 0 or not self._receive(wait_s):
                raise Silence(f"no more bytes in {timeout_s:g} s")

    def next_event_at(self, pace: Pace) -> Event:
        """Wait for the next event as long as `pace` allows, and tell it what came: a byte now and then is no silence,
        and would hold whoever waits for hours. Raises as `next_event`."""
        started, before = time.monotonic(), self.received_bytes
        event = self.next_event(pace.left_s, deadline=started + pace.left_s)
        pace.waited(time.monotonic() - started, self.received_bytes - before)
        return event

    def event_if_any(self) -> Event | None:
        """An event that can be had without waiting; looks at the socket."""
        event = self.waiting_event()
        if event is None and not self.association.is_over:
            self._receive(0)
            event = self.waiting_event()
        return event

    def put_back(self, event: Event) -> None:
        """Make `event` the next one again; its data, if any, is still valid because nothing is received before."""
        self._put_back = event

    def waiting_event(self) -> Event | None:
        """An event in what has been received already."""
        if self._put_back is not None:
            event, self._put_back = self._put_back, None
            return event
        return self.association.next_event()

    def _receive(self, timeout_s: float) -> bool:
        """Receive once; false when nothing came in time."""
        self.waits_for_peer = True
        count = self._wire.receive(self.association.room(), timeout_s)
        self.waits_for_peer = False
        if count is None:
            return False
        if count and _QUICKACK is not None:
            # A sender with Nagle's algorithm waits for our acknowledgement before its last small segment; the kernel
            # delays that by 40 ms unless it is told not to, again after every read.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        self.received_bytes += count
        if self.received_bytes >= self._is_useful_from:
            self._is_useful_from = self.received_bytes + _USEFUL_BYTES
            self.useful_at = time.monotonic()
        self.association.received(count)
        return True

    # -- sending

    def send_message(self, context_id: int, command: bytes, data_set: Sequence[Output] | None = None) -> None:
        """Send a whole message; its data set is given to the kernel where it lies.

        Raises:
            AssociationLost: the association is over, or the peer takes nothing more.
        """
        if self.association.is_over:
            raise AssociationLost(self.association.violation or "the association is over")
        self.flush()
        batch: list[Output] = []
        size = 0
        for buffers in self._pdus(context_id, command, data_set):
            batch += buffers
            size += sum(len(buffer) for buffer in buffers)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_BUFFERS:
                self._send(batch)
                batch, size = [], 0
        self._send(batch)

    def _pdus(self, context_id: int, command: bytes, data_set: Sequence[Output] | None) -> Iterable[list[Output]]:
        yield from self.association.data(context_id, is_command=True, buffers=[command])
        if data_set is not None:
            yield from self.association.data(context_id, is_command=False, buffers=data_set)

    def flush(self) -> None:
        """Send what the association wants to say. Raises `AssociationLost`."""
        if self.association.has_output:
            self._send(self.association.take_output())

    def _send(self, buffers: list[Output]) -> None:
        views = [memoryview(buffer) for buffer in buffers if len(buffer)]
        pace = Pace(self._send_timeout_s, self._least_bytes_per_s)
        try:
            while views:
                started = time.monotonic()
                sent = self._wire.send(views)
                self.useful_at = time.monotonic()
                pace.waited(self.useful_at - started, sent)
                if pace.left_s <= 0:
                    raise TimeoutError
                done = 0
                while done < len(views) and sent >= len(views[done]):
                    sent -= len(views[done])
                    done += 1
                del views[:done]
                if sent:
                    views[0] = views[0][sent:]
        except TimeoutError as problem:
            self._is_gone()
            raise Silence("the peer takes no more bytes, or hardly any") from problem
        except OSError as problem:
            self._is_gone()
            raise AssociationLost(f"the connection is lost: {problem.strerror}") from problem

    def _is_gone(self) -> None:
        self.association.received(0)
        while self.association.next_event() is not None:
            pass

    # -- the end

    def abort(self, why: ProtocolViolation | None = None) -> None:
        """Send an A-ABORT, if there still is an association and a peer."""
        if why is not None and self.association.violation is None:
            self.association.violation = str(why)
        self.association.abort()
        with contextlib.suppress(AssociationLost):
            self.flush()

    def finish(self, linger_s: float, *, is_released: bool) -> None:
        """Say what is left to say, wait until the peer closes, or `linger_s`, then close.

        Closing at once would throw away what the peer has not read yet (RFC 1122 §4.2.2.13). After an abort or a
        rejection the peer sees the end of the stream; after a release it is the peer that closes (PS3.8 §9.2).
        """
        deadline = time.monotonic() + linger_s
        association = self.association
        with contextlib.suppress(AssociationLost):
            self.flush()
            if not is_released:
                self._wire.end_sending()
            while association.is_artim_running and not association.wants_close:
                wait_s = deadline - time.monotonic()
                if wait_s <= 0 or not self._receive(wait_s):
                    association.artim_expired()
                while association.next_event() is not None:
                    pass
                self.flush()
        self._wire.close()

    def discard(self) -> None:
        """Close without a word what nothing was said on. Under TLS the accepted socket was taken over: closing that one
        would close nothing."""
        self._wire.close()

    def interrupt(self) -> None:
        """Make the thread that reads see the end of the stream. The one method for another thread to call."""
        self._wire.interrupt()

    def cut(self) -> None:
        """Make every wait of the thread end, in both directions; for another thread."""
        self._wire.cut()

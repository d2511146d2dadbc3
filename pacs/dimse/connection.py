"""One TCP connection around one `Association`: blocking reads and writes with time-outs, nothing else."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Sequence

from pacs.dimse.scp.service import AssociationLost
from pacs.dimse.upper_layer.association import Association, Output
from pacs.dimse.upper_layer.events import Event
from pacs.errors import ProtocolViolation

_TIMEVAL = struct.Struct("ll")
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_MOST_BUFFERS = 512
"""Below the system's limit of buffers in one sendmsg (IOV_MAX, 1024)."""
_BATCH_BYTES = 256 << 10


class Silence(AssociationLost):
    """The peer sent or took nothing for as long as was allowed."""


class Connection:
    """A blocking socket and its association, used by one thread.

    Time-outs are the kernel's (SO_RCVTIMEO): one system call per read, no polling.
    """

    def __init__(self, connected: socket.socket, association: Association, *, send_timeout_s: float) -> None:
        self.association = association
        self._socket = connected
        self._timeout_s = -1.0
        self._put_back: Event | None = None
        connected.setblocking(True)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(send_timeout_s))

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
            event = self._waiting_event()
            if event is not None:
                return event
            self.flush()
            if self.association.is_over:
                raise AssociationLost(self.association.violation or "the association is over")
            wait_s = timeout_s if deadline is None else min(timeout_s, deadline - time.monotonic())
            if wait_s <= 0 or not self._receive(wait_s):
                raise Silence(f"no more bytes in {timeout_s:g} s")

    def event_if_any(self) -> Event | None:
        """An event that can be had without waiting; looks at the socket."""
        event = self._waiting_event()
        if event is None and not self.association.is_over:
            self._receive(0)
            event = self._waiting_event()
        return event

    def put_back(self, event: Event) -> None:
        """Make `event` the next one again; its data, if any, is still valid because nothing is received before."""
        self._put_back = event

    def _waiting_event(self) -> Event | None:
        if self._put_back is not None:
            event, self._put_back = self._put_back, None
            return event
        return self.association.next_event()

    def _receive(self, timeout_s: float) -> bool:
        """Receive once; false when nothing came in time."""
        if timeout_s > 0 and timeout_s != self._timeout_s:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s))
            self._timeout_s = timeout_s
        room = self.association.room()
        try:
            count = self._socket.recv_into(room, 0, 0 if timeout_s > 0 else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        if count and _QUICKACK is not None:
            # A sender with Nagle's algorithm waits for our acknowledgement before its last small segment; the kernel
            # delays that by 40 ms unless it is told not to, again after every read.
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
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
            if size >= _BATCH_BYTES or len(batch) >= _MOST_BUFFERS // 2:
                self._send(batch)
                batch, size = [], 0
        self._send(batch)

    def _pdus(self, context_id: int, command: bytes, data_set: Sequence[Output] | None) -> Iterable[list[Output]]:
        yield from self.association.data(context_id, is_command=True, buffers=[command])
        if data_set is not None:
            yield from self.association.data(context_id, is_command=False, buffers=data_set)

    def flush(self) -> None:
        """Send what the association wants to say. Raises `AssociationLost`."""
        output = self.association.take_output()
        if output:
            self._send(output)

    def _send(self, buffers: list[Output]) -> None:
        views = [memoryview(buffer) for buffer in buffers if len(buffer)]
        try:
            while views:
                sent = self._socket.sendmsg(views[:_MOST_BUFFERS])
                done = 0
                while done < len(views) and sent >= len(views[done]):
                    sent -= len(views[done])
                    done += 1
                del views[:done]
                if sent:
                    views[0] = views[0][sent:]
        except BlockingIOError as problem:
            self._is_gone()
            raise Silence("the peer takes no more bytes") from problem
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
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
            while association.is_artim_running and not association.wants_close:
                wait_s = deadline - time.monotonic()
                if wait_s <= 0 or not self._receive(wait_s):
                    association.artim_expired()
                while association.next_event() is not None:
                    pass
                self.flush()
        self._socket.close()

    def interrupt(self) -> None:
        """Make the thread that reads see the end of the stream. The one method for another thread to call."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def cut(self) -> None:
        """Make every wait of the thread end, in both directions; for another thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def _timeval(seconds: float) -> bytes:
    # Zero would mean for ever.
    microseconds = max(1000, int(seconds * 1_000_000))
    return _TIMEVAL.pack(microseconds // 1_000_000, microseconds % 1_000_000)

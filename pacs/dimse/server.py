"""The DIMSE door's listener: accepts connections, one thread each, within limits; starts and stops."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Mapping, Sequence

from pacs import log
from pacs.access.application_entities import ApplicationEntities
from pacs.dimse.conversation import Conversation, Door, Identify
from pacs.dimse.priorities import Priorities, Priority
from pacs.dimse.scp.service import Service
from pacs.dimse.tls import server_context
from pacs.measured.counts import Counts
from pacs.settings import DicomSettings

MAX_UNASSOCIATED = 1024
"""Connections that have not asked for an association yet, or have none any more. One more closes the oldest: honest
peers ask at once, and close at the end."""
_CLOSING_S = 2.0


class DimseServer:
    """Serves DICOM over TCP on a socket that listens already.

    Args:
        listening: bound and listening; closed by `stop`.
        identify: (calling, called AE title, IP address) -> principal; raises `UnknownApplicationEntity`.
        services: by abstract syntax, everything but storage.
        storage: answers on every storage SOP class.
        counts: what each request took is counted there.

    Raises:
        pacs.settings.InvalidSettings: a file of `settings.tls` cannot be used.
    """

    def __init__(
        self,
        listening: socket.socket,
        settings: DicomSettings,
        identify: Identify,
        services: Mapping[str, Service],
        storage: Service,
        counts: Counts | None = None,
    ) -> None:
        self._listening = listening
        self._settings = settings
        self._entities = ApplicationEntities(settings)
        tls = server_context(settings)
        self._door = Door(
            settings, identify, services, storage, self, Priorities(), self._priority_of, tls, counts or Counts.alone()
        )
        self._lock = threading.Lock()
        self._all_over = threading.Condition(self._lock)
        self._unassociated: dict[Conversation, None] = {}
        self._associated: dict[Conversation, tuple[str, str]] = {}
        """By conversation, the AE title and address it counts for."""
        self._alive: set[Conversation] = set()
        self._is_stopping = False
        self._numbers = itertools.count(1)
        self._accepting = threading.Thread(target=self._accept, name="dimse accept", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._listening.getsockname()[:2]
        return str(host), int(port)

    def figures(self) -> dict[str, int]:
        """Gauges of `pacs.measured.board`."""
        with self._lock:
            return {
                "associations": len(self._associated),
                "connections_without_association": len(self._unassociated),
                "storing_in_progress": self._door.priorities.messages,
            }

    def start(self) -> None:
        self._accepting.start()

    def stop(self, grace_s: float) -> None:
        """Accept nobody more, let every message in hand be answered, abort the associations, close.

        After `grace_s` seconds connections are cut whatever they are doing. Returns when all threads have ended, or
        soon after the cut when one is held up by something else than its peer.
        """
        with self._lock:
            self._is_stopping = True
            conversations = list(self._alive)
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        if self._accepting.ident is not None:
            self._accepting.join(_CLOSING_S)
        self._listening.close()
        for conversation in conversations:
            conversation.stop()
        if not self._wait_until_over(grace_s):
            with self._lock:
                left = list(self._alive)
            for conversation in left:
                conversation.cut("the archive is being stopped")
            if not self._wait_until_over(_CLOSING_S):
                log.warning("associations did not end in time", number=len(left))

    def _wait_until_over(self, timeout_s: float) -> bool:
        with self._all_over:
            return self._all_over.wait_for(lambda: not self._alive, timeout_s)

    # -- the limits: `Admission`

    def enter(self, conversation: Conversation, calling: str, address: str) -> str | None:
        settings, peer = self._settings, (calling, address)
        given_up: list[Conversation] = []
        with self._lock:
            self._unassociated.pop(conversation, None)
            of_peer = [other for other, its_peer in self._associated.items() if its_peer == peer]
            full = None
            if len(of_peer) >= settings.max_associations_per_peer and not self._give_up_one(of_peer, given_up):
                limit = settings.max_associations_per_peer
                full = f"dicom.max_associations_per_peer ({limit}) of {calling!r} at {address} are open"
            elif len(self._associated) >= settings.max_associations and not self._give_up_one(
                list(self._associated), given_up
            ):
                full = f"dicom.max_associations ({settings.max_associations}) are open"
            if full is None:
                self._associated[conversation] = peer
        for other in given_up:
            log.warning("association ended to make room", calling_ae_title=calling, peer=address)
            other.cut("it was quiet, and others needed its place")
        return full

    def _give_up_one(self, among: Sequence[Conversation], given_up: list[Conversation]) -> bool:
        """Whether one of these was of no use for so long that its place is another's now."""
        now = time.monotonic()
        idlest = max(among, key=lambda conversation: conversation.idle_too_long_s(now))
        if idlest.idle_too_long_s(now) <= 0:
            return False
        del self._associated[idlest]
        given_up.append(idlest)
        return True

    def leave(self, conversation: Conversation) -> None:
        with self._lock:
            self._associated.pop(conversation, None)
            self._unassociated[conversation] = None  # until the peer closes

    def _priority_of(self, calling: str, address: str) -> Priority:
        peer = self._entities.peer(calling, address)
        return Priority[peer.priority.upper()] if peer is not None else Priority.NORMAL

    # -- accepting

    def _accept(self) -> None:
        while True:
            try:
                accepted, address = self._listening.accept()
            except OSError as problem:
                if self._is_stopping:
                    return
                log.failure("cannot accept a connection", problem)
                time.sleep(0.1)  # out of file descriptors: some will be given back
                continue
            try:
                self._begin(accepted, str(address[0]))
            except (OSError, RuntimeError) as problem:  # the peer is gone already, or no thread can be made
                log.failure("cannot serve a connection", problem, peer=str(address[0]))
                accepted.close()  # where there is a conversation it is the conversation's, and closed with it

    def _begin(self, accepted: socket.socket, address: str) -> None:
        conversation = Conversation(self._door, accepted, address, next(self._numbers))
        with self._lock:
            if self._is_stopping:
                conversation.discard()
                return
            self._unassociated[conversation] = None
            oldest = next(iter(self._unassociated)) if len(self._unassociated) > MAX_UNASSOCIATED else None
            if oldest is not None:
                del self._unassociated[oldest]  # closed once: the next one too many closes another
            self._alive.add(conversation)
        if oldest is not None:
            log.warning("too many connections without association; the oldest is closed")
            oldest.cut("too many connections without association")
        try:
            threading.Thread(target=self._run, args=(conversation,), name="association", daemon=True).start()
        except RuntimeError:
            self._ended(conversation)
            conversation.discard()
            raise

    def _run(self, conversation: Conversation) -> None:
        try:
            conversation.run()
        finally:
            self._ended(conversation)

    def _ended(self, conversation: Conversation) -> None:
        with self._all_over:
            self._unassociated.pop(conversation, None)
            self._associated.pop(conversation, None)
            self._alive.discard(conversation)
            self._all_over.notify_all()

"""A DIMSE server on loopback with services of the test's own, and a peer that can say anything to it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from pacs.access.application_entities import ApplicationEntities
from pacs.dimse.messages.command import CommandSet
from pacs.dimse.messages.message import CommandReceived, DataSetPiece, MessageReader
from pacs.dimse.scp.service import Service
from pacs.dimse.scp.storage import Storage
from pacs.dimse.scp.verification import VERIFICATION, Verification
from pacs.dimse.server import DimseServer
from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.association import Association
from pacs.dimse.upper_layer.events import DataReceived, Event
from pacs.dimse.upper_layer.items import ProposedContext, RoleSelection, UserInformation
from pacs.model import InstanceKey, Outcome, Stored
from pacs.settings import DicomSettings
from tests.patience import SHORT_OF_ANY_TIMEOUT_S

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
EXPLICIT = "1.2.840.10008.1.2.1"
ECHO_CONTEXT, CT_CONTEXT, FIND_CONTEXT = 1, 3, 5
CONTEXTS = (
    ProposedContext(ECHO_CONTEXT, VERIFICATION, (EXPLICIT,)),
    ProposedContext(CT_CONTEXT, CT, (EXPLICIT,)),
    ProposedContext(FIND_CONTEXT, FIND, (EXPLICIT,)),
)


class MemoryIngest:
    """Keeps what is committed; `fail_with` makes the commit fail."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.begun = 0
        self.aborted = 0
        self.fail_with: Exception | None = None
        self.coerced: tuple[int, ...] = ()

    def begin(self, _source: Any, _syntax: str, *, sop_class_uid: str, sop_instance_uid: str) -> MemoryReception:
        self.begun += 1
        return MemoryReception(self, sop_instance_uid)


class MemoryReception:
    def __init__(self, ingest: MemoryIngest, uid: str) -> None:
        self._ingest, self._uid = ingest, uid
        self._received: bytearray | None = bytearray()

    def __enter__(self) -> MemoryReception:
        return self

    def __exit__(self, *_: object) -> None:
        if self._received is not None:
            self._ingest.aborted += 1

    def write(self, fragment: memoryview) -> None:
        assert self._received is not None
        self._received += fragment

    def commit(self) -> Stored:
        if self._ingest.fail_with:
            raise self._ingest.fail_with
        assert self._received is not None
        self._ingest.kept[self._uid] = bytes(self._received)
        self._received = None
        key = InstanceKey("default", "1.1", "1.2", self._uid)
        return Stored(key, "", Outcome.STORED, self._ingest.coerced)


@contextlib.contextmanager
def serving(ingest: Any, services: Mapping[str, Service] | None = None, **settings: Any) -> Iterator[DimseServer]:
    """A started server; everything that is no storage and not in `services` is verification."""
    chosen = DicomSettings(**settings)
    server = DimseServer(
        socket.create_server((chosen.host, 0), backlog=512),
        chosen,
        ApplicationEntities(chosen).identify,
        {VERIFICATION: Verification(), **(services or {})},
        Storage(ingest),
    )
    server.start()
    try:
        yield server
    finally:
        server.stop(5)


class RawPeer:
    """A requestor made of the pure core and one socket; waits long for anything, and not for a time-out nobody set."""

    def __init__(self, server: DimseServer) -> None:
        self.socket = socket.create_connection(server.address, timeout=SHORT_OF_ANY_TIMEOUT_S)
        self.association = Association(max_pdu_length=16384, is_requestor=True)
        self._reader = MessageReader()

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        for part in self.association.take_output():
            self.socket.sendall(part)

    def event(self) -> Event | None:
        """The next event; None when the connection ended without one."""
        while True:
            event = self.association.next_event()
            if event is not None:
                return event
            if self.association.is_over:
                return None
            try:
                count = self.socket.recv_into(self.association.room())
            except ConnectionResetError:
                count = 0
            self.association.received(count)

    def associate(
        self,
        *,
        calling: str = "TESTER",
        called: str = "PACS",
        contexts: tuple[ProposedContext, ...] = CONTEXTS,
        roles: tuple[RoleSelection, ...] = (),
        max_pdu_length: int = 16384,
        operations: tuple[int, int] | None = None,
    ) -> Event | None:
        information = UserInformation(max_pdu_length, "1.2.3", "TESTER", operations, roles=roles)
        self.association.request(pdu.AssociateRequest(called, calling, contexts, information))
        self.association.connected()
        self.flush()
        return self.event()

    def send(self, context_id: int, command: CommandSet, data_set: bytes | None = None) -> None:
        for buffers in self.association.data(context_id, is_command=True, buffers=[command.encode()]):
            self.socket.sendall(b"".join(buffers))
        if data_set is not None:
            self.send_data(context_id, data_set)

    def send_data(self, context_id: int, data_set: bytes) -> None:
        for buffers in self.association.data(context_id, is_command=False, buffers=[data_set]):
            self.socket.sendall(b"".join(buffers))

    def receive(self) -> tuple[CommandSet, bytes]:
        """The next message whole."""
        command: CommandSet | None = None
        data_set = bytearray()
        while True:
            event = self.event()
            assert isinstance(event, DataReceived), event
            received = self._reader.receive(*event)
            if isinstance(received, CommandReceived):
                command = received.command
                if not command.has_data_set:
                    return command, b""
            elif isinstance(received, DataSetPiece):
                data_set += received.data
                if received.is_last:
                    assert command is not None
                    return command, bytes(data_set)

    def ask(self, context_id: int, command: CommandSet, data_set: bytes | None = None) -> CommandSet:
        self.send(context_id, command, data_set)
        return self.receive()[0]

    def release(self) -> Event | None:
        self.association.release()
        self.flush()
        return self.event()

    def abort(self) -> None:
        self.association.abort()
        self.flush()
        self.socket.close()

    def is_closed_by_server(self) -> bool:
        """Wait until the server closes; false when it does not."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

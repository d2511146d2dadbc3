"""An exchange without an association: what a service sends is kept in lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from pacs.dimse.messages.command import CommandSet
from pacs.dimse.messages.command_builders import response_to
from pacs.dimse.scp.service import FollowUp, Peer, PresentationContext
from pacs.errors import NotFound, TooLarge
from pacs.model import InstanceKey, Location, Principal, StoredInstance

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_LS = "1.2.840.10008.1.2.4.80"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"


def encoded(data_set: Dataset, transfer_syntax: str = IMPLICIT) -> bytes:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = transfer_syntax == IMPLICIT, True
    write_dataset(file, data_set)
    return file.getvalue()


def decoded(data_set: bytes | None, transfer_syntax: str = IMPLICIT) -> Dataset:
    assert data_set is not None
    return read_dataset(BytesIO(data_set), is_implicit_VR=transfer_syntax == IMPLICIT, is_little_endian=True)


@dataclass
class FakeExchange:
    """`is_cancelled` says yes once `cancel_after` responses were sent."""

    command: CommandSet
    data_set: bytes
    context: PresentationContext
    accepted: Sequence[PresentationContext] = ()
    cancel_after: int | None = None
    store_status: Callable[[str], int] = lambda _uid: 0
    responses: list[tuple[CommandSet, bytes | None]] = field(default_factory=list)
    stored: list[tuple[PresentationContext, CommandSet, bytes]] = field(default_factory=list)
    later: list[FollowUp] = field(default_factory=list)

    @property
    def peer(self) -> Peer:
        contexts = {one.context_id: one for one in (self.context, *self.accepted)}
        return Peer("WORKSTATION", "PACS", "127.0.0.1", Principal("WORKSTATION"), contexts)

    def read_data_set(self, limit_bytes: int) -> bytes:
        if len(self.data_set) > limit_bytes:
            raise TooLarge("too large")
        return self.data_set

    def respond(self, response: CommandSet, data_set: bytes | None = None) -> None:
        assert response.has_data_set == (data_set is not None)
        self.responses.append((response, data_set))

    def is_cancelled(self) -> bool:
        return self.cancel_after is not None and len(self.responses) >= self.cancel_after

    def afterwards(self, follow_up: FollowUp) -> None:
        self.later.append(follow_up)

    def sub_operation(
        self, context: PresentationContext, request: CommandSet, data_set: Sequence[memoryview]
    ) -> CommandSet:
        self.stored.append((context, request, b"".join(data_set)))
        return response_to(request, self.store_status(request.affected_sop_instance_uid or ""))

    @property
    def statuses(self) -> list[int]:
        return [response.status for response, _ in self.responses]

    @property
    def final(self) -> CommandSet:
        return self.responses[-1][0]


def instance(
    number: int, *, sop_class: str = CT, transfer_syntax: str = EXPLICIT, series: int = 1, study: int = 1
) -> StoredInstance:
    key = InstanceKey("default", f"1.2.{study}", f"1.2.{study}.{series}", f"1.2.{study}.{series}.{number}")
    location = Location("segment", 0, 100, 50)
    return StoredInstance(
        key, sop_class, transfer_syntax, "00", location, 50, 1, b"", {}, datetime(2026, 1, 1, tzinfo=UTC)
    )


class FakeRetrieve:
    """Holds instances whose data set is their UID in bytes."""

    def __init__(self, instances: Iterable[StoredInstance], damaged: Iterable[str] = ()) -> None:
        self._instances = list(instances)
        self._damaged = set(damaged)
        self.asked: list[dict[str, Any]] = []

    def instances(self, principal: Principal, *, patient_id: str | None = None, **uids: str | None) -> Any:
        self.asked.append({"patient_id": patient_id, **uids})
        found = [
            one
            for one in self._instances
            if all(value is None or getattr(one.key, n) == value for n, value in uids.items())
        ]
        if not found:
            raise NotFound("none")
        return found

    def listed(self, principal: Principal, **choices: str | None) -> Iterator[StoredInstance]:
        try:
            yield from self.instances(principal, **choices)
        except NotFound:
            return

    def data_set(self, one: StoredInstance) -> memoryview:
        if one.key.sop_instance_uid in self._damaged:
            raise NotFound("gone")
        return memoryview(one.key.sop_instance_uid.encode())

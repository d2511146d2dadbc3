"""One instance on its way in: fragments as they come, then commit or abort."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from pacs.errors import IdentityMismatch, MalformedDataSet, StorageError, TooLarge
from pacs.ingest.description import Description, describe
from pacs.ingest.memory import MemoryInFlight
from pacs.model import Source, Stored
from pacs.settings import IngestSettings
from pacs.storage.disk import Bytes
from pacs.storage.large_segment import LargeSegment
from pacs.storage.segments import SegmentStore

_RESERVED_BYTES = 256 << 10
"""Reserved at a time: half of a slice of CT."""


@dataclass(frozen=True, slots=True)
class ExpectedIdentity:
    """What the command or URL said; None where it said nothing."""

    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None

    def check(self, found: Description) -> None:
        """Raises `IdentityMismatch` when the data set says otherwise."""
        for name, expected, actual in (
            ("SOP Class UID", self.sop_class_uid, found.sop_class_uid),
            ("SOP Instance UID", self.sop_instance_uid, found.key.sop_instance_uid),
            ("Study Instance UID", self.study_instance_uid, found.key.study_instance_uid),
        ):
            if expected is not None and expected != actual:
                raise IdentityMismatch(f"the data set's {name} is {actual}, but {expected} was announced")


class Keeper(Protocol):
    """Makes a described reception durable and indexed."""

    def keep(self, reception: Reception, description: Description) -> Stored: ...


class Reception:
    """Not thread-safe. A context manager that aborts when `commit` was not reached.

    The first bytes stay in memory; past `memory_bytes_per_instance`, or when all receptions together hold as much as
    they may (`memory_bytes_in_flight`), all go on to disk as they come.
    """

    def __init__(
        self,
        source: Source,
        transfer_syntax_uid: str,
        expected: ExpectedIdentity,
        *,
        keeper: Keeper,
        store: SegmentStore,
        settings: IngestSettings,
        memory: MemoryInFlight,
    ) -> None:
        self.source = source
        self.transfer_syntax_uid = transfer_syntax_uid
        self.received_bytes = 0
        self._expected = expected
        self._keeper = keeper
        self._store = store
        self._settings = settings
        self._memory = memory
        self._digest = hashlib.sha256()
        self._in_memory = bytearray()
        self._reserved = 0  # bytes of `memory` that are ours
        self._large: LargeSegment | None = None
        self._is_open = True

    @property
    def large(self) -> LargeSegment | None:
        """Where the data set is when it did not stay in memory."""
        return self._large

    @property
    def in_memory(self) -> bytearray:
        """The whole data set when `large` is None."""
        return self._in_memory

    def __enter__(self) -> Reception:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def write(self, fragment: Bytes) -> None:
        """Take the next bytes of the data set; they are copied, the caller may reuse its memory.

        Raises:
            TooLarge: the data set grows past ``ingest.max_instance_bytes``.
            StorageError: there is no room, or the disk failed.
        """
        if not self._is_open:
            self._require_open()
        received = self.received_bytes + len(fragment)
        if received <= self._reserved:
            self._digest.update(fragment)
            self._in_memory += fragment
            self.received_bytes = received
            return
        if received > self._settings.max_instance_bytes:
            self.abort()
            limit = self._settings.max_instance_bytes
            raise TooLarge(f"the data set is larger than {limit} bytes (setting ingest.max_instance_bytes)")
        self._digest.update(fragment)
        if self._large is not None:
            self._large.write(fragment)
        elif received <= self._settings.memory_bytes_per_instance and self._reserve(received):
            self._in_memory += fragment
        else:
            self._large = self._store.begin_large(self.source.principal.hospital)
            self._large.write(self._in_memory)
            self._forget()
            self._large.write(fragment)
        self.received_bytes = received

    def _reserve(self, size: int) -> bool:
        """Whether `size` bytes may be held in memory; some more are reserved, for what will follow."""
        step = max(size - self._reserved, min(_RESERVED_BYTES, self._settings.memory_bytes_per_instance - size))
        if not self._memory.take(step, held=self._reserved):
            step = size - self._reserved
            if not self._memory.take(step, held=self._reserved):
                return False
        self._reserved += step
        return True

    def commit(self) -> Stored:
        """Check the data set, make it durable, add its row; the returned `Stored` is the proof of all that.

        Raises:
            MalformedDataSet, InvalidIdentity, IdentityMismatch, TooLarge: the data set cannot be taken.
            Conflict: other bytes are kept under this SOP Instance UID.
            StorageError: it could not be made safe; nothing may be acknowledged.
        """
        self._require_open()
        try:
            if self.received_bytes == 0:
                raise MalformedDataSet("the data set is empty; send the instance with its elements (PS3.5 §7.1)")
            description = self._described()
            self._expected.check(description)
            return self._keeper.keep(self, description)
        finally:
            self.abort()

    def abort(self) -> None:
        """Forget what came; nothing of it stays. Does nothing after `commit`."""
        self._is_open = False
        self._forget()
        if self._large is not None:
            self._large.discard()
            self._large = None

    def _forget(self) -> None:
        self._memory.give_back(self._reserved)
        self._reserved = 0
        self._in_memory = bytearray()

    def settle_large(self) -> None:
        """The large segment's row is there (or may be): it is no longer ours to discard."""
        if self._large is not None:
            self._large.release()
            self._large = None

    def data_set(self) -> memoryview:
        """All bytes so far. Raises `StorageError`."""
        return memoryview(self._in_memory) if self._large is None else self._large.data_set()

    def _described(self) -> Description:
        return describe(
            self.data_set(),
            hospital=self.source.principal.hospital,
            transfer_syntax_uid=self.transfer_syntax_uid,
            digest=self._digest.hexdigest(),
            max_inflated_bytes=self._settings.max_inflated_bytes,
        )

    def _require_open(self) -> None:
        if not self._is_open:
            raise StorageError("this reception is over; begin a new one")

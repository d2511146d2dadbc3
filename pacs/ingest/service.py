"""The write path as the doors see it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from pacs import log
from pacs.index import Index
from pacs.index.add import Existing
from pacs.ingest.claims import Claims
from pacs.ingest.coercion import Coercion
from pacs.ingest.committer import Committer, Pending
from pacs.ingest.description import Description
from pacs.ingest.duplicates import Duplicates
from pacs.ingest.memory import MemoryInFlight
from pacs.ingest.reception import ExpectedIdentity, Keeper, Reception
from pacs.ingest.recovery import replay
from pacs.model import Outcome, Source, Stored, checked_uid
from pacs.part10.file_meta import read_file_meta, write_file_meta
from pacs.settings import IngestSettings
from pacs.storage.disk import Bytes
from pacs.storage.large_segment import FILE_META_LENGTH, LargeSegment
from pacs.storage.segment_name import checked_hospital
from pacs.storage.segment_writer import NewRecord
from pacs.storage.segments import SegmentStore
from pacs.storage.spool import MEMORY_BYTES, Spool
from pacs.storage.tar_record import RecordHead

_STEP_BYTES = 1 << 20
_MAX_PEER_CHARACTERS = 200


class Ingest:
    """Thread-safe; one per process. What it returns as `Stored` survives kill -9 and power cut."""

    def __init__(self, store: SegmentStore, index: Index, settings: IngestSettings, *, system: str = "PACS") -> None:
        """`system` names this archive in the record of what it changed.

        Raises:
            pacs.settings.InvalidSettings: a rule of ``ingest.coercion`` cannot be followed.
        """
        self._coercion = Coercion(settings, system)
        self._store = store
        self._index = index
        self._settings = settings
        self._claims = Claims()
        self._committer = Committer(store, index)
        self._duplicates = Duplicates(index, settings)
        self._memory = MemoryInFlight(settings.memory_bytes_in_flight)

    def begin(
        self,
        source: Source,
        transfer_syntax_uid: str,
        *,
        sop_class_uid: str | None = None,
        sop_instance_uid: str | None = None,
        study_instance_uid: str | None = None,
    ) -> Reception:
        """Begin to receive one data set (no preamble, no file meta) from `source`.

        The UIDs are what a command or URL announced; None where it announced nothing.

        Raises:
            InvalidIdentity: one of them is no UID, or the principal's hospital cannot be a name.
        """
        checked_hospital(source.principal.hospital)
        checked_uid(transfer_syntax_uid, "Transfer Syntax UID")
        for value, name in (
            (sop_class_uid, "SOP Class UID"),
            (sop_instance_uid, "SOP Instance UID"),
            (study_instance_uid, "Study Instance UID"),
        ):
            if value is not None:
                checked_uid(value, name)
        expected = ExpectedIdentity(sop_class_uid, sop_instance_uid, study_instance_uid)
        return self._begin(source, transfer_syntax_uid, expected, self)

    def _begin(self, source: Source, transfer_syntax_uid: str, expected: ExpectedIdentity, keeper: Keeper) -> Reception:
        return Reception(
            source,
            transfer_syntax_uid,
            expected,
            keeper=keeper,
            store=self._store,
            settings=self._settings,
            memory=self._memory,
        )

    def spool(self, *, max_bytes: int | None = None, memory_bytes: int = MEMORY_BYTES) -> Spool:
        """A place for parts of instances that are not whole yet; by default for two of the largest instances.

        The first `memory_bytes` stay in memory.
        """
        most = 2 * self._settings.max_instance_bytes if max_bytes is None else max_bytes
        return Spool(self._store.root, max_bytes=most, memory_bytes=memory_bytes)

    def store_file(self, source: Source, buffer: Bytes, *, study_instance_uid: str | None = None) -> Stored:
        """Store the Part 10 file in `buffer` (PS3.10 §7); the data set's identity counts, not the file meta's.

        Raises:
            NotDicom: no file meta information.
            Everything that `Reception.write` and `Reception.commit` raise.
        """
        view = memoryview(buffer)
        meta = read_file_meta(view)
        with self.begin(source, meta.transfer_syntax_uid, study_instance_uid=study_instance_uid) as reception:
            for start in range(meta.data_set_offset, len(view), _STEP_BYTES):
                reception.write(view[start : start + _STEP_BYTES])
            return reception.commit()

    def recover(self) -> int:
        """Bring segments and index together after a crash; call once at start. Returns how many rows were missing.

        Raises:
            StorageError: the index cannot be used.
        """
        return replay(self._store, self._index, self._settings)

    def close(self) -> None:
        """Finish what was accepted, then take nothing more. The store stays open."""
        self._committer.close()

    def keep(self, reception: Reception, description: Description) -> Stored:
        """Second half of `Reception.commit`: durable, then indexed, then `Stored`."""
        key = description.key
        if description.transfer_syntax_uid != reception.transfer_syntax_uid:
            log.warning(
                "instance is in another transfer syntax than announced",
                route=reception.source.route,
                principal=reception.source.principal.name,
                sop_instance_uid=key.sop_instance_uid,
                announced=reception.transfer_syntax_uid,
                transfer_syntax=description.transfer_syntax_uid,
            )
        coercing = self._coercion.of(reception.source, self._begin, self._commit, self._index.is_version_kept)
        commit = coercing or self._commit
        with self._claims.held(key.hospital, key.sop_instance_uid):
            existing = self._index.existing(key.hospital, key.sop_instance_uid)
            outcome = Outcome.STORED
            if existing is None:
                existing = commit(reception, description)
            if existing is not None:  # now, or from another process since we looked
                outcome = self._duplicates.keep(reception, description, existing, commit)
        log.event(
            "instance was there" if outcome is Outcome.ALREADY_THERE else "instance stored",
            route=reception.source.route,
            principal=reception.source.principal.name,
            hospital=key.hospital,
            sop_instance_uid=key.sop_instance_uid,
            bytes=reception.received_bytes,
        )
        return Stored(key, description.sop_class_uid, outcome, coercing.tags if coercing else ())

    def _commit(self, reception: Reception, description: Description) -> Existing | None:
        """None when the row is ours, else the one that another process added first."""
        file_meta = write_file_meta(
            sop_class_uid=description.sop_class_uid,
            sop_instance_uid=description.key.sop_instance_uid,
            transfer_syntax_uid=description.transfer_syntax_uid,
            source_ae_title=_source_ae_title(reception.source),
        )
        if reception.large is not None:
            return self._commit_large(reception, reception.large, description, file_meta)
        head = _record_head(reception.source, description, len(file_meta))
        record = NewRecord(head, file_meta, reception.in_memory)
        return self._committer.commit(Pending(description, record)).existing

    def _commit_large(
        self, reception: Reception, large: LargeSegment, description: Description, file_meta: bytes
    ) -> Existing | None:
        head = _record_head(reception.source, description, FILE_META_LENGTH)
        # The long sync is done here, in the sender's own thread, so that nobody else waits for it.
        location = large.keep(head, file_meta)
        try:
            existing = self._committer.commit(Pending(description, None, location)).existing
        except BaseException:
            # Whether the transaction took place is not known: a row may point here, so the bytes stay.
            reception.settle_large()
            raise
        if existing is None:
            reception.settle_large()
        return existing


def _record_head(source: Source, description: Description, data_set_offset: int) -> RecordHead:
    # Kept as JSON in ASCII, where another character takes up to twelve bytes; a large record's head has a fixed size.
    is_plain = source.peer.isascii() and source.peer.isprintable()
    most = _MAX_PEER_CHARACTERS if is_plain else _MAX_PEER_CHARACTERS // 12
    peer = source.peer.encode("utf-8", "replace").decode()[-most:]
    received_at_s = description.received_at_us / 1_000_000 or time.time()
    return RecordHead(
        key=description.key,
        sop_class_uid=description.sop_class_uid,
        transfer_syntax_uid=description.transfer_syntax_uid,
        digest=description.digest,
        data_set_offset=data_set_offset,
        source=f"{source.route} {source.principal.name[:64]} {peer}".rstrip(),
        received_at=datetime.fromtimestamp(received_at_s, UTC).isoformat(timespec="milliseconds"),
        succession=description.succession,
    )


def _source_ae_title(source: Source) -> str:
    """(0002,0016) for what came over an association; a title that is none is left out (PS3.5 §6.2 AE)."""
    title = source.principal.name
    is_title = source.route == "C-STORE" and 0 < len(title) <= 16 and title.isascii() and title.isprintable()
    return title if is_title and "\\" not in title else ""

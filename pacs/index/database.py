"""The index as its users see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Engine, select, update

from pacs.errors import IndexUnavailable
from pacs.index import read, search, study_locks, versions
from pacs.index.add import AddResult, Existing
from pacs.index.add import existing as existing_rows
from pacs.index.allowance import Allowance
from pacs.index.change_marks import ChangeMarks
from pacs.index.commitments import Commitments
from pacs.index.contents import Contents
from pacs.index.engine import open_engine, reading, writing
from pacs.index.kept_connections import KeptConnections
from pacs.index.page_marks import PageMarks
from pacs.index.read import UidChoice, UnsettledSeries
from pacs.index.rows_above import RowsGone
from pacs.index.searchable import Searchable
from pacs.index.tables import series, studies
from pacs.index.trash import Trash
from pacs.index.workitems import Workitems
from pacs.model import DicomJson, EarlierVersion, Holdings, Level, NewInstance, Query, StoredInstance

_ATTEMPTS = 10
_PAUSE_S = 0.002
_RACES = frozenset({"23505", "40P01", "40001"})
"""PostgreSQL's unique_violation, deadlock_detected and serialization_failure."""


class Index:
    """Rows of one archive, on SQLite or PostgreSQL. Threads may share it; processes open their own.

    Every method that reads or writes raises `pacs.errors.IndexUnavailable` when the database does not answer or
    refuses; a write has then left nothing behind. Hospitals never see each other's rows.
    """

    def __init__(self, engine: Engine, changes: Path | None = None) -> None:
        self._engine = engine
        self._writers = KeptConnections(engine, most=1)
        self._readers = KeptConnections(engine, most=8)
        self._write_lock = threading.Lock() if engine.dialect.name == "sqlite" else None
        self._marks = PageMarks(engine)
        self.workitems = Workitems(engine, self._write_lock, marks=self._marks)
        """Unified Procedure Steps, their subscriptions and events."""
        self.searchable = Searchable(engine, self._write_lock)
        """Attributes that an operator made searchable."""
        self.commitments = Commitments(engine, self._write_lock)
        """Storage commitment transactions."""
        self.contents = Contents(self._readers)
        """What series consist of."""
        self.changes = ChangeMarks(changes or _beside(engine))
        """By what processes see that what they hold of a study is no longer right."""

        self.trash = Trash(engine, self._write_lock, self.changes.of)
        """What was deleted and can be restored."""

    @classmethod
    def open(cls, url: str, *, changes: Path | None = None) -> Index:
        """The index at a SQLAlchemy URL, ``sqlite:///FILE`` or ``postgresql+psycopg://...``; connects on first use.

        `changes` is the file of its change marks, for PostgreSQL; with SQLite it lies beside the index.
        """
        return cls(open_engine(url), changes)

    def migrate(self) -> None:
        """Bring the tables to this version's form. Repeatable; processes that start together take turns."""
        from pacs.index.migrate import migrate  # noqa: PLC0415 -- Alembic costs 12 MB, and most processes never migrate

        migrate(self._engine)

    def close(self) -> None:
        """Close all connections."""
        self._writers.close()
        self._readers.close()
        self._marks.close()
        self.changes.close()
        self._engine.dispose()

    def add(self, batch: Sequence[NewInstance]) -> list[AddResult]:
        """Write instances in one transaction, durable on return; one result per item, in order.

        The first with a SOP Instance UID in its hospital stays: a later one, also in the same batch, is not written
        and its result names what is there. Counters of series, study and patient grow with it. One that says what it
        succeeds (`NewInstance.succession`) takes that one's place, which becomes an earlier version.
        """
        if not batch:
            return []
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._changing(batch):
                    return self._add_once(batch)
            except IndexUnavailable as error:
                if attempt == _ATTEMPTS or not _is_race(error.__cause__):
                    raise
            except RowsGone as error:
                if attempt == _ATTEMPTS:
                    raise IndexUnavailable("others delete what this belongs to again and again; send again") from error
            time.sleep(_PAUSE_S * attempt)  # so that who was in the way is through
        raise AssertionError("unreachable")

    def _changing(self, batch: Sequence[NewInstance]) -> AbstractContextManager[None]:
        if any(new.succession is not None for new in batch):
            return self.changes.of_all()  # what it succeeds may lie in another study
        return self.changes.of((new.key.hospital, new.key.study_instance_uid) for new in batch)

    def _add_once(self, batch: Sequence[NewInstance]) -> list[AddResult]:
        if self._write_lock is None:
            with self._writers.writing("store instances") as driver:
                study_locks.share(driver, (new.key for new in batch))
                return versions.add(driver, batch)
        # Threads of this process queue here, which is fairer and quicker than polling the file's lock.
        with self._write_lock, self._writers.writing("store instances") as driver:
            return versions.add(driver, batch)

    def existing(self, hospital: str, sop_instance_uid: str) -> Existing | None:
        """Key, digest and transfer syntax of the instance with this UID, None when there is none."""
        with self._readers.reading("look up an instance") as driver:
            return existing_rows(driver, hospital, [sop_instance_uid]).get(sop_instance_uid)

    def instance(
        self, hospital: str, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str
    ) -> StoredInstance | None:
        """The instance, None when it is not there or lies in another study or series."""
        with reading(self._engine, "look up an instance") as connection:
            return read.one(connection, hospital, study_instance_uid, series_instance_uid, sop_instance_uid)

    def instances(
        self,
        hospital: str,
        *,
        patient_id: str | None = None,
        study_instance_uid: UidChoice = None,
        series_instance_uid: UidChoice = None,
        sop_instance_uid: UidChoice = None,
    ) -> list[StoredInstance]:
        """All instances that every given choice allows (a UID or several), by study, series and instance number.

        Raises:
            ValueError: no choice is given; the whole archive is no list.
        """
        choice = read.Choice(patient_id, study_instance_uid, series_instance_uid, sop_instance_uid)
        _require_a_choice(choice)
        with reading(self._engine, "look up instances") as connection:
            return read.many(connection, hospital, choice)

    def brief_instances(
        self,
        hospital: str,
        *,
        patient_id: str | None,
        study_instance_uid: UidChoice,
        series_instance_uid: UidChoice,
        sop_instance_uid: UidChoice,
    ) -> Iterator[StoredInstance]:
        """As `instances`, of each only identity and place: neither attributes nor frame table. Some rows are read at a
        time, so that who has enough of them can stop."""
        choice = read.Choice(patient_id, study_instance_uid, series_instance_uid, sop_instance_uid)
        _require_a_choice(choice)
        with reading(self._engine, "list instances") as connection:
            yield from read.brief(connection, hospital, choice)

    def versions(self, hospital: str, sop_instance_uid: str) -> list[EarlierVersion]:
        """The earlier versions of the instance with this UID, in the order received; mostly none."""
        with self._readers.reading("look up earlier versions") as driver:
            return versions.earlier(driver, hospital, sop_instance_uid)

    def is_version_kept(self, hospital: str, sop_instance_uid: str, digest: str, transfer_syntax_uid: str) -> bool:
        """Whether these bytes are kept beside the instance with this UID, or wait for it as its original."""
        with self._readers.reading("look up a version") as driver:
            return versions.is_kept(driver, hospital, sop_instance_uid, digest, transfer_syntax_uid)

    def segment_end(self, hospital: str, segment: str) -> int:
        """First byte after the last record of the segment that has a row; 0 when none has."""
        with reading(self._engine, "look up a segment") as connection:
            return read.segment_end(connection, hospital, segment)

    def segment_ends(self) -> dict[str, int]:
        """As `segment_end`, of all segments that have rows; one question."""
        with reading(self._engine, "look up all segments") as connection:
            return read.segment_ends(connection)

    def places(self) -> Iterator[tuple[str, int, int]]:
        """Segment, offset and length of every file that a row names, by segment and offset; a page at a time."""
        with reading(self._engine, "list what it names") as connection:
            yield from read.places(connection)

    def search(
        self, hospital: str, query: Query, *, reader: str = "", allowance: Allowance | None = None
    ) -> Iterator[DicomJson]:
        """The matching entities of the query's level, as DICOM JSON with computed attributes.

        In a fixed order: studies and patients newest first, series and instances by number within what is above. The
        keys are checked before this returns; rows are fetched page by page while the iterator is drained, and what is
        stored meanwhile neither repeats nor hides a row. No connection is held between pages. A query with `limit` is
        remembered for ten minutes by `reader`: with the `offset` where its last page ended, it goes on there.

        Raises:
            InvalidRequest: a key's value cannot be understood; the message names the key.
            TooBroad: its time, of `allowance`, is over (also while iterating).
        """
        allowance = allowance or Allowance()
        return search.search(
            self._engine,
            hospital,
            query,
            marks=self._marks,
            searchable=self.searchable,
            reader=reader,
            allowance=allowance,
        )

    def unsupported_keys(self, query: Query) -> frozenset[int]:
        """Tags of keys with values that `search` ignores, because the index keeps no such attribute at the query's
        level: C-FIND warns with 0xFF01 (PS3.4 C.4.1.1.4), QIDO-RS with Warning 299.

        Raises:
            InvalidRequest: as `search`.
        """
        return search.unsupported_keys(query, self.searchable)

    def searchable_keys(self, query: Query) -> frozenset[int]:
        """Tags of keys, with values or without, on attributes that were made searchable, and on their creators."""
        return search.searchable_keys(query, self.searchable)

    def incomplete_keys(self, query: Query) -> frozenset[int]:
        """Tags of keys on searchable attributes whose values are not kept of all instances yet: what `search` finds by
        them is not all.

        Raises:
            InvalidRequest: as `search`.
        """
        return search.incomplete_keys(query, self.searchable)

    def answered_fields(self, tags: Iterable[int], level: Level) -> frozenset[int]:
        """Those of the attributes that answers of `search` at `level` can hold."""
        return search.answered_fields(tags, level, self.searchable)

    def holdings(self, hospital: str | None = None) -> Holdings:
        """What is kept, of one hospital or of all."""
        with reading(self._engine, "sum up its holdings") as connection:
            return read.holdings(connection, hospital)

    def waiting_work(self) -> dict[str, int]:
        """How many series wait to be settled, and storage commitments to be checked and told."""
        with reading(self._engine, "count what is to be done") as connection:
            return read.waiting_work(connection)

    def series_to_settle(self, quiet_for_s: float, *, limit: int = 100) -> list[UnsettledSeries]:
        """Series that got instances since last settled and none for `quiet_for_s` seconds; longest quiet first."""
        quiet_since_us = int((time.time() - quiet_for_s) * 1_000_000)
        with reading(self._engine, "look for quiet series") as connection:
            return read.unsettled(connection, quiet_since_us, limit)

    def mark_settled(self, settled: UnsettledSeries) -> bool:
        """Note that a series is settled; False when it has got instances or versions meanwhile: it stays to be."""
        study_row = (
            select(studies.c.id)
            .where(studies.c.hospital == settled.hospital, studies.c.study_instance_uid == settled.study_instance_uid)
            .scalar_subquery()
        )
        statement = (
            update(series)
            .where(
                series.c.hospital == settled.hospital,
                series.c.series_instance_uid == settled.series_instance_uid,
                series.c.study_row == study_row,
                series.c.instances == settled.instances,
                series.c.stored_bytes == settled.stored_bytes,
            )
            .values(is_settled=True)
        )
        with writing(self._engine, "mark a series") as connection:
            return connection.execute(statement).rowcount > 0


def _beside(engine: Engine) -> Path | None:
    database = engine.url.database
    is_file = engine.dialect.name == "sqlite" and database not in (None, "", ":memory:")
    return Path(f"{database}-changes") if is_file else None


def _require_a_choice(choice: read.Choice) -> None:
    if all(each is None for each in choice):
        raise ValueError("a patient ID or a UID is wanted; the whole archive is no list")


def _is_race(cause: BaseException | None) -> bool:
    """Whether another transaction was in the way, so that doing it again helps."""
    return getattr(cause, "sqlstate", None) in _RACES

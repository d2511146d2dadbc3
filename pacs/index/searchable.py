"""Attributes that an operator made searchable: which they are, how far their values are kept, and the values.

Values are written behind the instances, by whoever does the background work: a row says up to which row of `instances`
they are kept, so a crash loses nothing, work that was done twice is the same work, and a search knows whether what it
answers is all.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import keyword_for_tag
from sqlalchemy import Connection, Engine, Select, Update, bindparam, delete, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from pacs.index import stale_values, study_locks
from pacs.index.engine import reading, writing
from pacs.index.results import is_answered
from pacs.index.searchable_values import to_keep, vr_in, vr_of
from pacs.index.stale_values import StaleRow
from pacs.index.tables import attribute_values, instances, searchable_attributes, segments, series, studies
from pacs.index.trash_hospital import owner_of
from pacs.model import DicomJson, Level, Location

_NOTICED_AFTER_S = 2.0
_DROPPED_AT_ONCE = 5_000
_MOST_UNLOOKED = 2_000
LEVELS = (Level.STUDY, Level.SERIES, Level.IMAGE)
_STUDY_ROW = series.c.study_row


@dataclass(frozen=True, slots=True)
class SearchableAttribute:
    """One of them."""

    id: int
    path: tuple[int, ...]
    """Tags from the outermost sequence to it. Of a private one, without the number of its block: (gggg,00ee)."""
    private_creator: str
    level: Level
    """A study, series or instance is found by the values of any of its instances."""
    done_until: int
    is_removed: bool
    vr: str
    """With which its values are compared and keys understood; of a private one, as it was sent first."""

    @property
    def tag(self) -> int:
        """Its own."""
        return self.path[-1]

    @property
    def name(self) -> str:
        """As an operator writes it."""
        if not self.private_creator:
            return ".".join(keyword_for_tag(tag) or f"{tag:08X}" for tag in self.path)
        return f'"{self.private_creator}",({self.tag >> 16:04X},xx{self.tag & 0xFF:02X})'

    def is_asked_by(self, path: tuple[int, ...]) -> bool:
        """Whether a key of this path means it; of a private one, in any block."""
        if not self.private_creator:
            return path == self.path
        return len(path) == 1 and path[0] & 0xFF00 >= 0x1000 and _without_block(path[0]) == self.tag


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the values of an attribute are kept."""

    attribute: SearchableAttribute
    done: int
    of: int


@dataclass(frozen=True, slots=True)
class Unlooked:
    """An instance whose values are not kept yet."""

    row: int
    hospital: str
    level_row: int
    location: Location
    transfer_syntax_uid: str


class Searchable:
    """The searchable attributes of one index. Threads may share it."""

    def __init__(self, engine: Engine, write_lock: threading.Lock | None) -> None:
        self._engine = engine
        self._write_lock = write_lock or nullcontext()
        self._known: tuple[SearchableAttribute, ...] = ()
        self._known_at = float("-inf")
        self._settled = 0
        self._horizon: tuple[int, int] | None = None

    def known(self) -> tuple[SearchableAttribute, ...]:
        """Those that searches use; what another process changed is noticed within two seconds."""
        if time.monotonic() - self._known_at > _NOTICED_AFTER_S:
            self._known = tuple(one for one in self.all() if not one.is_removed)
            self._known_at = time.monotonic()
        return self._known

    def all(self) -> list[SearchableAttribute]:
        """All, also those that are being removed."""
        with reading(self._engine, "read the searchable attributes") as connection:
            return [_attribute(row) for row in connection.execute(select(searchable_attributes).order_by("id"))]

    def add(self, path: tuple[int, ...], private_creator: str, level: Level) -> bool:
        """Make it searchable from now on; False when it was already."""
        values = {**_named(path, private_creator), "vr": "" if private_creator else vr_of(path)}
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = (
            insert(searchable_attributes)
            .values(**values, level=level.value, done_until=0, is_removed=False)
            .on_conflict_do_nothing()
            .returning(searchable_attributes.c.id)
        )
        with self._write_lock, writing(self._engine, "add a searchable attribute") as connection:
            is_new = connection.execute(statement).first() is not None
        self._known_at = float("-inf")
        return is_new

    def remove(self, path: tuple[int, ...], private_creator: str) -> bool:
        """Let searches ignore it at once; its values go in the background. False when there is no such."""
        named = (searchable_attributes.c[column] == value for column, value in _named(path, private_creator).items())
        statement = update(searchable_attributes).where(*named).values(is_removed=True)
        with self._write_lock, writing(self._engine, "remove a searchable attribute") as connection:
            is_there = connection.execute(statement).rowcount > 0
        self._known_at = float("-inf")
        return is_there

    def progress(self) -> list[Progress]:
        """Instances looked at, of those that there are; numbers of rows, nothing is counted."""
        with reading(self._engine, "read the progress of searchable attributes") as connection:
            of = _last_row(connection)
        return [Progress(one, min(one.done_until, of), of) for one in self.all()]

    def incomplete(self, attributes: Iterable[SearchableAttribute]) -> list[SearchableAttribute]:
        """Those of `attributes` that do not have the values of all instances yet, or have to read some again."""
        wanted = {one.id for one in attributes}
        if not wanted:
            return []
        with reading(self._engine, "look for values to read again") as connection:
            stale = stale_values.attributes(connection)
        behind = {one.attribute.id: one for one in self.progress() if one.done < one.of or one.attribute.id in stale}
        return [behind[number].attribute for number in sorted(wanted & behind.keys())]

    def is_far_behind(self, attribute: SearchableAttribute) -> bool:
        """Whether more instances are still to be looked at than a search takes with it, see `unlooked_rows`."""
        with reading(self._engine, "read the progress of searchable attributes") as connection:
            return _last_row(connection) - attribute.done_until > _MOST_UNLOOKED

    def drop_next(self) -> bool:
        """Delete some values of what was removed; False when there is nothing left to delete."""
        for one in self.all():
            if not one.is_removed:
                continue
            some = (
                select(attribute_values.c.row)
                .where(attribute_values.c.attribute == one.id)
                .order_by(attribute_values.c.row)
                .limit(_DROPPED_AT_ONCE)
            )
            with self._writing_values("drop values") as connection:
                rows = list(connection.execute(some).scalars())
                if rows:
                    connection.execute(
                        delete(attribute_values).where(
                            attribute_values.c.attribute == one.id, attribute_values.c.row.between(rows[0], rows[-1])
                        )
                    )
                else:
                    stale_values.forget(connection, one.id)
                    connection.execute(delete(searchable_attributes).where(searchable_attributes.c.id == one.id))
            return True
        return False

    def next_unlooked(self, limit: int) -> tuple[SearchableAttribute, list[Unlooked]] | None:
        """An attribute and instances of which its values are to be kept; None when all are."""
        with reading(self._engine, "look for values to keep") as connection:
            attributes = [_attribute(row) for row in connection.execute(select(searchable_attributes).order_by("id"))]
            behind = [one for one in attributes if not one.is_removed]
            if not behind:
                return None
            one = min(behind, key=lambda attribute: attribute.done_until)
            if one.done_until >= _last_row(connection):
                return None
            if one.done_until >= self._settled or one.done_until == 0:
                self._settle(connection)
            horizon = self._settled
            if one.done_until >= horizon:
                return None
            chosen = _to_look_at(one.level).where(instances.c.id > one.done_until, instances.c.id <= horizon)
            return one, [_unlooked(row) for row in connection.execute(chosen.limit(limit))]

    def next_stale(self) -> tuple[SearchableAttribute, StaleRow, list[Unlooked]] | None:
        """A row whose values are to be read anew, and the instances that it has them of; None when there is none."""
        with reading(self._engine, "look for values to read again") as connection:
            stale = stale_values.next_row(connection)
            if stale is None:
                return None
            statement = select(searchable_attributes).where(searchable_attributes.c.id == stale.attribute)
            one = _attribute(connection.execute(statement).one())
            table, column = {
                Level.IMAGE: (instances.alias(), instances.c.id),
                Level.SERIES: (series, instances.c.series_row),
                Level.STUDY: (studies, _STUDY_ROW),
            }[one.level]
            home = select(table.c.hospital).where(table.c.id == stale.row).scalar_subquery()
            chosen = _to_look_at(one.level).where(column == stale.row, instances.c.hospital == home)
            return one, stale, [_unlooked(row) for row in connection.execute(chosen)]

    def renew(
        self, attribute: SearchableAttribute, stale: StaleRow, values: Iterable[tuple[Unlooked, DicomJson]]
    ) -> None:
        """Write the values of a row that was read anew; nothing when it, or what it was read of, changed meanwhile."""
        found = [*values]
        vr = _vr_of(attribute, found)
        rows = self._rows_of(attribute, vr, found)
        with self._writing_values("keep values") as connection:
            # Held until the end, so that nobody adds values of instances that were not seen here.
            held = self._held(attribute).values(done_until=attribute.done_until, vr=vr)
            if not connection.execute(held).rowcount or not stale_values.done(connection, stale):
                return
            connection.execute(
                delete(attribute_values).where(
                    attribute_values.c.attribute == stale.attribute, attribute_values.c.row == stale.row
                )
            )
            self._write(connection, rows)

    def _settle(self, connection: Connection) -> None:
        """Move `_settled` on, the last row of `instances` below which no other can appear any more: on PostgreSQL, rows
        get their numbers before they are committed."""
        last = _last_row(connection)
        if connection.dialect.name != "postgresql":
            self._settled = last
            return
        # Ours is the highest number that a transaction has; it is asked for after the last row.
        ours, oldest = connection.execute(_NUMBERS).one()
        if oldest == ours:  # nobody else is writing
            self._settled = last
            return
        if self._horizon is not None and oldest >= self._horizon[1]:
            self._settled, self._horizon = max(self._settled, self._horizon[0]), None
        if self._horizon is None:
            self._horizon = (last, ours)

    def keep(
        self, attribute: SearchableAttribute, looked: Sequence[Unlooked], values: Iterable[tuple[Unlooked, DicomJson]]
    ) -> None:
        """Write the values of `looked`, and that they are looked at; nothing when somebody else did meanwhile."""
        found = [*values]
        vr = _vr_of(attribute, found)
        done = self._held(attribute).values(done_until=looked[-1].row, vr=vr)
        with self._writing_values("keep values") as connection:
            if connection.execute(done).rowcount:
                there = _still_there(connection, attribute.level, looked)
                self._write(connection, self._rows_of(attribute, vr, (each for each in found if each[0].row in there)))

    @contextmanager
    def _writing_values(self, doing: str) -> Iterator[Connection]:
        """Beside one who deletes or restores, what he did not see would stay: values of what has left."""
        with self._write_lock, writing(self._engine, doing) as connection:
            study_locks.one_at_a_time(connection)
            yield connection

    def _held(self, attribute: SearchableAttribute) -> Update:
        return update(searchable_attributes).where(
            searchable_attributes.c.id == attribute.id,
            searchable_attributes.c.done_until == attribute.done_until,
            searchable_attributes.c.vr == attribute.vr,
            ~searchable_attributes.c.is_removed,
        )

    def _rows_of(
        self, attribute: SearchableAttribute, vr: str, values: Iterable[tuple[Unlooked, DicomJson]]
    ) -> list[dict[str, Any]]:
        is_kept = is_answered(attribute.path[0], Level.IMAGE)  # answers show it as the rows have it
        return [
            {
                "attribute": attribute.id,
                "row": unlooked.level_row,
                "value": value,
                "hospital": owner_of(unlooked.hospital),  # it may come out of the trash meanwhile
                "shown": "" if is_kept else shown,
            }
            for unlooked, found in values
            for value, shown in to_keep(attribute.path, vr_of(attribute.path, vr), found)
        ]

    def _write(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        if rows:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            connection.execute(insert(attribute_values).on_conflict_do_nothing(), rows)

    def shown(self, attribute: SearchableAttribute, rows: Sequence[int]) -> dict[int, Any]:
        """The attribute as answers show it, by row of its level."""
        with reading(self._engine, "read values") as connection:
            found = connection.execute(_SHOWN, {"attribute": attribute.id, "rows": list(rows)})
            return {row.row: json.loads(row.shown) for row in found if row.shown}


_NUMBERS = text(
    "SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint),"
    " CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
)
_SHOWN = select(attribute_values.c.row, attribute_values.c.shown).where(
    attribute_values.c.attribute == bindparam("attribute"),
    attribute_values.c.row.in_(bindparam("rows", expanding=True)),
)


def _to_look_at(level: Level) -> Select[Any]:
    """Instances, in the order of their rows, each with its row of `level`."""
    level_row = {Level.IMAGE: instances.c.id, Level.SERIES: instances.c.series_row, Level.STUDY: _STUDY_ROW}[level]
    return (
        select(
            instances.c.id,
            instances.c.hospital,
            level_row.label("level_row"),
            segments.c.name.label("segment"),
            instances.c.offset,
            instances.c.length,
            instances.c.data_set_offset,
            instances.c.transfer_syntax_uid,
        )
        .join(segments, segments.c.id == instances.c.segment_row)
        .join(series, series.c.id == instances.c.series_row)
        .order_by(instances.c.id)
    )


def unlooked_rows(attribute: SearchableAttribute) -> list[Select[tuple[int]]]:
    """Rows of its level whose values are not all kept: new ones, and those that are to be read anew."""
    row = {Level.IMAGE: instances.c.id, Level.SERIES: instances.c.series_row, Level.STUDY: _STUDY_ROW}[attribute.level]
    new = select(row).select_from(instances).where(instances.c.id > attribute.done_until)
    if attribute.level is Level.STUDY:
        new = new.join(series, series.c.id == instances.c.series_row)
    return [new, stale_values.rows_of(attribute.id)]


def _unlooked(row: Any) -> Unlooked:
    location = Location(row.segment, row.offset, row.length, row.data_set_offset)
    return Unlooked(row.id, row.hospital, row.level_row, location, row.transfer_syntax_uid)


def _still_there(connection: Connection, level: Level, looked: Sequence[Unlooked]) -> set[int]:
    """Rows of those instances that have the same bytes and are in the same series or study as when they were looked at,
    and where that is: of one in the trash, a series or study that stayed has no values."""
    home = {Level.IMAGE: instances, Level.SERIES: series, Level.STUDY: studies}[level]
    level_row = {Level.IMAGE: instances.c.id, Level.SERIES: series.c.id, Level.STUDY: studies.c.id}[level]
    chosen = select(instances.c.id, level_row.label("level_row"), segments.c.name, instances.c.offset)
    chosen = chosen.join(segments, segments.c.id == instances.c.segment_row).where(
        instances.c.id.in_([one.row for one in looked]), instances.c.hospital == home.c.hospital
    )
    if level is not Level.IMAGE:
        chosen = chosen.join(series, series.c.id == instances.c.series_row)
    if level is Level.STUDY:
        chosen = chosen.join(studies, studies.c.id == series.c.study_row)
    found = {row.id: row[1:] for row in connection.execute(chosen)}
    return {
        one.row for one in looked if found.get(one.row) == (one.level_row, one.location.segment, one.location.offset)
    }


def _last_row(connection: Connection) -> int:
    return int(connection.execute(select(func.max(instances.c.id))).scalar_one() or 0)


def _attribute(row: Any) -> SearchableAttribute:
    path = (*(int(tag, 16) for tag in row.sequences.split(".") if tag), row.tag)
    level, is_removed = Level(row.level), bool(row.is_removed)
    return SearchableAttribute(row.id, path, row.private_creator, level, row.done_until, is_removed, row.vr)


def _named(path: tuple[int, ...], private_creator: str) -> dict[str, Any]:
    """The columns that name an attribute."""
    tag = _without_block(path[-1]) if private_creator else path[-1]
    return {"sequences": ".".join(f"{each:08X}" for each in path[:-1]), "tag": tag, "private_creator": private_creator}


def _vr_of(attribute: SearchableAttribute, found: Sequence[tuple[Unlooked, DicomJson]]) -> str:
    """That of the attribute, or the first that is seen of a private one."""
    return attribute.vr or next((vr for _, one in found if (vr := vr_in(one))), "")


def _without_block(tag: int) -> int:
    return tag & 0xFFFF00FF

"""Rows on their way into the trash, back, and out of the tables, in the caller's transaction.

What is live is a tree: a series has an instance, a study a series, a patient a study. A row leaves with its last child,
so whatever comes back brings those above it, unless the same patient, study or series came anew meanwhile.
Rows are locked patients first, then studies, series, instances, as they are when instances are stored.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, case, delete, exists, false, func, insert, select, update

from pacs.index import gram_tables
from pacs.index.columns import ROW_ABOVE
from pacs.index.row_values import NO_MODALITY
from pacs.index.tables import (
    attribute_values,
    instances,
    patients,
    searchable_attributes,
    segments,
    series,
    studies,
    study_days,
    study_months,
    versions,
)
from pacs.index.trash_hospital import is_trash, owner_of
from pacs.model import Level

_AT_ONCE = 1000
_WORDS = ("modalities_in_study", "sop_classes_in_study")


class InstanceRow(NamedTuple):
    """An instance to be moved."""

    id: int
    series_row: int
    sop_instance_uid: str
    length: int


class Place(NamedTuple):
    """Where a Part 10 file of a moved instance lies."""

    segment: str
    offset: int
    length: int
    sop_instance_uid: str
    digest: str


@dataclass
class _Change:
    """What one row above gains or loses."""

    instances: int = 0
    stored_bytes: int = 0
    series: int = 0
    studies: int = 0


@dataclass
class _Changes:
    patients: defaultdict[int, _Change] = field(default_factory=lambda: defaultdict(_Change))
    studies: defaultdict[int, _Change] = field(default_factory=lambda: defaultdict(_Change))
    series: defaultdict[int, _Change] = field(default_factory=lambda: defaultdict(_Change))


def locked_live(
    connection: Connection, hospital: str, study: str, series_uid: str | None, sop: str | None
) -> list[InstanceRow]:
    """The live instances below these UIDs, held with the rows above them until the transaction ends."""
    found = connection.execute(
        select(studies.c.id, studies.c.patient_row).where(
            studies.c.hospital == hospital, studies.c.study_instance_uid == study
        )
    ).one_or_none()
    if found is None:
        return []
    connection.execute(select(patients.c.id).where(patients.c.id == found.patient_row).with_for_update())
    still = select(studies.c.id).where(studies.c.id == found.id, studies.c.hospital == hospital)
    if connection.execute(still.with_for_update()).first() is None:
        return []
    below = select(series.c.id).where(series.c.hospital == hospital, series.c.study_row == found.id)
    if series_uid is not None:
        below = below.where(series.c.series_instance_uid == series_uid)
    rows = list(connection.execute(below.order_by(series.c.id).with_for_update()).scalars())
    return locked_instances(connection, hospital, rows, sop)


def locked_instances(
    connection: Connection, hospital: str, series_rows: Sequence[int], sop: str | None = None
) -> list[InstanceRow]:
    """The instances of these series that are at `hospital`, which may be a trash."""
    chosen = select(instances.c.id, instances.c.series_row, instances.c.sop_instance_uid, instances.c.length).where(
        instances.c.hospital == hospital
    )
    if sop is not None:
        chosen = chosen.where(instances.c.sop_instance_uid == sop)
    found: list[InstanceRow] = []
    for some in _several(series_rows):
        statement = chosen.where(instances.c.series_row.in_(some)).order_by(instances.c.id).with_for_update()
        found += [InstanceRow(*row) for row in connection.execute(statement)]
    return found


def places(connection: Connection, hospital: str, rows: Sequence[InstanceRow]) -> list[Place]:
    """All files of these instances, with those of earlier versions."""
    found: list[Place] = []
    for table, column, keys in (
        (instances, instances.c.id, [row.id for row in rows]),
        (versions, versions.c.sop_instance_uid, [row.sop_instance_uid for row in rows]),
    ):
        for some in _several(keys):
            statement = (
                select(segments.c.name, table.c.offset, table.c.length, table.c.sop_instance_uid, table.c.digest)
                .join(segments, segments.c.id == table.c.segment_row)
                .where(table.c.hospital == hospital, column.in_(some))
                .order_by(segments.c.name, table.c.offset)
            )
            found += [
                Place(name, offset, length, uid, bytes(digest).hex())
                for name, offset, length, uid, digest in connection.execute(statement)
            ]
    return found


def take(connection: Connection, hospital: str, trash: str, rows: Sequence[InstanceRow]) -> str:
    """Move live instances to `trash`, with the rows above that have none left; the lists of words that their
    studies had, as JSON."""
    above = _Above(connection, rows)
    changes = _Changes()
    above.count(rows, _version_bytes(connection, hospital, rows), changes, {})
    _move(connection, hospital, trash, rows)
    before: dict[str, list[str]] = {}
    for row, change in sorted(changes.series.items()):
        study_row = above.series[row].study_row
        if _has(connection, instances, "series_row", row, hospital):
            _shrink(connection, series, row, change, ("instances", "stored_bytes"))
            _stir(connection, row)
        else:
            _rehome(connection, series, row, hospital, trash)
            _stir(connection, row)
            changes.studies[study_row].series += 1
            changes.patients[above.studies[study_row].patient_row].series += 1
    for row, change in sorted(changes.studies.items()):
        study = above.studies[row]
        before[str(row)] = [getattr(study, column) for column in _WORDS]
        if _has(connection, series, "study_row", row, hospital):
            _shrink(connection, studies, row, change, ("series", "instances"))
            _write_words(connection, row, hospital, [getattr(study, column) for column in _WORDS])
        else:
            _rehome(connection, studies, row, hospital, trash)
            changes.patients[study.patient_row].studies += 1
            _count_day(connection, hospital, study.study_date, -1)
    for row, change in sorted(changes.patients.items()):
        if _has(connection, studies, "patient_row", row, hospital):
            _shrink(connection, patients, row, change, ("studies", "series", "instances"))
        else:
            _rehome(connection, patients, row, hospital, trash)
    return json.dumps(before)


def give_back(
    connection: Connection, hospital: str, trash: str, rows: Sequence[InstanceRow], words: str
) -> list[InstanceRow]:
    """Move instances from `trash` to the live rows, and those above them as far as they are not there; returns the
    ones that moved: not those that were sent again since."""
    back = [row for row in rows if row.sop_instance_uid not in _live_uids(connection, hospital, rows)]
    if not back:
        return []
    above = _Above(connection, back)
    changes = _Changes()
    home: dict[int, int] = {}
    before = (set(above.series), set(above.studies), set(above.patients))
    for old in sorted(above.series):
        home[old] = above.live_series(old, hospital, trash, changes)
    above.count(back, _version_bytes(connection, trash, back), changes, home)
    for old, new in sorted(home.items()):
        _move(connection, trash, hospital, [row for row in back if row.series_row == old], series_row=new)
    for row, change in sorted(changes.patients.items()):
        _grow(connection, patients, row, change, ("studies", "series", "instances"))
    for row, change in sorted(changes.studies.items()):
        _grow(connection, studies, row, change, ("series", "instances"))
    for row, change in sorted(changes.series.items()):
        _grow(connection, series, row, change, ("instances", "stored_bytes"))
        _stir(connection, row)
    saved = json.loads(words or "{}")
    for row in sorted(changes.studies):
        now = connection.execute(select(*(studies.c[column] for column in _WORDS)).where(studies.c.id == row)).one()
        _write_words(connection, row, hospital, list(now), saved.get(str(row)))
    drop_childless(connection, *before)
    return back


def drop(connection: Connection, trash: str) -> None:
    """Delete all that is at `trash`, with rows above in any trash that have nothing below them any more."""
    found = connection.execute(
        select(instances.c.id, instances.c.series_row).where(instances.c.hospital == trash)
    ).all()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # names stand in these rows
    _drop_values(connection, Level.IMAGE, [row.id for row in found])
    connection.execute(delete(instances).where(instances.c.hospital == trash))
    connection.execute(delete(versions).where(versions.c.hospital == trash))
    drop_childless(connection, {row.series_row for row in found})


def drop_childless(
    connection: Connection,
    series_rows: Iterable[int],
    study_rows: Iterable[int] = (),
    patient_rows: Iterable[int] = (),
) -> None:
    """Delete those of these rows, and of the studies and patients above them, that are in the trash for nobody."""
    more: set[int] = set()
    for level, table, rows, below in (
        (Level.SERIES, series, series_rows, instances.c.series_row),
        (Level.STUDY, studies, study_rows, series.c.study_row),
        (Level.PATIENT, patients, patient_rows, studies.c.patient_row),
    ):
        upper = ROW_ABOVE.get(level)
        candidates, more = sorted({*rows, *more}), set()
        for row in candidates:
            found = connection.execute(select(table).where(table.c.id == row)).mappings().one_or_none()
            if found is None:
                continue
            if upper is not None:
                more.add(found[upper])
            has_below = connection.execute(select(exists().where(below == row))).scalar()
            if has_below or not is_trash(found["hospital"]):
                continue
            _drop_values(connection, level, [row])
            if level in gram_tables.TABLES:
                gram_tables.forget(connection, level, owner_of(found["hospital"]), row, found)
            connection.execute(delete(table).where(table.c.id == row))


class _Above:
    """The rows above some instances, held, as they are now."""

    def __init__(self, connection: Connection, rows: Sequence[InstanceRow]) -> None:
        self._connection = connection
        self.series: dict[int, Any] = {}
        self.studies: dict[int, Any] = {}
        self.patients: dict[int, Any] = {}
        wanted = sorted({row.series_row for row in rows})
        of_series = self._read(series, wanted, hold=False)
        of_studies = self._read(studies, sorted({row.study_row for row in of_series.values()}), hold=False)
        self.patients = self._read(patients, sorted({row.patient_row for row in of_studies.values()}))
        self.studies = self._read(studies, sorted(of_studies))
        self.series = self._read(series, sorted(of_series))

    def count(
        self,
        rows: Sequence[InstanceRow],
        version_bytes: Mapping[str, int],
        changes: _Changes,
        home: Mapping[int, int],
    ) -> None:
        """Add up `rows` for the rows above them, which are elsewhere where `home` says so."""
        for row in rows:
            series_row = home.get(row.series_row, row.series_row)
            study_row = self._study_of(series_row)
            change = changes.series[series_row]
            change.instances += 1
            change.stored_bytes += row.length + version_bytes.get(row.sop_instance_uid, 0)
            changes.studies[study_row].instances += 1
            changes.patients[self._patient_of(study_row)].instances += 1

    def live_series(self, row: int, hospital: str, trash: str, changes: _Changes) -> int:
        """The live row for the series `row`: itself, its twin that came anew, or itself out of the trash."""
        found = self.series[row]
        study_row = self._live_study(found.study_row, hospital, trash, changes)
        if found.hospital == hospital and found.study_row == study_row:
            return row
        identity = {"series_instance_uid": found.series_instance_uid, "study_row": study_row}
        live, is_new = self._live(series, found, hospital, trash, identity, {"instances": 0, "stored_bytes": 0})
        if is_new:
            changes.studies[study_row].series += 1
            changes.patients[self._patient_of(study_row)].series += 1
        return live

    def _live_study(self, row: int, hospital: str, trash: str, changes: _Changes) -> int:
        found = self.studies[row]
        if found.hospital == hospital:
            return row
        twin = self._twin(studies, hospital, {"study_instance_uid": found.study_instance_uid})
        if twin is not None:
            self._know(studies, self.studies, twin)
            return twin
        patient_row = self._live_patient(found.patient_row, hospital, trash)
        identity = {"study_instance_uid": found.study_instance_uid}
        live, _ = self._live(
            studies, found, hospital, trash, identity, {"series": 0, "instances": 0, "patient_row": patient_row}
        )
        changes.patients[patient_row].studies += 1
        _count_day(self._connection, hospital, found.study_date, 1)
        return live

    def _live_patient(self, row: int, hospital: str, trash: str) -> int:
        found = self.patients[row]
        if found.hospital == hospital:
            return row
        identity = {name: getattr(found, name) for name in ("patient_id", "issuer_of_patient_id", "lone_study_uid")}
        live, _ = self._live(patients, found, hospital, trash, identity, {"studies": 0, "series": 0, "instances": 0})
        return live

    def _live(
        self,
        table: Table,
        found: Any,
        hospital: str,
        trash: str,
        identity: Mapping[str, Any],
        values: Mapping[str, Any],
    ) -> tuple[int, bool]:
        """The row that is live, and whether it was not before; one that another deletion holds is copied."""
        known = {"patients": self.patients, "studies": self.studies, "series": self.series}[table.name]
        row = self._twin(table, hospital, identity)
        is_new = row is None
        if row is None and found.hospital == trash:
            row = int(found.id)
            statement = update(table).where(table.c.id == row).values(hospital=hospital, **{**identity, **values})
            self._connection.execute(statement)
            if table is not patients:
                level = Level.SERIES if table is series else Level.STUDY
                _move_values(self._connection, level, [row], hospital)
        elif row is None:
            columns = {**found._mapping, "hospital": hospital, **identity, **values}
            del columns["id"]
            row = int(self._connection.execute(insert(table).values(**columns).returning(table.c.id)).scalar_one())
            if table is not series:
                level = Level.PATIENT if table is patients else Level.STUDY
                gram_tables.note(self._connection, level, hospital, row, columns)
        self._know(table, known, row)
        return row, is_new

    def _twin(self, table: Table, hospital: str, identity: Mapping[str, Any]) -> int | None:
        statement = select(table.c.id).where(
            table.c.hospital == hospital, *(table.c[name] == value for name, value in identity.items())
        )
        found = self._connection.execute(statement.with_for_update()).scalar_one_or_none()
        return None if found is None else int(found)

    def _know(self, table: Table, known: dict[int, Any], row: int) -> None:
        known.update(self._read(table, [row]))
        if table is studies:
            self.patients.update(self._read(patients, [known[row].patient_row]))

    def _study_of(self, series_row: int) -> int:
        return int(self.series[series_row].study_row)

    def _patient_of(self, study_row: int) -> int:
        return int(self.studies[study_row].patient_row)

    def _read(self, table: Table, rows: Sequence[int], *, hold: bool = True) -> dict[int, Any]:
        found: dict[int, Any] = {}
        for some in _several(rows):
            statement = select(table).where(table.c.id.in_(some)).order_by(table.c.id)
            for row in self._connection.execute(statement.with_for_update() if hold else statement):
                found[row.id] = row
        return found


def _move(
    connection: Connection, source: str, target: str, rows: Sequence[InstanceRow], *, series_row: int | None = None
) -> None:
    values: dict[str, Any] = {"hospital": target} | ({} if series_row is None else {"series_row": series_row})
    for some in _several(rows):
        uids = [row.sop_instance_uid for row in some]
        ids = [row.id for row in some]
        connection.execute(update(instances).where(instances.c.id.in_(ids)).values(**values))
        _move_values(connection, Level.IMAGE, ids, target)
        there = versions.alias()
        is_there = exists().where(
            there.c.hospital == target,
            there.c.sop_instance_uid == versions.c.sop_instance_uid,
            there.c.digest == versions.c.digest,
        )
        connection.execute(
            update(versions)
            .where(versions.c.hospital == source, versions.c.sop_instance_uid.in_(uids), ~is_there)
            .values(hospital=target)
        )


def _live_uids(connection: Connection, hospital: str, rows: Sequence[InstanceRow]) -> set[str]:
    found: set[str] = set()
    for some in _several([row.sop_instance_uid for row in rows]):
        statement = select(instances.c.sop_instance_uid).where(
            instances.c.hospital == hospital, instances.c.sop_instance_uid.in_(some)
        )
        found.update(connection.execute(statement).scalars())
    return found


def _version_bytes(connection: Connection, hospital: str, rows: Sequence[InstanceRow]) -> dict[str, int]:
    """Of earlier versions that their series counts, by SOP Instance UID."""
    found: dict[str, int] = {}
    for some in _several([row.sop_instance_uid for row in rows]):
        statement = (
            select(versions.c.sop_instance_uid, func.sum(versions.c.length))
            .where(
                versions.c.hospital == hospital,
                versions.c.sop_instance_uid.in_(some),
                versions.c.superseded_at_us > 0,
                versions.c.segment_row.is_not(None),
            )
            .group_by(versions.c.sop_instance_uid)
        )
        found.update((uid, int(length)) for uid, length in connection.execute(statement))
    return found


def _has(connection: Connection, table: Table, column: str, row: int, hospital: str) -> bool:
    statement = select(exists().where(table.c.hospital == hospital, table.c[column] == row))
    return bool(connection.execute(statement).scalar())


def _rehome(connection: Connection, table: Table, row: int, source: str, target: str) -> None:
    connection.execute(update(table).where(table.c.id == row, table.c.hospital == source).values(hospital=target))
    if table is not patients:
        _move_values(connection, Level.SERIES if table is series else Level.STUDY, [row], target)


def _shrink(connection: Connection, table: Table, row: int, change: _Change, columns: Sequence[str]) -> None:
    def less(column: ColumnElement[int], by: int) -> ColumnElement[int]:
        return case((column > by, column - by), else_=0)

    values = {name: less(table.c[name], getattr(change, name)) for name in columns}
    connection.execute(update(table).where(table.c.id == row).values(**values))


def _grow(connection: Connection, table: Table, row: int, change: _Change, columns: Sequence[str]) -> None:
    values = {name: table.c[name] + getattr(change, name) for name in columns}
    connection.execute(update(table).where(table.c.id == row).values(**values))


def _stir(connection: Connection, row: int) -> None:
    """Another revision of the series, for the same numbers may come again with other instances."""
    values = {"last_stored_at_us": series.c.last_stored_at_us + 1, "is_settled": false()}
    connection.execute(update(series).where(series.c.id == row).values(**values))


def _write_words(
    connection: Connection, row: int, hospital: str, now: Sequence[str], saved: Sequence[str] | None = None
) -> None:
    """Bring a study's lists of words up to date: in the order that was saved, else in the one they have."""
    modalities = connection.execute(
        select(series.c.modality, func.min(series.c.id))
        .where(series.c.hospital == hospital, series.c.study_row == row)
        .group_by(series.c.modality)
        .order_by(func.min(series.c.id))
    )
    classes = connection.execute(
        select(instances.c.sop_class_uid, func.min(instances.c.id))
        .join(series, series.c.id == instances.c.series_row)
        .where(instances.c.hospital == hospital, series.c.hospital == hospital, series.c.study_row == row)
        .group_by(instances.c.sop_class_uid)
        .order_by(func.min(instances.c.id))
    )
    wanted = [
        list(dict.fromkeys(modality.replace("\\", "") or NO_MODALITY for modality, _ in modalities)),
        [uid for uid, _ in classes],
    ]
    values = {}
    for number, (column, words) in enumerate(zip(_WORDS, wanted, strict=True)):
        text = now[number]
        if saved is not None and set(_split(saved[number])) == set(words):
            text = saved[number]
        kept = [word for word in _split(text) if word in words]
        kept += [word for word in words if word not in kept]
        values[column] = "\\" + "".join(f"{word}\\" for word in kept)
    connection.execute(update(studies).where(studies.c.id == row).values(**values))


def _split(words: str) -> list[str]:
    return [word for word in words.split("\\") if word]


def _count_day(connection: Connection, hospital: str, day: str, by: int) -> None:
    for table, column, when in ((study_days, "study_date", day), (study_months, "study_month", day[:6])):
        chosen = (table.c.hospital == hospital, table.c[column] == when)
        grown = connection.execute(update(table).where(*chosen).values(studies=table.c.studies + by))
        if not grown.rowcount and by > 0:
            connection.execute(insert(table).values(**{"hospital": hospital, column: when, "studies": by}))
        elif by < 0:
            connection.execute(delete(table).where(*chosen, table.c.studies <= 0))


def _move_values(connection: Connection, level: Level, rows: Sequence[int], target: str) -> None:
    for some in _several(rows):
        statement = update(attribute_values).where(attribute_values.c.attribute.in_(_attributes(level)))
        connection.execute(statement.where(attribute_values.c.row.in_(some)).values(hospital=target))


def _drop_values(connection: Connection, level: Level, rows: Sequence[int]) -> None:
    for some in _several(rows):
        statement = delete(attribute_values).where(attribute_values.c.attribute.in_(_attributes(level)))
        connection.execute(statement.where(attribute_values.c.row.in_(some)))


def _attributes(level: Level) -> Any:
    return select(searchable_attributes.c.id).where(searchable_attributes.c.level == level.value)


def _several(rows: Sequence[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while some := list(islice(left, _AT_ONCE)):
        yield some

"""Rows on their way into the trash, back, and out of the tables, in the caller's transaction.

What is live is a tree: a series has an instance, a study a series, a patient a study. A row leaves with its last child,
so whatever comes back brings those above it, unless the same patient, study or series came anew meanwhile.
Rows are locked patients first, then studies, series, instances, as they are when instances are stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, case, delete, exists, false, func, select, update

from pacs.index import gram_tables, stale_values, study_locks, study_modalities
from pacs.index.columns import ROW_ABOVE
from pacs.index.counters import grow_days_again
from pacs.index.grams import study_place
from pacs.index.row_values import NO_MODALITY
from pacs.index.study_modalities import in_list
from pacs.index.tables import instances, patients, segments, series, studies, versions
from pacs.index.trash_above import Change, Changes, RowsAbove
from pacs.index.trash_hospital import is_trash, owner_of
from pacs.index.trash_statements import drop_values, move_values, several, uncount_day
from pacs.model import Level

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
    study_locks.hold_patients(connection, hospital, [found.id])
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
    for some in several(series_rows):
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
        for some in several(keys):
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
    above = RowsAbove(connection, hospital, {row.series_row for row in rows})
    changes = Changes()
    above.count(_sizes(connection, hospital, rows), changes, {})
    _move(connection, hospital, trash, rows)
    before: dict[str, list[str]] = {}
    for row, change in sorted(changes.series.items()):
        study_row = above.series[row].study_row
        if _has(connection, instances, "series_row", row, hospital):
            _shrink(connection, series, row, change, ("instances", "stored_bytes"))
            _stir(connection, row)
            stale_values.note(connection, Level.SERIES, [row])
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
            stale_values.note(connection, Level.STUDY, [row])
        else:
            _rehome(connection, studies, row, hospital, trash)
            place = study_place(study.study_date, study.study_time, row)
            study_modalities.change(connection, hospital, place, before=study.modalities_in_study)
            changes.patients[study.patient_row].studies += 1
            uncount_day(connection, hospital, study.study_date)
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
    came_anew = _live_uids(connection, hospital, rows)
    back = [row for row in rows if row.sop_instance_uid not in came_anew]
    if not back:
        return []
    above = RowsAbove(connection, hospital, {row.series_row for row in back})
    changes = Changes()
    home: dict[int, int] = {}
    before = (set(above.series), set(above.studies), set(above.patients))
    for old in sorted(above.series):
        home[old] = above.live_series(old, hospital, trash, changes)
    above.count(_sizes(connection, trash, back), changes, home)
    for old, new in sorted(home.items()):
        _move(connection, trash, hospital, [row for row in back if row.series_row == old], series_row=new)
    for row, change in sorted(changes.patients.items()):
        _grow(connection, patients, row, change, ("studies", "series", "instances"))
    for row, change in sorted(changes.studies.items()):
        _grow(connection, studies, row, change, ("series", "instances"))
    for row, change in sorted(changes.series.items()):
        _grow(connection, series, row, change, ("instances", "stored_bytes"))
        _stir(connection, row)
    grow_days_again(connection, ((hospital, day) for day in changes.days))
    # Values that went with a row may be of instances that stay in the trash, and a row that stayed lacks some.
    stale_values.note(connection, Level.SERIES, sorted(changes.series))
    stale_values.note(connection, Level.STUDY, sorted(changes.studies))
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
    drop_values(connection, Level.IMAGE, [row.id for row in found])
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
            drop_values(connection, level, [row])
            if level in gram_tables.TABLES:
                gram_tables.forget(connection, level, owner_of(found["hospital"]), row, found)
            connection.execute(delete(table).where(table.c.id == row))


def _move(
    connection: Connection, source: str, target: str, rows: Sequence[InstanceRow], *, series_row: int | None = None
) -> None:
    values: dict[str, Any] = {"hospital": target} | ({} if series_row is None else {"series_row": series_row})
    for some in several(rows):
        uids = [row.sop_instance_uid for row in some]
        ids = [row.id for row in some]
        connection.execute(update(instances).where(instances.c.id.in_(ids)).values(**values))
        move_values(connection, Level.IMAGE, ids, target)
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
    for some in several([row.sop_instance_uid for row in rows]):
        statement = select(instances.c.sop_instance_uid).where(
            instances.c.hospital == hospital, instances.c.sop_instance_uid.in_(some)
        )
        found.update(connection.execute(statement).scalars())
    return found


def _sizes(connection: Connection, hospital: str, rows: Sequence[InstanceRow]) -> Iterator[tuple[int, int]]:
    """Of each image its series row and its bytes, with those of earlier versions that its series counts."""
    earlier: dict[str, int] = {}
    for some in several([row.sop_instance_uid for row in rows]):
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
        earlier.update((uid, int(length)) for uid, length in connection.execute(statement))
    return ((row.series_row, row.length + earlier.get(row.sop_instance_uid, 0)) for row in rows)


def _has(connection: Connection, table: Table, column: str, row: int, hospital: str) -> bool:
    statement = select(exists().where(table.c.hospital == hospital, table.c[column] == row))
    return bool(connection.execute(statement).scalar())


def _rehome(connection: Connection, table: Table, row: int, source: str, target: str) -> None:
    connection.execute(update(table).where(table.c.id == row, table.c.hospital == source).values(hospital=target))
    if table is not patients:
        move_values(connection, Level.SERIES if table is series else Level.STUDY, [row], target)


def _shrink(connection: Connection, table: Table, row: int, change: Change, columns: Sequence[str]) -> None:
    def less(column: ColumnElement[int], by: int) -> ColumnElement[int]:
        return case((column > by, column - by), else_=0)

    values = {name: less(table.c[name], getattr(change, name)) for name in columns}
    connection.execute(update(table).where(table.c.id == row).values(**values))


def _grow(connection: Connection, table: Table, row: int, change: Change, columns: Sequence[str]) -> None:
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
        if saved is not None and set(in_list(saved[number])) == set(words):
            text = saved[number]
        kept = [word for word in in_list(text) if word in words]
        kept += [word for word in words if word not in kept]
        values[column] = "\\" + "".join(f"{word}\\" for word in kept)
    moment = studies.c.study_date, studies.c.study_time
    changed = update(studies).where(studies.c.id == row).values(**values).returning(*moment)
    study_date, study_time = connection.execute(changed).one()
    place = study_place(study_date, study_time, row)
    study_modalities.change(connection, hospital, place, before=now[0], now=values[_WORDS[0]])

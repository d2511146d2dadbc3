"""The rows above an instance: found, or made when they are not there, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Executable, Select, Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from pacs.index import gram_tables, row_values
from pacs.index.driver import Driver
from pacs.index.grams import study_place
from pacs.index.packed import packed_above
from pacs.index.tables import patients, segments, series, studies
from pacs.index.trash_hospital import owner_of
from pacs.model import Level, NewInstance


class SeriesKey(NamedTuple):
    """Which series, of one hospital."""

    study_instance_uid: str
    series_instance_uid: str


class Above(NamedTuple):
    """The rows above an instance."""

    patient_row: int
    study_row: int
    series_row: int
    sop_classes_in_study: str = "\\"
    is_new_series: bool = False
    is_new_study: bool = False
    place: int = 0
    """Of the study in the list; of a new series."""


class _Study(NamedTuple):
    """The row of a study."""

    patient_row: int
    row: int
    place: int
    is_new: bool


def series_key(new: NewInstance) -> SeriesKey:
    return SeriesKey(new.key.study_instance_uid, new.key.series_instance_uid)


def ensure_series(driver: Driver, hospital: str, fresh: Iterable[NewInstance]) -> dict[SeriesKey, Above]:
    """The rows above each of `fresh`, of which the first of each series makes what is missing."""
    wanted: dict[SeriesKey, NewInstance] = {}
    for new in fresh:
        wanted.setdefault(series_key(new), new)
    uids = sorted({key.series_instance_uid for key in wanted})
    above: dict[SeriesKey, Above] = {}
    for series_uid, series_row, study_uid, *rest in driver.rows(_KNOWN_SERIES, {"hospital": hospital, "uids": uids}):
        patient_row, study_row, sop_classes = rest
        above[SeriesKey(study_uid, series_uid)] = Above(patient_row, study_row, series_row, sop_classes)
    for key in sorted(wanted.keys() - above.keys()):
        above[key] = _new_series(driver, hospital, key, wanted[key])
    return above


def _new_series(driver: Driver, hospital: str, key: SeriesKey, new: NewInstance) -> Above:
    study = _ensure_study(driver, new)
    values = {
        "hospital": hospital,
        "study_row": study.row,
        "series_instance_uid": key.series_instance_uid,
        **row_values.series_columns(new.series),
        "instances": 0,
        "stored_bytes": 0,
        "last_stored_at_us": 0,
        "is_settled": False,
        "attributes": packed_above(new.series),
    }
    series_row, is_new = _ensure(driver, series, values, ("hospital", "series_instance_uid", "study_row"))
    return Above(
        study.patient_row,
        study.row,
        series_row,
        is_new_series=is_new,
        is_new_study=study.is_new,
        place=study.place,
    )


def _ensure_study(driver: Driver, new: NewInstance) -> _Study:
    key = new.key
    identity = {"hospital": key.hospital, "study_instance_uid": key.study_instance_uid}
    known = driver.rows(_KNOWN_STUDY, identity)
    if known:
        return _known_study(*known[0])
    columns = row_values.patient_columns(new.patient)
    patient = {
        "hospital": key.hospital,
        **columns,
        "lone_study_uid": "" if columns["patient_id"] else key.study_instance_uid,
        "studies": 0,
        "series": 0,
        "instances": 0,
        "attributes": packed_above(new.patient),
    }
    patient_row, is_new_patient = _ensure(
        driver, patients, patient, ("hospital", "patient_id", "issuer_of_patient_id", "lone_study_uid")
    )
    if is_new_patient:
        gram_tables.write(driver, Level.PATIENT, key.hospital, [(patient_row, columns)])
    study_columns = row_values.study_columns(new.study)
    study = {
        **identity,
        "patient_row": patient_row,
        **columns,
        **study_columns,
        "modalities_in_study": "\\",
        "sop_classes_in_study": "\\",
        "series": 0,
        "instances": 0,
        "patient_attributes": packed_above(new.patient),
        "attributes": packed_above(new.study),
    }
    study_row, is_new = _ensure(driver, studies, study, ("hospital", "study_instance_uid"))
    if is_new:
        gram_tables.write(driver, Level.STUDY, key.hospital, [(study_row, study)])
        place = study_place(study_columns["study_date"], study_columns["study_time"], study_row)
        return _Study(patient_row, study_row, place, is_new=True)
    # Another process made it, perhaps under another patient, or on another day.
    return _known_study(*driver.rows(_KNOWN_STUDY, identity)[0])


def _known_study(row: int, patient_row: int, study_date: str, study_time: str) -> _Study:
    return _Study(patient_row, row, study_place(study_date, study_time, row), is_new=False)


def ensure_segments(driver: Driver, hospital: str, names: Iterable[str]) -> dict[str, int]:
    """Rows of the segments, by name."""
    hospital = owner_of(hospital)
    wanted = sorted(set(names))
    rows: dict[str, int] = dict(driver.rows(_KNOWN_SEGMENTS, {"hospital": hospital, "names": wanted}))
    for name in wanted:
        if name not in rows:
            values = {"hospital": hospital, "name": name, "end_offset": 0}
            rows[name], _ = _ensure(driver, segments, values, ("hospital", "name"))
    return rows


def _ensure(driver: Driver, table: Table, values: dict[str, Any], key: tuple[str, ...]) -> tuple[int, bool]:
    """The row with this key, made when it is not there, and whether this made it."""
    look_up = _look_up(table, key)
    identity = {name: values[name] for name in key}
    known = driver.rows(look_up, identity)
    if known:
        return known[0][0], False
    made = driver.rows(_insert_if_absent(table, driver.dialect_name), values)
    if made:
        return made[0][0], True
    return driver.rows(look_up, identity)[0][0], False


@cache
def _look_up(table: Table, key: tuple[str, ...]) -> Select[Any]:
    return select(table.c.id).where(*(table.c[name] == bindparam(name) for name in key))


@cache
def _insert_if_absent(table: Table, dialect_name: str) -> Executable:
    """INSERT of this database that leaves out a row whose key is taken, and returns the row it makes."""
    insert = postgresql.insert if dialect_name == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing().returning(table.c.id)


_KNOWN_SERIES = (
    select(
        series.c.series_instance_uid,
        series.c.id,
        studies.c.study_instance_uid,
        studies.c.patient_row,
        studies.c.id.label("study_row"),
        studies.c.sop_classes_in_study,
    )
    .join(studies, studies.c.id == series.c.study_row)
    .where(
        series.c.hospital == bindparam("hospital"), series.c.series_instance_uid.in_(bindparam("uids", expanding=True))
    )
)
_KNOWN_STUDY = select(studies.c.id, studies.c.patient_row, studies.c.study_date, studies.c.study_time).where(
    studies.c.hospital == bindparam("hospital"), studies.c.study_instance_uid == bindparam("study_instance_uid")
)
_KNOWN_SEGMENTS = select(segments.c.name, segments.c.id).where(
    segments.c.hospital == bindparam("hospital"), segments.c.name.in_(bindparam("names", expanding=True))
)

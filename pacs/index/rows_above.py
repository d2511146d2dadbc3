"""The rows above an instance: found, or made when they are not there, in the caller's transaction.

Level by level, each in the order of its keys, so that two transactions never wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Executable, Select, Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from pacs.index import gram_tables, row_values, study_locks
from pacs.index.driver import Driver
from pacs.index.grams import study_place
from pacs.index.packed import packed_above
from pacs.index.study_locks import PatientKey
from pacs.index.tables import patients, segments, series, studies
from pacs.index.trash_hospital import owner_of
from pacs.model import Level, NewInstance


class RowsGone(Exception):
    """Another was in the way between our look and our write: a row above was deleted, say; do it again."""


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
    missing = sorted(wanted.keys() - above.keys())
    first_of: dict[str, NewInstance] = {}
    for key in missing:
        first_of.setdefault(key.study_instance_uid, wanted[key])
    of_study = _ensure_studies(driver, hospital, first_of) if first_of else {}
    for key in missing:
        above[key] = _new_series(driver, hospital, key, wanted[key], of_study[key.study_instance_uid])
    return above


def _new_series(driver: Driver, hospital: str, key: SeriesKey, new: NewInstance, study: _Study) -> Above:
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


def _ensure_studies(driver: Driver, hospital: str, wanted: Mapping[str, NewInstance]) -> dict[str, _Study]:
    """The rows of studies, by UID, each made of the instance beside it when it is not there.

    Raises:
        RowsGone: another made one of them meanwhile, of a patient other than the one that was made for it here.
    """
    found = _known_studies(driver, hospital, sorted(wanted))
    patient_of = {uid: _patient_key(wanted[uid]) for uid in sorted(wanted.keys() - found.keys())}
    if not patient_of:
        return found
    study_locks.share_patients(driver, hospital, patient_of.values())
    first_of: dict[PatientKey, NewInstance] = {}
    for uid, patient_key in patient_of.items():
        first_of.setdefault(patient_key, wanted[uid])
    patient_rows = {key: _ensure_patient(driver, hospital, key, first_of[key]) for key in sorted(first_of)}
    for uid, patient_key in patient_of.items():
        patient_row, is_new_patient = patient_rows[patient_key]
        made = _new_study(driver, hospital, uid, wanted[uid], patient_row)
        if made is None and is_new_patient:
            raise RowsGone  # of which nothing would be left but the patient
        found[uid] = made or _known_studies(driver, hospital, [uid])[uid]  # perhaps of another patient, of another day
    return found


def _patient_key(new: NewInstance) -> PatientKey:
    columns = row_values.patient_columns(new.patient)
    lone_study_uid = "" if columns["patient_id"] else new.key.study_instance_uid
    return PatientKey(columns["patient_id"], columns["issuer_of_patient_id"], lone_study_uid)


def _ensure_patient(driver: Driver, hospital: str, key: PatientKey, new: NewInstance) -> tuple[int, bool]:
    columns = row_values.patient_columns(new.patient)
    patient = {
        "hospital": hospital,
        **columns,
        "lone_study_uid": key.lone_study_uid,
        "studies": 0,
        "series": 0,
        "instances": 0,
        "attributes": packed_above(new.patient),
    }
    row, is_new = _ensure(driver, patients, patient, ("hospital", *PatientKey._fields))
    if is_new:
        gram_tables.write(driver, Level.PATIENT, hospital, [(row, columns)])
    return row, is_new


def _new_study(driver: Driver, hospital: str, uid: str, new: NewInstance, patient_row: int) -> _Study | None:
    """None when it is there already."""
    columns = row_values.study_columns(new.study)
    study = {
        "hospital": hospital,
        "study_instance_uid": uid,
        "patient_row": patient_row,
        **row_values.patient_columns(new.patient),
        **columns,
        "modalities_in_study": "\\",
        "sop_classes_in_study": "\\",
        "series": 0,
        "instances": 0,
        "patient_attributes": packed_above(new.patient),
        "attributes": packed_above(new.study),
    }
    row, is_new = _ensure(driver, studies, study, ("hospital", "study_instance_uid"))
    if not is_new:
        return None
    gram_tables.write(driver, Level.STUDY, hospital, [(row, study)])
    place = study_place(columns["study_date"], columns["study_time"], row)
    return _Study(patient_row, row, place, is_new=True)


def _known_studies(driver: Driver, hospital: str, uids: list[str]) -> dict[str, _Study]:
    return {
        uid: _Study(patient_row, row, study_place(study_date, study_time, row), is_new=False)
        for uid, row, patient_row, study_date, study_time in driver.rows(
            _KNOWN_STUDIES, {"hospital": hospital, "uids": uids}
        )
    }


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
_KNOWN_STUDIES = select(
    studies.c.study_instance_uid, studies.c.id, studies.c.patient_row, studies.c.study_date, studies.c.study_time
).where(
    studies.c.hospital == bindparam("hospital"), studies.c.study_instance_uid.in_(bindparam("uids", expanding=True))
)
_KNOWN_SEGMENTS = select(segments.c.name, segments.c.id).where(
    segments.c.hospital == bindparam("hospital"), segments.c.name.in_(bindparam("names", expanding=True))
)

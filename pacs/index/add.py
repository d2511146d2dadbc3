"""Writing instances: one transaction per batch, few statements, first one wins.

Rows are written patients first, then studies, series, segments, instances, counters, each sorted by key, so that two
transactions never wait for each other in a circle.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, bindparam, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pacs.index import row_values
from pacs.index.tables import instances, patients, segments, series, studies
from pacs.model import InstanceKey, NewInstance


class Existing(NamedTuple):
    """The row that holds a SOP Instance UID already."""

    key: InstanceKey
    digest: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class AddResult:
    """What became of one instance given to `Index.add`."""

    added: bool
    existing: Existing | None = None
    """The row that was there first; None when this one was added."""


class _SeriesKey(NamedTuple):
    hospital: str
    study_instance_uid: str
    series_instance_uid: str


class _Parents(NamedTuple):
    """Rows above an instance."""

    patient_row: int
    study_row: int
    series_row: int
    sop_classes_in_study: str = "\\"


@dataclass(slots=True)
class _Growth:
    """What a batch adds to one series."""

    parents: _Parents
    modality: str
    is_new_series: bool
    is_new_study: bool
    instances: int = 0
    stored_bytes: int = 0
    sop_classes: set[str] = field(default_factory=set)


def existing(connection: Connection, hospital: str, sop_instance_uids: Iterable[str]) -> dict[str, Existing]:
    """Rows of these SOP Instance UIDs, by UID."""
    found = connection.execute(_EXISTING, {"hospital": hospital, "uids": sorted(sop_instance_uids)})
    return {
        row.sop_instance_uid: Existing(
            InstanceKey(hospital, row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid),
            bytes(row.digest).hex(),
            row.transfer_syntax_uid,
        )
        for row in found
    }


def add(connection: Connection, batch: Sequence[NewInstance]) -> list[AddResult]:
    """Write those of `batch` that have no row yet; the caller's transaction makes it whole.

    Raises:
        sqlalchemy.exc.IntegrityError: another process was first with one of them, between our look and our insert;
            roll back and do it again.
    """
    by_hospital: dict[str, dict[str, NewInstance]] = {}
    for new in batch:
        by_hospital.setdefault(new.key.hospital, {}).setdefault(new.key.sop_instance_uid, new)
    there: dict[tuple[str, str], Existing] = {}
    for hospital in sorted(by_hospital):
        found = _add_to_hospital(connection, hospital, by_hospital[hospital])
        there.update({(hospital, uid): row for uid, row in found.items()})
    results = []
    for new in batch:
        key = (new.key.hospital, new.key.sop_instance_uid)
        if key in there:
            results.append(AddResult(False, there[key]))
        else:
            results.append(AddResult(True))
            there[key] = Existing(new.key, new.digest, new.transfer_syntax_uid)  # for the same UID later in the batch
    return results


def _add_to_hospital(connection: Connection, hospital: str, news: dict[str, NewInstance]) -> dict[str, Existing]:
    there = existing(connection, hospital, news)
    fresh = [new for uid, new in sorted(news.items()) if uid not in there]
    if not fresh:
        return there
    growths = _ensure_series(connection, hospital, fresh)
    segment_rows = _ensure_segments(connection, hospital, fresh)
    now_us = time.time_ns() // 1000
    rows = []
    for new in fresh:
        row = row_values.instance_columns(new, now_us)
        row["series_row"] = growths[_series_key(new)].parents.series_row
        row["segment_row"] = segment_rows[new.location.segment]
        rows.append(row)
    connection.execute(instances.insert(), rows)
    for new in fresh:
        growth = growths[_series_key(new)]
        growth.instances += 1
        growth.stored_bytes += new.location.length
        growth.sop_classes.add(new.sop_class_uid)
    _count(connection, list(growths.values()), now_us)
    _extend_segments(connection, segment_rows, fresh)
    return there


def _series_key(new: NewInstance) -> _SeriesKey:
    return _SeriesKey(new.key.hospital, new.key.study_instance_uid, new.key.series_instance_uid)


def _insert(connection: Connection, table: Table) -> Any:
    """INSERT of this database, which can leave out rows whose key is taken."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(table)


def _ensure_series(connection: Connection, hospital: str, fresh: list[NewInstance]) -> dict[_SeriesKey, _Growth]:
    wanted = {_series_key(new): new for new in reversed(fresh)}
    known = _known_series(connection, hospital, wanted)
    growths = {key: _Growth(parents, "", False, False) for key, parents in known.items()}
    for key in sorted(wanted.keys() - known.keys()):
        growths[key] = _new_series(connection, key, wanted[key])
    return growths


def _known_series(connection: Connection, hospital: str, wanted: Iterable[_SeriesKey]) -> dict[_SeriesKey, _Parents]:
    uids = sorted({key.series_instance_uid for key in wanted})
    found = connection.execute(_KNOWN_SERIES, {"hospital": hospital, "uids": uids})
    known = {
        _SeriesKey(hospital, row.study_instance_uid, row.series_instance_uid): _Parents(
            row.patient_row, row.study_row, row.series_row, row.sop_classes_in_study
        )
        for row in found
    }
    return {key: known[key] for key in wanted if key in known}


def _new_series(connection: Connection, key: _SeriesKey, new: NewInstance) -> _Growth:
    patient_row, study_row, is_new_study = _ensure_study(connection, new)
    values = {
        "hospital": key.hospital,
        "study_row": study_row,
        "series_instance_uid": key.series_instance_uid,
        **row_values.series_columns(new.series),
        "instances": 0,
        "stored_bytes": 0,
        "last_stored_at_us": 0,
        "is_settled": False,
        "attributes": row_values.encoded(new.series),
    }
    series_row, is_new = _ensure(connection, series, values, ("hospital", "series_instance_uid", "study_row"))
    parents = _Parents(patient_row, study_row, series_row)
    return _Growth(parents, row_values.modality_in_study(new.series), is_new, is_new_study)


def _ensure_study(connection: Connection, new: NewInstance) -> tuple[int, int, bool]:
    """Rows of the patient and the study, and whether this made the study's."""
    key = new.key
    known = connection.execute(
        select(studies.c.patient_row, studies.c.id).where(
            studies.c.hospital == key.hospital, studies.c.study_instance_uid == key.study_instance_uid
        )
    ).one_or_none()
    if known:
        return known.patient_row, known.id, False
    columns = row_values.patient_columns(new.patient)
    patient = {
        "hospital": key.hospital,
        **columns,
        "lone_study_uid": "" if columns["patient_id"] else key.study_instance_uid,
        "studies": 0,
        "series": 0,
        "instances": 0,
        "attributes": row_values.encoded(new.patient),
    }
    identity = ("hospital", "patient_id", "issuer_of_patient_id", "lone_study_uid")
    patient_row, _ = _ensure(connection, patients, patient, identity)
    study = {
        "hospital": key.hospital,
        "study_instance_uid": key.study_instance_uid,
        "patient_row": patient_row,
        **columns,
        **row_values.study_columns(new.study),
        "modalities_in_study": "\\",
        "sop_classes_in_study": "\\",
        "series": 0,
        "instances": 0,
        "patient_attributes": row_values.encoded(new.patient),
        "attributes": row_values.encoded(new.study),
    }
    study_row, is_new = _ensure(connection, studies, study, ("hospital", "study_instance_uid"))
    if not is_new:  # another process made it, perhaps under another patient
        patient_row = connection.execute(select(studies.c.patient_row).where(studies.c.id == study_row)).scalar_one()
    return patient_row, study_row, is_new


def _ensure(connection: Connection, table: Table, values: dict[str, Any], key: tuple[str, ...]) -> tuple[int, bool]:
    """The row with this key, made when it is not there, and whether this made it."""
    condition = [table.c[name] == values[name] for name in key]
    known = connection.execute(select(table.c.id).where(*condition)).scalar_one_or_none()
    if known is not None:
        return known, False
    made = connection.execute(
        _insert(connection, table).values(values).on_conflict_do_nothing().returning(table.c.id)
    ).scalar_one_or_none()
    if made is not None:
        return made, True
    return connection.execute(select(table.c.id).where(*condition)).scalar_one(), False


def _ensure_segments(connection: Connection, hospital: str, fresh: list[NewInstance]) -> dict[str, int]:
    names = sorted({new.location.segment for new in fresh})
    found = connection.execute(
        select(segments.c.name, segments.c.id).where(segments.c.hospital == hospital, segments.c.name.in_(names))
    )
    rows: dict[str, int] = {row.name: row.id for row in found}
    for name in names:
        if name not in rows:
            values = {"hospital": hospital, "name": name, "end_offset": 0}
            rows[name], _ = _ensure(connection, segments, values, ("hospital", "name"))
    return rows


def _extend_segments(connection: Connection, segment_rows: dict[str, int], fresh: list[NewInstance]) -> None:
    ends: dict[int, int] = {}
    for new in fresh:
        row = segment_rows[new.location.segment]
        ends[row] = max(ends.get(row, 0), new.location.offset + new.location.length)
    connection.execute(_EXTEND_SEGMENT, [{"row": row, "end": end} for row, end in sorted(ends.items())])


def _count(connection: Connection, growths: list[_Growth], now_us: int) -> None:
    """Keep the counters and lists of the rows above up to date."""
    patient_growth: dict[int, Counter[str]] = {}
    study_growth: dict[int, Counter[str]] = {}
    words: set[tuple[int, str, str]] = set()
    series_rows = []
    for growth in growths:
        patient_row, study_row, series_row, known_classes = growth.parents
        more = Counter(instances=growth.instances, series=int(growth.is_new_series))
        study_growth.setdefault(study_row, Counter()).update(more)
        if growth.is_new_study:
            study_growth[study_row]["studies"] = 1
        patient_growth.setdefault(patient_row, Counter()).update(more)
        series_rows.append(
            {"row": series_row, "instances": growth.instances, "bytes": growth.stored_bytes, "now": now_us}
        )
        if growth.is_new_series:
            words.add((study_row, "modalities_in_study", growth.modality))
        new_classes = {uid for uid in growth.sop_classes if f"\\{uid}\\" not in known_classes}
        words |= {(study_row, "sop_classes_in_study", uid) for uid in new_classes}
    study_patients = {growth.parents.study_row: growth.parents.patient_row for growth in growths}
    for study_row, counter in study_growth.items():
        patient_growth[study_patients[study_row]]["studies"] += counter["studies"]
    connection.execute(_GROW_PATIENT, _counter_rows(patient_growth))
    connection.execute(_GROW_STUDY, _counter_rows(study_growth))
    connection.execute(_GROW_SERIES, sorted(series_rows, key=lambda row: row["row"]))
    for study_row, column, name in sorted(words):
        connection.execute(_WORD_IN_STUDY[column], {"row": study_row, "word": f"\\{name}\\", "more": f"{name}\\"})


def _counter_rows(growth: dict[int, Counter[str]]) -> list[dict[str, int]]:
    names = ("studies", "series", "instances")
    return [
        {"row": row, **{f"more_{name}": counter[name] for name in names}} for row, counter in sorted(growth.items())
    ]


_EXISTING = (
    select(
        instances.c.sop_instance_uid,
        instances.c.digest,
        instances.c.transfer_syntax_uid,
        series.c.series_instance_uid,
        studies.c.study_instance_uid,
    )
    .join(series, series.c.id == instances.c.series_row)
    .join(studies, studies.c.id == series.c.study_row)
    .where(
        instances.c.hospital == bindparam("hospital"),
        instances.c.sop_instance_uid.in_(bindparam("uids", expanding=True)),
    )
)
_KNOWN_SERIES = (
    select(
        series.c.id.label("series_row"),
        series.c.series_instance_uid,
        studies.c.id.label("study_row"),
        studies.c.study_instance_uid,
        studies.c.patient_row,
        studies.c.sop_classes_in_study,
    )
    .join(studies, studies.c.id == series.c.study_row)
    .where(
        series.c.hospital == bindparam("hospital"), series.c.series_instance_uid.in_(bindparam("uids", expanding=True))
    )
)
_EXTEND_SEGMENT = (
    update(segments)
    .where(segments.c.id == bindparam("row"))
    .values(end_offset=case((segments.c.end_offset < bindparam("end"), bindparam("end")), else_=segments.c.end_offset))
)
_GROW_PATIENT = (
    update(patients)
    .where(patients.c.id == bindparam("row"))
    .values(
        studies=patients.c.studies + bindparam("more_studies"),
        series=patients.c.series + bindparam("more_series"),
        instances=patients.c.instances + bindparam("more_instances"),
    )
)
_GROW_STUDY = (
    update(studies)
    .where(studies.c.id == bindparam("row"))
    .values(
        series=studies.c.series + bindparam("more_series"), instances=studies.c.instances + bindparam("more_instances")
    )
)
_GROW_SERIES = (
    update(series)
    .where(series.c.id == bindparam("row"))
    .values(
        instances=series.c.instances + bindparam("instances"),
        stored_bytes=series.c.stored_bytes + bindparam("bytes"),
        last_stored_at_us=bindparam("now"),
        is_settled=False,
    )
)
# Adds a word to a list only when it lacks it, in the database, so that two writers cannot lose one another's.
_WORD_IN_STUDY = {
    name: update(studies)
    .where(
        studies.c.id == bindparam("row"),
        func.replace(studies.c[name], bindparam("word"), "") == studies.c[name],
    )
    .values({name: studies.c[name] + bindparam("more")})
    for name in ("modalities_in_study", "sop_classes_in_study")
}

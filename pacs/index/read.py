"""Reading rows by key: instances, holdings, series that may settle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select, union_all

from pacs.index.row_values import NO_MODALITY, moment, stored_instance
from pacs.index.tables import commitments, instances, patients, segments, series, studies, versions
from pacs.index.trash_hospital import is_live
from pacs.model import Holdings, StoredInstance

UidChoice = str | Sequence[str] | None


class Choice(NamedTuple):
    """Instances that all of these allow; None allows any."""

    patient_id: str | None = None
    study: UidChoice = None
    series: UidChoice = None
    sop_instance: UidChoice = None


@dataclass(frozen=True, slots=True)
class UnsettledSeries:
    """A series that got instances since it was last settled."""

    hospital: str
    study_instance_uid: str
    series_instance_uid: str
    instances: int
    """How many it had when it was looked at; `Index.mark_settled` wants the same number."""
    stored_bytes: int
    """So, too: a new version is no instance more."""


_WIDE = (instances.c.frame_table, instances.c.attributes)
"""Ten times as much as the rest of a row."""
_BRIEF: Select[Any] = (
    select(
        instances.c.hospital,
        studies.c.study_instance_uid,
        series.c.series_instance_uid,
        instances.c.sop_instance_uid,
        instances.c.sop_class_uid,
        instances.c.transfer_syntax_uid,
        instances.c.digest,
        segments.c.name.label("segment"),
        instances.c.offset,
        instances.c.length,
        instances.c.data_set_offset,
        instances.c.header_length,
        instances.c.number_of_frames,
        instances.c.stored_at_us,
    )
    .select_from(instances)
    .join(series, series.c.id == instances.c.series_row)
    .join(studies, studies.c.id == series.c.study_row)
    .join(segments, segments.c.id == instances.c.segment_row)
)
_STORED = _BRIEF.add_columns(*_WIDE)
_ROWS_AT_A_TIME = 1_000
_ONE = _STORED.where(
    instances.c.hospital == bindparam("hospital"), instances.c.sop_instance_uid == bindparam("sop_instance_uid")
)
_SEGMENT_END = select(segments.c.end_offset).where(
    segments.c.hospital == bindparam("hospital"), segments.c.name == bindparam("name")
)


def one(connection: Connection, hospital: str, study: str, series_uid: str, sop: str) -> StoredInstance | None:
    """The instance, when it lies in this study and series."""
    row = connection.execute(_ONE, {"hospital": hospital, "sop_instance_uid": sop}).one_or_none()
    if row is None or row.study_instance_uid != study or row.series_instance_uid != series_uid:
        return None
    return stored_instance(row)


def many(connection: Connection, hospital: str, choice: Choice) -> list[StoredInstance]:
    """All instances that every given choice allows, by study, series number and instance number."""
    chosen = _chosen(_STORED, hospital, choice)
    return [stored_instance(row) for row in connection.execute(chosen)]


def brief(connection: Connection, hospital: str, choice: Choice) -> Iterator[StoredInstance]:
    """As `many`, with neither attributes nor frame table, and some rows at a time: who has enough stops."""
    chosen = _chosen(_BRIEF, hospital, choice)
    for row in connection.execution_options(yield_per=_ROWS_AT_A_TIME).execute(chosen):
        yield stored_instance(row, is_brief=True)


def _chosen(columns: Select[Any], hospital: str, choice: Choice) -> Select[Any]:
    patient_id, study, series_uid, sop = choice
    chosen = columns.where(instances.c.hospital == hospital)
    if patient_id is not None:
        chosen = chosen.where(studies.c.hospital == hospital, studies.c.patient_id == patient_id)
    if study is not None:
        chosen = chosen.where(studies.c.hospital == hospital, _is_one_of(studies.c.study_instance_uid, study))
    if series_uid is not None:
        chosen = chosen.where(series.c.hospital == hospital, _is_one_of(series.c.series_instance_uid, series_uid))
    if sop is not None:
        chosen = chosen.where(_is_one_of(instances.c.sop_instance_uid, sop))
    return chosen.order_by(
        studies.c.id, series.c.series_number, series.c.id, instances.c.instance_number, instances.c.id
    )


def _is_one_of(column: ColumnElement[str], choice: str | Sequence[str]) -> ColumnElement[bool]:
    return column == choice if isinstance(choice, str) else column.in_(list(choice))


def segment_end(connection: Connection, hospital: str, name: str) -> int:
    """First byte after the last record of the segment that has a row."""
    end = connection.execute(_SEGMENT_END, {"hospital": hospital, "name": name}).scalar_one_or_none()
    return int(end or 0)


def segment_ends(connection: Connection) -> dict[str, int]:
    """For each segment that has rows, the first byte after the last record with one."""
    found = connection.execute(select(segments.c.name, segments.c.end_offset))
    return {name: int(end) for name, end in found}


def places(connection: Connection) -> Iterator[tuple[str, int, int]]:
    """Segment, offset and length of every stored file that a row names, by segment and offset; fetched in pages."""
    columns = [
        select(segments.c.name, table.c.offset, table.c.length).join(segments, segments.c.id == table.c.segment_row)
        for table in (instances, versions)
    ]
    everything = union_all(*columns).subquery()
    ordered = select(everything).order_by(everything.c.name, everything.c.offset)
    for name, offset, length in connection.execution_options(yield_per=10_000).execute(ordered):
        yield name, int(offset), int(length)


def holdings(connection: Connection, hospital: str | None) -> Holdings:
    """Sums of the counters kept on write; no instance row is counted."""

    def of(statement: Select[Any], column: ColumnElement[str]) -> Select[Any]:
        return statement.where(is_live(column) if hospital is None else column == hospital)

    people = connection.execute(
        of(
            select(
                func.count(),
                func.coalesce(func.sum(patients.c.studies), 0),
                func.coalesce(func.sum(patients.c.instances), 0),
            ),
            patients.c.hospital,
        )
    ).one()
    by_modality = connection.execute(
        of(
            select(
                series.c.modality, func.count(), func.sum(series.c.stored_bytes), func.max(series.c.last_stored_at_us)
            ),
            series.c.hospital,
        )
        .group_by(series.c.modality)
        .order_by(series.c.modality)
    ).all()
    segment_count = connection.execute(of(select(func.count()).select_from(segments), segments.c.hospital)).scalar_one()
    counts: dict[str, int] = {}
    for modality, count, _, _ in by_modality:
        counts[modality or NO_MODALITY] = counts.get(modality or NO_MODALITY, 0) + int(count)
    return Holdings(
        patients=int(people[0]),
        studies=int(people[1]),
        series=sum(counts.values()),
        instances=int(people[2]),
        stored_bytes=sum(int(row[2]) for row in by_modality),
        segments=int(segment_count),
        last_stored_at=moment(max(row[3] for row in by_modality)) if by_modality else None,
        by_modality=counts,
    )


def waiting_work(connection: Connection) -> dict[str, int]:
    """How much there is to do in the background; counts rows of open work alone, of which an index has a list."""
    unsettled_series = connection.execute(select(func.count()).select_from(series).where(~series.c.is_settled))
    by_state = connection.execute(
        select(commitments.c.state, func.count())
        .where(commitments.c.state.in_(("requested", "verified")))
        .group_by(commitments.c.state)
    )
    open_states = {str(state): int(count) for state, count in by_state}
    return {
        "series_unsettled": int(unsettled_series.scalar_one()),
        "commitments_requested": open_states.get("requested", 0),
        "commitments_verified": open_states.get("verified", 0),
    }


def unsettled(connection: Connection, quiet_since_us: int, limit: int) -> list[UnsettledSeries]:
    """Series with instances newer than their settling, quiet since then, longest quiet first."""
    found = connection.execute(
        select(
            series.c.hospital,
            studies.c.study_instance_uid,
            series.c.series_instance_uid,
            series.c.instances,
            series.c.stored_bytes,
        )
        .join(studies, studies.c.id == series.c.study_row)
        .where(~series.c.is_settled, series.c.last_stored_at_us <= quiet_since_us, is_live(series.c.hospital))
        .order_by(series.c.last_stored_at_us, series.c.id)
        .limit(limit)
    )
    return [
        UnsettledSeries(row.hospital, row.study_instance_uid, row.series_instance_uid, row.instances, row.stored_bytes)
        for row in found
    ]

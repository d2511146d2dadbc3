"""What a series consists of, and by what it is seen that it has changed."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, select

from pacs.index.kept_connections import KeptConnections
from pacs.index.tables import instances, segments, series, studies
from pacs.model import Location


class SeriesRow(NamedTuple):
    """One series of a study."""

    row: int
    series_instance_uid: str
    instances: int
    stored_bytes: int
    last_stored_at_us: int
    is_settled: bool
    """Nothing came since it was settled."""

    @property
    def revision(self) -> str:
        """Another one whenever an instance was added to the series or replaced in it: its bytes only grow."""
        return _revision(self.row, self.instances, self.stored_bytes, self.last_stored_at_us)


class InstanceRow(NamedTuple):
    """Where the served version of an instance lies."""

    sop_instance_uid: str
    transfer_syntax_uid: str
    digest: str
    location: Location


class SeriesContents(NamedTuple):
    """The instances of a series in the order in which they are shown, as of `revision`."""

    revision: str
    instances: list[InstanceRow]


class Contents:
    """Thread-safe; raises `pacs.errors.IndexUnavailable`."""

    def __init__(self, readers: KeptConnections) -> None:
        self._readers = readers

    def series(self, hospital: str, study_instance_uid: str, series_instance_uid: str | None = None) -> list[SeriesRow]:
        """The series of a study, or one of them, in the order of `Index.instances`; none when there is no such."""
        values = {"hospital": hospital, "study": study_instance_uid}
        statement = _ALL_SERIES
        if series_instance_uid is not None:
            statement, values["series"] = _ONE_SERIES, series_instance_uid
        with self._readers.reading("look up series") as driver:
            found = driver.rows(statement, values)
        return [
            SeriesRow(row, uid, count, stored_bytes, last_us, bool(is_settled))
            for row, uid, count, stored_bytes, last_us, is_settled in found
        ]

    def instances(self, hospital: str, series_row: int) -> SeriesContents:
        """What a series consists of: one statement, so that revision and instances belong together."""
        with self._readers.reading("look up the instances of a series") as driver:
            found = driver.rows(_INSTANCES, {"hospital": hospital, "row": series_row})
        if not found:
            return SeriesContents("", [])
        return SeriesContents(
            _revision(series_row, *found[0][-3:]),
            [
                InstanceRow(sop, syntax, bytes(digest).hex(), Location(*place))
                for sop, syntax, digest, *place, _, _, _ in found
            ],
        )


def _revision(*numbers: int) -> str:
    return "-".join(map(str, numbers))


_COUNTED = (series.c.instances, series.c.stored_bytes, series.c.last_stored_at_us)
_ALL_SERIES = (
    select(series.c.id, series.c.series_instance_uid, *_COUNTED, series.c.is_settled)
    .join(studies, studies.c.id == series.c.study_row)
    .where(
        studies.c.hospital == bindparam("hospital"),
        studies.c.study_instance_uid == bindparam("study"),
        series.c.hospital == bindparam("hospital"),
    )
    .order_by(series.c.series_number, series.c.id)
)
_ONE_SERIES = _ALL_SERIES.where(series.c.series_instance_uid == bindparam("series"))
_INSTANCES = (
    select(
        instances.c.sop_instance_uid,
        instances.c.transfer_syntax_uid,
        instances.c.digest,
        segments.c.name,
        instances.c.offset,
        instances.c.length,
        instances.c.data_set_offset,
        *_COUNTED,
    )
    .join(series, series.c.id == instances.c.series_row)
    .join(segments, segments.c.id == instances.c.segment_row)
    .where(instances.c.hospital == bindparam("hospital"), instances.c.series_row == bindparam("row"))
    .order_by(instances.c.instance_number, instances.c.id)
)

"""Counters and lists of the rows above instances, kept up to date in the transaction that adds those."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Table, bindparam, case, false, func, update
from sqlalchemy.dialects import postgresql, sqlite

from pacs.index import row_values, study_modalities
from pacs.index.driver import Driver
from pacs.index.rows_above import Above, RowsGone
from pacs.index.tables import patients, segments, series, studies, study_days, study_months
from pacs.index.trash_hospital import is_trash
from pacs.model import Location, NewInstance


@dataclass(slots=True)
class _SeriesGrowth:
    above: Above
    modality: str
    instances: int = 0
    stored_bytes: int = 0
    sop_classes: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Growth:
    """What a batch adds to one study or patient."""

    studies: int = 0
    series: int = 0
    instances: int = 0


class Counters:
    """Sums up a batch, then writes each row above once, rows in order so that no two transactions block each other."""

    def __init__(self, hospital: str) -> None:
        self._hospital = hospital
        self._series: dict[int, _SeriesGrowth] = {}
        self._version_bytes: Counter[int] = Counter()
        self._segment_ends: dict[int, int] = {}
        self._days: dict[int, tuple[str, str]] = {}
        """Hospital and date of each new study."""

    def note(self, new: NewInstance, above: Above, segment_row: int) -> None:
        """`new` is a new row below `above`."""
        growth = self._series.get(above.series_row)
        if growth is None:
            modality = row_values.modality_in_study(new.series) if above.is_new_series else ""
            growth = self._series[above.series_row] = _SeriesGrowth(above, modality)
            if above.is_new_study and not is_trash(self._hospital):
                day = row_values.study_columns(new.study)["study_date"]
                self._days.setdefault(above.study_row, (new.key.hospital, day))
        growth.instances += 1
        growth.stored_bytes += new.location.length
        growth.sop_classes.add(new.sop_class_uid)
        self.note_place(segment_row, new.location)

    def note_version(self, series_row: int, length: int) -> None:
        """A version of an instance of the series is kept as an earlier one: no instance more, but so many bytes."""
        if not is_trash(self._hospital):  # where nobody counts, and the series may be one that is not in the trash
            self._version_bytes[series_row] += length

    def note_place(self, segment_row: int, location: Location) -> None:
        """A row names this place in the segment."""
        end = location.offset + location.length
        self._segment_ends[segment_row] = max(end, self._segment_ends.get(segment_row, 0))

    def write(self, driver: Driver, now_us: int) -> None:
        """Bring the rows up to date; the series are as of `now_us`, microseconds since 1970.

        Raises:
            RowsGone: one of them went into the trash; nothing may be committed.
        """
        patient_growth: defaultdict[int, _Growth] = defaultdict(_Growth)
        study_growth: defaultdict[int, _Growth] = defaultdict(_Growth)
        new_studies: dict[int, int] = {}
        for growth in self._series.values():
            above = growth.above
            for grown in (patient_growth[above.patient_row], study_growth[above.study_row]):
                grown.instances += growth.instances
                grown.series += above.is_new_series
            if above.is_new_study:
                new_studies[above.study_row] = above.patient_row
        for patient_row in new_studies.values():
            patient_growth[patient_row].studies += 1
        self._run(driver, _GROW_PATIENT, _values(patient_growth.items()))
        self._run(driver, _GROW_STUDY, _values(study_growth.items()))
        self._run(driver, _GROW_SERIES, [*self._series_values(now_us)])
        self._write_words(driver)
        new_series = [growth for growth in self._series.values() if growth.above.is_new_series]
        modalities = [(growth.modality, growth.above.place) for growth in new_series]
        study_modalities.write(driver, self._hospital, modalities)
        grow_days(driver, self._days.values())
        ends = [{"row": row, "end": end} for row, end in sorted(self._segment_ends.items())]
        if ends:
            driver.run(_EXTEND_SEGMENT, ends)

    def _series_values(self, now_us: int) -> Iterator[dict[str, int]]:
        for row in sorted(self._series.keys() | self._version_bytes.keys()):
            growth = self._series.get(row)
            more_bytes = self._version_bytes[row] + (growth.stored_bytes if growth else 0)
            more_instances = growth.instances if growth else 0
            yield {"row": row, "more_instances": more_instances, "more_bytes": more_bytes, "now": now_us}

    def _run(self, driver: Driver, statement: Executable, several: list[dict[str, int]]) -> None:
        """A row that is deleted meanwhile is at another hospital."""
        if several and driver.run(statement, [{**values, "in_hospital": self._hospital} for values in several]) != len(
            several
        ):
            raise RowsGone

    def _write_words(self, driver: Driver) -> None:
        words: set[tuple[int, str, str]] = set()
        for growth in self._series.values():
            above = growth.above
            if above.is_new_series:
                words.add((above.study_row, "modalities_in_study", growth.modality))
            for uid in growth.sop_classes:
                if f"\\{uid}\\" not in above.sop_classes_in_study:
                    words.add((above.study_row, "sop_classes_in_study", uid))
        for study_row, column, word in sorted(words):
            driver.run(_WORD_IN_STUDY[column], [{"row": study_row, "word": f"\\{word}\\", "more": f"{word}\\"}])


def grow_days(driver: Driver, new_studies: Iterable[tuple[str, str]]) -> None:
    """Count new studies, given as hospital and date."""
    for statement, rows in _grown_days(new_studies, driver.dialect_name):
        driver.run(statement, rows)


def grow_days_again(connection: Connection, live_studies: Iterable[tuple[str, str]]) -> None:
    """As `grow_days`, of studies that were not live before."""
    for statement, rows in _grown_days(live_studies, connection.dialect.name):
        connection.execute(statement, rows)


def _grown_days(
    studies_on: Iterable[tuple[str, str]], dialect_name: str
) -> Iterator[tuple[Executable, list[dict[str, Any]]]]:
    days = Counter(studies_on)
    if not days:
        return
    months: Counter[tuple[str, str]] = Counter()
    for (hospital, day), count in days.items():
        months[hospital, day[:6]] += count
    for table, name, counts in ((study_days, "study_date", days), (study_months, "study_month", months)):
        rows: list[dict[str, Any]] = [
            {"hospital": hospital, name: when, "studies": count} for (hospital, when), count in sorted(counts.items())
        ]
        yield _grow(table, name, dialect_name), rows


def _values(growth: Iterable[tuple[int, _Growth]]) -> list[dict[str, int]]:
    return [
        {"row": row, "more_studies": grown.studies, "more_series": grown.series, "more_instances": grown.instances}
        for row, grown in sorted(growth, key=lambda pair: pair[0])
    ]


@cache
def _grow(table: Table, name: str, dialect_name: str) -> Executable:
    insert = (postgresql.insert if dialect_name == "postgresql" else sqlite.insert)(table)
    return insert.on_conflict_do_update(
        index_elements=["hospital", name], set_={"studies": table.c.studies + insert.excluded.studies}
    )


_EXTEND_SEGMENT = (
    update(segments)
    .where(segments.c.id == bindparam("row"))
    .values(end_offset=case((segments.c.end_offset < bindparam("end"), bindparam("end")), else_=segments.c.end_offset))
)
_GROW_PATIENT = (
    update(patients)
    .where(patients.c.id == bindparam("row"), patients.c.hospital == bindparam("in_hospital"))
    .values(
        studies=patients.c.studies + bindparam("more_studies"),
        series=patients.c.series + bindparam("more_series"),
        instances=patients.c.instances + bindparam("more_instances"),
    )
)
_GROW_STUDY = (
    update(studies)
    .where(studies.c.id == bindparam("row"), studies.c.hospital == bindparam("in_hospital"))
    .values(
        series=studies.c.series + bindparam("more_series"), instances=studies.c.instances + bindparam("more_instances")
    )
)
_GROW_SERIES = (
    update(series)
    .where(series.c.id == bindparam("row"), series.c.hospital == bindparam("in_hospital"))
    .values(
        instances=series.c.instances + bindparam("more_instances"),
        stored_bytes=series.c.stored_bytes + bindparam("more_bytes"),
        last_stored_at_us=bindparam("now"),
        is_settled=false(),
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

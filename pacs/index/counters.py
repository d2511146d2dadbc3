"""Counters and lists of the rows above instances, kept up to date in the transaction that adds those."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from sqlalchemy import Executable, Table, bindparam, case, false, func, update
from sqlalchemy.dialects import postgresql, sqlite

from pacs.index import row_values, study_modalities
from pacs.index.driver import Driver
from pacs.index.rows_above import Above
from pacs.index.tables import patients, segments, series, studies, study_days, study_months
from pacs.index.trash_hospital import is_trash
from pacs.model import NewInstance


class RowsGone(Exception):
    """A row above was deleted between our look and our write; do it again."""


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
        end = new.location.offset + new.location.length
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
        in_order = sorted(self._series.items())
        self._run(
            driver,
            _GROW_SERIES,
            [
                {"row": row, "more_instances": growth.instances, "more_bytes": growth.stored_bytes, "now": now_us}
                for row, growth in in_order
            ],
        )
        self._write_words(driver)
        new_series = [growth for growth in self._series.values() if growth.above.is_new_series]
        modalities = [(growth.modality, growth.above.place) for growth in new_series]
        study_modalities.write(driver, self._hospital, modalities)
        grow_days(driver, self._days.values())
        driver.run(_EXTEND_SEGMENT, [{"row": row, "end": end} for row, end in sorted(self._segment_ends.items())])

    def _run(self, driver: Driver, statement: Executable, several: list[dict[str, int]]) -> None:
        """A row that is deleted meanwhile is at another hospital."""
        if driver.run(statement, [{**values, "in_hospital": self._hospital} for values in several]) != len(several):
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
    days = Counter(new_studies)
    if not days:
        return
    months: Counter[tuple[str, str]] = Counter()
    for (hospital, day), count in days.items():
        months[hospital, day[:6]] += count
    for table, name, counts in ((study_days, "study_date", days), (study_months, "study_month", months)):
        rows = [
            {"hospital": hospital, name: when, "studies": count} for (hospital, when), count in sorted(counts.items())
        ]
        driver.run(_grow(table, name, driver.dialect_name), rows)


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

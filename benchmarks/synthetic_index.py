"""An index as it is after years: patients, studies, series and instances as rows only, without any image.

    python -m benchmarks.synthetic_index sqlite:///index.sqlite --studies 1000000 --instances 1

Rows are made by the functions that the archive itself uses, and written in bulk. One batch of studies is one
transaction, so a build that was stopped goes on where it was, and a finished one is used again. The same `Contents`
give the same rows.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from bisect import bisect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Connection, bindparam, func, select, text, update

from benchmarks.synthetic_rows import Patient, Study, instance_rows, make_patient, patient_row, series_row, study_row
from pacs.index.driver import Driver
from pacs.index.engine import open_engine
from pacs.index.migrate import migrate, refill
from pacs.index.tables import instances, patients, segments, series, studies, study_days

_LAST_DAY = date(2026, 10, 31)
_NEW_PATIENTS = 0.4
"""Of the studies of a batch; the others are of patients seen before, mostly lately."""
_CACHE_KB = 1 << 20


class OtherContents(Exception):
    """The index holds other rows than those that are to be made; take another file."""


@dataclass(frozen=True)
class Contents:
    """What the index is to hold."""

    studies: int = 1_000_000
    series_per_study: int = 3
    instances_per_series: int = 1
    """0 to 10."""
    hospital: str = "default"
    years: int = 15
    """The studies' dates end on 31 October 2026 and begin so long before."""
    seed: int = 1
    studies_per_batch: int = 5_000

    @property
    def batches(self) -> int:
        return -(-self.studies // self.studies_per_batch)

    @property
    def name(self) -> str:
        """For people and folders."""
        numbers = (self.studies, self.series_per_study, self.instances_per_series, self.years, self.seed)
        return f"{self.hospital}/synthetic-{'-'.join(map(str, numbers))}-{self.studies_per_batch}"

    @cached_property
    def segments(self) -> str:
        """How the names of the segments begin in which the instances seem to lie."""
        return f"{self.hospital}/{hashlib.sha256(self.name.encode()).hexdigest()[:26]}"

    @cached_property
    def _days(self) -> tuple[date, list[float]]:
        """The first day, and the share of all studies that were made by the end of each day."""
        first = _LAST_DAY - timedelta(days=round(365.25 * self.years) - 1)
        days = [first + timedelta(days=number) for number in range((_LAST_DAY - first).days + 1)]
        busy = {5: 0.35, 6: 0.15}
        weights = list(accumulate(busy.get(day.weekday(), 1.0) * 1.03 ** (day.year - first.year) for day in days))
        return first, [weight / weights[-1] for weight in weights]

    def day_of(self, study: int) -> date:
        """When the n-th study was made: few at weekends, 3 % more every year."""
        first, shares = self._days
        return first + timedelta(days=bisect(shares, study / self.studies))


def build(url: str, contents: Contents, progress: Callable[[int], None] = lambda studies: None) -> None:
    """Make the tables and all rows that are missing; `progress` is told the number of studies that are there.

    Raises:
        OtherContents: the index holds rows that are none of these.
    """
    engine = open_engine(url)
    migrate(engine)
    try:
        with engine.connect().execution_options(pacs_writes=True) as connection:
            _relax(connection)
            with connection.begin():
                done = _batches_done(connection, contents)
            for batch in range(done, contents.batches):
                progress(batch * contents.studies_per_batch)
                with connection.begin():
                    _write_batch(connection, contents, batch)
            if connection.dialect.name == "sqlite":
                _raw(connection).execute("PRAGMA synchronous = FULL")
        with engine.connect() as connection:
            is_derived = connection.execute(select(study_days.c.studies).limit(1)).first()
        if done < contents.batches or is_derived is None:
            refill(engine)  # what `Index.add` makes of studies and patients beside their rows
        progress(contents.studies)
        with engine.connect().execution_options(pacs_writes=True) as connection:
            if engine.dialect.name == "sqlite":
                _raw(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)")
            elif done < contents.batches:
                with connection.begin():
                    _after_build_on_postgresql(connection)
    finally:
        engine.dispose()


def _raw(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _relax(connection: Connection) -> None:
    """What is lost by a power cut can be built again; a killed build leaves whole batches all the same."""
    if connection.dialect.name == "sqlite":
        for pragma in ("synchronous = OFF", f"cache_size = -{_CACHE_KB}", "foreign_keys = OFF"):
            _raw(connection).execute(f"PRAGMA {pragma}")


def _after_build_on_postgresql(connection: Connection) -> None:
    for table in (patients, studies, series, segments, instances):
        highest = f"(SELECT coalesce(max(id), 0) + 1 FROM {table.name})"
        connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), {highest}, false)"))
    connection.execute(text("ANALYZE"))


def _batches_done(connection: Connection, contents: Contents) -> int:
    names: list[str] = list(connection.execute(select(segments.c.name)).scalars())
    done = sum(name.startswith(contents.segments) for name in names)
    if done == contents.batches:  # what was stored since does not disturb
        return done
    expected = min(done * contents.studies_per_batch, contents.studies)
    there = connection.execute(select(func.count()).select_from(studies)).scalar_one()
    if there != expected or len(names) != done:
        raise OtherContents(
            f"the index holds {there:,} studies in {len(names)} segments, of which {done} are {contents.name}: "
            "take a new file"
        )
    return done


def _write_batch(connection: Connection, contents: Contents, batch: int) -> None:
    random = Random(f"{contents.seed}-{batch}")
    first = batch * contents.studies_per_batch
    last = min(first + contents.studies_per_batch, contents.studies)
    fresh_per_batch = max(1, round(contents.studies_per_batch * _NEW_PATIENTS))
    known = batch * fresh_per_batch
    fresh = range(known, known + min(fresh_per_batch, last - first))
    numbers = [*fresh, *(int((known + len(fresh)) * random.random() ** 0.5) for _ in range(last - first - len(fresh)))]
    random.shuffle(numbers)
    made = {number: make_patient(contents.seed, number) for number in set(numbers)}
    rows = _Rows(contents, batch)
    for study_number, patient_number in zip(range(first, last), numbers, strict=True):
        rows.add(random, study_number, made[patient_number])
    driver = Driver(connection.dialect, _raw(connection))
    driver.run(patients.insert().inline(), [patient_row(contents.hospital, made[number]) for number in fresh])
    driver.run(_GROW_PATIENT, rows.patient_growth())
    driver.run(segments.insert().inline(), [rows.segment()])
    for table, found in ((studies, rows.studies), (series, rows.series), (instances, rows.instances)):
        if found:
            driver.run(table.insert().inline(), found)


_GROW_PATIENT = (
    update(patients)
    .where(patients.c.id == bindparam("row"))
    .values(
        studies=patients.c.studies + bindparam("more_studies"),
        series=patients.c.series + bindparam("more_series"),
        instances=patients.c.instances + bindparam("more_instances"),
    )
)


class _Rows:
    """The rows of one batch. The n-th of a table has the number n in the whole build, from 1."""

    def __init__(self, contents: Contents, batch: int) -> None:
        self._contents = contents
        self._segment = batch + 1
        self._end = 0
        self._studies_of: Counter[int] = Counter()
        self.studies: list[dict[str, Any]] = []
        self.series: list[dict[str, Any]] = []
        self.instances: list[dict[str, Any]] = []

    def add(self, random: Random, number: int, patient: Patient) -> None:
        """A study of the patient, with all below."""
        contents = self._contents
        moment = datetime.combine(contents.day_of(number), datetime.min.time())
        study = Study.make(random, number, moment, patient, contents.series_per_study)
        self._studies_of[patient.number + 1] += 1
        counts = (contents.series_per_study, contents.series_per_study * contents.instances_per_series)
        self.studies.append({"id": number + 1, **study_row(contents.hospital, study, *counts)})
        for within, one in enumerate(study.series):
            series_id = number * contents.series_per_study + within + 1
            below = instance_rows(random, contents.hospital, one, contents.instances_per_series, self._end)
            self._end += sum(row["length"] + 2048 for row in below)
            stored = sum(row["length"] for row in below)
            row = series_row(contents.hospital, one, instances=len(below), stored_bytes=stored)
            self.series.append({"id": series_id, "study_row": number + 1, **row})
            first = (series_id - 1) * contents.instances_per_series + 1
            for instance_id, row in enumerate(below, start=first):
                self.instances.append(row | {"id": instance_id, "series_row": series_id, "segment_row": self._segment})

    def segment(self) -> dict[str, Any]:
        name = f"{self._contents.segments}{self._segment:06x}"
        return {"id": self._segment, "hospital": self._contents.hospital, "name": name, "end_offset": self._end}

    def patient_growth(self) -> list[dict[str, int]]:
        per_study = self._contents.series_per_study
        return [
            {
                "row": row,
                "more_studies": count,
                "more_series": count * per_study,
                "more_instances": count * per_study * self._contents.instances_per_series,
            }
            for row, count in sorted(self._studies_of.items())
        ]


def build_with_bar(url: str, contents: Contents) -> None:
    """`build`, with a progress bar on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("studies", total=contents.studies)
        build(url, contents, lambda done: bar.update(task, completed=done))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", help="SQLAlchemy URL, or the name of a SQLite file")
    parser.add_argument("--studies", type=int, default=1_000_000)
    parser.add_argument("--series", type=int, default=3, help="of each study [3]")
    parser.add_argument("--instances", type=int, default=1, choices=range(11), help="of each series, up to 10 [1]")
    parser.add_argument("--hospital", default="default")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    url = given.index if "://" in given.index else f"sqlite:///{Path(given.index).absolute()}"
    contents = Contents(given.studies, given.series, given.instances, given.hospital, seed=given.seed)
    build_with_bar(url, contents)
    return 0


if __name__ == "__main__":
    sys.exit(main())

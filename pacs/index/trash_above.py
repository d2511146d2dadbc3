"""The rows above what is moved into the trash or out of it: what they gain or lose, and which of them are live.

What comes back finds its series, study and patient as they are now: where they were, in the trash and brought back, as
twins that came anew meanwhile, or held by another deletion and copied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from pacs.index import gram_tables, study_locks
from pacs.index.tables import patients, series, studies
from pacs.index.trash_statements import move_values, several
from pacs.model import Level


@dataclass
class Change:
    """What one row above gains or loses."""

    instances: int = 0
    stored_bytes: int = 0
    series: int = 0
    studies: int = 0


@dataclass
class Changes:
    """Of all rows above, by row, level by level."""

    patients: defaultdict[int, Change] = field(default_factory=lambda: defaultdict(Change))
    studies: defaultdict[int, Change] = field(default_factory=lambda: defaultdict(Change))
    series: defaultdict[int, Change] = field(default_factory=lambda: defaultdict(Change))
    days: list[str] = field(default_factory=list)
    """Of studies that are live again."""


class RowsAbove:
    """The rows above some instances, from their series up, held, as they are now."""

    def __init__(self, connection: Connection, hospital: str, series_rows: Iterable[int]) -> None:
        self._connection = connection
        self.series: dict[int, Any] = {}
        self.studies: dict[int, Any] = {}
        self.patients: dict[int, Any] = {}
        wanted = sorted(set(series_rows))
        of_series = self._read(series, wanted, hold=False)
        of_studies = self._read(studies, sorted({row.study_row for row in of_series.values()}), hold=False)
        study_locks.hold_patients(connection, hospital, sorted(of_studies))
        self.patients = self._read(patients, sorted({row.patient_row for row in of_studies.values()}))
        self.studies = self._read(studies, sorted(of_studies))
        self.series = self._read(series, sorted(of_series))

    def count(self, images: Iterable[tuple[int, int]], changes: Changes, home: Mapping[int, int]) -> None:
        """Add up images, each its series row and its bytes, for the rows above them, which are elsewhere where `home`
        says so."""
        for row, size in images:
            series_row = home.get(row, row)
            study_row = self._study_of(series_row)
            change = changes.series[series_row]
            change.instances += 1
            change.stored_bytes += size
            changes.studies[study_row].instances += 1
            changes.patients[self._patient_of(study_row)].instances += 1

    def live_series(self, row: int, hospital: str, trash: str, changes: Changes) -> int:
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

    def _live_study(self, row: int, hospital: str, trash: str, changes: Changes) -> int:
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
        changes.days.append(found.study_date)
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
                move_values(self._connection, level, [row], hospital)
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
        for some in several(rows):
            statement = select(table).where(table.c.id.in_(some)).order_by(table.c.id)
            for row in self._connection.execute(statement.with_for_update() if hold else statement):
                found[row.id] = row
        return found

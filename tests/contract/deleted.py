"""What tests of the trash delete, and all that anybody can see of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, text

from pacs.index import Index
from pacs.index.tables import study_days, study_months
from pacs.index.trash_rows import Place
from pacs.model import Deletion, Level, Match, NewInstance, Query
from tests.index.new_instances import CT, MR, attributes, name, new_instance

NAME = 0x00100010


def deletion(study: str, series: str | None = None, sop: str | None = None, **values: Any) -> Deletion:
    at = datetime.now(UTC)
    made = Deletion(secrets.token_hex(16), "default", study, series, sop, "wrong patient", "me", "here", at, at)
    return replace(made, **({"erase_at": at + timedelta(days=30)} | values))


class Notes:
    """What was told before commits, as the store would keep it."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[Deletion, list[Place]]] = {}

    def __call__(self, told: Deletion, places: Sequence[Place]) -> None:
        self.last[told.name] = (told, list(places))


def study(
    number: int, *, series: int = 2, images: int = 3, patient: str = "P1", date: str = "20240131"
) -> list[NewInstance]:
    return [
        new_instance(
            f"1.{number}",
            f"1.{number}.{s}",
            f"1.{number}.{s}.{i}",
            sop_class=CT if s % 2 else MR,
            segment=f"segment{number}",
            offset=1000 * (10 * s + i),
            length=900,
            in_patient=attributes(PatientID=patient, PatientName=name(f"Kim^{patient}")),
            in_study=attributes(StudyDate=date, AccessionNumber=f"A{number}"),
            in_series=attributes(Modality="CT" if s % 2 else "MR", SeriesNumber=s),
            in_instance=attributes(InstanceNumber=i),
        )
        for s in range(1, series + 1)
        for i in range(1, images + 1)
    ]


def seen(index: Index, *, exact: bool = True) -> dict[str, Any]:
    """All that anybody of the hospital can see of it, by every way of asking."""

    def found(level: Level, *matches: Match, **more: Any) -> list[Any]:
        return list(index.search("default", Query(level, matches, **more)))

    answers: dict[str, Any] = {level: found(level) for level in Level}
    answers["by part of a name"] = found(Level.STUDY, Match((NAME,), ("*im*",)))
    answers["by part of a patient's name"] = found(Level.PATIENT, Match((NAME,), ("*im*",)))
    answers["by modality"] = found(Level.STUDY, Match((0x00080061,), ("MR",)))
    answers["by SOP class"] = found(Level.STUDY, Match((0x00080062,), (MR,)))
    answers["by a lower key"] = found(Level.STUDY, Match((0x00080060,), ("MR",)))
    holdings = index.holdings("default")
    everywhere = index.holdings()
    answers["holdings"] = [replace(each, last_stored_at=None, segments=0) for each in (holdings, everywhere)]
    instances = index.instances(
        "default", study_instance_uid=[answer["0020000D"]["Value"][0] for answer in answers[Level.STUDY]] or "0"
    )
    answers["rows"] = [replace(row, stored_at=None) for row in instances] if not exact else instances
    answers["contents"] = [
        (
            row.series_instance_uid,
            row.instances,
            row.stored_bytes,
            index.contents.instances("default", row.row).instances,
        )
        for answer in answers[Level.STUDY]
        for row in index.contents.series("default", answer["0020000D"]["Value"][0])
    ]
    answers["versions"] = [index.versions("default", row.key.sop_instance_uid) for row in instances] if exact else []
    with index._engine.connect() as connection:
        for table in (study_days, study_months):
            rows = connection.execute(select(table).where(table.c.hospital == "default", table.c.studies != 0))
            answers[table.name] = sorted(map(tuple, rows))
    if not exact:
        answers[Level.STUDY] = [unordered(answer) for answer in answers[Level.STUDY]]
        for way in ("by part of a name", "by modality", "by SOP class", "by a lower key", Level.SERIES, Level.IMAGE):
            answers[way] = [unordered(answer) for answer in answers[way]]
    return answers


def unordered(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        tag: {**value, "Value": sorted(value["Value"])} if tag in ("00080061", "00080062") else value
        for tag, value in answer.items()
    }


def rows_of(index: Index) -> dict[str, int]:
    """How many rows each table has."""
    with index._engine.connect() as connection:
        counts = {}
        for table in ("patients", "studies", "series", "instances", "versions", "attribute_values", "study_modalities"):
            counts[table] = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
        return counts


def filled(index: Index) -> None:
    index.add(
        [*study(1), *study(2, date="20240201"), *study(3, patient="P3"), *study(4, series=1, images=1, patient="P4")]
    )
    # Modalities and SOP classes in another order than any rule would give them.
    index.add(list(study(5, images=1, date=""))[::-1][:1])
    index.add(study(5, images=1, date=""))

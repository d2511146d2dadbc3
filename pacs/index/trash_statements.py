"""Statements that rows and the rows above them need on their way into the trash and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, select, update

from pacs.index.tables import attribute_values, searchable_attributes, study_days, study_months
from pacs.model import Level

_AT_ONCE = 1000


def uncount_day(connection: Connection, hospital: str, day: str) -> None:
    """Count a study less on its day and in its month."""
    for table, column, when in ((study_days, "study_date", day), (study_months, "study_month", day[:6])):
        chosen = (table.c.hospital == hospital, table.c[column] == when)
        connection.execute(update(table).where(*chosen).values(studies=table.c.studies - 1))
        connection.execute(delete(table).where(*chosen, table.c.studies <= 0))


def move_values(connection: Connection, level: Level, rows: Sequence[int], target: str) -> None:
    """Give what the searchable attributes of these rows hold to the hospital, or trash, `target`."""
    for some in several(rows):
        statement = update(attribute_values).where(attribute_values.c.attribute.in_(_attributes(level)))
        connection.execute(statement.where(attribute_values.c.row.in_(some)).values(hospital=target))


def drop_values(connection: Connection, level: Level, rows: Sequence[int]) -> None:
    """Delete what the searchable attributes of these rows hold."""
    for some in several(rows):
        statement = delete(attribute_values).where(attribute_values.c.attribute.in_(_attributes(level)))
        connection.execute(statement.where(attribute_values.c.row.in_(some)))


def _attributes(level: Level) -> Any:
    return select(searchable_attributes.c.id).where(searchable_attributes.c.level == level.value)


def several(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """As many at once as one statement takes."""
    left = iter(rows)
    while some := list(islice(left, _AT_ONCE)):
        yield some

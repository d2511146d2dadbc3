"""Rows whose values of searchable attributes are to be read anew, because an instance left, came back or was replaced.

A value does not say which instance it is of, and several may have the same. So when only a part of a series or study
is deleted or restored, or an instance gets other bytes, all values of the row go in that transaction, and who does the
background work reads them again from what is there. Until then searches say that they may miss something.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Executable,
    Integer,
    MetaData,
    Select,
    Table,
    bindparam,
    delete,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from pacs.index.driver import Driver
from pacs.index.tables import attribute_values, searchable_attributes
from pacs.model import Level

TABLE: Final = "stale_values"
_ROW_ID: Final = BigInteger().with_variant(Integer(), "sqlite")
_table: Final = Table(
    TABLE,
    MetaData(),
    Column("attribute", _ROW_ID, primary_key=True, autoincrement=False),
    Column("row", _ROW_ID, primary_key=True, autoincrement=False),
    # Another with each change, and never the same again: who has read before it has read too early.
    Column("changes", BigInteger, nullable=False),
)
_AT_ONCE: Final = 200


class StaleRow(NamedTuple):
    """A row of the attribute's level, with its mark when this was read."""

    attribute: int
    row: int
    changes: int


def ensure_table(connection: Connection) -> None:
    """Make the table if it is not there."""
    _table.create(connection, checkfirst=True)


def note(connection: Connection, level: Level, rows: Sequence[int]) -> None:
    """Drop the values of these rows of `level`, to be read anew."""
    chosen = select(searchable_attributes.c.id).where(
        searchable_attributes.c.level == level.value, ~searchable_attributes.c.is_removed
    )
    attributes = list(connection.execute(chosen.order_by(searchable_attributes.c.id)).scalars())
    if not attributes:
        return
    for start in range(0, len(rows), _AT_ONCE):
        some = sorted(rows[start : start + _AT_ONCE])
        for attribute in attributes:
            connection.execute(
                _noted(connection.dialect.name),
                [{"attribute": attribute, "row": row, "changes": _mark()} for row in some],
            )
        # Held in the order in which who reads them anew does, so that neither waits for the other for ever.
        connection.execute(
            delete(attribute_values).where(
                attribute_values.c.attribute.in_(attributes), attribute_values.c.row.in_(some)
            )
        )


def note_replaced(driver: Driver, replaced: Iterable[Mapping[Level, int]]) -> None:
    """As `note`, for instances that have other bytes now: the row of each and those above it, by level."""
    replaced = list(replaced)
    attributes = driver.rows(_ATTRIBUTES, {}) if replaced else []
    rows = sorted({(attribute, by_level[Level(level)]) for attribute, level in attributes for by_level in replaced})
    if rows:
        several = [{"attribute": attribute, "row": row} for attribute, row in rows]
        driver.run(_noted(driver.dialect_name), [{**one, "changes": _mark()} for one in several])
        driver.run(_DROP, several)


def next_row(connection: Connection) -> StaleRow | None:
    """One that is to be read, of an attribute that is still searchable."""
    chosen = (
        select(_table)
        .join(searchable_attributes, searchable_attributes.c.id == _table.c.attribute)
        .where(~searchable_attributes.c.is_removed)
    )
    found = connection.execute(chosen.order_by(_table.c.attribute, _table.c.row).limit(1)).one_or_none()
    return None if found is None else StaleRow(*found)


def rows_of(attribute: int) -> Select[tuple[int]]:
    """Its rows that are to be read."""
    return select(_table.c.row).where(_table.c.attribute == attribute)


def attributes(connection: Connection) -> set[int]:
    """Numbers of the attributes that have such rows."""
    return set(connection.execute(select(_table.c.attribute).distinct()).scalars())


def done(connection: Connection, stale: StaleRow) -> bool:
    """It was read; False when it has changed since, and is to be read again."""
    removed = connection.execute(
        delete(_table).where(
            _table.c.attribute == stale.attribute,
            _table.c.row == stale.row,
            _table.c.changes == stale.changes,
        )
    )
    return removed.rowcount > 0


def forget(connection: Connection, attribute: int) -> None:
    """The attribute is no longer searchable."""
    connection.execute(delete(_table).where(_table.c.attribute == attribute))


def _mark() -> int:
    return secrets.randbits(62)


@cache
def _noted(dialect_name: str) -> Executable:
    insert = (postgresql.insert if dialect_name == "postgresql" else sqlite.insert)(_table)
    return insert.on_conflict_do_update(index_elements=["attribute", "row"], set_={"changes": insert.excluded.changes})


_ATTRIBUTES = select(searchable_attributes.c.id, searchable_attributes.c.level).where(
    ~searchable_attributes.c.is_removed
)
_DROP = delete(attribute_values).where(
    attribute_values.c.attribute == bindparam("attribute"), attribute_values.c.row == bindparam("row")
)

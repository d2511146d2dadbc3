"""The tables that lead from grams to places: a full-text index on SQLite, an array with GIN on PostgreSQL.

Written in the transaction that makes the study or patient, and never changed until the one that drops it: also while it
is in the trash. They can be made again from the rows.
On SQLite places come out in order, so the first page of a frequent word costs as little as of a rare one. On
PostgreSQL all that have the grams are found first and their rows read. So the newest rows are looked through before;
and where that shows that two months or two years will do, only theirs are asked for: studies have those as a gram.
Whole values have a table of their own there (`pacs.index.whole_values`).
"""
# ruff: noqa: S608 -- names of tables and numbers of grams are our own

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, inspect, text

from pacs import log
from pacs.index import grams, whole_values
from pacs.index.driver import Driver
from pacs.index.grams import Alternatives
from pacs.index.trash_hospital import owner_of
from pacs.model import Level

_Sets = tuple[frozenset[int], ...]
TABLES = {Level.STUDY: "study_grams", Level.PATIENT: "patient_grams"}
MORE_TABLES = tuple(f"{table}_{part}" for table in TABLES.values() for part in ("data", "idx", "config"))
"""In which SQLite keeps them."""
_TOLD_EVERY_S = 5.0
_NEWEST = 300
"""Rows that PostgreSQL looks through before it asks GIN: 0.6 ms, in which GIN finds and reads 300 that match."""
_NONE = 0.5
"""Where none of them matches, so many are expected in as many more."""
_ENOUGH = 2
"""Times as many as are wanted must be expected of some months or years, to ask for those before all."""

_INSERT = {
    ("sqlite", level): text(f"INSERT INTO {table} (rowid, grams) VALUES (:place, :grams)")
    for level, table in TABLES.items()
} | {
    ("postgresql", level): text(
        f"INSERT INTO {table} (hospital, place, grams) VALUES (:hospital, :place, CAST(:grams AS int[]))"
    )
    for level, table in TABLES.items()
}
# A table that keeps no text is told what it is to forget.
_FORGET = {
    ("sqlite", level): text(f"INSERT INTO {table} ({table}, rowid, grams) VALUES ('delete', :place, :grams)")
    for level, table in TABLES.items()
} | {
    ("postgresql", level): text(f"DELETE FROM {table} WHERE hospital = :hospital AND place = :place")
    for level, table in TABLES.items()
}
_FORGOTTEN_BY = {"sqlite": ("place", "grams"), "postgresql": ("hospital", "place")}
_ROWS = {
    Level.STUDY: "SELECT id, hospital, patient_name, patient_name_ideographic, patient_name_phonetic, patient_id,"
    " patient_birth_date, accession_number, study_id, study_description, study_date, study_time, attributes"
    " FROM studies"
    " WHERE id > :last ORDER BY id LIMIT 2000",
    Level.PATIENT: "SELECT id, hospital, patient_name, patient_name_ideographic, patient_name_phonetic, patient_id,"
    " patient_birth_date FROM patients WHERE id > :last ORDER BY id LIMIT 2000",
}


def ensure(connection: Connection) -> None:
    """Make the tables from the rows that are there, when they are missing; 1 M studies take minutes."""
    if not inspect(connection).has_table(TABLES[Level.STUDY]):
        whole_values.drop(connection)
        create(connection)
        fill(connection)
    elif not whole_values.is_there(connection):
        whole_values.create(connection)
        whole_values.fill(connection)


def create(connection: Connection) -> None:
    """Make the tables, empty."""
    whole_values.create(connection)
    for table in TABLES.values():
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(
                f"CREATE VIRTUAL TABLE {table} USING fts5"
                "(grams, content='', detail=none, columnsize=0, tokenize='ascii')"
            )
            continue
        connection.exec_driver_sql(
            f'CREATE TABLE {table} (hospital TEXT COLLATE "C" NOT NULL, place BIGINT NOT NULL, grams INT[] NOT NULL,'
            f" CONSTRAINT pk_{table} PRIMARY KEY (hospital, place))"
        )
        # What waits to be sorted in is read by every search, so little may wait.
        connection.exec_driver_sql(
            f"CREATE INDEX ix_{table}_grams ON {table} USING gin (grams) WITH (gin_pending_list_limit = 256)"
        )


def drop(connection: Connection) -> None:
    """Take them away."""
    whole_values.drop(connection)
    for table in TABLES.values():
        connection.exec_driver_sql(f"DROP TABLE {table}")


def fill(connection: Connection) -> None:
    """Write the grams of all rows into the empty tables."""
    whole_values.fill(connection)
    for level, statement in _ROWS.items():
        told_at, last = time.monotonic(), 0
        table = {Level.STUDY: "studies", Level.PATIENT: "patients"}[level]
        of = connection.exec_driver_sql(f"SELECT max(id) FROM {table}").scalar()
        while rows := connection.execute(text(statement), {"last": last}).mappings().all():
            last = int(rows[-1]["id"])
            connection.execute(
                _INSERT[connection.dialect.name, level],
                [_values(connection.dialect.name, level, str(row["hospital"]), int(row["id"]), row) for row in rows],
            )
            if time.monotonic() - told_at >= _TOLD_EVERY_S:
                told_at = time.monotonic()
                log.event("the tables for searches are being made, once", table=table, done=last, of=of)


def write(driver: Driver, level: Level, hospital: str, rows: Iterable[tuple[int, Any]]) -> None:
    """Note new rows with their columns."""
    name = driver.dialect_name
    noted = [(_values(name, level, hospital, row, columns), columns) for row, columns in rows]
    driver.run(_INSERT[name, level], [values for values, _ in noted])
    for values, columns in noted if level is Level.STUDY else ():
        whole_values.write(driver, owner_of(hospital), values["place"], columns)


def note(connection: Connection, level: Level, hospital: str, row: int, columns: Any) -> None:
    """Note one new row with its columns."""
    name = connection.dialect.name
    values = _values(name, level, hospital, row, columns)
    connection.execute(_INSERT[name, level], values)
    if level is Level.STUDY:
        whole_values.note(connection, owner_of(hospital), values["place"], columns)


def forget(connection: Connection, level: Level, hospital: str, row: int, columns: Any) -> None:
    """Take out a row that is deleted, with the columns that it had when it was noted."""
    name = connection.dialect.name
    values = _values(name, level, hospital, row, columns)
    connection.execute(_FORGET[name, level], {key: values[key] for key in _FORGOTTEN_BY[name]})
    if level is Level.STUDY:
        whole_values.forget(connection, owner_of(hospital), values["place"], columns)


def _values(dialect: str, level: Level, hospital: str, row: int, columns: Any) -> dict[str, Any]:
    hospital = owner_of(hospital)
    place = row if level is Level.PATIENT else grams.study_place(columns["study_date"], columns["study_time"], row)
    numbers = grams.of_values(
        hospital, columns, grams.physicians(columns["attributes"]) if level is Level.STUDY else ()
    )
    if dialect == "sqlite":
        return {"place": place, "grams": " ".join(map(_word, sorted(numbers)))}
    if level is Level.STUDY:
        numbers |= grams.of_place(hospital, place)
    return {"hospital": hospital, "place": place, "grams": _array(numbers)}


def _array(numbers: Iterable[int]) -> str:
    return "{" + ",".join(map(str, sorted(numbers))) + "}"


def _word(number: int) -> str:
    return f"{number + (1 << 31):x}"


def newest(
    connection: Connection,
    level: Level,
    hospital: str,
    asked: tuple[Alternatives, ...],
    *,
    above: int,
    below: int,
    size: int,
) -> list[int]:
    """At most `size` places from `above` on and less than `below` of rows that may match, greatest first."""
    bounds: dict[str, Any] = {"above": above, "below": below, "size": size}
    if connection.dialect.name == "sqlite":
        match = _expression([one.sets for one in asked], lambda one: " AND ".join(map(_word, sorted(one))))
        return list(connection.execute(_FULL_TEXT[level], {"match": match, **bounds}).scalars().all())
    if level is Level.STUDY and whole_values.can_find(asked):
        return whole_values.newest(connection, asked[0].wholes, **bounds)
    condition = " AND ".join(_contained(one.sets) for one in asked)
    bounds["hospital"] = hospital

    # Not as `text`, whose compiling costs as much as the search: no two have the same numbers.
    def found_by(condition: str) -> list[int]:
        return list(connection.exec_driver_sql(_ALL[level].format(condition), bounds).scalars().all())

    if any(one.is_rare for one in asked):
        return found_by(condition)
    lately = connection.exec_driver_sql(
        _LATELY[level].format(condition), bounds | {"newest": _NEWEST, "rest": _NEWEST - 1}
    ).all()
    (_, end), (_, newest_place) = lately[:2]
    found = [int(place) for _, place in lately[2:]]
    if end is None or len(found) == size:
        return found
    bounds |= {"below": end, "size": size - len(found)}
    per_day = max(len(found), _NONE) / (grams.day_of(newest_place) - grams.day_of(end) + 1)
    for days in grams.days_before(end) if level is Level.STUDY else ():
        begin = max(above, grams.begin_of(days[-1]))
        if per_day * (grams.day_of(end) - grams.day_of(begin)) >= _ENOUGH * bounds["size"]:
            within = _contained(tuple(frozenset((grams.of_days(hospital, one),)) for one in days))
            found += (
                connection.exec_driver_sql(_ALL[level].format(f"{within} AND {condition}"), bounds | {"above": begin})
                .scalars()
                .all()
            )
            bounds |= {"below": begin, "size": size - len(found)}
            break
    return found + found_by(condition) if len(found) < size else found


def _expression(asked: Iterable[_Sets], of_one: Callable[[frozenset[int]], str]) -> str:
    return " AND ".join("(" + " OR ".join(f"({of_one(one)})" for one in several) + ")" for several in asked)


def _contained(several: _Sets) -> str:
    """In PostgreSQL's words; alternatives of one gram each are looked up together."""
    single = [number for one in several if len(one) == 1 for number in one]
    found = [f"grams @> '{_array(one)}'::int[]" for one in several if len(one) > 1]
    if single:
        found.append(f"grams && '{_array(single)}'::int[]")
    return f"({' OR '.join(found)})"


_WITHIN = "hospital = %(hospital)s AND place >= %(above)s AND place < %(below)s"
_FULL_TEXT = {
    level: text(
        f"SELECT rowid FROM {table} WHERE {table} MATCH :match AND rowid >= :above AND rowid < :below"
        " ORDER BY rowid DESC LIMIT :size"
    )
    for level, table in TABLES.items()
}
# The last that was looked through, NULL where there are fewer, the first, and those that may match.
_LATELY = {
    level: f"WITH lately AS MATERIALIZED (SELECT place, grams FROM {table} WHERE {_WITHIN}"
    " ORDER BY place DESC LIMIT %(newest)s), found AS (SELECT place FROM lately WHERE {} ORDER BY place DESC"
    " LIMIT %(size)s) SELECT 0 AS kind, (SELECT place FROM lately ORDER BY place DESC LIMIT 1 OFFSET %(rest)s) AS place"
    " UNION ALL SELECT 1, max(place) FROM lately UNION ALL SELECT 2, place FROM found ORDER BY kind, place DESC"
    for level, table in TABLES.items()
}
# Bounds and an order that no index has: the planner would rather look through all from the newest on.
_ALL = {
    level: f"SELECT place FROM {table} WHERE hospital = %(hospital)s AND place + 0 >= %(above)s"
    f" AND place + 0 < %(below)s AND {{}} ORDER BY place + 0 DESC LIMIT %(size)s"
    for level, table in TABLES.items()
}

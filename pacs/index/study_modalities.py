"""Where the studies with a modality stand in the list, so that those of a rare one are found without walking it.

A row is a modality of a hospital, as a number (`pacs.index.grams`), and a study's place. It is written in the
transaction that gives the study the modality, and deleted in the one that takes it away, or moves the study into the
trash.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from sqlalchemy import Connection, Executable, bindparam, delete, func, insert, select, union
from sqlalchemy.dialects import postgresql, sqlite

from pacs.index.driver import Driver
from pacs.index.grams import ROW_BITS, of_modality, study_place
from pacs.index.tables import studies, study_modalities
from pacs.index.trash_hospital import is_trash

_FEW = 1_000
"""Of so many studies the rows are read sooner than anything else is looked up."""
_AT_ONCE = 5_000
_ROWS = study_modalities.c


def in_list(words: str) -> list[str]:
    r"""The modalities of a study's list, ``\\CT\\SR\\``."""
    return [word for word in words.split("\\") if word]


def write(driver: Driver, hospital: str, found: Iterable[tuple[str, int]]) -> None:
    """Note modalities, each with the place of its study."""
    rows = [{"modality": of_modality(hospital, modality), "place": place} for modality, place in sorted(set(found))]
    if rows and not is_trash(hospital):
        driver.run(_insert(driver.dialect_name), rows)


def change(connection: Connection, hospital: str, place: int, *, before: str = "", now: str = "") -> None:
    """Note that the study there has the list `now`, and no more what else was in the list `before`."""
    for modality in set(in_list(before)) - set(in_list(now)):
        gone = delete(study_modalities).where(_ROWS.modality == of_modality(hospital, modality), _ROWS.place == place)
        connection.execute(gone)
    rows = [{"modality": of_modality(hospital, modality), "place": place} for modality in sorted(set(in_list(now)))]
    if rows:
        connection.execute(_insert(connection.dialect.name), rows)


def fill(connection: Connection) -> None:
    """Make all of it from the rows of the studies; a million take half a minute."""
    connection.execute(delete(study_modalities))
    one = studies.c
    chosen = select(one.id, one.hospital, one.study_date, one.study_time, one.modalities_in_study).order_by(one.id)
    last = 0
    while rows := connection.execute(chosen.where(one.id > last).limit(_AT_ONCE)).all():
        last = int(rows[-1].id)
        found = {
            (of_modality(row.hospital, word), study_place(row.study_date, row.study_time, row.id))
            for row in rows
            if not is_trash(row.hospital)
            for word in in_list(row.modalities_in_study)
        }
        if found:
            values = [{"modality": modality, "place": place} for modality, place in sorted(found)]
            connection.execute(insert(study_modalities), values)


def are_few(connection: Connection, numbers: Iterable[int]) -> bool:
    """Whether few studies have one of these modalities."""
    return all(connection.execute(_AFTER_FEW, {"modality": number, "few": _FEW}).first() is None for number in numbers)


def newest(connection: Connection, numbers: tuple[int, ...], *, above: int, below: int, size: int) -> list[int]:
    """At most `size` places from `above` on and less than `below` of studies that have one of these modalities,
    greatest first."""
    bounds = {"above": above, "below": below, "size": size}
    values = {f"modality_{at}": number for at, number in enumerate(numbers)}
    return list(connection.execute(_newest(len(numbers)), {**values, **bounds}).scalars())


def at(connection: Connection, number: int, *, above: int, below: int, offset: int) -> tuple[int, int] | None:
    """The place at `offset` of `newest`, and how many of the same second come before it; None when there are not so
    many."""
    bounds = {"modality": number, "above": above, "below": below, "offset": offset}
    place = connection.execute(_AT, bounds).scalar_one_or_none()
    if place is None:
        return None
    end = min(below, ((place >> ROW_BITS) + 1) << ROW_BITS)
    return place, connection.execute(_BETWEEN, {"modality": number, "above": place + 1, "below": end}).scalar_one()


@cache
def _newest(count: int) -> Executable:
    """Of each modality as many as are wanted, for an index has only these in order."""
    several = []
    for at in range(count):
        one = select(_ROWS.place).where(
            _ROWS.modality == bindparam(f"modality_{at}"),
            _ROWS.place >= bindparam("above"),
            _ROWS.place < bindparam("below"),
        )
        several.append(select(one.order_by(_ROWS.place.desc()).limit(bindparam("size")).subquery().c.place))
    if count == 1:
        return several[0]
    both = union(*several).subquery()
    return select(both.c.place).order_by(both.c.place.desc()).limit(bindparam("size"))


@cache
def _insert(dialect_name: str) -> Executable:
    made = (postgresql.insert if dialect_name == "postgresql" else sqlite.insert)(study_modalities)
    return made.on_conflict_do_nothing()


_AFTER_FEW = select(_ROWS.place).where(_ROWS.modality == bindparam("modality")).limit(1).offset(bindparam("few"))
_WITHIN = (
    _ROWS.modality == bindparam("modality"),
    _ROWS.place >= bindparam("above"),
    _ROWS.place < bindparam("below"),
)
_AT = select(_ROWS.place).where(*_WITHIN).order_by(_ROWS.place.desc()).limit(1).offset(bindparam("offset"))
_BETWEEN = select(func.count()).select_from(study_modalities).where(*_WITHIN)

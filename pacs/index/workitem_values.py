"""The values of workitems, each beside the path at which it stands, by which searches find them whatever they ask for.

Kept for every attribute at the top level and in the items of its sequences, in the form in which criteria compare.
What is found by them is looked at again with the criteria themselves: nothing may be missed here, and more be found.
Made from the rows of workitems, so that they can be made anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from pydicom.datadict import dictionary_VR
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    inspect,
    or_,
    select,
)
from sqlalchemy import Column as _Column

from pacs.index import wildcard
from pacs.index.columns import as_kept, on_text
from pacs.index.criteria import Criterion, Members, Names, Numbers, Ranges, Uids, Words, name_groups, span
from pacs.index.normal_form import MAX_WORD, word
from pacs.index.searchable_values import number_text
from pacs.index.tables import workitems
from pacs.model import DicomJson

TABLE: Final = "workitem_values"
_ROW_ID: Final = BigInteger().with_variant(Integer(), "sqlite")
_WORD: Final = Text().with_variant(Text(collation="C"), "postgresql")
_table: Final = Table(
    TABLE,
    MetaData(),
    _Column("hospital", _WORD, primary_key=True),
    # Tags, of an item's attribute with that of the sequence before it: 00404025 00080100 without the space.
    _Column("path", _WORD, primary_key=True),
    _Column("value", _WORD, primary_key=True),
    _Column("workitem_row", _ROW_ID, primary_key=True, autoincrement=False),
    Index("ix_workitem_values_row", "workitem_row"),
    sqlite_with_rowid=False,
)
_MOST: Final = 1000
"""Of one workitem; one with more is among what every search looks at."""
_ANY_PATH: Final = "*"
_AT_ONCE: Final = 500
_MOST_ZONE: Final = timedelta(hours=14)
_NUMBERS: Final = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_MOMENTS: Final = frozenset({"DA", "DT", "TM"})
_BEGINS: Final = "%Y%m%d%H%M%S"


def ensure(connection: Connection) -> None:
    """Make the table from the rows that are there, when it is missing."""
    if inspect(connection).has_table(TABLE):
        return
    _table.create(connection)
    after = 0
    while True:
        rows = connection.execute(
            select(workitems.c.id, workitems.c.hospital, workitems.c.attributes)
            .where(workitems.c.id > after)
            .order_by(workitems.c.id)
            .limit(_AT_ONCE)
        ).all()
        values = [
            one for row in rows for one in _rows_of(row.hospital, row.id, {*_values(json.loads(row.attributes), "")})
        ]
        if values:
            connection.execute(insert(_table), values)
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1].id


def write(connection: Connection, hospital: str, row: int, attributes: DicomJson) -> None:
    """The values of a workitem, in place of those that it had."""
    forget(connection, [row])
    values = _rows_of(hospital, row, {*_values(attributes, "")})
    if values:
        connection.execute(insert(_table), values)


def _rows_of(hospital: str, row: int, found: set[tuple[str, str]]) -> list[dict[str, Any]]:
    if len(found) > _MOST:
        found = {(_ANY_PATH, "")}
    return [{"hospital": hospital, "path": path, "value": value, "workitem_row": row} for path, value in sorted(found)]


def forget(connection: Connection, rows: Sequence[int]) -> None:
    """Drop the values of these workitems."""
    connection.execute(delete(_table).where(_table.c.workitem_row.in_(rows)))


def conditions(hospital: str, keys: Sequence[tuple[int, Criterion]], dialect: str) -> list[ColumnElement[bool]]:
    """What must be true of rows of `workitems` that meet the keys, as far as values can tell."""
    found: list[ColumnElement[bool]] = []
    for path, criterion in _by_path(keys, ""):
        said = _on_value(criterion, dialect)
        if said is None:
            continue
        rows = select(_table.c.workitem_row).where(_table.c.hospital == hospital)
        asked = rows.where(_table.c.path == path, said)
        anyway = rows.where(_table.c.path == _ANY_PATH, _table.c.value == "")
        found.append(workitems.c.id.in_(asked.union_all(anyway)))
    return found


def _by_path(keys: Sequence[tuple[int, Criterion]], above: str) -> Iterator[tuple[str, Criterion]]:
    for tag, criterion in keys:
        if isinstance(criterion, Members) and not above:
            yield from _by_path(criterion.criteria, f"{tag:08X}")
        else:
            yield f"{above}{tag:08X}", criterion


def _on_value(criterion: Criterion, dialect: str) -> ColumnElement[bool] | None:
    """None: values do not tell."""
    value = _table.c.value
    match criterion:
        case Words(patterns):
            said = [on_text(value, as_kept(pattern), dialect) for pattern in patterns]
            if any(wildcard.has_wildcard(pattern.removesuffix("*")) for pattern in patterns):
                said.append(func.length(value) == MAX_WORD)  # of what is longer, the end is not kept
            return or_(*said)
        case Uids(uids):
            return value.in_([uid[:MAX_WORD] for uid in uids])
        case Numbers(numbers):
            texts = [number_text(number) for number in numbers]
            return value.in_([text for text in texts if text is not None]) if all(texts) else None
        case Names(patterns):
            # Each group of a name is a value of its own; a key with several groups is found by its first.
            firsts = [next((parts for parts in groups if parts), ()) for groups in patterns]
            if not all(firsts):
                return None
            return or_(*(on_text(value, part, dialect) for parts in firsts for part in parts))
        case Ranges(vr, ranges, offset, names_zone):
            margin = _MOST_ZONE * 2 if vr == "DT" and (offset is not None or names_zone) else None
            return or_(*(_between(_moved(first, margin, -1), _moved(last, margin, 1)) for first, last in ranges))
    return None


def _between(first: str | None, last: str | None) -> ColumnElement[bool]:
    ends = [_table.c.value >= (first or "0")]
    return and_(*ends, _table.c.value <= last) if last is not None else and_(*ends)


def _moved(moment: str | None, margin: timedelta | None, sign: int) -> str | None:
    """Where data names no time zone, its moments are kept as those of UTC."""
    if moment is None or margin is None:
        return moment
    try:
        moved = datetime.strptime(moment[:14], _BEGINS).replace(tzinfo=UTC) + sign * margin
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04}{moved:%m%d%H%M%S}.999999"


def _values(attributes: DicomJson, above: str) -> Iterator[tuple[str, str]]:
    for key, attribute in attributes.items():
        vr, path = _vr(key) or attribute["vr"], above + key
        for value in attribute.get("Value") or ():
            if vr != "SQ":
                for normal in _normal(vr, value):
                    yield path, normal
            elif not above and isinstance(value, dict):
                yield from _values(value, path)


@lru_cache(maxsize=1024)
def _vr(key: str) -> str:
    """Of the dictionary, which decides how a key is understood; empty of what it does not know."""
    try:
        return dictionary_VR(int(key, 16))[:2]
    except KeyError:
        return ""


def _normal(vr: str, value: Any) -> Iterator[str]:
    """The forms in which criteria compare it."""
    if value is None:
        return
    if isinstance(value, dict) or vr == "PN":
        yield from {group for group in name_groups(value) if group}
        return
    text = str(value)
    yield word(value)
    if text[:MAX_WORD] != word(value):
        yield text[:MAX_WORD]
    if vr in _NUMBERS:
        number = number_text(value)
        if number is not None:
            yield number
    if vr in _MOMENTS:
        moment = span(vr, text)
        if moment is not None:
            yield moment.first

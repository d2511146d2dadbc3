"""Values that are compared take their new form: text is composed, of names more accents and letters are made plain.

The new form is read from the old one, which had lost less. A row is written only where that makes a difference, so that
a million rows take as long as to read them; their grams are made anew by the next step. A patient whose ID would become
that of another one keeps it as it is.
"""

# ruff: noqa: S608 -- names of tables and columns are our own

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from pydicom.datadict import dictionary_VR

from pacs.index.normal_form import name_group, word

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_NAMES: Final = ("patient_name", "patient_name_ideographic", "patient_name_phonetic")
_OF_PATIENT: Final = ("patient_id", "issuer_of_patient_id", "patient_sex")
_TEXTS: Final = {
    "patients": _OF_PATIENT,
    "studies": (*_OF_PATIENT, "accession_number", "study_id", "study_description", "modalities_in_study"),
    "series": ("modality", "series_description"),
    "workitems": ("worklist_label", "patient_id"),
}
_NAMED: Final = ("patients", "studies")
_READ_WITH: Final = {"patients": ("lone_study_uid",)}
_AT_ONCE: Final = 5000
_FORMER_ACCENTS: Final = dict.fromkeys(range(0x0300, 0x0370))


def upgrade() -> None:
    connection = op.get_bind()
    for table in _TEXTS:
        _change(connection, table)
    _change_searchable(connection)
    _drop_workitem_values(connection)


def downgrade() -> None:
    """Nothing: an older version finds the rows by what both forms have in common."""


def _change(connection: sa.Connection, table: str) -> None:
    names = _NAMES if table in _NAMED else ()
    forms = {**dict.fromkeys(names, _name), **dict.fromkeys(_TEXTS[table], _word)}
    update = sa.text(f"UPDATE {table} SET {', '.join(f'{name} = :{name}' for name in forms)} WHERE id = :id")
    for rows in _rows(connection, table, tuple(forms), ("id", "hospital", *_READ_WITH.get(table, ()))):
        changed = []
        for row in rows:
            after = {**row, **{name: form(row[name]) for name, form in forms.items()}}
            if table == "patients" and _is_taken(connection, row, after):
                after |= {name: row[name] for name in _OF_PATIENT[:2]}
            if after != row:
                changed.append(after)
        if changed:
            connection.execute(update, changed)


def _rows(
    connection: sa.Connection, table: str, columns: tuple[str, ...], more: tuple[str, ...]
) -> Iterator[list[dict[str, Any]]]:
    """Those with other text than ASCII, some at a time."""
    all_text = " || ".join(columns)
    condition = _is_more_than_ascii(connection, all_text)
    statement = sa.text(
        f"SELECT {', '.join((*more, *columns))} FROM {table} WHERE id > :last AND {condition}"
        f" ORDER BY id LIMIT {_AT_ONCE}"
    )
    last = 0
    while rows := [dict(row) for row in connection.execute(statement, {"last": last}).mappings()]:
        yield rows
        last = rows[-1]["id"]


def _is_more_than_ascii(connection: sa.Connection, text: str) -> str:
    octets = f"length(CAST({text} AS BLOB))" if connection.dialect.name == "sqlite" else f"octet_length({text})"
    return f"{octets} > length({text})"


def _is_taken(connection: sa.Connection, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether another patient has the ID already that this one would get."""
    if all(before[name] == after[name] for name in _OF_PATIENT[:2]):
        return False
    return connection.execute(_OF_IDENTITY, dict(after)).first() is not None


def _change_searchable(connection: sa.Connection) -> None:
    last: dict[str, Any] = {"attribute": 0, "row": 0, "value": ""}
    statement = sa.text(_SEARCHABLE.format(_is_more_than_ascii(connection, "v.value")))
    while rows := connection.execute(statement, last).mappings().all():
        last = {name: rows[-1][name] for name in last}
        for row in rows:
            value = (_name if _is_name(dict(row)) else _word)(row["value"])
            if value != row["value"]:
                # Another value of the row may have become the same.
                connection.execute(_FORGET_VALUE, dict(row))
                connection.execute(_NOTE_VALUE, {**row, "new_value": value})


def _is_name(row: Mapping[str, Any]) -> bool:
    if row["shown"]:
        return bool(json.loads(row["shown"]).get("vr") == "PN")
    return not row["private_creator"] and dictionary_VR(row["tag"]) == "PN"


def _drop_workitem_values(connection: sa.Connection) -> None:
    """If one of them has another form now; who migrates makes what is missing from the rows."""
    if not sa.inspect(connection).has_table("workitem_values"):
        return
    statement = sa.text(f"SELECT DISTINCT value FROM workitem_values WHERE {_is_more_than_ascii(connection, 'value')}")
    # Which of them are names is not told; a text may look like one in the former form, and is made anew for nothing.
    values = [value for (value,) in connection.execute(statement)]
    if any(_word(value) != value or (_former(value) == value and _name(value) != value) for value in values):
        op.drop_table("workitem_values")


def _former(value: str) -> str:
    """As names, and texts for their grams, were folded until this step."""
    if value.isascii():
        return value.lower()
    decomposed = unicodedata.normalize("NFKD", value.casefold()).translate(_FORMER_ACCENTS)
    return unicodedata.normalize("NFKC", decomposed).casefold()


_name = lru_cache(1 << 16)(name_group)
_word = lru_cache(1 << 16)(word)
_OF_IDENTITY = sa.text(
    "SELECT 1 FROM patients WHERE hospital = :hospital AND patient_id = :patient_id AND id <> :id"
    " AND issuer_of_patient_id = :issuer_of_patient_id AND lone_study_uid = :lone_study_uid"
)
_SEARCHABLE = (
    "SELECT v.attribute, v.row, v.value, v.hospital, v.shown, a.tag, a.private_creator FROM attribute_values v"
    " JOIN searchable_attributes a ON a.id = v.attribute"
    " WHERE (v.attribute, v.row, v.value) > (:attribute, :row, :value) AND {}"
    f" ORDER BY v.attribute, v.row, v.value LIMIT {_AT_ONCE}"
)
_FORGET_VALUE = sa.text("DELETE FROM attribute_values WHERE attribute = :attribute AND row = :row AND value = :value")
_NOTE_VALUE = sa.text(
    "INSERT INTO attribute_values (attribute, row, value, hospital, shown)"
    " VALUES (:attribute, :row, :new_value, :hospital, :shown) ON CONFLICT DO NOTHING"
)

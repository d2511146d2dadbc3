"""Where rows are that were deleted: at a hospital that nobody belongs to, one per deletion.

Every question names its hospital, so what is there is found by nobody; to restore it is to give it back, row by row, as
it was. An instance that is sent again meanwhile gets rows of its own. No hospital's name has an exclamation mark.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, literal

_MARK = "!"


def trash_of(deletion: str, hospital: str) -> str:
    """Where the rows of a deletion are."""
    return f"{_MARK}{deletion}{_MARK}{hospital}"


def trash_of_each(name: ColumnElement[str], hospital: ColumnElement[str]) -> ColumnElement[str]:
    """`trash_of`, of deletions in the database."""
    return literal(_MARK) + name + literal(_MARK) + hospital


def owner_of(hospital: str) -> str:
    """The hospital whose rows these are, in the trash or not."""
    return hospital.rpartition(_MARK)[2]


def is_trash(hospital: str) -> bool:
    """Whether it is none that anybody belongs to."""
    return hospital.startswith(_MARK)


def is_live(hospital: ColumnElement[str]) -> ColumnElement[bool]:
    """That a row was not deleted."""
    return ~hospital.like(f"{_MARK}%")

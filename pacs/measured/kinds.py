"""The kinds of request and of work that are measured apart: a fixed list, so that no peer can make a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. Its budget, if it has one, is the field of the same name in `pacs.budget_settings.BudgetSettings`."""

    number: int
    name: str
    door: str
    """``http``, ``dimse`` or ``background``."""
    what: str
    """For people."""


_ROWS: Final = (
    ("frame", "http", "frames as they are stored"),
    ("frame_transcoded", "http", "frames made from what is stored"),
    ("thumbnail", "http", "thumbnails"),
    ("metadata", "http", "metadata of a series or an instance"),
    ("study_metadata", "http", "metadata of a whole study"),
    ("search", "http", "QIDO-RS by keys"),
    ("search_infix", "http", "QIDO-RS with a wild card in front, or fuzzy"),
    ("rendered", "http", "rendered pictures"),
    ("instance", "http", "one instance as a file"),
    ("export", "http", "instances of a series or a study"),
    ("bulk_data", "http", "bulk data"),
    ("store", "http", "STOW-RS, from the last byte of the request"),
    ("page", "http", "the viewer's pages"),
    ("other", "http", "every other request"),
    ("event_loop", "http", "how late a web process looks after its connections"),
    ("c_store", "dimse", "C-STORE, from the last byte of the data set to the durable acknowledgement"),
    ("c_find", "dimse", "C-FIND by keys, to its first answer"),
    ("c_find_infix", "dimse", "C-FIND with a wild card in front, or fuzzy, to its first answer"),
    ("c_move", "dimse", "C-MOVE, to its first answer"),
    ("c_get", "dimse", "C-GET, to its first answer"),
    ("commitment", "dimse", "requests for storage commitment"),
    ("c_echo", "dimse", "C-ECHO, and every other request"),
    ("settle", "background", "settling of series"),
    ("commitment_check", "background", "reading back for storage commitment"),
    ("commitment_report", "background", "telling results of storage commitment"),
    ("searchable_attributes", "background", "looking through instances for attributes made searchable"),
    ("erasing", "background", "erasing of what was deleted"),
)

KINDS: Final = tuple(Kind(number, *row) for number, row in enumerate(_ROWS))
_BY_NAME: Final = {kind.name: kind for kind in KINDS}


def kind(name: str) -> Kind:
    """The kind of this name. Raises `KeyError`."""
    return _BY_NAME[name]

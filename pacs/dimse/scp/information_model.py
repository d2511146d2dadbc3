"""The query/retrieve information models: which levels and unique keys a request must name (PS3.4 Annex C.6)."""

from __future__ import annotations

from dataclasses import dataclass

from pacs.dimse.scp.identifier import Identifier
from pacs.errors import InvalidIdentity, InvalidRequest
from pacs.model import Level, checked_uid

QUERY_RETRIEVE_LEVEL = 0x00080052

UNIQUE_KEY = {
    Level.PATIENT: 0x00100020,
    Level.STUDY: 0x0020000D,
    Level.SERIES: 0x0020000E,
    Level.IMAGE: 0x00080018,
}
"""PS3.4 C.6.1.1.2-5: Patient ID, Study, Series and SOP Instance UID."""

_KEY_NAME = {
    Level.PATIENT: "(0010,0020) Patient ID",
    Level.STUDY: "(0020,000D) Study Instance UID",
    Level.SERIES: "(0020,000E) Series Instance UID",
    Level.IMAGE: "(0008,0018) SOP Instance UID",
}


@dataclass(frozen=True, slots=True)
class InformationModel:
    """One model: its levels from the top down."""

    name: str
    levels: tuple[Level, ...]

    def above(self, level: Level) -> tuple[Level, ...]:
        return self.levels[: self.levels.index(level)]


PATIENT_ROOT = InformationModel("Patient Root", (Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE))
STUDY_ROOT = InformationModel("Study Root", (Level.STUDY, Level.SERIES, Level.IMAGE))
PATIENT_STUDY_ONLY = InformationModel("Patient/Study Only", (Level.PATIENT, Level.STUDY))

_ROOT = "1.2.840.10008.5.1.4.1.2."
FIND_MODELS = {_ROOT + "1.1": PATIENT_ROOT, _ROOT + "2.1": STUDY_ROOT, _ROOT + "3.1": PATIENT_STUDY_ONLY}
MOVE_MODELS = {_ROOT + "1.2": PATIENT_ROOT, _ROOT + "2.2": STUDY_ROOT, _ROOT + "3.2": PATIENT_STUDY_ONLY}
GET_MODELS = {_ROOT + "1.3": PATIENT_ROOT, _ROOT + "2.3": STUDY_ROOT, _ROOT + "3.3": PATIENT_STUDY_ONLY}
"""SOP class UID -> model (PS3.4 C.6; the third model is retired, and still asked for)."""


def level_of(identifier: Identifier, model: InformationModel) -> Level:
    """The Query/Retrieve Level of a request.

    Raises:
        InvalidRequest: missing, unknown, or no level of this model (PS3.4 C.4.1.1.3.1).
    """
    value = identifier.value(QUERY_RETRIEVE_LEVEL)
    levels = "/".join(model.levels)
    if not value:
        raise InvalidRequest(f"no Query/Retrieve Level (0008,0052); one of {levels}")
    if value not in model.levels:
        raise InvalidRequest(f"level {value[:16]!r} is not of {model.name}: {levels}")
    return Level(value)


def require_keys_above(identifier: Identifier, model: InformationModel, level: Level) -> dict[Level, str]:
    """The one value of each unique key above `level`: hierarchical requests name the whole way down (PS3.4 C.4.1.2.1).

    A missing Patient ID is let pass: a Study Instance UID is unique without it, and workstations leave it out.

    Raises:
        InvalidRequest: a UID is missing or empty, or a key is a list or a wildcard.
    """
    found = {}
    for above in model.above(level):
        values = identifier.values(UNIQUE_KEY[above])
        if not values and above is Level.PATIENT:
            continue
        if not values:
            raise InvalidRequest(f"{_KEY_NAME[above]} missing at level {level}")
        if len(values) > 1:
            raise InvalidRequest(f"{_KEY_NAME[above]} needs a single value here")
        found[above] = _single_value(values[0], above)
    return found


def retrieve_keys(identifier: Identifier, model: InformationModel, level: Level) -> dict[Level, tuple[str, ...]]:
    """The unique keys of a C-MOVE or C-GET request: single values above `level`, a value or a UID list at it
    (PS3.4 C.4.2.1.4.1, C.4.2.2.1). Other keys are ignored.

    Raises:
        InvalidRequest: a unique key is missing or is no single value or UID list.
    """
    keys: dict[Level, tuple[str, ...]] = {
        above: (value,) for above, value in require_keys_above(identifier, model, level).items()
    }
    values = identifier.values(UNIQUE_KEY[level])
    if not values:
        raise InvalidRequest(f"{_KEY_NAME[level]} missing at level {level}")
    if level is Level.PATIENT and len(values) > 1:
        raise InvalidRequest(f"{_KEY_NAME[level]} needs a single value here")
    keys[level] = tuple(dict.fromkeys(_single_value(value, level) for value in values))
    return keys


def _single_value(value: str, level: Level) -> str:
    """`value` when it names one entity; a Patient ID may hold anything but is never a wildcard here."""
    if level is Level.PATIENT:
        if "*" in value or "?" in value:
            raise InvalidRequest(f"{_KEY_NAME[level]} takes no wildcard here")
        return value
    try:
        return checked_uid(value, _KEY_NAME[level])
    except InvalidIdentity:
        raise InvalidRequest(f"{_KEY_NAME[level]}: no UID: {value[:20]!r}") from None

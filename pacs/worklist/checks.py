"""What is required of a workitem when it is created, set and ended: PS3.4 Table CC.2.5-3 and CC.2.5.1. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.datadict import dictionary_VM, dictionary_VR

from pacs.errors import InvalidRequest
from pacs.model import DicomJson
from pacs.worklist.attributes import EMPTY_WHEN_CREATED, NOT_ALLOWED, ROWS, Row, key_of
from pacs.worklist.data_sets import first_text, has_value, items_of
from pacs.worklist.states import State

UPS_PUSH: Final = "1.2.840.10008.5.1.4.34.6.1"
"""Every workitem is an instance of this class (PS3.4 CC.3.1)."""

STATE: Final = key_of("ProcedureStepState")
TRANSACTION_UID: Final = key_of("TransactionUID")
_SOP_CLASS_UID: Final = key_of("SOPClassUID")
_OUTPUT_INFORMATION: Final = key_of("OutputInformationSequence")
_WORDS: Final = {
    key_of("ScheduledProcedureStepPriority"): ("HIGH", "MEDIUM", "LOW"),
    key_of("InputReadinessState"): ("INCOMPLETE", "UNAVAILABLE", "READY"),
}
"""PS3.3 C.30.2: defined terms whose others nobody could act on."""

_CHILDREN: Final = {
    above: tuple(row for row in ROWS if row.path[:-1] == above) for above in {row.path[:-1] for row in ROWS}
}


def check_created(workitem: DicomJson) -> None:
    """Raises InvalidRequest with all that is missing or wrong in a new workitem."""
    problems = list(_problems(workitem, (), is_new=True))
    problems += _word_problems(workitem)
    if has_value(workitem.get(STATE)) and first_text(workitem, STATE) != State.SCHEDULED:
        problems.append("ProcedureStepState must be SCHEDULED")
    if has_value(workitem.get(_SOP_CLASS_UID)) and first_text(workitem, _SOP_CLASS_UID) != UPS_PUSH:
        problems.append(f"SOPClassUID must be {UPS_PUSH}")
    _refuse(problems)


def check_set(changes: DicomJson) -> None:
    """Raises InvalidRequest with all that an update may not have, or has without a value."""
    problems = list(_problems(changes, (), is_new=False))
    problems += _word_problems(changes)
    _refuse(problems)


def missing_for(workitem: DicomJson, state: State) -> list[str]:
    """Keywords of what has no value and must have one before the state may become COMPLETED or CANCELED."""
    needed = {"R", "P" if state is State.COMPLETED else "X"}
    return list(dict.fromkeys(_missing(workitem, (), needed)))


def _refuse(problems: list[str]) -> None:
    if problems:
        raise InvalidRequest("The workitem cannot be taken (PS3.4 Table CC.2.5-3): " + "; ".join(problems[:40]))


def _problems(data_set: DicomJson, above: tuple[int, ...], *, is_new: bool) -> Iterator[str]:
    for row in _CHILDREN.get(above, ()):
        attribute = data_set.get(row.key)
        problem = _problem(row, row.create if is_new else row.set, attribute, is_new=is_new)
        if problem:
            yield f"{row.keyword} {problem}"
        elif attribute is not None and row.path in _CHILDREN:
            for item in items_of(data_set, row.key):
                for inner in _problems(item, row.path, is_new=is_new):
                    yield f"in {row.keyword}: {inner}"


def _problem(row: Row, code: str, attribute: dict[str, object] | None, *, is_new: bool) -> str:
    asked = code.rstrip(EMPTY_WHEN_CREATED).partition("/")[0]
    if attribute is None:
        is_needed = asked in ("1", "2") and (is_new or len(row.path) > 1)
        return "is missing" if is_needed else ""
    if asked == NOT_ALLOWED:
        return "may not be changed"
    vr = str(attribute["vr"])
    if vr != dictionary_VR(row.tag):
        return f"has VR {vr} and not {dictionary_VR(row.tag)}"
    values = attribute.get("Value", ())
    if isinstance(values, list) and len(values) > 1 and vr != "SQ" and dictionary_VM(row.tag) == "1":
        return "has more than one value"
    is_there = has_value(attribute)
    if code.endswith(EMPTY_WHEN_CREATED) and is_there:
        return "must be empty"
    # What only the archive itself may leave empty, or fills in (2/1, 1C/2, -/1), may come empty; so may, in a new
    # workitem, what need not come at all (PS3.5 §7.4.5). An update would take a value away with it.
    if not is_there and (asked == "1" or code == "1C/1C" or (code == "3/1" and not is_new)):
        return "has no value"
    return ""


def _word_problems(data_set: DicomJson) -> list[str]:
    return [
        f"{first_text(data_set, key)[:20]!r} is none of {', '.join(words)}"
        for key, words in _WORDS.items()
        if has_value(data_set.get(key)) and first_text(data_set, key) not in words
    ]


def _missing(data_set: DicomJson, above: tuple[int, ...], needed: set[str]) -> Iterator[str]:
    for row in _CHILDREN.get(above, ()):
        attribute = data_set.get(row.key)
        # "If there are no relevant output objects, then this sequence may have no items."
        is_met = attribute is not None if row.key == _OUTPUT_INFORMATION else has_value(attribute)
        if row.final in needed and not is_met:
            yield row.keyword
        for item in items_of(data_set, row.key):
            yield from _missing(item, row.path, needed)

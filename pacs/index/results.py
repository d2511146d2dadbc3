"""Rows of the index as the answers of a search: attributes of a level and those above, and the computed ones. Pure."""

from __future__ import annotations

from typing import Any

from pacs.index.packed import unpacked, unpacked_above
from pacs.model import DicomJson, Level
from pacs.part10.indexed_attributes import INSTANCE_TAGS, PATIENT_TAGS, SERIES_TAGS, STUDY_TAGS

_ALWAYS = ("00080005", "00100020", "0020000D", "0020000E", "00080018", "00080016")
"""Specific Character Set and what names an entity: in every answer that has it."""

PATIENT_COUNTERS = frozenset((0x00201200, 0x00201202, 0x00201204))
"""Number of Patient Related Studies, Series, Instances."""
INSTANCE_AVAILABILITY = 0x00080056
ANSWERED: dict[Level, frozenset[int]] = {
    Level.PATIENT: frozenset((*PATIENT_TAGS, *PATIENT_COUNTERS, INSTANCE_AVAILABILITY)),
    Level.STUDY: frozenset((*STUDY_TAGS, 0x00080061, 0x00080062, 0x00201206, 0x00201208)),
    Level.SERIES: frozenset((*SERIES_TAGS, 0x00201209)),
    Level.IMAGE: frozenset((*INSTANCE_TAGS, 0x00083002)),
}
"""Attributes that each level adds to an answer, kept and computed (PS3.4 C.3.4, PS3.18 §10.6.3.3)."""
_LEVELS = (*ANSWERED,)


def is_answered(tag: int, level: Level) -> bool:
    """Whether answers at `level` can hold the attribute."""
    if tag in PATIENT_COUNTERS and level is not Level.PATIENT:
        return False  # below the patient, the counters are not at hand
    return f"{tag:08X}" in _ALWAYS or any(tag in ANSWERED[one] for one in _LEVELS[: _LEVELS.index(level) + 1])


def patient_result(row: Any) -> DicomJson:
    return {
        **unpacked_above(row.attributes),
        "00201200": _attribute("IS", row.studies),
        "00201202": _attribute("IS", row.series),
        "00201204": _attribute("IS", row.instances),
    }


def study_result(row: Any) -> DicomJson:
    return {
        **unpacked_above(row.patient_attributes),
        **unpacked_above(row.attributes),
        "0020000D": _attribute("UI", row.study_instance_uid),
        "00080061": _attribute("CS", *_list(row.modalities_in_study)),
        "00080062": _attribute("UI", *_list(row.sop_classes_in_study)),
        "00201206": _attribute("IS", row.series),
        "00201208": _attribute("IS", row.instances),
    }


def series_result(row: Any) -> DicomJson:
    return {
        **unpacked_above(row.attributes),
        "0020000E": _attribute("UI", row.series_instance_uid),
        "00201209": _attribute("IS", row.instances),
    }


def instance_result(row: Any) -> DicomJson:
    return {
        **unpacked(bytes(row.attributes), row.sop_class_uid, row.sop_instance_uid),
        "00080016": _attribute("UI", row.sop_class_uid),
        "00080018": _attribute("UI", row.sop_instance_uid),
        "00083002": _attribute("UI", row.transfer_syntax_uid),
    }


ROWS = {
    Level.PATIENT: patient_result,
    Level.STUDY: study_result,
    Level.SERIES: series_result,
    Level.IMAGE: instance_result,
}


def whole_answer(*levels: DicomJson) -> DicomJson:
    """Attributes of the levels from the top down, in one data set."""
    answer: DicomJson = {}
    for attributes in levels:
        answer.update(attributes)
    answer["00080005"] = _attribute("CS", "ISO_IR 192")
    answer["00080056"] = _attribute("CS", "ONLINE")
    return answer


def chosen(answer: DicomJson, tags: frozenset[str] | None) -> DicomJson:
    """`answer` in order of tags, only with those asked for and those that name the entity; None means all."""
    if tags is None:
        return dict(sorted(answer.items()))
    return {tag: answer[tag] for tag in sorted(answer.keys() & tags)}


def chosen_tags(include: frozenset[int] | None, matched: frozenset[int]) -> frozenset[str] | None:
    """What `chosen` keeps of the answers of one query."""
    if include is None:
        return None
    return frozenset(f"{tag:08X}" for tag in include | matched) | frozenset(_ALWAYS)


def _attribute(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


def _list(words: str) -> list[str]:
    return [word for word in words.split("\\") if word]

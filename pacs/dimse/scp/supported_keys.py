"""Which keys C-FIND supports at each level: what the index keeps there and above, and what it counts (PS3.4 C.6)."""

from __future__ import annotations

from pacs.model import Level
from pacs.part10.indexed_attributes import INSTANCE_TAGS, PATIENT_TAGS, SERIES_TAGS, STUDY_TAGS

_PATIENT_COUNTERS = frozenset({0x00201200, 0x00201202, 0x00201204})
"""Number of Patient Related Studies, Series, Instances: counted for answers at patient level only."""
_INSTANCE_AVAILABILITY = 0x00080056
_SUPPORTED_AT = {
    Level.PATIENT: frozenset({*PATIENT_TAGS, _INSTANCE_AVAILABILITY}),
    # Modalities in Study, SOP Classes in Study, Number of Study Related Series, Instances
    Level.STUDY: frozenset({*STUDY_TAGS, 0x00080061, 0x00080062, 0x00201206, 0x00201208}),
    # Number of Series Related Instances
    Level.SERIES: frozenset({*SERIES_TAGS, 0x00201209}),
    # Available Transfer Syntax UID
    Level.IMAGE: frozenset({*INSTANCE_TAGS, 0x00083002}),
}
_FROM_THE_TOP = tuple(Level)
_SUPPORTED = {
    level: frozenset[int]().union(*(_SUPPORTED_AT[at] for at in _FROM_THE_TOP[: number + 1]))
    for number, level in enumerate(_FROM_THE_TOP)
}
_SUPPORTED[Level.PATIENT] |= _PATIENT_COUNTERS


def supported_keys(level: Level) -> frozenset[int]:
    """Tags that an answer at `level` has: those of the level and of all above it.

    Keys of the levels above that are not unique keys are more than PS3.4 C.4.1.2.1 asks for; clients send them.
    """
    return _SUPPORTED[level]

"""Which keys C-FIND supports at each level: what the index keeps there and above, and what it counts (PS3.4 C.6)."""

from __future__ import annotations

from pacs.model import Level
from pacs.part10.indexed_attributes import INSTANCE_TAGS, PATIENT_TAGS, SERIES_TAGS, STUDY_TAGS

_COMPUTED = {
    # Number of Patient Related Studies, Series, Instances
    Level.PATIENT: frozenset({0x00201200, 0x00201202, 0x00201204}),
    # Modalities in Study, SOP Classes in Study, Number of Study Related Series, Instances
    Level.STUDY: frozenset({0x00080061, 0x00080062, 0x00201206, 0x00201208}),
    # Number of Series Related Instances
    Level.SERIES: frozenset({0x00201209}),
    Level.IMAGE: frozenset[int](),
}
_KEPT = {
    Level.PATIENT: frozenset(PATIENT_TAGS),
    Level.STUDY: frozenset(STUDY_TAGS),
    Level.SERIES: frozenset(SERIES_TAGS),
    Level.IMAGE: frozenset(INSTANCE_TAGS),
}
_FROM_THE_TOP = tuple(Level)
_SUPPORTED = {
    level: frozenset().union(*(_KEPT[at] | _COMPUTED[at] for at in _FROM_THE_TOP[: number + 1]))
    for number, level in enumerate(_FROM_THE_TOP)
}


def supported_keys(level: Level) -> frozenset[int]:
    """Tags that a request at `level` may match on and get back: those of the level and of all above it.

    Keys of the levels above that are not unique keys are more than PS3.4 C.4.1.2.1 asks for; clients send them.
    """
    return _SUPPORTED[level]

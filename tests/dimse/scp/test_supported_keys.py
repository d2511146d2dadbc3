"""The keys C-FIND tells of are those the index answers with."""

from __future__ import annotations

import pytest

from pacs.dimse.scp.supported_keys import supported_keys
from pacs.index.results import ANSWERED, PATIENT_COUNTERS
from pacs.model import Level


@pytest.mark.parametrize("level", list(Level))
def test_the_index_answers_them_all(level: Level) -> None:
    levels = list(Level)
    answered = frozenset[int]().union(*(ANSWERED[above] for above in levels[: levels.index(level) + 1]))
    if level is not Level.PATIENT:
        answered -= PATIENT_COUNTERS
    assert supported_keys(level) == answered

"""States of a workitem and what may become of them: PS3.4 Table CC.1.1-2, as data. Pure."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Final


class State(StrEnum):
    """Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


FINAL: Final = frozenset({State.COMPLETED, State.CANCELED})


class Answer(Enum):
    """What a request to change the state comes to; the code is that of PS3.4 Table CC.2.1-2."""

    CHANGE = 0x0000
    ALREADY_CANCELED = 0xB304
    ALREADY_COMPLETED = 0xB306
    NO_LONGER = 0xC300
    ALREADY_IN_PROGRESS = 0xC302
    ONLY_BY_CREATE = 0xC303
    NOT_YET_IN_PROGRESS = 0xC310


_S, _P, _D, _C = State.SCHEDULED, State.IN_PROGRESS, State.COMPLETED, State.CANCELED

CHANGES: Final[dict[State, dict[State, Answer]]] = {
    # asked: {what it is: what happens}, with the correct Transaction UID
    _S: dict.fromkeys(State, Answer.ONLY_BY_CREATE),
    _P: {_S: Answer.CHANGE, _P: Answer.ALREADY_IN_PROGRESS, _D: Answer.NO_LONGER, _C: Answer.NO_LONGER},
    _D: {_S: Answer.NOT_YET_IN_PROGRESS, _P: Answer.CHANGE, _D: Answer.ALREADY_COMPLETED, _C: Answer.NO_LONGER},
    _C: {_S: Answer.NOT_YET_IN_PROGRESS, _P: Answer.CHANGE, _D: Answer.NO_LONGER, _C: Answer.ALREADY_CANCELED},
}

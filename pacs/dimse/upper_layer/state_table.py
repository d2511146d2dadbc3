"""The state machine of an association as data (PS3.8 Table 9-10)."""

from __future__ import annotations

from enum import Enum, IntEnum


class State(IntEnum):
    """PS3.8 Tables 9-1 to 9-5."""

    IDLE = 1
    AWAITING_ASSOCIATE_RQ = 2
    AWAITING_ASSOCIATE_RESPONSE = 3
    AWAITING_CONNECTION = 4
    AWAITING_ASSOCIATE_ANSWER = 5
    ESTABLISHED = 6
    AWAITING_RELEASE_RP = 7
    AWAITING_RELEASE_RESPONSE = 8
    COLLISION_REQUESTOR_AWAITING_RESPONSE = 9
    COLLISION_ACCEPTOR_AWAITING_RP = 10
    COLLISION_REQUESTOR_AWAITING_RP = 11
    COLLISION_ACCEPTOR_AWAITING_RESPONSE = 12
    AWAITING_CLOSE = 13


class Trigger(IntEnum):
    """The events Evt1 to Evt19 of Table 9-10."""

    ASSOCIATE_REQUEST = 1
    CONNECTED = 2
    ASSOCIATE_AC_PDU = 3
    ASSOCIATE_RJ_PDU = 4
    CONNECTION_ARRIVED = 5
    ASSOCIATE_RQ_PDU = 6
    ACCEPT = 7
    REJECT = 8
    DATA_REQUEST = 9
    DATA_PDU = 10
    RELEASE_REQUEST = 11
    RELEASE_RQ_PDU = 12
    RELEASE_RP_PDU = 13
    RELEASE_RESPONSE = 14
    ABORT_REQUEST = 15
    ABORT_PDU = 16
    CONNECTION_CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU = 19


class Action(Enum):
    """PS3.8 Tables 9-6 to 9-9."""

    AE1 = "connect"
    AE2 = "send A-ASSOCIATE-RQ"
    AE3 = "confirm acceptance"
    AE4 = "confirm rejection, close"
    AE5 = "start ARTIM"
    AE6 = "stop ARTIM; indicate A-ASSOCIATE, or reject and start ARTIM"
    AE7 = "send A-ASSOCIATE-AC"
    AE8 = "send A-ASSOCIATE-RJ, start ARTIM"
    DT1 = "send P-DATA-TF"
    DT2 = "indicate P-DATA"
    AR1 = "send A-RELEASE-RQ"
    AR2 = "indicate A-RELEASE"
    AR3 = "confirm A-RELEASE, close"
    AR4 = "send A-RELEASE-RP, start ARTIM"
    AR5 = "stop ARTIM"
    AR6 = "indicate P-DATA while awaiting A-RELEASE-RP"
    AR7 = "send P-DATA-TF before A-RELEASE-RP"
    AR8 = "indicate A-RELEASE (collision)"
    AR9 = "send A-RELEASE-RP (collision)"
    AR10 = "confirm A-RELEASE (collision)"
    AA1 = "send A-ABORT (service-user), restart ARTIM"
    AA2 = "stop ARTIM, close"
    AA3 = "indicate A-ABORT, close"
    AA4 = "indicate A-P-ABORT"
    AA5 = "stop ARTIM, connection is gone"
    AA6 = "ignore PDU"
    AA7 = "send A-ABORT"
    AA8 = "send A-ABORT (service-provider), indicate A-P-ABORT, start ARTIM"


_A = Action

NEXT_STATE: dict[Action, State] = {
    _A.AE1: State(4),
    _A.AE2: State(5),
    _A.AE3: State(6),
    _A.AE4: State(1),
    _A.AE5: State(2),
    _A.AE6: State(3),  # 13 when the service-provider itself rejects
    _A.AE7: State(6),
    _A.AE8: State(13),
    _A.DT1: State(6),
    _A.DT2: State(6),
    _A.AR1: State(7),
    _A.AR2: State(8),
    _A.AR3: State(1),
    _A.AR4: State(13),
    _A.AR5: State(1),
    _A.AR6: State(7),
    _A.AR7: State(8),
    _A.AR8: State(10),  # 9 on the association-requestor's side
    _A.AR9: State(11),
    _A.AR10: State(12),
    _A.AA1: State(13),
    _A.AA2: State(1),
    _A.AA3: State(1),
    _A.AA4: State(1),
    _A.AA5: State(1),
    _A.AA6: State(13),
    _A.AA7: State(13),
    _A.AA8: State(13),
}

_FIRST, _LAST = 1, 13


def _row(text: str) -> dict[int, Action]:
    cells = text.split()
    if len(cells) != _LAST:
        raise ValueError(f"a row of Table 9-10 has {_LAST} cells: {text!r}")
    return {state: Action[cell] for state, cell in zip(range(_FIRST, _LAST + 1), cells, strict=True) if cell != "-"}


# One row per event, one column per state Sta1 to Sta13, as printed in PS3.8; "-" is a cell that cannot happen.
_ROWS: dict[int, dict[int, Action]] = {
    #             1   2   3   4   5   6   7   8   9   10  11  12  13
    1: _row(" AE1   -   -   -   -   -   -   -   -    -   -   -   - "),
    2: _row("   -   -   - AE2   -   -   -   -   -    -   -   -   - "),
    3: _row("   - AA1 AA8   - AE3 AA8 AA8 AA8 AA8  AA8 AA8 AA8 AA6 "),
    4: _row("   - AA1 AA8   - AE4 AA8 AA8 AA8 AA8  AA8 AA8 AA8 AA6 "),
    5: _row(" AE5   -   -   -   -   -   -   -   -    -   -   -   - "),
    6: _row("   - AE6 AA8   - AA8 AA8 AA8 AA8 AA8  AA8 AA8 AA8 AA7 "),
    7: _row("   -   - AE7   -   -   -   -   -   -    -   -   -   - "),
    8: _row("   -   - AE8   -   -   -   -   -   -    -   -   -   - "),
    9: _row("   -   -   -   -   - DT1   - AR7   -    -   -   -   - "),
    10: _row("  - AA1 AA8   - AA8 DT2 AR6 AA8 AA8  AA8 AA8 AA8 AA6 "),
    11: _row("  -   -   -   -   - AR1   -   -   -    -   -   -   - "),
    12: _row("  - AA1 AA8   - AA8 AR2 AR8 AA8 AA8  AA8 AA8 AA8 AA6 "),
    13: _row("  - AA1 AA8   - AA8 AA8 AR3 AA8 AA8 AR10 AR3 AA8 AA6 "),
    14: _row("  -   -   -   -   -   -   - AR4 AR9    -   - AR4   - "),
    15: _row("  -   - AA1 AA2 AA1 AA1 AA1 AA1 AA1  AA1 AA1 AA1   - "),
    16: _row("  - AA2 AA3   - AA3 AA3 AA3 AA3 AA3  AA3 AA3 AA3 AA2 "),
    17: _row("  - AA5 AA4 AA4 AA4 AA4 AA4 AA4 AA4  AA4 AA4 AA4 AR5 "),
    18: _row("  - AA2   -   -   -   -   -   -   -    -   -   - AA2 "),
    19: _row("  - AA1 AA8   - AA8 AA8 AA8 AA8 AA8  AA8 AA8 AA8 AA7 "),
}

TABLE: dict[tuple[State, Trigger], Action] = {
    (State(state), Trigger(trigger)): action for trigger, row in _ROWS.items() for state, action in row.items()
}
"""(state, event) -> action. A pair that is absent cannot happen, or is a misuse by the local user."""

"""Every cell of PS3.8 Table 9-10, driven from outside: real bytes and primitives in, real effects out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from pynetdicom.fsm import TRANSITION_TABLE

from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.association import Association, InvalidPrimitive
from pacs.dimse.upper_layer.events import (
    Aborted,
    AssociationAccepted,
    AssociationRejected,
    AssociationRequested,
    DataReceived,
    ReleaseConfirmed,
    ReleaseRequested,
)
from pacs.dimse.upper_layer.state_table import TABLE, State, Trigger
from tests.dimse.upper_layer.bytes_of_peers import (
    ABORT,
    AC,
    ACCEPT,
    RELEASE_RP,
    RELEASE_RQ,
    REQUEST,
    RJ,
    RQ,
    UNKNOWN,
    data_pdu,
    feed,
    opened,
    output,
)


def _in_state(number: int) -> Association:
    """An association that has come to the state as a real one does."""
    association = Association(max_pdu_length=16384, is_requestor=number in (4, 5, 9, 11))
    match number:
        case 2 | 3:
            association.connection_arrived()
            if number == 3:
                feed(association, RQ)
        case 4 | 5:
            association.request(REQUEST)
            if number == 5:
                association.connected()
        case 6 | 7 | 8 | 13:
            association = opened()
        case 9 | 10 | 11 | 12:
            association = opened(is_requestor=number in (9, 11))
    if number in (7, 9, 10, 11, 12):
        association.release()
    if number in (8, 9, 10, 11, 12, 13):
        feed(association, RELEASE_RQ)
    if number in (11, 13):
        association.respond_to_release()
    if number == 12:
        feed(association, RELEASE_RP)
    association.take_output()
    assert association.state == State(number)
    return association


def _send_data(association: Association) -> None:
    for buffers in association.data(1, is_command=False, buffers=[b"abcd"]):
        association._output += buffers


DRIVE: dict[int, Callable[[Association], object]] = {
    1: lambda a: a.request(REQUEST),
    2: lambda a: a.connected(),
    3: lambda a: feed(a, AC),
    4: lambda a: feed(a, RJ),
    5: lambda a: a.connection_arrived(),
    6: lambda a: feed(a, RQ),
    7: lambda a: a.accept(ACCEPT),
    8: lambda a: a.reject(pdu.NO_REASON_GIVEN),
    9: _send_data,
    10: lambda a: feed(a, data_pdu(b"abcd")),
    11: lambda a: a.release(),
    12: lambda a: feed(a, RELEASE_RQ),
    13: lambda a: feed(a, RELEASE_RP),
    14: lambda a: a.respond_to_release(),
    15: lambda a: a.abort(),
    16: lambda a: feed(a, ABORT),
    17: lambda a: a.received(0),
    18: lambda a: a.artim_expired(),
    19: lambda a: feed(a, UNKNOWN),
}
PRIMITIVES = {1, 2, 7, 8, 9, 11, 14}


@dataclass(frozen=True)
class Effect:
    """What an action does, as PS3.8 Tables 9-6 to 9-9 say it."""

    next_state: int
    sends: int | None = None
    tells: type | None = None
    closes: bool = False
    artim: bool | None = None
    """Started, stopped, or left alone (None)."""
    abort_source: int | None = None


EFFECTS = {
    "AE-1": Effect(4),
    "AE-2": Effect(5, sends=1),
    "AE-3": Effect(6, tells=AssociationAccepted),
    "AE-4": Effect(1, tells=AssociationRejected, closes=True),
    "AE-5": Effect(2, artim=True),
    "AE-6": Effect(3, tells=AssociationRequested, artim=False),
    "AE-7": Effect(6, sends=2),
    "AE-8": Effect(13, sends=3, artim=True),
    "DT-1": Effect(6, sends=4),
    "DT-2": Effect(6, tells=DataReceived),
    "AR-1": Effect(7, sends=5),
    "AR-2": Effect(8, tells=ReleaseRequested),
    "AR-3": Effect(1, tells=ReleaseConfirmed, closes=True),
    "AR-4": Effect(13, sends=6, artim=True),
    "AR-5": Effect(1, artim=False),
    "AR-6": Effect(7, tells=DataReceived),
    "AR-7": Effect(8, sends=4),
    "AR-8": Effect(10, tells=ReleaseRequested),
    "AR-9": Effect(11, sends=6),
    "AR-10": Effect(12, tells=ReleaseConfirmed),
    "AA-1": Effect(13, sends=7, artim=True, abort_source=0),
    "AA-2": Effect(1, closes=True, artim=False),
    "AA-3": Effect(1, tells=Aborted, closes=True),
    "AA-4": Effect(1, tells=Aborted),
    "AA-5": Effect(1, artim=False),
    "AA-6": Effect(13),
    "AA-7": Effect(13, sends=7),
    "AA-8": Effect(13, sends=7, tells=Aborted, artim=True, abort_source=2),
}

CELLS = [(state, event) for event in range(1, 20) for state in range(1, 14)]


@pytest.mark.parametrize(("state", "event"), CELLS, ids=str)
def test_cell(state: int, event: int) -> None:
    action = TRANSITION_TABLE.get((f"Evt{event}", f"Sta{state}"))
    assert (TABLE[State(state), Trigger(event)].name if action else None) == (action and action.replace("-", ""))
    association = _in_state(state)
    was_artim_running = association.is_artim_running
    if action is None:
        _check_empty_cell(association, state, event)
        return
    effect = EFFECTS[action]

    told = DRIVE[event](association) or feed(association, b"")

    assert association.state == State(effect.next_state)
    assert [type(event) for event in told] == ([effect.tells] if effect.tells else [])  # type: ignore[attr-defined]
    sent = output(association)
    assert (sent[0] if sent else None) == effect.sends
    if effect.abort_source is not None:
        assert sent[8] == effect.abort_source
    if effect.closes:
        assert association.wants_close
    assert association.is_artim_running == (was_artim_running if effect.artim is None else effect.artim)


def _check_empty_cell(association: Association, state: int, event: int) -> None:
    """A primitive is a defect of ours and raises; whatever else cannot happen changes nothing."""
    if event in PRIMITIVES:
        with pytest.raises(InvalidPrimitive):
            DRIVE[event](association)
    else:
        assert not DRIVE[event](association)
    assert association.state == State(state)
    assert not output(association)


def test_a_collision_is_the_other_way_round_on_the_requestors_side() -> None:
    association = opened(is_requestor=True)
    association.release()
    assert [type(event) for event in feed(association, RELEASE_RQ)] == [ReleaseRequested]
    assert association.state == State.COLLISION_REQUESTOR_AWAITING_RESPONSE

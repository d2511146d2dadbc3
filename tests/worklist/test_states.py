"""Every cell of PS3.4 Table CC.1.1-2 for requests that bring the correct Transaction UID."""

from __future__ import annotations

import pytest

from pacs.worklist.states import CHANGES, State

_CODES = {
    # asked: code by present state SCHEDULED, IN PROGRESS, COMPLETED, CANCELED
    "SCHEDULED": ("C303", "C303", "C303", "C303"),
    "IN PROGRESS": ("0000", "C302", "C300", "C300"),
    "COMPLETED": ("C310", "0000", "B306", "C300"),
    "CANCELED": ("C310", "0000", "C300", "B304"),
}


@pytest.mark.parametrize("asked", list(State))
def test_each_cell(asked: State) -> None:
    assert tuple(f"{CHANGES[asked][present].value:04X}" for present in State) == _CODES[asked]

"""How long tests wait for what must come: a minute, for a machine that others use, too, may stand still for seconds.

Who waits for the thing itself loses no time by that. What must *not* come, or must come soon, is another matter.
"""

from __future__ import annotations

import inspect

import httpx

PATIENCE_S = 60.0
SHORT_OF_ANY_TIMEOUT_S = 25.0
"""For what the archive is to end at once: its own time-outs, 30 s and more, would end it too, and must not be taken for
that."""


def let_httpx_wait() -> None:
    """httpx gives up after five seconds of silence where nobody says otherwise; all its functions share that."""
    default = inspect.signature(httpx.get).parameters["timeout"].default
    default.connect = default.read = default.write = default.pool = PATIENCE_S

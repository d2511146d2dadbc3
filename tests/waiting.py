"""The one place where tests wait: for what is to come to pass, and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.patience import PATIENCE_S


def wait_until(
    condition: Callable[[], object], limit_s: float = PATIENCE_S, *, why: str = "it did not come to pass"
) -> None:
    """Look again and again; `why` tells what is missing when `limit_s` are over."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"{why} in {limit_s} s"
        time.sleep(0.01)

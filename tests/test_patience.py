from __future__ import annotations

import inspect

import httpx
import pytest

from tests.patience import PATIENCE_S


def test_nobody_gives_up_a_request_after_five_seconds() -> None:
    with httpx.Client() as client:
        assert client.timeout == httpx.Timeout(PATIENCE_S)
    assert httpx.AsyncClient().timeout == httpx.Timeout(PATIENCE_S)


@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "head", "options", "patch", "request", "stream"])
def test_the_functions_share_one_default(method: str) -> None:
    assert inspect.signature(getattr(httpx, method)).parameters["timeout"].default == httpx.Timeout(PATIENCE_S)

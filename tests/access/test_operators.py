"""Who may read the figures."""

from __future__ import annotations

import pytest

from pacs.access.operators import Operators
from pacs.budget_settings import MetricsSettings
from pacs.settings import InvalidSettings, load


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("", False),
        ("localhost", False),
        ("unix:", False),
    ],
)
def test_this_machine_and_nobody_else(address: str, may: bool) -> None:
    assert Operators(MetricsSettings(), is_behind_proxy=False).may_ask(address, [b"host"]) is may
    assert not Operators(MetricsSettings(), is_behind_proxy=True).may_ask(address, [b"host"])


@pytest.mark.parametrize("is_behind_proxy", [False, True])
def test_whom_the_settings_name(is_behind_proxy: bool) -> None:
    operators = Operators(MetricsSettings(allow=("10.1.0.0/16", "192.168.0.7")), is_behind_proxy=is_behind_proxy)
    assert operators.may_ask("10.1.2.3", [])
    assert operators.may_ask("192.168.0.7", [])
    assert not operators.may_ask("192.168.0.8", [])
    assert not operators.may_ask("127.0.0.1", [])


@pytest.mark.parametrize("field", [b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip"])
def test_nobody_through_a_proxy(field: bytes) -> None:
    assert not Operators(MetricsSettings(allow=("0.0.0.0/0",)), is_behind_proxy=True).may_ask("127.0.0.1", [field])


def test_a_wrong_network_is_named() -> None:
    with pytest.raises(InvalidSettings, match=r"^metrics\.allow\.0: "):
        load(None, {"metrics": {"allow": ["10.0.0.1/8/9"]}})

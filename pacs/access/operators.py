"""Who may read the figures of the archive. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from pacs.budget_settings import MetricsSettings

_THIS_MACHINE: Final = ("127.0.0.0/8", "::1/128")
_OF_PROXIES: Final = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})


class Operators:
    """Decides by the address that asks; `is_behind_proxy` as ``http.behind_authenticating_proxy``.

    A request that came through a proxy is not from who it seems to be from, and is refused.
    """

    def __init__(self, settings: MetricsSettings, *, is_behind_proxy: bool) -> None:
        allowed: tuple[str, ...] = () if is_behind_proxy else _THIS_MACHINE
        if settings.allow is not None:
            allowed = settings.allow
        self._networks = [ipaddress.ip_network(text) for text in allowed]

    def may_ask(self, address: str, field_names: Iterable[bytes]) -> bool:
        """`field_names` in lower case."""
        if any(name in _OF_PROXIES for name in field_names):
            return False
        try:
            asking = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
        except ValueError:
            return False
        if isinstance(asking, ipaddress.IPv6Address) and asking.ipv4_mapped is not None:
            asking = asking.ipv4_mapped
        return any(asking in network for network in self._networks)

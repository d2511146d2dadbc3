"""Ports for servers that a test or a benchmark starts."""

from __future__ import annotations

import contextlib
import random
import socket

_PORTS = range(15_000, 32_000)
"""Below those that systems give to outgoing connections: between two starts of a server nobody is given its port."""
_GIVEN: set[int] = set()


def free_port() -> int:
    """A port nobody listens on, never the same twice; by chance, so that processes side by side choose others."""
    while True:
        port = random.choice(_PORTS)
        if port in _GIVEN:
            continue
        _GIVEN.add(port)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port

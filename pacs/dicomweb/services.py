"""What the DICOMweb door is given by the composition root, and who asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pacs.ingest import Ingest
from pacs.model import Principal
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.settings import HttpSettings

Identify = Callable[[Mapping[str, Any]], Principal]
"""From an ASGI scope to the principal of the request; raises `pacs.errors.Refused`. Called once per request."""


def anonymous(scope: Mapping[str, Any]) -> Principal:
    """Everybody is one principal of the default hospital; only for a door that listens on loopback."""
    return Principal("anonymous")


@dataclass(frozen=True, slots=True)
class Services:
    """The archive as the routes see it. Every service is thread-safe and blocks; routes call them in threads."""

    ingest: Ingest
    search: Search
    retrieve: Retrieve
    identify: Identify = anonymous
    http: HttpSettings = field(default_factory=HttpSettings)

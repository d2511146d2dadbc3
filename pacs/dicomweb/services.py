"""What the DICOMweb door is given by the composition root, and who asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pacs.dicomweb.responses import IMMUTABLE, REVALIDATE
from pacs.http_settings import HttpSettings
from pacs.ingest import Ingest
from pacs.measured import stages
from pacs.model import Principal
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.transcoding import Transcoding

Identify = Callable[[Mapping[str, Any]], Principal]
"""From an ASGI scope to the principal of the request; raises `pacs.errors.Refused`. Called once per request."""


def anonymous(scope: Mapping[str, Any]) -> Principal:
    """Everybody is one principal of the default hospital; only for a door that listens on loopback."""
    return Principal("anonymous")


def told_apart(identify: Identify) -> Identify:
    """`identify`, and its request is counted for the hospital that it says."""

    def identified(scope: Mapping[str, Any]) -> Principal:
        principal = identify(scope)
        account = stages.current()
        if account is not None:
            account.hospital = principal.hospital
        return principal

    return identified


@dataclass(frozen=True, slots=True)
class Services:
    """The archive as the routes see it. Every service is thread-safe and blocks; routes call them in threads."""

    ingest: Ingest
    search: Search
    retrieve: Retrieve
    transcoding: Transcoding
    identify: Identify = anonymous
    http: HttpSettings = field(default_factory=HttpSettings)

    @property
    def caching_of_instances(self) -> str:
        """Cache-Control of what an instance's UIDs name. Where they may come to name other bytes, who keeps an answer
        asks by its entity tag, made of the digest, whether it still is the answer."""
        may_change = self.retrieve.instances_change or self.http.delete  # what was deleted may be sent again, corrected
        return REVALIDATE if may_change else IMMUTABLE

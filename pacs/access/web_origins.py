"""Which web pages may make a browser speak to this archive. Pure.

Nobody is asked who they are while the archive listens on loopback: whoever runs a program on this machine may use it.
A page from anywhere else that is open in this machine's browser may not. It has two ways in, and both are closed here:
a name of its own that it lets point to 127.0.0.1 (DNS rebinding), and requests it sends without seeing the answer.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pacs.http_settings import HttpSettings

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[^:\[\]]*)(?::[0-9]{0,5})?\Z")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Why a request is not let in."""

    status: int
    """421 for a name this archive does not have (RFC 9110 §15.5.20), 403 for another site's page."""
    message: str
    hint: str


_READ_BY_VIEWERS = b"GET, HEAD"
_SENT_BY_VIEWERS = (
    b"Accept, Authorization, Cache-Control, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Range, Pragma,"
    b" Range, X-Requested-With"
)
_SHOWN_TO_VIEWERS = (
    b"Accept-Ranges, Allow, Content-Disposition, Content-Location, Content-Range, ETag, Retry-After,"
    b" Server-Timing, Warning"
)
_PREFLIGHT_AGE_S = b"7200"
_RESOURCE_POLICY = b"cross-origin-resource-policy"
OURS_ONLY = (_RESOURCE_POLICY, b"same-origin")
"""Another site's page may not show images of this archive."""
_BY_PAGE = (b"vary", b"Origin, Sec-Fetch-Site")
_BY_REFERRER = (b"vary", b"Origin, Sec-Fetch-Site, Referer")

_MOST_KNOWN = 64
"""Host fields that are found at once the next time; a page can make up any number of names of loopback."""


class WebOrigins:
    """Decides by the header fields that a page's script cannot set: Host, Origin and Sec-Fetch-Site."""

    def __init__(self, settings: HttpSettings) -> None:
        names = {name.lower().rstrip(".") for name in settings.allowed_hosts}
        self._known_ours: set[str] = set()
        self._any_host = settings.behind_authenticating_proxy and not names
        self._configured = frozenset(names)
        self._viewers = frozenset(origin.encode("ascii") for origin in settings.viewer_origins)
        self._names = names | {settings.host.lower().strip("[]"), "localhost", socket.gethostname().lower()}

    def refusal(self, method: str, fields: Mapping[bytes, bytes]) -> Forbidden | None:
        """None when the request may pass; `fields` are header fields with names in lower case."""
        host = fields.get(b"host", b"").decode("latin-1")
        if not self.is_ours(host):
            return Forbidden(
                421,
                f"This archive is not known as {host[:100]!r}",
                "Use the address that `pacs serve` printed, or have the operator add the name to http.allowed_hosts.",
            )
        if method not in _READS and not self._is_same_site(host, fields):
            return Forbidden(
                403,
                "Another site's page may not change what is kept here",
                "Send the request from a program, or from a page of this archive itself.",
            )
        return None

    @property
    def has_viewers(self) -> bool:
        """Whether pages of any other origin may read."""
        return bool(self._viewers)

    def viewer_fields(self, fields: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
        """What an answer to a page of another origin carries, so that its browser lets the page read it (Fetch §3.2)
        or show it: a page's `img` and `video` send no Origin, but the page's own as Referer.

        Other origins than those of ``http.viewer_origins`` get nothing but the word that the answer depends on theirs.
        """
        if not self._viewers:
            return (OURS_ONLY,)
        origin = fields.get(b"origin")
        if origin in self._viewers:
            allowed = (b"access-control-allow-origin", origin)
            return (OURS_ONLY, _BY_PAGE, allowed, (b"access-control-expose-headers", _SHOWN_TO_VIEWERS))
        if origin is None and _origin_of(fields.get(b"referer", b"")) in self._viewers:
            return ((_RESOURCE_POLICY, b"cross-origin"), _BY_REFERRER)
        return (OURS_ONLY, _BY_PAGE)

    def preflight_fields(self, fields: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...] | None:
        """The answer to a browser that asks what a page of another origin may send; None when it may nothing."""
        origin = fields.get(b"origin")
        if origin not in self._viewers:
            return None
        # A viewer out in the world asks whether it may reach into this network.
        reaches_in = fields.get(b"access-control-request-private-network") == b"true"
        return (
            OURS_ONLY,
            (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", _READ_BY_VIEWERS),
            (b"access-control-allow-headers", _SENT_BY_VIEWERS),
            (b"access-control-max-age", _PREFLIGHT_AGE_S),
            *(((b"access-control-allow-private-network", b"true"),) if reaches_in else ()),
        )

    def is_ours(self, host: str) -> bool:
        """Whether a Host field's value names this archive. A missing one does: every browser sends it."""
        if self._any_host or not host or host in self._known_ours:
            return True
        match = _HOST.match(host)
        if match is None:
            return False
        name = match["name"].strip("[]").lower().rstrip(".")
        is_ours = name in self._names or name.endswith(".localhost") or _is_loopback_address(name)
        if is_ours and len(self._known_ours) < _MOST_KNOWN:
            self._known_ours.add(host)
        return is_ours

    def _is_same_site(self, host: str, fields: Mapping[bytes, bytes]) -> bool:
        said = fields.get(b"sec-fetch-site")
        origin = fields.get(b"origin", b"").decode("latin-1")
        if said in (b"same-origin", b"none") or (said is None and not origin):
            return True  # a page of ours, a person's own hand, or no browser at all
        try:
            parts = urlsplit(origin)
            name = (parts.hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._configured:
            return True
        reached_by = {host.lower(), fields.get(b"x-forwarded-host", b"").decode("latin-1").lower()}
        return said is None and parts.netloc.lower() in reached_by - {""}


def _origin_of(address: bytes) -> bytes:
    """Scheme, host and port of a URL, as browsers write them in Referer."""
    return b"/".join(address.split(b"/", 3)[:3])


def _is_loopback_address(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

"""Which requests a browser may make for whom."""

from __future__ import annotations

import pytest

from pacs.access.web_origins import WebOrigins
from pacs.http_settings import HttpSettings

LOOPBACK = WebOrigins(HttpSettings())
NAMED = WebOrigins(HttpSettings(allowed_hosts=("pacs.hospital.test",)))
PROXIED = WebOrigins(HttpSettings(host="0.0.0.0", behind_authenticating_proxy=True))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080", "127.0.0.1", "localhost:8080", "LOCALHOST", "localhost.:80", "[::1]:8080", "127.8.8.8",
        "a.localhost",
        "",
    ],
)  # fmt: skip
def test_this_machine_may_be_named_in_every_usual_way(host: str) -> None:
    assert LOOPBACK.is_ours(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "evillocalhost",
        "10.0.0.1", "0.0.0.0", "127.0.0.1@evil.example", "[::2]", "a b", "127.0.0.1:80:80", "\xff",
    ],
)  # fmt: skip
def test_a_name_that_a_stranger_points_here_is_refused(host: str) -> None:
    assert not LOOPBACK.is_ours(host)
    refusal = LOOPBACK.refusal("GET", {b"host": host.encode("latin-1")})
    assert refusal is not None
    assert refusal.status == 421


def test_a_configured_name_is_ours_and_so_is_any_behind_a_proxy() -> None:
    assert NAMED.is_ours("pacs.hospital.test:443")
    assert not NAMED.is_ours("evil.example")
    assert PROXIED.is_ours("evil.example")


@pytest.mark.parametrize(
    ("origins", "fields", "may"),
    [
        (LOOPBACK, {}, True),  # curl, dicomweb-client, a modality
        (LOOPBACK, {b"origin": b"http://127.0.0.1:8080"}, True),
        (LOOPBACK, {b"origin": b"http://127.0.0.1:8080", b"sec-fetch-site": b"same-origin"}, True),
        (LOOPBACK, {b"origin": b"http://evil.example"}, False),
        (LOOPBACK, {b"origin": b"http://127.0.0.1:9999"}, False),
        (LOOPBACK, {b"origin": b"null"}, False),
        (LOOPBACK, {b"origin": b"http://[", b"sec-fetch-site": b"cross-site"}, False),
        (LOOPBACK, {b"sec-fetch-site": b"cross-site"}, False),
        (LOOPBACK, {b"sec-fetch-site": b"same-site", b"origin": b"http://127.0.0.1:9999"}, False),
        (NAMED, {b"sec-fetch-site": b"cross-site", b"origin": b"https://pacs.hospital.test"}, True),
        (PROXIED, {b"sec-fetch-site": b"same-origin", b"origin": b"https://pacs.hospital.test"}, True),
        (PROXIED, {b"origin": b"https://pacs.test", b"x-forwarded-host": b"pacs.test"}, True),
        (PROXIED, {b"origin": b"https://evil.example", b"x-forwarded-host": b"pacs.test"}, False),
    ],
)
def test_only_our_own_pages_change_anything(origins: WebOrigins, fields: dict[bytes, bytes], may: bool) -> None:
    fields = {b"host": b"127.0.0.1:8080", **fields}
    refusal = origins.refusal("POST", fields)
    assert (refusal is None) is may
    assert refusal is None or refusal.status == 403
    assert origins.refusal("GET", fields) is None, "reading is the browser's own rule to guard"

"""What every answer carries, and what pages of other origins may read: nothing, unless the operator named them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from pacs.access.web_origins import WebOrigins
from pacs.http_settings import HttpSettings
from pacs.portal.gate import Gate
from pacs.ready_answer import ReadyAnswer

VIEWER = "https://viewer.hospital.test"
STRANGERS = ["https://evil.example", "http://viewer.hospital.test", f"{VIEWER}.evil.example", f"{VIEWER}:8443", "null"]
PATH = "/dicomweb/studies/1.2/metadata"


class App:
    """Answers everything with 200, also at once."""

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"vary", b"Accept")]})
        await send({"type": "http.response.body", "body": b"x"})

    def at_once(self, _scope: Any) -> ReadyAnswer:
        return ReadyAnswer(200, b"vary: Accept\r\nx-content-type-options: nosniff\r\n", (b"x",))


def gate(*viewers: str) -> Gate:
    return Gate(App(), WebOrigins(HttpSettings(viewer_origins=viewers)))


def asked(door: Gate, method: str = "GET", path: str = PATH, **fields: str) -> tuple[int, dict[str, list[str]]]:
    """Status and header fields, of both ways to answer where there are two."""
    headers = [(b"host", b"localhost")]
    headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b""}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(door(scope, None, send))  # type: ignore[arg-type]
    found: dict[str, list[str]] = {}
    for name, value in sent[0]["headers"]:
        found.setdefault(name.decode(), []).append(value.decode())
    if method == "GET" and sent[0]["status"] == 200:
        ready = door.at_once(scope)
        assert ready is not None
        lines = ready.fields.decode().splitlines()
        assert sorted(lines) == sorted(f"{name}: {value}" for name, values in found.items() for value in values)
    return sent[0]["status"], found


def test_each_field_stands_once() -> None:
    _, fields = asked(gate())
    assert fields["x-content-type-options"] == ["nosniff"]
    assert fields["cross-origin-resource-policy"] == ["same-origin"]


def test_by_default_nobody_else_reads() -> None:
    for origin in (VIEWER, *STRANGERS):
        for more in ({}, {"access_control_request_method": "GET"}):
            _, fields = asked(gate(), "OPTIONS" if more else "GET", origin=origin, **more)
            assert not [name for name in fields if name.startswith("access-control")]
            assert fields["vary"] == ["Accept"]


def test_a_named_viewer_reads() -> None:
    status, fields = asked(gate("https://other.test", VIEWER), origin=VIEWER)
    assert status == 200
    assert fields["access-control-allow-origin"] == [VIEWER]
    assert "ETag" in fields["access-control-expose-headers"][0]
    assert fields["vary"] == ["Accept", "Origin, Sec-Fetch-Site"], "a cache must not give it to another origin"
    assert fields["cross-origin-resource-policy"] == ["same-origin"]
    assert "access-control-allow-credentials" not in fields


def test_a_named_viewer_shows_what_its_page_embeds() -> None:
    """`img`, `video` and `object` send no Origin, and the viewer's own origin as Referer."""
    for referrer in (VIEWER, f"{VIEWER}/", f"{VIEWER}/viewer?StudyInstanceUIDs=1.2"):
        _, fields = asked(gate(VIEWER), referer=referrer, sec_fetch_site="cross-site")
        assert fields["cross-origin-resource-policy"] == ["cross-origin"]
        assert fields["vary"] == ["Accept", "Origin, Sec-Fetch-Site, Referer"]
        assert not [name for name in fields if name.startswith("access-control")]
        # The controls: nobody is named, or it is no image but a page of ours.
        assert asked(gate(), referer=referrer)[1]["cross-origin-resource-policy"] == ["same-origin"]
        assert asked(gate(VIEWER), path="/", referer=referrer)[1]["cross-origin-resource-policy"] == ["same-origin"]


@pytest.mark.parametrize("referrer", [*(f"{stranger}/" for stranger in STRANGERS), f"https://evil.test/{VIEWER}/", ""])
def test_other_pages_embed_nothing(referrer: str) -> None:
    for fields in ({"referer": referrer}, {"referer": f"{VIEWER}/", "origin": "https://evil.example"}):
        _, told = asked(gate(VIEWER), **fields)
        assert told["cross-origin-resource-policy"] == ["same-origin"]
        assert told["vary"] == ["Accept", "Origin, Sec-Fetch-Site"]


def test_a_viewer_out_in_the_world_may_reach_into_the_network() -> None:
    asks = {"access_control_request_method": "GET", "access_control_request_private_network": "true"}
    _, fields = asked(gate(VIEWER), "OPTIONS", origin=VIEWER, **asks)
    assert fields["access-control-allow-private-network"] == ["true"]
    _, fields = asked(gate(VIEWER), "OPTIONS", origin="https://evil.example", **asks)
    assert "access-control-allow-private-network" not in fields


def test_a_named_viewer_asks_what_it_may_send() -> None:
    asks = {"access_control_request_method": "GET", "access_control_request_headers": "accept,authorization"}
    status, fields = asked(gate(VIEWER), "OPTIONS", origin=VIEWER, **asks)
    assert status == 204
    assert fields["access-control-allow-origin"] == [VIEWER]
    assert fields["access-control-allow-methods"] == ["GET, HEAD"], "reading, and nothing else"
    allowed = {name.strip().lower() for name in fields["access-control-allow-headers"][0].split(",")}
    assert allowed >= {"accept", "authorization", "range", "if-none-match"}
    assert "access-control-allow-private-network" not in fields
    # Without the question it is the OPTIONS of PS3.18.
    assert asked(gate(VIEWER), "OPTIONS", origin=VIEWER)[0] == 200


@pytest.mark.parametrize("origin", STRANGERS)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_other_origins_get_nothing(origin: str, method: str) -> None:
    more = {"access_control_request_method": "GET"} if method == "OPTIONS" else {}
    status, fields = asked(gate(VIEWER), method, origin=origin, **more)
    assert status == 200
    assert not [name for name in fields if name.startswith("access-control")]
    assert fields["vary"] == ["Accept", "Origin, Sec-Fetch-Site"]


def test_a_named_viewer_changes_nothing_and_sees_no_other_door() -> None:
    for fields in ({"origin": VIEWER}, {"origin": VIEWER, "sec_fetch_site": "cross-site"}):
        status, told = asked(gate(VIEWER), "POST", **fields)
        assert status == 403
        assert not [name for name in told if name.startswith("access-control")]
    for path in ("/", "/metrics", "/health/ready", "/dicomweb2/studies"):
        _, told = asked(gate(VIEWER), path=path, origin=VIEWER)
        assert not [name for name in told if name.startswith("access-control")]


@pytest.mark.parametrize(
    "origin", ["*", "null", "viewer.test", "https://", "https://a.test/", "https://a.test/x", "ftp://a.test", "https://*.test",
               "https://A.test", "https://a.test:443", "http://a.test:80", "https://a.test:0x", "https://u@a.test", ""]
)  # fmt: skip
def test_an_origin_is_written_as_browsers_send_it(origin: str) -> None:
    with pytest.raises(ValidationError):
        HttpSettings(viewer_origins=(origin,))
    assert HttpSettings(viewer_origins=("http://localhost:3000", "https://[::1]:8443")).viewer_origins

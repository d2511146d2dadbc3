"""Which application a path goes to, and what it is told of where it stands."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import ASGIApp

from pacs.portal.front import Front


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"type": "http", "path": "/dicomweb/studies"}, ("door", "/dicomweb")),
        ({"type": "http", "path": "/pacs/dicomweb/studies", "root_path": "/pacs"}, ("door", "/pacs/dicomweb")),
        ({"type": "http", "path": "/dicomweb"}, ("portal", "")),
        ({"type": "http", "path": "/dicomweb2/x"}, ("portal", "")),
        ({"type": "http", "path": "/"}, ("portal", "")),
        ({"type": "lifespan"}, ("portal", "")),
    ],
)
def test_a_path_goes_to_its_door(scope: dict[str, Any], expected: tuple[str, str]) -> None:
    seen: list[tuple[str, str]] = []

    def named(name: str) -> ASGIApp:
        async def app(scope: Any, _receive: Any, _send: Any) -> None:
            seen.append((name, scope.get("root_path", "")))

        return app

    asyncio.run(Front(named("portal"), "/dicomweb", named("door"))(scope, None, None))  # type: ignore[arg-type]
    assert seen == [expected]


def test_what_viewers_need_begins_once_when_the_door_is_used() -> None:
    begun: list[None] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        pass

    async def used(*paths: str) -> None:
        front = Front(app, "/dicomweb", app, begin=lambda: begun.append(None))
        for path in paths:
            await front({"type": "http", "path": path}, None, None)  # type: ignore[arg-type]
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(used("/health/ready", "/"))
    assert begun == []
    asyncio.run(used("/dicomweb/studies", "/dicomweb/studies"))
    assert begun == [None]


def test_the_door_is_told_where_everybody_reaches_it() -> None:
    seen: list[str | None] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope.get("public_url"))

    for url in (None, "https://images.hospital.example/dicomweb"):
        scope = {"type": "http", "path": "/dicomweb/studies"}
        asyncio.run(Front(app, "/dicomweb", app, public_url=url)(scope, None, None))  # type: ignore[arg-type]
    assert seen == [None, "https://images.hospital.example/dicomweb"]

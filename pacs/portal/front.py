"""The one application that a web worker serves: straight to the door that a path belongs to."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Front:
    """ASGI: what lies below `prefix` goes to `door` without the portal's routing and middleware, which would cost a
    frame as much as finding and sending it. Everything else goes to the portal."""

    def __init__(self, portal: ASGIApp, prefix: str, door: ASGIApp) -> None:
        self._portal = portal
        self._prefix = prefix
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root_path = scope.get("root_path", "")
        if scope["type"] in ("http", "websocket") and scope["path"].startswith(f"{root_path}{self._prefix}/"):
            scope = {**scope, "root_path": root_path + self._prefix, "app_root_path": root_path}
            await self._door(scope, receive, send)
        else:
            await self._portal(scope, receive, send)

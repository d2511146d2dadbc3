"""The one application that a web worker serves: straight to the door that a path belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from pacs.ready_answer import ReadyAnswer


class Front:
    """ASGI: what lies below `prefix` goes to `door` without the portal's routing and middleware, which would cost a
    frame as much as finding and sending it. Everything else goes to the portal.

    `begin` is called in a thread when somebody uses the door for the first time: what only viewers need takes no memory
    of an archive that nobody looks at. The door finds `public_url`, where everybody reaches it, in its scope."""

    def __init__(
        self,
        portal: ASGIApp,
        prefix: str,
        door: ASGIApp,
        *,
        begin: Callable[[], object] | None = None,
        public_url: str | None = None,
    ) -> None:
        self._public_url = public_url
        self._begin = begin
        self._portal = portal
        self._prefix = prefix
        self._door = door
        self._door_at_once: Callable[[Scope, str], ReadyAnswer | None] | None = getattr(door, "at_once", None)

    def at_once(self, scope: Scope) -> ReadyAnswer | None:
        """See `pacs.ready_answer`."""
        root_path = scope.get("root_path", "")
        if self._door_at_once is None or not scope["path"].startswith(f"{root_path}{self._prefix}/"):
            return None
        return self._door_at_once(scope, root_path + self._prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root_path = scope.get("root_path", "")
        if scope["type"] in ("http", "websocket") and scope["path"].startswith(f"{root_path}{self._prefix}/"):
            if self._begin is not None:
                begin, self._begin = self._begin, None
                asyncio.get_running_loop().run_in_executor(None, begin)
            scope = {**scope, "root_path": root_path + self._prefix, "app_root_path": root_path}
            if self._public_url is not None:
                scope["public_url"] = self._public_url
            await self._door(scope, receive, send)
        else:
            await self._portal(scope, receive, send)

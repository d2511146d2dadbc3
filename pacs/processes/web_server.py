"""uvicorn as a web worker runs it: on a socket that listens already, ended cleanly by SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from pacs.app import Archive, web_app
from pacs.dicomweb.ups_events import MAX_MESSAGE_BYTES, PING_INTERVAL_S, PING_TIMEOUT_S
from pacs.measured.counts import Counts
from pacs.processes.direct_protocol import DirectHttpProtocol
from pacs.processes.websocket_protocol import BoundedWebSocketProtocol


def run(
    archive: Archive,
    is_ready: Callable[[], bool],
    listening: socket.socket,
    on_ready: Callable[[], None],
    *,
    grace_s: int,
) -> None:
    """Serve until SIGTERM; requests that are being answered then have `grace_s` seconds to end."""
    config = uvicorn.Config(
        web_app(archive, is_ready),
        http=DirectHttpProtocol,
        ws=BoundedWebSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=PING_INTERVAL_S,
        ws_ping_timeout=PING_TIMEOUT_S,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=grace_s,
        timeout_keep_alive=75,
        limit_concurrency=1000,
    )
    server = _ReadyServer(config, on_ready, archive.counts)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve([listening]))


class _ReadyServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], counts: Counts) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._counts = counts

    async def on_tick(self, counter: int) -> bool:
        self._counts.set("http_connections", len(self.server_state.connections))
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM ends this server cleanly and the process with status 0; uvicorn would raise it again at the end."""

        def ask(_signal: int, _frame: Any) -> None:
            self.should_exit = True

        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

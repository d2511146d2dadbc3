"""The Worklist Service (PS3.18 §11) and its notifications (§8.10), added to the DICOMweb door."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import WebSocketRoute

from pacs.dicomweb.services import Identify, anonymous
from pacs.dicomweb.ups import worklist_routes
from pacs.dicomweb.ups_events import EventChannels
from pacs.http_settings import HttpSettings
from pacs.worklist.service import Worklist


def add_worklist(
    app: FastAPI, worklist: Worklist, *, identify: Identify = anonymous, http: HttpSettings | None = None
) -> None:
    """Give `app` the routes of the worklist; `identify` as `pacs.dicomweb.app.dicomweb_app` has it."""
    app.include_router(worklist_routes(worklist, identify, http or HttpSettings()))
    app.router.routes.append(WebSocketRoute("/subscribers/{aetitle}", EventChannels(worklist, identify)))

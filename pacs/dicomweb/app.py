"""The DICOMweb door as one application, mounted by the composition root at ``/dicomweb``."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from pacs.dicomweb.capabilities import describe_hot_routes
from pacs.dicomweb.door import Door
from pacs.dicomweb.frames import frames_of
from pacs.dicomweb.hot import HotRoute, HotRoutes
from pacs.dicomweb.metadata import bulk_data_of, metadata_of
from pacs.dicomweb.qido import search_routes
from pacs.dicomweb.rendered import rendered_routes
from pacs.dicomweb.responses import problem
from pacs.dicomweb.services import Identify, Services, anonymous
from pacs.dicomweb.stow import store_routes
from pacs.dicomweb.versions import version_routes
from pacs.dicomweb.wado import instances_of
from pacs.ingest import Ingest
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.settings import HttpSettings


class DicomwebApp(FastAPI):
    """FastAPI for most routes; hot ones are found before its middleware and routing, which cost more than they do."""

    hot: HotRoutes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            found = self.hot.find(scope["path"].removeprefix(scope.get("root_path", "")))
            if found is not None:
                route, path_parameters = found
                await Door(route)({**scope, "path_params": path_parameters}, receive, send)
                return
        await super().__call__(scope, receive, send)


_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"


def dicomweb_app(
    ingest: Ingest,
    search: Search,
    retrieve: Retrieve,
    *,
    identify: Identify = anonymous,
    http: HttpSettings | None = None,
) -> FastAPI:
    """The Studies Service of PS3.18 §10 on the archive's services.

    `identify` gives the principal of each request; the default lets everybody in and is for loopback only.
    """
    services = Services(ingest, search, retrieve, identify, http or HttpSettings())
    app = DicomwebApp(
        title="DICOMweb",
        summary="Search, retrieve and store of PS3.18.",
        docs_url=None,  # the usual page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Door)
    app.add_exception_handler(HTTPException, _routing_problem)
    whole = HotRoute(instances_of(services))
    metadata = HotRoute(metadata_of(services))
    app.hot = HotRoutes(
        {
            _INSTANCE + "/frames/{frames}": HotRoute(frames_of(services), identify=identify),
            _INSTANCE: whole,
            _SERIES: whole,
            _INSTANCE + "/bulkdata/{path}": HotRoute(bulk_data_of(services)),
            _SERIES + "/metadata": metadata,
            _STUDY + "/metadata": metadata,
            _INSTANCE + "/metadata": metadata,
        }
    )
    # Stored to by POST, so FastAPI must see it.
    app.router.routes.append(Route(_STUDY, whole, methods=["GET"], name=_STUDY))
    for router in (
        search_routes(services),
        rendered_routes(services),
        store_routes(services),
        version_routes(services),
    ):
        app.include_router(router)
    describe_hot_routes(
        app,
        {
            _INSTANCE + "/frames/{frames}": "Frames, one or a list",
            _INSTANCE + "/bulkdata/{path}": "A large value",
            _INSTANCE: "An instance as DICOM file",
            _SERIES: "All instances of a series",
            _STUDY: "All instances of a study",
            _INSTANCE + "/metadata": "Attributes of an instance",
            _SERIES + "/metadata": "Attributes of all instances of a series",
            _STUDY + "/metadata": "Attributes of all instances of a study",
        },
    )
    return app


async def _routing_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- for the type checker; it is registered for this class
    phrase = HTTPStatus(error.status_code).phrase
    message = {404: "There is no such resource here", 405: "This method is not offered here"}.get(
        error.status_code, phrase
    )
    headers = {"allow": _methods_of(request)} if error.status_code == 405 else error.headers
    return problem(error.status_code, message, headers)


def _methods_of(request: Request) -> str:
    """Every method of the resource: the router tells those of one route only, and search and store share a path."""
    return ", ".join(
        method
        for method in ("GET", "HEAD", "POST")
        if any(
            route.matches({**request.scope, "method": "GET" if method == "HEAD" else method})[0] is Match.FULL
            for route in request.app.routes
        )
    )

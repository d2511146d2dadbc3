"""The DICOMweb door as one application, mounted by the composition root at ``/dicomweb``."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pacs.dicomweb.admission import Admission
from pacs.dicomweb.bulk_data import all_bulk_data_of, bulk_data_of, pixel_data_of
from pacs.dicomweb.capabilities import CONFORMANCE_PATH, Capabilities
from pacs.dicomweb.door import Door
from pacs.dicomweb.frames import frames_of
from pacs.dicomweb.hot import HotRoute, Keeping
from pacs.dicomweb.hot_routes import HotRoutes
from pacs.dicomweb.kept_answers import KeptAnswers
from pacs.dicomweb.metadata import metadata_of
from pacs.dicomweb.openapi import DICOM_XML, MULTIPART, Described, binary, data_sets, describe
from pacs.dicomweb.qido import search_routes
from pacs.dicomweb.rendered import DOCUMENT_MEDIA_TYPES, FILM_MEDIA_TYPES, RENDERED_PARAMETERS, rendered_of
from pacs.dicomweb.request_kinds import kind_of
from pacs.dicomweb.responses import in_drawing_thread, in_making_thread, in_thread, problem
from pacs.dicomweb.services import Identify, Services, anonymous, told_apart
from pacs.dicomweb.stored_video import VIDEO_MEDIA_TYPES
from pacs.dicomweb.stow import store_routes
from pacs.dicomweb.thumbnails import THUMBNAIL_MEDIA_TYPES, THUMBNAIL_PARAMETERS, thumbnails_of
from pacs.dicomweb.versions import version_routes
from pacs.dicomweb.wado import DICOM, ZIP, instances_of
from pacs.dicomweb.wado_uri import URI_PARAMETERS, WADO_URI_PATH, WadoUri
from pacs.http_settings import HttpSettings
from pacs.ingest import Ingest
from pacs.measured.counts import Counts
from pacs.part10.transfer_syntax import OCTET_STREAM
from pacs.pixels.picture_formats import STILL_MEDIA_TYPES
from pacs.query import Search
from pacs.ready_answer import ReadyAnswer
from pacs.retrieve import Retrieve
from pacs.settings import TranscodingSettings
from pacs.transcoding import Transcoding


class DicomwebApp(FastAPI):
    """FastAPI for most routes; hot ones are found before its middleware and routing, which cost more than they do."""

    hot: HotRoutes
    keeping: Keeping
    told_by_options: ASGIApp
    capabilities: Capabilities

    def at_once(self, scope: Scope, root_path: str) -> ReadyAnswer | None:
        """See `pacs.ready_answer`; `root_path` is where this door stands."""
        return self.keeping.at_once(scope, root_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            scope = _tidied(scope)
            if scope["method"] == "OPTIONS":
                await self.told_by_options(scope, receive, send)
                return
            # Other methods of the same resources, and why one is not offered, are FastAPI's.
            found = self.hot.find(_path_in(scope)) if scope["method"] in ("GET", "HEAD") else None
            if found is not None:
                door, path_parameters = found
                await door({**scope, "path_params": path_parameters}, receive, send)
                return
        await super().__call__(scope, receive, send)


def _path_in(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _tidied(scope: Scope) -> Scope:
    """A base that ends with a slash before a path that begins with one, or a path that ends with one, is what clients
    make by joining; it names the same. But what is deleted or changed must be named as it is."""
    path = _path_in(scope)
    if scope["method"] not in _SLASHES_DO_NOT_COUNT or not (path.endswith("/") or path.startswith("//")):
        return scope
    path = f"{scope.get('root_path', '')}/{path.strip('/')}"
    return {**scope, "path": path, "raw_path": quote(path, safe="/,").encode("ascii")}


_SLASHES_DO_NOT_COUNT = frozenset({"GET", "HEAD", "OPTIONS", "POST"})
_MOST_METADATA_BYTES = 8 << 20
"""What is remembered of the plain metadata of one series or study: some 2,000 images."""
_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_LEVELS = {_STUDY: "study", _SERIES: "series", _INSTANCE: "instance"}
_PICTURED = {**_LEVELS, _INSTANCE + "/frames/{frame}": "frame"}
_THUMBNAILS = {f"{path}/thumbnail": what for path, what in _PICTURED.items()}
_RENDERED = {f"{path}/rendered": what for path, what in _PICTURED.items()}
_ALSO_RENDERED = {
    **dict.fromkeys(("study", "series", "instance"), (*DOCUMENT_MEDIA_TYPES, *VIDEO_MEDIA_TYPES)),
    "frame": FILM_MEDIA_TYPES,
}
"""Besides still pictures, by what is shown; a film of frames is one of an instance's videos, too."""
_MOST_PICTURE, _MOST_THUMBNAIL = 256 << 10, 64 << 10
"""Bytes that are remembered of one."""


def dicomweb_app(
    ingest: Ingest,
    search: Search,
    retrieve: Retrieve,
    *,
    identify: Identify = anonymous,
    http: HttpSettings | None = None,
    transcoding: Transcoding | None = None,
    counts: Counts | None = None,
    admission: Admission | None = None,
) -> FastAPI:
    """The Studies Service of PS3.18 §10 on the archive's services.

    `identify` gives the principal of each request; the default lets everybody in and is for loopback only. `counts` is
    what answers are counted in, `admission` decides who waits and who gives way; without it nobody does.
    `transcoding` keeps what it makes; without one that is kept in memory only.
    """
    measured = counts or Counts.alone()
    identify = told_apart(identify)
    transcoding = transcoding or Transcoding(retrieve, None, TranscodingSettings())
    services = Services(ingest, search, retrieve, transcoding, identify, http or HttpSettings())
    app = DicomwebApp(
        title="DICOMweb",
        summary="Search, retrieve and store of PS3.18.",
        docs_url=None,  # the usual page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Door, counts=measured, admission=admission)
    app.add_exception_handler(HTTPException, _routing_problem)
    whole = HotRoute(instances_of(services))
    app.keeping = keeping = Keeping(identify, retrieve.change_mark, KeptAnswers(retrieve.is_current), measured)
    metadata = HotRoute(metadata_of(services), keeping=keeping, most_bytes=_MOST_METADATA_BYTES)
    rendered = HotRoute(rendered_of(services), threads=in_drawing_thread, keeping=keeping, most_bytes=_MOST_PICTURE)
    thumbnails = HotRoute(
        thumbnails_of(services), threads=in_making_thread, keeping=keeping, most_bytes=_MOST_THUMBNAIL
    )
    hot = {
        _INSTANCE + "/frames/{frames}": HotRoute(frames_of(services), keeping=keeping),
        _INSTANCE: whole,
        _SERIES: whole,
        _INSTANCE + "/bulkdata/{path}": HotRoute(bulk_data_of(services)),
        _SERIES + "/metadata": metadata,
        _STUDY + "/metadata": metadata,
        _INSTANCE + "/metadata": metadata,
        **dict.fromkeys((f"{path}/bulkdata" for path in _LEVELS), HotRoute(all_bulk_data_of(services))),
        **dict.fromkeys((f"{path}/pixeldata" for path in _LEVELS), HotRoute(pixel_data_of(services))),
        **dict.fromkeys(_THUMBNAILS, thumbnails),
        **dict.fromkeys(_RENDERED, rendered),
    }
    app.hot = HotRoutes({path: Door(route, measured, admission, kind_of("GET", path)) for path, route in hot.items()})
    # Stored to by POST, so FastAPI must see it.
    app.router.routes.append(Route(_STUDY, whole, methods=["GET"], name=_STUDY))
    uri = WadoUri(services, whole, rendered)
    app.router.routes.append(Route(WADO_URI_PATH, uri, methods=["GET"], name=WADO_URI_PATH))
    for router in (
        search_routes(services),
        store_routes(services),
        version_routes(services),
    ):
        app.include_router(router)
    describe(app, _described())
    app.capabilities = capabilities = Capabilities(app)
    app.add_api_route(
        CONFORMANCE_PATH,
        capabilities.statement,
        methods=["GET"],
        tags=["Capabilities"],
        summary="What this service can, told from its routes",
        response_class=Response,
    )
    app.told_by_options = Door(capabilities, measured, kind=kind_of("OPTIONS", "/"))
    return app


def _described() -> dict[str, Described]:
    files, xml = binary(DICOM, MULTIPART, ZIP), binary(DICOM_XML, MULTIPART)
    frames = binary(OCTET_STREAM, MULTIPART, "image/*", "video/*")
    metadata = {**data_sets(is_array=True), **xml}
    return {
        _INSTANCE + "/frames/{frames}": Described("Frames, one or a list", frames, is_ranged=True),
        _INSTANCE + "/bulkdata/{path}": Described("A large value", frames, is_ranged=True),
        **{
            f"{path}/bulkdata": Described(f"All large values, {what} level", binary(MULTIPART))
            for path, what in _LEVELS.items()
        },
        _STUDY + "/pixeldata": Described("Pixel data of all instances of a study", binary(MULTIPART)),
        _SERIES + "/pixeldata": Described("Pixel data of all instances of a series", binary(MULTIPART)),
        _INSTANCE + "/pixeldata": Described("Pixel data of an instance", frames, is_ranged=True),
        _INSTANCE: Described("An instance as DICOM file", files, is_ranged=True),
        _SERIES: Described("All instances of a series", files, is_ranged=True),
        _STUDY: Described("All instances of a study", files, is_ranged=True),
        _INSTANCE + "/metadata": Described("Attributes of an instance", metadata, is_ranged=True),
        _SERIES + "/metadata": Described("Attributes of all instances of a series", metadata, is_ranged=True),
        _STUDY + "/metadata": Described("Attributes of all instances of a study", metadata, is_ranged=True),
        **{
            path: Described(
                f"Small picture of a {what}",
                binary(*THUMBNAIL_MEDIA_TYPES),
                tag="Rendered",
                parameters=THUMBNAIL_PARAMETERS,
                is_ranged=True,
            )
            for path, what in _THUMBNAILS.items()
        },
        **{
            path: Described(
                f"Picture of a {what}",
                binary(*STILL_MEDIA_TYPES, MULTIPART, *_ALSO_RENDERED.get(what, ())),
                tag="Rendered",
                parameters=RENDERED_PARAMETERS,
                is_ranged=True,
            )
            for path, what in _RENDERED.items()
        },
        WADO_URI_PATH: Described(
            "An instance as DICOM file or picture",
            binary("application/dicom", "image/*", "video/*", "text/*", "application/pdf", "model/*"),
            tag="WADO-URI",
            parameters=URI_PARAMETERS,
            is_ranged=True,
        ),
    }


async def _routing_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- for the type checker; it is registered for this class
    status = error.status_code
    # The router knows neither the hot routes nor all methods of a path that several routes share.
    methods = await in_thread(request.app.capabilities.methods, _path_in(request.scope)) if status in (404, 405) else []
    if methods and request.method not in methods:
        return problem(405, "This method is not offered here", {"allow": ", ".join(methods)})
    return problem(
        status, "There is no such resource here" if status == 404 else HTTPStatus(status).phrase, error.headers
    )

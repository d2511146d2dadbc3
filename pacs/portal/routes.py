"""The viewer over HTTP: its pages at ``/`` and ``/studies/...``, its assets, and nothing else.

Every page is the same `index.html`; the viewer reads the address. Other paths are left to the other doors, so that a
wrong address is a 404 and not a page.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from pacs.portal.built_files import BUILT, BuiltFile, BuiltFiles

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",  # the codecs are WebAssembly
        "worker-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # Isolated from other origins: required for shared memory between the viewer and its workers.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_PROBLEMS = {
    404: ("There is no such resource here", "The viewer's page is /, DICOMweb is below /dicomweb/."),
    405: ("This method is not offered here", "The Allow header names the methods of this resource."),
}
_IMMUTABLE = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"

_NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>PACS</title></head>
<body><h1>The page is not built yet</h1>
<p>Run <code>make setup</code>, or <code>npm ci &amp;&amp; npm run build</code> in <code>viewer/</code>, then load this
page again. The archive itself is running: DICOM and DICOMweb answer.</p>
<p lang="ko">페이지가 아직 만들어지지 않았습니다. <code>make setup</code>을 실행한 뒤 다시 불러오세요.</p></body></html>
"""


def portal_router(folder: Path = BUILT) -> APIRouter:
    """Routes of the viewer built into `folder`; it may be built, or built again, while this serves."""
    files = BuiltFiles(folder)
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    @router.api_route("/studies/{address:path}", methods=["GET", "HEAD"])
    def page(request: Request) -> Response:
        index = files.get("index.html")
        if index is None:
            return HTMLResponse(_NOT_BUILT, status_code=503, headers=_HEADERS | {"Cache-Control": "no-store"})
        return _answer(request, index)

    @router.api_route("/assets/{name}", methods=["GET", "HEAD"])
    def asset(request: Request, name: str) -> Response:
        return _answer(request, files.get(f"assets/{name}"))

    @router.api_route("/icon.svg", methods=["GET", "HEAD"])
    @router.api_route("/favicon.ico", methods=["GET", "HEAD"])
    def page_icon(request: Request) -> Response:
        return _answer(request, files.get("icon.svg"))

    return router


async def routing_problem(request: Request, error: Exception) -> Response:
    """What is answered where no route is, or another method than a route's; given to the application as the handler
    of Starlette's `HTTPException`. It has the form of every other error."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- for the type checker; it is registered for this class
    message, hint = _PROBLEMS.get(error.status_code, (HTTPStatus(error.status_code).phrase, _PROBLEMS[404][1]))
    headers = {**(error.headers or {}), "Cache-Control": "no-store"}
    return JSONResponse({"error": message, "hint": hint}, status_code=error.status_code, headers=headers)


def _answer(request: Request, file: BuiltFile | None) -> Response:
    if file is None:
        problem = {"error": "The viewer has no such file.", "hint": "Reload the page; it may have been built again."}
        return JSONResponse(problem, status_code=404, headers=_HEADERS | {"Cache-Control": "no-store"})
    is_compressed = file.is_compressed_beside and _accepts_gzip(request.headers.get("accept-encoding", ""))
    etag = f'"{file.digest}-gz"' if is_compressed else f'"{file.digest}"'
    headers = _HEADERS | {
        "ETag": etag,
        "Cache-Control": _IMMUTABLE if file.is_immutable else _ASK_AGAIN,
        "Vary": "Accept-Encoding",
    }
    if etag in (part.strip() for part in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
    body = file.compressed_body if is_compressed else file.body
    return Response(body, media_type=file.media_type, headers=headers)


def _accepts_gzip(accept_encoding: str) -> bool:
    """RFC 9110 §12.5.3, as far as one coding needs it: named and not refused by ``q=0``."""
    for part in accept_encoding.split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return weight.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False

"""The viewer's pages over HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from pacs.portal.routes import portal_router, routing_problem

SCRIPT = b"console.log(1)" * 100


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>viewer</title>")
    (tmp_path / "icon.svg").write_text("<svg/>")
    (tmp_path / "assets" / "index-abc.js").write_bytes(SCRIPT)
    (tmp_path / "assets" / "index-abc.js.gz").write_bytes(b"packed")
    return tmp_path


def get(folder: Path, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    import asyncio

    app = FastAPI()
    app.add_exception_handler(HTTPException, routing_problem)
    app.include_router(portal_router(folder))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://archive") as client:
            request = client.build_request(method, path, headers={"accept-encoding": "identity", **headers})
            response = await client.send(request, stream=True)
            response._content = b"".join([part async for part in response.aiter_raw()])
            return response

    return asyncio.run(ask())


@pytest.mark.parametrize("path", ["/", "/studies/1.2.3", "/studies/1.2.3?series=4"])
def test_pages_are_the_one_document_and_are_asked_for_again(built: Path, path: str) -> None:
    response = get(built, path)
    assert response.status_code == 200
    assert "viewer" in response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"


def test_every_answer_keeps_the_page_safe(built: Path) -> None:
    for path in ("/", "/assets/index-abc.js", "/assets/none.js"):
        headers = get(built, path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "'unsafe-inline'" not in policy
        assert "'unsafe-eval'" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-embedder-policy"] == "require-corp"
        assert headers["x-content-type-options"] == "nosniff"


def test_assets_are_kept_for_ever_and_compressed_when_wanted(built: Path) -> None:
    plain = get(built, "/assets/index-abc.js")
    assert plain.content == SCRIPT
    assert "immutable" in plain.headers["cache-control"]
    assert "content-encoding" not in plain.headers
    small = get(built, "/assets/index-abc.js", **{"accept-encoding": "br, gzip"})
    assert small.content == b"packed"
    assert small.headers["content-encoding"] == "gzip"
    assert small.headers["etag"] != plain.headers["etag"]
    refused = get(built, "/assets/index-abc.js", **{"accept-encoding": "gzip;q=0"})
    assert refused.content == SCRIPT


def test_an_unchanged_page_is_not_sent_again(built: Path) -> None:
    etag = get(built, "/").headers["etag"]
    assert get(built, "/", **{"if-none-match": etag}).status_code == 304
    assert get(built, "/", **{"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/assets/../index.html", "/assets/%2e%2e%2findex.html", "/assets/none.js", "/assets/", "/other", "/dicomweb/x"],
)
def test_what_is_not_of_the_viewer_is_not_found(built: Path, path: str) -> None:
    assert get(built, path).status_code in (404, 307)


def test_an_unbuilt_viewer_says_what_to_do(tmp_path: Path) -> None:
    response = get(tmp_path / "nowhere", "/")
    assert response.status_code == 503
    assert "npm run build" in response.text
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("OPTIONS", "*", 404), ("POST", "/", 405), ("DELETE", "/icon.svg", 405)],
)
def test_errors_of_routing_have_the_form_of_all_others(built: Path, method: str, path: str, status: int) -> None:
    answer = get(built, path, method)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "hint"}
    assert (status == 405) == ("allow" in answer.headers)

"""OHIF's published build, got with npm into a cache outside the checkout, and served beside the archive's DICOMweb."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

VERSION = "3.13.2"
INTEGRITY = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
"""SHA-512 of the package, as its lock file would have it."""

_UNREACHABLE = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "ERR_SOCKET_TIMEOUT",
)


def _configuration(dicomweb: str) -> dict[str, object]:
    return {
        "routerBasename": "/",
        "extensions": [],
        "modes": [],
        "showStudyList": True,
        "maxNumberOfWebWorkers": 2,
        "investigationalUseDialog": {"option": "never"},
        "defaultDataSourceName": "archive",
        "dataSources": [
            {
                "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
                "sourceName": "archive",
                "configuration": {
                    "friendlyName": "Archive",
                    "qidoRoot": dicomweb,
                    "wadoRoot": dicomweb,
                    "wadoUriRoot": f"{dicomweb}/wado",
                    "qidoSupportsIncludeField": True,
                    "supportsFuzzyMatching": True,
                    "supportsWildcard": True,
                    "imageRendering": "wadors",
                    "thumbnailRendering": "thumbnail",
                    "enableStudyLazyLoad": True,
                    "bulkDataURI": {"enabled": True},
                    "singlepart": "bulkdata,video,pdf",
                },
            }
        ],
    }


# For shared memory between the viewer and its workers.
_ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


def published_build() -> Path:
    """The folder ``dist`` of the package, from the cache or from npm's registry; skips where that cannot be reached."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pacs-tests"
    kept = cache / f"ohif-{VERSION}"
    if (kept / "index.html").is_file():
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        package = _packed(Path(folder))
        with tarfile.open(package) as archive:
            archive.extractall(folder, filter="data")
        try:
            (Path(folder) / "package" / "dist").rename(kept)
        except OSError:
            assert (kept / "index.html").is_file()  # another run was faster
    return kept


def _packed(folder: Path) -> Path:
    if shutil.which("npm") is None:
        pytest.fail("npm is needed to get OHIF; install Node 20")
    command = ["npm", "pack", f"@ohif/app@{VERSION}", "--pack-destination", str(folder), "--fetch-retries=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        if any(word in done.stderr for word in _UNREACHABLE):
            pytest.skip(f"npm's registry cannot be reached, so there is no OHIF to drive: {done.stderr[-300:]}")
        pytest.fail(f"npm pack: {done.stderr[-2000:]}")
    (package,) = folder.glob("*.tgz")
    assert base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode() == INTEGRITY
    return package


class Ohif:
    """ASGI: OHIF alone, which asks an archive at `dicomweb`; ``/empty`` is a page with nothing on it."""

    def __init__(self, build: Path, dicomweb: str = "/dicomweb") -> None:
        self.dicomweb = dicomweb
        self._build = build

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = self._build / scope["path"].lstrip("/")
        answer: Response
        if scope["path"] == "/app-config.js":
            configuration = json.dumps(_configuration(self.dicomweb))
            answer = Response(f"window.config = {configuration}", media_type="text/javascript")
        elif scope["path"] == "/empty":
            answer = Response("<!doctype html><title>empty</title>", media_type="text/html")
        else:
            answer = FileResponse(file if file.is_file() else self._build / "index.html")
        answer.headers.update(_ISOLATED)
        await answer(scope, receive, send)


class WithOhif:
    """ASGI: what is below ``/dicomweb`` goes to the archive, all else is OHIF. One origin needs no CORS."""

    def __init__(self, archive: ASGIApp, build: Path) -> None:
        self._archive = archive
        self._ohif = Ohif(build)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        application = self._archive if scope["path"].startswith("/dicomweb/") else self._ohif
        await application(scope, receive, send)

"""The door as a whole: routes, their description, errors of routing."""

from __future__ import annotations

import pytest

from pacs.dicomweb.app import dicomweb_app
from pacs.errors import Refused
from tests.dicomweb.served import DoorInMemory

STUDY = "/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
PICTURED = (STUDY, SERIES, INSTANCE, INSTANCE + "/frames/{frame}")
ROUTES = {
    *("/studies", "/series", "/instances", f"{STUDY}/series", f"{STUDY}/instances", f"{SERIES}/instances"),
    *(STUDY, SERIES, INSTANCE, f"{STUDY}/metadata", f"{SERIES}/metadata", f"{INSTANCE}/metadata"),
    *(INSTANCE + "/frames/{frames}", INSTANCE + "/bulkdata/{path}"),
    *(f"{level}/{kind}" for level in PICTURED[:3] for kind in ("bulkdata", "pixeldata")),
    *(INSTANCE + "/versions", INSTANCE + "/versions/{number}"),
    *("/wado", "/conformance"),
    *(f"{level}/{kind}" for level in PICTURED for kind in ("rendered", "thumbnail")),
}


def test_every_resource_is_described(door: DoorInMemory) -> None:
    schema = door.get("/openapi.json").json()
    assert set(schema["paths"]) == ROUTES
    assert {path for path in ROUTES if "post" in schema["paths"][path]} == {"/studies", STUDY}
    assert all("get" in schema["paths"][path] for path in ROUTES)
    operations = [operation["operationId"] for path in schema["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))
    for path, method, status in (("/studies", "get", "200"), ("/studies", "post", "200"), (STUDY, "post", "202")):
        assert "Warning" in schema["paths"][path][method]["responses"][status]["headers"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/studies", 405), ("DELETE", "/studies/1.2", 405)]
)
def test_errors_of_routing_have_the_same_form(door: DoorInMemory, method: str, path: str, status: int) -> None:
    answer = door.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "hint"}
    assert "server-timing" in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/studies", "GET, HEAD, OPTIONS, POST"),
        ("DELETE", "/studies/1.2", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/studies/1.2/metadata", "GET, HEAD, OPTIONS"),
        ("DELETE", "/studies/1.2/series/1.3", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_is_not_offered_is_answered_with_those_that_are(
    door: DoorInMemory, method: str, path: str, allowed: str
) -> None:
    answer = door.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed


def test_no_other_origin_is_let_in(door: DoorInMemory) -> None:
    assert "access-control-allow-origin" not in door.get("/studies", origin="http://elsewhere").headers


def test_who_may_not_gets_nothing(door: DoorInMemory) -> None:
    def nobody(_scope: object) -> None:
        raise Refused("Log in first")

    class Closed(DoorInMemory):
        def application(self) -> object:
            return dicomweb_app(self.ingest, self.search, self.retrieve, identify=nobody)  # type: ignore[arg-type]

    closed = Closed(door.ingest, door.search, door.retrieve)
    for path in ROUTES - {"/conformance"}:  # which says what there is, not of whom
        names = {"study": "1.1", "series": "1.2", "instance": "1.3", "frames": "1", "frame": "1", "number": "1"}
        filled = path.format(**names, path="7FE00010")
        uri = "requestType=WADO&studyUID=1.1&seriesUID=1.2&objectUID=1.3"
        assert closed.get(filled + (f"?{uri}" if path == "/wado" else "")).status_code == 403, path
    for path in ("/studies", "/studies/1.1"):
        assert closed.post(path, b"x").status_code == 403

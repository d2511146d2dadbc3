"""Plain ASGI routes stand in the description beside FastAPI's own."""

from __future__ import annotations

from fastapi import FastAPI

from pacs.dicomweb.capabilities import describe_hot_routes


def test_routes_are_added_once() -> None:
    app = FastAPI()

    @app.post("/studies/{study}")
    def store(study: str) -> None: ...

    describe_hot_routes(app, {"/studies/{study}": "A study", "/x/{path}": "More"})
    for _ in range(2):
        paths = app.openapi()["paths"]
        assert set(paths) == {"/studies/{study}", "/x/{path}"}
        assert set(paths["/studies/{study}"]) == {"get", "post"}
        assert paths["/x/{path}"]["get"]["parameters"][0]["name"] == "path"

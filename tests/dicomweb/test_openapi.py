"""Plain ASGI routes stand in the description beside FastAPI's own, and all say how they fail."""

from __future__ import annotations

from fastapi import FastAPI

from pacs.dicomweb.openapi import Described, binary, describe


def test_routes_are_added_once() -> None:
    app = FastAPI()

    @app.post("/studies/{study}")
    def store(study: str) -> None: ...

    content = binary("application/dicom")
    describe(app, {"/studies/{study}": Described("A study", content), "/x/{path}": Described("More", content)})
    for _ in range(2):
        paths = app.openapi()["paths"]
        assert set(paths) == {"/studies/{study}", "/x/{path}"}
        assert set(paths["/studies/{study}"]) == {"get", "post"}
        assert [each["name"] for each in paths["/x/{path}"]["get"]["parameters"]] == ["path", "accept"]
        assert [each["name"] for each in paths["/studies/{study}"]["post"]["parameters"]] == ["study"]


def test_every_operation_says_how_it_fails() -> None:
    app = FastAPI()

    @app.post("/studies/{study}")
    def store(study: str) -> None: ...

    describe(app, {"/studies/{study}": Described("A study", binary("application/dicom"), is_ranged=True)})
    schema = app.openapi()
    of_get, of_post = (schema["paths"]["/studies/{study}"][method]["responses"] for method in ("get", "post"))
    assert {"200", "206", "304", "400", "404", "406", "416", "503"} <= set(of_get)
    assert {"400", "409", "415", "507"} <= set(of_post)
    assert "422" not in of_post
    for reference in (each["$ref"] for each in of_get.values() if "$ref" in each):
        assert reference.rpartition("/")[2] in schema["components"]["responses"]

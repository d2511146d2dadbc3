"""The OpenAPI description of the routes that are plain ASGI, beside the ones FastAPI describes itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

_PARAMETER = re.compile(r"\{(\w+)\}")


def describe_hot_routes(app: FastAPI, summaries: Mapping[str, str]) -> None:
    """Add `summaries`, by path, to what `app.openapi` gives."""
    described_by_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        is_new = app.openapi_schema is None
        schema = described_by_fastapi()
        if is_new:
            for path, summary in summaries.items():
                schema["paths"].setdefault(path, {})["get"] = _operation(path, summary)
        return schema

    # Assigning it is how FastAPI wants a description extended.
    app.openapi = openapi  # type: ignore[method-assign]


def _operation(path: str, summary: str) -> dict[str, Any]:
    return {
        "tags": ["WADO-RS"],
        "summary": summary,
        "operationId": "get" + re.sub(r"\W+", "_", path).rstrip("_"),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(path)
        ],
        "responses": {
            "200": {"description": "The bytes, in the representation Accept asks for"},
            "304": {"description": "The client has it already"},
            "400": {"description": "The URL or Accept cannot be understood"},
            "404": {"description": "Nothing of this name is kept"},
            "406": {"description": "It cannot be made into what Accept asks for"},
        },
    }

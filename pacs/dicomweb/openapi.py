"""The OpenAPI description: of the routes that are plain ASGI, and what every route may answer. A test holds it true."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

DICOM_JSON = "application/dicom+json"
DICOM_XML = "application/dicom+xml"
MULTIPART = "multipart/related"

_PARAMETER = re.compile(r"\{(\w+)\}")
_UID = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)*$", "minLength": 1, "maxLength": 64}
_PATH_SCHEMAS: Mapping[str, dict[str, Any]] = {
    "study": _UID,
    "series": _UID,
    "instance": _UID,
    "frames": {"type": "string", "pattern": "^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$"},
    "frame": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
    "number": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
    "path": {"type": "string", "pattern": "^[0-9A-Fa-f]{8}(/[0-9]{1,9}/[0-9A-Fa-f]{8}){0,64}$"},
}
_NUMBER = {"type": "integer", "minimum": 0, "maximum": 1_000_000_000}
_FIELD = r"([0-9A-Fa-f]{8}|[A-Za-z][0-9A-Za-z]{0,63})"
_FIELDS = rf"{_FIELD}(\.{_FIELD}){{0,7}}"
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,60}"
_MEDIA_TYPE = rf'{_WORD}/{_WORD}(; ?{_WORD}=({_WORD}|"[^"\\]*"))*'
_DECIMAL = r"-?[0-9]{1,9}(\.[0-9]{1,9})?"
_QUERY_SCHEMAS: Mapping[str, dict[str, Any]] = {
    "limit": _NUMBER,
    "offset": _NUMBER,
    "includefield": {"type": "string", "pattern": rf"^(all|{_FIELDS}(,{_FIELDS})*)$"},
    "TimezoneOffsetFromUTC": {"type": "string", "pattern": "^([+]0[0-9][0-5][0-9]|-0[1-9][0-5][0-9])$"},
    "PatientID": {"type": "string", "pattern": r"^[^\u0000-\u001f\u007f\\]*$", "maxLength": 64},
    "accept": {"type": "string", "pattern": rf"^{_MEDIA_TYPE}(, ?{_MEDIA_TYPE})*$"},
    "window": {"type": "string", "pattern": rf"^{_DECIMAL},[1-9][0-9]{{0,8}}(,(linear|linear-exact|sigmoid))?$"},
    "viewport": {"type": "string", "pattern": rf"^[1-9][0-9]{{0,3}},[1-9][0-9]{{0,3}}(,({_DECIMAL})?){{0,4}}$"},
    "quality": {"type": "integer", "minimum": 1, "maximum": 100},
}
"""Of parameters that several routes take; where a route says more of its own, that stays."""
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_ERRORS = {
    400: "The request cannot be understood; the answer names the part",
    403: "Not allowed",
    404: "Nothing of this name is kept",
    406: "It cannot be made into what Accept asks for",
    410: "It was deleted, or what it was in",
    413: "More than is done at once",
    500: "What is stored is damaged, or the archive has an error; its log says which",
    503: "Try again shortly, after what Retry-After says",
}
_OF_CHANGES = {
    409: "Other data is kept, it is of another study, or its state does not allow it",
    415: "Not taken in this form",
    507: "No room",
}
_SEARCHED = ("/studies", "/series", "/instances", "/workitems")

_DATA_SET = {
    "type": "object",
    "description": "A data set (PS3.18 Annex F).",
    "patternProperties": {
        "^[0-9A-F]{8}$": {
            "type": "object",
            "properties": {
                "vr": {"type": "string", "pattern": "^[A-Z]{2}$"},
                "Value": {"type": "array"},
                "BulkDataURI": {"type": "string"},
                "InlineBinary": {"type": "string"},
            },
            "required": ["vr"],
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}
_ERROR = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "minLength": 1, "description": "What was wrong."},
        "hint": {"type": "string", "minLength": 1, "description": "What to do next."},
    },
    "required": ["error", "hint"],
    "additionalProperties": False,
}
DATA_SET = {"$ref": "#/components/schemas/DataSet"}

ACCEPT_PARAMETER: dict[str, Any] = {
    "name": "accept",
    "in": "query",
    "required": False,
    "description": "Media types as in an Accept header, which it replaces (PS3.18 §8.3.3.1).",
    "schema": {"type": "string"},
}


@dataclass(frozen=True)
class Described:
    """A hot route: what it gives, in which media types, and its query parameters."""

    summary: str
    content: Mapping[str, Any]
    tag: str = "WADO-RS"
    parameters: Sequence[Mapping[str, Any]] = (ACCEPT_PARAMETER,)
    is_ranged: bool = False
    """Answers of a part, by Range, as well."""


def binary(*media_types: str) -> dict[str, Any]:
    """Content of bytes in any of these media types."""
    return dict.fromkeys(media_types, _BINARY)


def data_sets(*, is_array: bool) -> dict[str, Any]:
    """Content of one data set, or an array of them, in JSON and XML."""
    json: dict[str, Any] = {"schema": {"type": "array", "items": DATA_SET} if is_array else DATA_SET}
    return {DICOM_JSON: json, "application/json": json, **binary(DICOM_XML, MULTIPART)}


def describe(app: FastAPI, hot: Mapping[str, Described]) -> None:
    """Make `app.openapi` tell of the routes `hot`, by path, and of every route how it fails."""
    described_by_fastapi = app.openapi
    lock = threading.Lock()

    def openapi() -> dict[str, Any]:
        with lock:  # nobody reads it half done
            if app.openapi_schema is None:
                _complete(described_by_fastapi(), hot)
        assert app.openapi_schema is not None  # noqa: S101 -- FastAPI keeps what it has made
        return app.openapi_schema

    # Assigning it is how FastAPI wants a description extended.
    app.openapi = openapi  # type: ignore[method-assign]


def _complete(schema: dict[str, Any], hot: Mapping[str, Described]) -> None:
    for path, described in hot.items():
        schema["paths"].setdefault(path, {})["get"] = _operation(path, described)
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            _complete_operation(operation, method, path)
    schema["components"] = {
        "schemas": {"DataSet": _DATA_SET, "Error": _ERROR},
        "responses": {str(status): _problem(status, text) for status, text in {**_ERRORS, **_OF_CHANGES}.items()},
    }


def _problem(status: int, text: str) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    headers = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds.", "required": True}}
    return {"description": text, "content": content, **({"headers": headers} if status == 503 else {})}


def _operation(path: str, described: Described) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": described.summary, "content": dict(described.content)}}
    if described.is_ranged:
        responses["206"] = {"description": "The bytes that Range asks for", "content": dict(described.content)}
        responses["416"] = {"description": "Range names no byte of it", **_problem(416, "")}
    return {
        "tags": [described.tag],
        "summary": described.summary,
        "operationId": "get" + re.sub(r"\W+", "_", path).rstrip("_"),
        "parameters": [*map(dict, described.parameters)],
        "responses": {
            **responses,
            "304": {"description": "The client has it already"},
            "412": {**_problem(412, ""), "description": "It is not what If-Match names"},
        },
    }


def _failures(method: str, path: str) -> set[int]:
    """Statuses of a resource that cannot be had or changed, besides those that its route tells of itself. Another
    method than those of the resource is 405, which is told by none of them."""
    is_search = path.endswith(_SEARCHED)
    names_one = "{" in path or path == "/wado"
    of_the_trash, of_workitems = path.startswith("/trash"), path.startswith("/workitems")
    always = {400, 500, 503}
    if method == "get":
        return (
            always
            | ({404} if names_one and not is_search else set())
            | ({410} if names_one and not is_search and not of_the_trash else set())
            | ({406} if not of_the_trash else set())
            | ({413} if is_search or path.endswith("/metadata") else set())
        )
    is_store = method == "post" and path in ("/studies", "/studies/{study}")
    takes_no_body = "/subscribers/" in path or of_the_trash
    return (
        always
        | {403}
        | ({404} if names_one and not is_store else set())
        | ({409} if "/subscribers/" not in path else set())
        | ({410} if of_workitems and names_one and method != "delete" and not path.endswith("/suspend") else set())
        | ({413, 415} if not takes_no_body else set())
        | ({507} if not of_workitems else set())
    )


def _complete_operation(operation: dict[str, Any], method: str, path: str) -> None:
    said = [each for each in operation.get("parameters", ()) if each["in"] != "path"]
    for each in said:
        if each["schema"] in ({"type": "string"}, {"type": "integer"}):
            each["schema"] = _QUERY_SCHEMAS.get(each["name"], each["schema"])
    operation["parameters"] = [
        *(
            {"name": name, "in": "path", "required": True, "schema": _schema_of(name)}
            for name in _PARAMETER.findall(path)
        ),
        *said,
    ]
    responses = operation["responses"]
    responses.pop("422", None)  # FastAPI's own; path parameters are text and checked by the routes
    for status in sorted(_failures(method, path)):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/{status}"})


def _schema_of(path_parameter: str) -> dict[str, Any]:
    return _PATH_SCHEMAS.get(path_parameter, {"type": "string"})

"""Retrieve Capabilities (PS3.18 §8.9.1): what this door can, told from the routes that run, so that it cannot lie.

``OPTIONS`` on the service itself and ``GET /conformance`` give the whole statement, as WADL or JSON; ``OPTIONS`` on a
resource gives its methods in Allow. Nothing here tells what is kept.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pacs.dicomweb.accept import Offer, choose
from pacs.dicomweb.requests import accepted_by
from pacs.dicomweb.resources import service_base
from pacs.dicomweb.responses import encoded_json, in_thread, problem

WADL: Final = "application/vnd.sun.wadl+xml"
_JSON: Final = "application/json"
# The standard's own form is what who says nothing gets by OPTIONS, and JSON by GET.
_BY_OPTIONS: Final = (Offer(WADL), Offer("application/xml"), Offer("text/xml"), Offer(_JSON))
_BY_GET: Final = (Offer(_JSON), Offer(WADL), Offer("application/xml"), Offer("text/xml"))
_NAMESPACE: Final = "http://wadl.dev.java.net/2009/02"
_SCHEMA: Final = "http://www.w3.org/2001/XMLSchema"
_TYPES: Final = {"integer": "xs:integer", "boolean": "xs:boolean", "number": "xs:decimal"}
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
CONFORMANCE_PATH: Final = "/conformance"


class Capabilities:
    """Of one application, told from its description, which FastAPI makes of the routes that it serves."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._patterns: list[tuple[re.Pattern[str], str]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: answers OPTIONS."""
        response = await in_thread(self.options, scope)
        await response(scope, receive, send)

    def options(self, scope: Scope) -> Response:
        """The answer to OPTIONS. Blocks when it is first asked: the description is made then."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in ("", "/"):
            return self._statement(scope, _BY_OPTIONS)
        methods = self.methods(path)
        if not methods:
            return problem(404, "There is no such resource here")
        return Response(status_code=204, headers={"allow": ", ".join(methods), "cache-control": "no-store"})

    def statement(self, request: Request) -> Response:
        """The answer to GET of the statement."""
        return self._statement(request.scope, _BY_GET)

    def methods(self, path: str) -> list[str]:
        """Methods of the resource at `path`; empty when there is none."""
        if self._patterns is None:
            self._patterns = [(re.compile(_pattern(template)), template) for template in self._app.openapi()["paths"]]
        found = [
            method
            for pattern, template in self._patterns
            if pattern.fullmatch(path)
            for method in _methods(self._app.openapi()["paths"][template])
        ]
        return sorted({*found, "OPTIONS"}) if found else []

    def _statement(self, scope: Scope, offers: Sequence[Offer]) -> Response:
        offer = choose(accepted_by(scope), offers)
        base = service_base(scope)
        make: Callable[[Mapping[str, Any], str], bytes] = as_json if offer.media_type == _JSON else as_wadl
        headers = {"allow": "GET, HEAD, OPTIONS", "cache-control": "no-cache", "vary": "Accept"}
        return Response(make(self._app.openapi(), base), headers=headers, media_type=offer.media_type)


def _pattern(template: str) -> str:
    return _PARAMETER.sub(lambda name: ".+" if name[1] == "path" else "[^/]+", template)


def _methods(operations: Mapping[str, Any]) -> list[str]:
    named = [method.upper() for method in operations]
    return [*named, *(["HEAD"] if "GET" in named and "HEAD" not in named else []), "OPTIONS"]


def as_json(description: Mapping[str, Any], base: str) -> bytes:
    """The statement for programs; `description` is the OpenAPI one."""
    resources = [
        {
            "path": path,
            "methods": _methods(operations),
            "transactions": [
                {
                    "method": method.upper(),
                    "service": operation.get("tags", ["other"])[0],
                    "summary": operation.get("summary", ""),
                    "parameters": _names(operation, "query"),
                    "consumes": sorted(operation.get("requestBody", {}).get("content", {})),
                    "produces": _produced(operation),
                    "statuses": sorted(int(status) for status in operation["responses"] if status.isdecimal()),
                }
                for method, operation in operations.items()
            ],
        }
        for path, operations in sorted(description["paths"].items())
    ]
    services = sorted({each["service"] for one in resources for each in one["transactions"]})
    return encoded_json(
        {
            "software": {"name": "pacs", "version": version("pacs")},
            "base": base,
            "standard": "DICOM PS3.18",
            "services": services,
            "resources": resources,
        }
    )


def as_wadl(description: Mapping[str, Any], base: str) -> bytes:
    """The statement in the Web Application Description Language (PS3.18 §8.9.1.2)."""
    ET.register_namespace("", _NAMESPACE)
    root = ET.Element(f"{{{_NAMESPACE}}}application", {"xmlns:xs": _SCHEMA})
    resources = _below(root, "resources", base=f"{base}/")
    for path, operations in sorted(description["paths"].items()):
        resource = _below(resources, "resource", path=path.lstrip("/"))
        for name in _PARAMETER.findall(path):
            _below(resource, "param", name=name, style="template", type="xs:string", required="true")
        for method, operation in operations.items():
            _describe(_below(resource, "method", name=method.upper(), id=operation["operationId"]), operation)
        _below(resource, "method", name="OPTIONS")
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _describe(method: ET.Element, operation: Mapping[str, Any]) -> None:
    _below(method, "doc", title=operation.get("summary", ""))
    request = _below(method, "request")
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            kind = _TYPES.get(parameter.get("schema", {}).get("type", ""), "xs:string")
            _below(request, "param", name=parameter["name"], style="query", type=kind)
    for media_type in sorted(operation.get("requestBody", {}).get("content", {})):
        _below(request, "representation", mediaType=media_type)
    for status, answer in sorted(operation["responses"].items()):
        response = _below(method, "response", status=status)
        for media_type in sorted(answer.get("content", {})):
            _below(response, "representation", mediaType=media_type)


def _below(parent: ET.Element, element: str, /, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, f"{{{_NAMESPACE}}}{element}", attributes)


def _names(operation: Mapping[str, Any], place: str) -> list[str]:
    return sorted(each["name"] for each in operation.get("parameters", ()) if each["in"] == place)


def _produced(operation: Mapping[str, Any]) -> list[str]:
    return sorted(
        {
            media_type
            for status, answer in operation["responses"].items()
            if status.startswith("2")
            for media_type in answer.get("content", {})
        }
    )

"""Deleting studies, series and instances, and the trash that undoes it.

``DELETE`` is as archives in the cloud have it, for PS3.18 has none; ``/trash`` is a resource of our own.

Off unless ``http.delete`` allows it, as nobody is asked who they are.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pacs.deletions import Deletions
from pacs.dicomweb.accept import parse_content_type
from pacs.dicomweb.resources import ResourceKey
from pacs.dicomweb.responses import encoded_json
from pacs.dicomweb.services import Identify, anonymous
from pacs.errors import InvalidRequest, ProtocolViolation, Refused, TooLarge, UnsupportedMedia
from pacs.http_settings import HttpSettings
from pacs.model import Deletion, Principal, checked_uid

_MAX_BODY_BYTES: Final = 8192
_MOST_LISTED: Final = 1000
_NAME: Final = re.compile(r"[0-9a-f]{32}\Z")
_NUMBER: Final = re.compile(r"[0-9]{1,9}\Z")
_SERIES: Final = "/studies/{study}/series/{series}"
_REASON: Final = {
    "parameters": [
        {
            "name": "reason",
            "in": "query",
            "required": False,
            "description": 'Why; or in a body {"reason": "..."} of type application/json',
            "schema": {"type": "string"},
        }
    ]
}
_OFF: Final = (
    "Deleting over HTTP is switched off here. The operator can allow it with delete = true under [http], or delete with"
    " the command: pacs trash put STUDY --reason WHY"
)


def add_deletions(
    app: FastAPI, deletions: Deletions, *, identify: Identify = anonymous, http: HttpSettings | None = None
) -> None:
    """Give `app` the routes; `identify` as `pacs.dicomweb.app.dicomweb_app` has it."""
    door = _Door(deletions, identify, http or HttpSettings())
    for path, what in (
        ("/studies/{study}", "study"),
        (_SERIES, "series"),
        (_SERIES + "/instances/{instance}", "instance"),
    ):
        app.add_api_route(
            path,
            door.delete,
            methods=["DELETE"],
            summary=f"Delete a {what}" if what != "instance" else "Delete an instance",
            tags=["Deletion"],
            response_class=Response,
            openapi_extra={"parameters": [*_REASON["parameters"], *_path_parameters(path)]},
        )
    for path, method, answer, summary, extra in (
        ("/trash", "GET", door.list, "What is in the trash", ("limit", "offset", "history")),
        ("/trash/{deletion}", "GET", door.one, "One deletion", ()),
        ("/trash/{deletion}/restore", "POST", door.restore, "Undo a deletion", ("series", "instance")),
    ):
        app.add_api_route(
            path,
            answer,
            methods=[method],
            summary=summary,
            tags=["Deletion"],
            response_class=Response,
            openapi_extra={"parameters": [*_path_parameters(path), *map(_query_parameter, extra)]},
        )


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [piece[1:-1] for piece in path.split("/") if piece.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}


class _Door:
    def __init__(self, deletions: Deletions, identify: Identify, http: HttpSettings) -> None:
        self._deletions = deletions
        self._identify = identify
        self._http = http

    async def delete(self, request: Request) -> Response:
        principal = self._allowed(request)
        key = ResourceKey.of(request.path_params)
        reason = await self._reason(request)
        done = await run_in_threadpool(
            self._deletions.delete,
            principal,
            key.study_instance_uid,
            key.series_instance_uid,
            key.sop_instance_uid,
            reason=reason,
            source=request.client.host if request.client else "",
        )
        return _json(_described(done))

    async def list(self, request: Request) -> Response:
        principal = self._allowed(request)
        asked = request.query_params
        found = await run_in_threadpool(
            self._deletions.all,
            principal.hospital,
            with_history=asked.get("history", "false") == "true",
            limit=min(_number(asked.get("limit"), "limit", 100), _MOST_LISTED),
            offset=_number(asked.get("offset"), "offset", 0),
        )
        return _json([_described(one) for one in found])

    async def one(self, request: Request) -> Response:
        principal = self._allowed(request)
        return _json(_described(await run_in_threadpool(self._deletions.one, principal, _name_in(request))))

    async def restore(self, request: Request) -> Response:
        principal = self._allowed(request)
        asked = {name: request.query_params.get(name) for name in ("series", "instance")}
        series, instance = (
            None if uid is None else checked_uid(uid, f"The {name} to restore") for name, uid in asked.items()
        )
        count, now = await run_in_threadpool(
            self._deletions.restore,
            principal,
            _name_in(request),
            series_instance_uid=series,
            sop_instance_uid=instance,
        )
        return _json({"restored": count, **_described(now)})

    def _allowed(self, request: Request) -> Principal:
        principal = self._identify(request.scope)
        if not self._http.delete:
            raise Refused(_OFF)
        return principal

    async def _reason(self, request: Request) -> str | None:
        asked = request.query_params.getlist("reason")
        body = await self._body(request)
        if body:
            asked.append(_reason_in(body, request.headers.get("content-type")))
        if len(set(asked)) > 1:
            raise InvalidRequest("There are several reasons; give one, as parameter of the URL or in the body")
        return asked[0] if asked else None

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._http.body_timeout_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > _MAX_BODY_BYTES:
                        raise TooLarge(f"The body is larger than {_MAX_BODY_BYTES} bytes; a reason has one line")
        except TimeoutError:
            raise ProtocolViolation("The rest of the body did not come (setting http.body_timeout_s)") from None
        except ClientDisconnect:
            raise ProtocolViolation("The request was cut off") from None
        return bytes(body)


def _reason_in(body: bytes, content_type: str | None) -> str:
    if not content_type or parse_content_type(content_type).media_type != "application/json":
        raise UnsupportedMedia('A reason in the body is application/json: {"reason": "wrong patient"}')
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is no JSON") from None
    reason = found.get("reason") if isinstance(found, dict) else None
    if not isinstance(reason, str):
        raise InvalidRequest('The body has no reason; send {"reason": "wrong patient"}')
    return reason


def _name_in(request: Request) -> str:
    name = str(request.path_params["deletion"])
    if not _NAME.match(name):
        raise InvalidRequest(f"{name[:40]!r} is no deletion; GET /trash lists them")
    return name


def _number(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    if not _NUMBER.match(text):
        raise InvalidRequest(f"{name} {text[:20]!r} is no number")
    return int(text)


def _described(deletion: Deletion) -> dict[str, Any]:
    described = {
        "deletion": deletion.name,
        "state": deletion.state.value,
        "study": deletion.study_instance_uid,
        "series": deletion.series_instance_uid,
        "instance": deletion.sop_instance_uid,
        "instances": deletion.instances,
        "bytes": deletion.stored_bytes,
        "reason": deletion.reason,
        "deletedBy": deletion.principal,
        "deletedFrom": deletion.source,
        "deletedAt": deletion.deleted_at.isoformat(timespec="milliseconds"),
        "restorableUntil": deletion.erase_at.isoformat(timespec="milliseconds"),
    }
    return {name: value for name, value in described.items() if value is not None}


def _json(content: Any) -> Response:
    return Response(encoded_json(content), headers={"cache-control": "no-store"}, media_type="application/json")

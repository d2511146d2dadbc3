"""UPS-RS: the Worklist Service of PS3.18 §11, but for its notifications, which `pacs.dicomweb.ups_events` sends."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pacs.dicomweb.accept import Offer, choose
from pacs.dicomweb.http_errors import body as error_body
from pacs.dicomweb.http_errors import headers_of, hint_for, log_refusal, status_of
from pacs.dicomweb.multipart import Part, derived_boundary
from pacs.dicomweb.multipart import encoded as multipart
from pacs.dicomweb.openapi import data_sets
from pacs.dicomweb.requests import accepted_by_search, client_of
from pacs.dicomweb.resources import service_base
from pacs.dicomweb.responses import VARY, accepts_gzip, compressed, json_array
from pacs.dicomweb.search_parameters import filter_query, plain_query
from pacs.dicomweb.services import Identify
from pacs.dicomweb.store_body import OpenBodies
from pacs.dicomweb.ups_body import MAX_BODY_BYTES, read_body
from pacs.errors import Conflict, InvalidRequest, PacsError, TooLarge
from pacs.http_settings import HttpSettings
from pacs.model import DicomJson, Principal, Query
from pacs.part10.dicom_xml import to_xml
from pacs.worklist.refusals import DeletedWorkitem, NotClaimed, TransactionUidIncorrect, TransactionUidMissing
from pacs.worklist.service import Worklist
from pacs.worklist.states import State

MAX_RESULTS: Final = 5000
"""Workitems of one answer, of a few KB each; 206 says that there are more."""

CREATED_WITH_MODIFICATIONS: Final = "The Workitem was created with modifications."
UPDATED_WITH_MODIFICATIONS: Final = "The Workitem was updated with modifications."
NOT_CLAIMED: Final = "The target URI did not reference a claimed Workitem."
INCONSISTENT_UPDATE: Final = "The submitted request is inconsistent with the current state of the Workitem."
UID_MISSING: Final = "The Transaction UID is missing."
UID_INCORRECT: Final = "The Transaction UID is incorrect."
INCONSISTENT_STATE: Final = "The submitted request is inconsistent with the state of the UPS Instance."
ALREADY: Final = {state: f"The UPS is already in the requested state of {state}." for state in State}
MORE_RESULTS: Final = "There are additional results that can be requested"

_DICOM_XML: Final = "application/dicom+xml"
_JSON_OFFERS: Final = (Offer("application/dicom+json"), Offer("application/json"))
_XML_OFFERS: Final = (Offer(_DICOM_XML, is_multipart=True), Offer(_DICOM_XML))
_COMPRESS_FROM_BYTES: Final = 2048
_HINTS: Final = {
    404: "Search for what there is: GET /workitems.",
    409: "Retrieve the workitem to see its state: GET /workitems/{workitem}.",
    410: "It was deleted some time after its end; its UID is not used again.",
    413: "Send a smaller workitem, or search with limit and offset.",
    415: f"Send application/dicom+json or {_DICOM_XML}, as it is or with Content-Encoding gzip.",
}
_UPDATE_FAILURES: Final[Mapping[type[PacsError], str]] = {
    NotClaimed: NOT_CLAIMED,
    PacsError: INCONSISTENT_UPDATE,
}
_STATE_FAILURES: Final[Mapping[type[PacsError], str]] = {
    TransactionUidMissing: UID_MISSING,
    TransactionUidIncorrect: UID_INCORRECT,
    Conflict: INCONSISTENT_STATE,
    InvalidRequest: INCONSISTENT_STATE,
}
_writers = ThreadPoolExecutor(4, "dicomweb-worklist")
"""Changes wait for the disk, one after the other; apart from the threads that frames are read in."""
_NO_FAILURES: Final[Mapping[type[PacsError], str]] = {}

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in ("application/dicom+json", _DICOM_XML)
        }
    }
}
_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The workitems", "content": data_sets(is_array=True)},
    204: {"description": "None matches"},
    206: {"description": "Some of those that match", "content": data_sets(is_array=True)},
}
_STATE_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    status: {"$ref": f"#/components/responses/{status}"} for status in (409, 415)
}


def worklist_routes(worklist: Worklist, identify: Identify, http: HttpSettings) -> APIRouter:
    """The routes of the Worklist Service."""
    router = APIRouter(tags=["UPS-RS"], default_response_class=Response)
    door = _Door(worklist, identify, http)

    @router.post("/workitems", summary="Create a workitem", openapi_extra=_BODY, status_code=201)
    async def create(request: Request) -> Response:
        return await door.with_body(request, door.create)

    @router.get("/workitems", summary="Search for workitems", responses=_FOUND)
    def search(request: Request) -> Response:
        return door.answered(request, lambda principal: door.search(request, principal))

    @router.get("/workitems/{workitem}", summary="Retrieve a workitem", responses={200: _FOUND[200]})
    def retrieve(request: Request, workitem: str) -> Response:
        return door.answered(request, lambda principal: door.retrieve(request, principal, workitem))

    @router.post("/workitems/{workitem}", summary="Update a workitem", openapi_extra=_BODY)
    async def update(request: Request, workitem: str) -> Response:
        action = functools.partial(door.update, workitem=workitem)
        return await door.with_body(request, action, _UPDATE_FAILURES)

    @router.put(
        "/workitems/{workitem}/state",
        summary="Claim, complete or cancel a workitem",
        openapi_extra=_BODY,
        responses=_STATE_REFUSED,
    )
    async def change_state(request: Request, workitem: str) -> Response:
        action = functools.partial(door.change_state, workitem=workitem)
        return await door.with_body(request, action, _STATE_FAILURES)

    @router.post(
        "/workitems/{workitem}/cancelrequest",
        summary="Ask for a cancellation",
        openapi_extra=_BODY,
        status_code=202,
    )
    async def request_cancel(request: Request, workitem: str) -> Response:
        return await door.with_body(request, functools.partial(door.request_cancel, workitem=workitem))

    @router.post("/workitems/{workitem}/subscribers/{aetitle}", summary="Subscribe", status_code=201)
    def subscribe(request: Request, workitem: str, aetitle: str) -> Response:
        return door.answered(request, lambda principal: door.subscribe(request, principal, workitem, aetitle))

    @router.delete("/workitems/{workitem}/subscribers/{aetitle}", summary="End a subscription")
    def unsubscribe(request: Request, workitem: str, aetitle: str) -> Response:
        return door.answered(request, lambda principal: worklist.unsubscribe(principal, workitem, aetitle))

    @router.post("/workitems/{workitem}/subscribers/{aetitle}/suspend", summary="Suspend a subscription")
    def suspend(request: Request, workitem: str, aetitle: str) -> Response:
        return door.answered(request, lambda principal: worklist.suspend(principal, workitem, aetitle))

    return router


class _Door:
    """Requests to the service, its answers and refusals to responses."""

    def __init__(self, worklist: Worklist, identify: Identify, http: HttpSettings) -> None:
        self._worklist = worklist
        self._identify = identify
        self._bodies = OpenBodies(http)

    # -- what is around every transaction

    def answered(
        self,
        request: Request,
        action: Callable[[Principal], Response | None],
        failures: Mapping[type[PacsError], str] = _NO_FAILURES,
    ) -> Response:
        """The response of `action`, or of what it raises, with the Warning that PS3.18 §11 has for it."""
        try:
            return action(self._identify(request.scope)) or _response(request, 200)
        except PacsError as problem:
            status = 410 if isinstance(problem, DeletedWorkitem) else status_of(problem)
            log_refusal(problem, status, request.method, request.url.path)
            headers = headers_of(problem, status)
            warning = next((failures[kind] for kind in type(problem).__mro__ if kind in failures), "")
            if warning and status < 500:
                headers["warning"] = _warning(request, warning)
            hint = _HINTS.get(status) or hint_for(status)
            return Response(error_body(str(problem), hint), status, headers)

    async def with_body(
        self,
        request: Request,
        action: Callable[[Request, Principal, Any], Response],
        failures: Mapping[type[PacsError], str] = _NO_FAILURES,
    ) -> Response:
        """As `answered`, with the data set of the request's body."""
        with self._bodies.opened(request) as body:
            received = bytearray()
            try:
                async for chunk in body.chunks():
                    received += chunk
                    if len(received) > MAX_BODY_BYTES:
                        problem = TooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes")
                        await body.drain()
                        return self.answered(request, functools.partial(_refuse, problem), failures)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it

        def act(principal: Principal) -> Response:
            headers = request.headers
            data_set = read_body(bytes(received), headers.get("content-type"), headers.get("content-encoding", ""))
            return action(request, principal, data_set)

        return await asyncio.get_running_loop().run_in_executor(_writers, self.answered, request, act, failures)

    # -- transactions

    def create(self, request: Request, principal: Principal, data_set: Any) -> Response:
        uid = _uid_beside(request, ("workitem", "affectedsopinstanceuid"))
        created = self._worklist.create(principal, uid or None, data_set)
        location = f"{service_base(request.scope)}/workitems/{created.workitem_uid}"
        warning = CREATED_WITH_MODIFICATIONS if created.is_modified else ""
        return _response(request, 201, warning, location=location)

    def retrieve(self, request: Request, principal: Principal, workitem: str) -> Response:
        offer = _chosen(request)
        found = self._worklist.retrieve(principal, workitem)
        return _with_data_sets(request, offer, [found], location=f"{service_base(request.scope)}/workitems/{workitem}")

    def update(self, request: Request, principal: Principal, data_set: Any, workitem: str) -> Response:
        claim = _uid_beside(request, ("transaction-uid", "transactionuid"))
        is_modified = self._worklist.update(principal, workitem, claim, data_set)
        return _response(request, 200, UPDATED_WITH_MODIFICATIONS if is_modified else "")

    def change_state(self, request: Request, principal: Principal, data_set: Any, workitem: str) -> Response:
        already = self._worklist.change_state(principal, workitem, data_set)
        return _response(request, 200, ALREADY[already] if already else "")

    def request_cancel(self, request: Request, principal: Principal, data_set: Any, workitem: str) -> Response:
        is_already = self._worklist.request_cancel(principal, workitem, data_set)
        return _response(request, 202, ALREADY[State.CANCELED] if is_already else "")

    def search(self, request: Request, principal: Principal) -> Response:
        offer = _chosen(request)
        query = plain_query(request.scope["query_string"])
        most = MAX_RESULTS if query.limit is None else min(query.limit, MAX_RESULTS)
        results, has_more = self._worklist.page(principal, query, most, client=client_of(request.scope))
        if has_more:
            return _with_data_sets(request, offer, results, 206, MORE_RESULTS)
        return _with_data_sets(request, offer, results) if results else _response(request, 204)

    def subscribe(self, request: Request, principal: Principal, workitem: str, aetitle: str) -> Response:
        is_locking, query = _subscription_of(request)
        self._worklist.subscribe(principal, workitem, aetitle, is_locking=is_locking, query=query)
        base = service_base(request.scope).replace("http", "ws", 1)
        return _response(request, 201, content_location=f"{base}/subscribers/{aetitle.replace(' ', '%20')}")


def _refuse(problem: PacsError, _principal: Principal) -> Response:
    raise problem


def _warning(request: Request, text: str) -> str:
    """As PS3.18 §11 has it: ``299 <service>: text``."""
    return f"299 {service_base(request.scope)}: {text}"


def _response(request: Request, status: int, warning: str = "", **headers: str) -> Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()} | {"cache-control": "no-store"}
    if warning:
        fields["warning"] = _warning(request, warning)
    return Response(status_code=status, headers=fields)


def _chosen(request: Request) -> Offer:
    return choose(accepted_by_search(request.scope), (*_JSON_OFFERS, *_XML_OFFERS))


def _with_data_sets(
    request: Request, offer: Offer, found: list[DicomJson], status: int = 200, warning: str = "", location: str = ""
) -> Response:
    headers = {"cache-control": "no-store", "vary": VARY}
    if location:
        headers["content-location"] = location
    if warning:
        headers["warning"] = _warning(request, warning)
    if offer.media_type != _DICOM_XML:
        headers["content-type"] = offer.content_type()
        body = b"".join(json_array(found))
    else:
        documents = [to_xml(one) for one in found]
        if offer.is_multipart or len(documents) != 1:
            offer = _XML_OFFERS[0]
            boundary = derived_boundary(hashlib.sha256(b"".join(documents)).hexdigest())
            headers["content-type"] = offer.content_type(boundary)
            parts = (Part(_DICOM_XML, (document,)) for document in documents)
            body = b"".join(bytes(piece) for piece in multipart(boundary, parts))
        else:
            headers["content-type"] = offer.content_type()
            body = documents[0]
    if len(body) >= _COMPRESS_FROM_BYTES and accepts_gzip(request.headers.get("accept-encoding")):
        body = b"".join(compressed([body]))
        headers["content-encoding"] = "gzip"
    return Response(body, status, headers)


def _parameters(request: Request) -> list[tuple[str, str | None]]:
    """Names in lower case and values, None for a parameter without an equals sign."""
    try:
        text = request.scope["query_string"].decode("ascii")
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not percent-encoded") from None
    pairs = []
    for field in text.split("&"):
        name, sign, value = field.replace("+", " ").partition("=")
        if field:
            pairs.append((unquote(name), unquote(value) if sign else None))
    return pairs


def _uid_beside(request: Request, names: tuple[str, ...]) -> str:
    """The UID that stands alone in the query string (``?1.2.3``, PS3.18 §11.4.1), or behind one of `names`."""
    found: set[str] = set()
    for name, value in _parameters(request):
        if value is None:
            found.add(name)
        elif name.lower() in names:
            found.add(value)
        elif name.lower() not in ("accept", "charset", "accept-charset"):
            raise InvalidRequest(f"{name[:80]!r} is no parameter of this request; it takes {names[0]}")
    if len(found) > 1:
        raise InvalidRequest("The query string has more than one UID")
    return next(iter(found), "")


def _subscription_of(request: Request) -> tuple[bool, Query | None]:
    """``deletionlock`` and ``filter`` (PS3.18 Table 11.10.1-2)."""
    is_locking, query = False, None
    for name, value in _parameters(request):
        match name.lower():
            case "deletionlock":
                if value is None or value.lower() not in ("true", "false"):
                    raise InvalidRequest(f"deletionlock={(value or '')[:20]!r} is neither true nor false")
                is_locking = value.lower() == "true"
            case "filter":
                if query is not None:
                    raise InvalidRequest("filter is given twice")
                query = filter_query(value or "")
            case "accept" | "charset" | "accept-charset":
                pass
            case _:
                raise InvalidRequest(f"{name[:80]!r} is no parameter of a subscription; it takes deletionlock, filter")
    return is_locking, query

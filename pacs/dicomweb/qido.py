"""QIDO-RS: the six search URLs of PS3.18 §10.6."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from itertools import islice
from typing import Any

from fastapi import APIRouter, Request
from pydicom.datadict import keyword_for_tag
from starlette.responses import Response

from pacs.dicomweb.accept import Offer, choose
from pacs.dicomweb.multipart import Part, derived_boundary
from pacs.dicomweb.multipart import encoded as multipart
from pacs.dicomweb.openapi import ACCEPT_PARAMETER, data_sets
from pacs.dicomweb.requests import accepted_by_search, client_of
from pacs.dicomweb.resources import ResourceKey, service_base
from pacs.dicomweb.responses import VARY, accepts_gzip, compressed, header_of, json_array
from pacs.dicomweb.search_parameters import asked_fields, empty_attributes, study_query
from pacs.dicomweb.services import Services
from pacs.measured.stages import INDEX
from pacs.model import DicomJson, Level, Query
from pacs.part10.dicom_xml import to_xml

DICOM_XML = "application/dicom+xml"
JSON_OFFERS = (Offer("application/dicom+json"), Offer("application/json"))
_XML_OFFER = Offer(DICOM_XML, is_multipart=True)
_COMPRESS_FROM_BYTES = 2048
_MAX_WARNING = 1000
_COMPUTED = frozenset({0x00081190})
"""Retrieve URL, which this door adds."""
_OF_THE_REQUEST = frozenset({0x00080005, 0x00080201})
"""Specific Character Set and Timezone Offset From UTC say how a request is meant."""

_PARAMETERS: list[dict[str, Any]] = [
    {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": kind}}
    for name, kind, text in (
        ("limit", "integer", "Most results to return."),
        ("offset", "integer", "Results to skip."),
        (
            "includefield",
            "string",
            "Attributes to add, as keywords or tags separated by commas, below sequences joined by dots, or `all`.",
        ),
        ("fuzzymatching", "boolean", "Find person names by the beginning of any word, with one slip, or by sound."),
        ("emptyvaluematching", "boolean", 'The value `""` finds what is empty or absent.'),
        ("multiplevaluematching", "boolean", "All values of a key must be found, not one of them."),
        ("TimezoneOffsetFromUTC", "string", "`+0900`: the time zone of the request's dates and times."),
        ("PatientID", "string", "As any other attribute: by keyword or tag; `*` and `?` are wildcards."),
    )
]
_OPENAPI = {"parameters": [*_PARAMETERS, ACCEPT_PARAMETER]}
_WARNING = {"Warning": {"schema": {"type": "string"}, "description": "299: what was ignored, or that there is more."}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The results", "content": data_sets(is_array=True), "headers": _WARNING},
    204: {"description": "No result, in XML", "headers": _WARNING},
}


def search_routes(services: Services) -> APIRouter:
    """The routes of the search transaction."""
    router = APIRouter(tags=["QIDO-RS"], default_response_class=Response, responses=_RESPONSES)

    def answer(request: Request, level: Level, parents: ResourceKey | None = None) -> Response:
        return _search(services, request, level, parents)

    @router.get("/studies", summary="Search for studies", openapi_extra=_OPENAPI)
    def studies(request: Request) -> Response:
        return answer(request, Level.STUDY)

    @router.get("/series", summary="Search for series in all studies", openapi_extra=_OPENAPI)
    def all_series(request: Request) -> Response:
        return answer(request, Level.SERIES)

    @router.get("/instances", summary="Search for instances in all studies", openapi_extra=_OPENAPI)
    def all_instances(request: Request) -> Response:
        return answer(request, Level.IMAGE)

    @router.get("/studies/{study}/series", summary="Search for series of a study", openapi_extra=_OPENAPI)
    def series(request: Request, study: str) -> Response:
        return answer(request, Level.SERIES, ResourceKey.of({"study": study}))

    @router.get("/studies/{study}/instances", summary="Search for instances of a study", openapi_extra=_OPENAPI)
    def study_instances(request: Request, study: str) -> Response:
        return answer(request, Level.IMAGE, ResourceKey.of({"study": study}))

    @router.get(
        "/studies/{study}/series/{series}/instances",
        summary="Search for instances of a series",
        openapi_extra=_OPENAPI,
    )
    def series_instances(request: Request, study: str, series: str) -> Response:
        return answer(request, Level.IMAGE, ResourceKey.of({"study": study, "series": series}))

    return router


def _search(services: Services, request: Request, level: Level, parents: ResourceKey | None) -> Response:
    principal = services.identify(request.scope)
    offer = choose(accepted_by_search(request.scope), (*JSON_OFFERS, _XML_OFFER))
    query = study_query(request.scope["query_string"], level, parents)
    most = services.search.max_results
    if query.limit is not None:
        most = min(query.limit, most)
    # One more than may be answered, to know whether there are more without counting them.
    with INDEX:
        found = services.search.find(
            principal, dataclasses.replace(query, limit=most + 1), client=client_of(request.scope)
        )
    base = service_base(request.scope)
    with INDEX:
        rows = list(islice(found, most + 1))
    headers = {"cache-control": "no-store", "vary": VARY}
    fields, unknown = asked_fields(request.scope["query_string"])
    search = services.search
    matched = {match.path[0] for match in query.matches} - _OF_THE_REQUEST
    unanswered = search.unanswered_fields((fields | matched) - _COMPUTED, level)
    empty = empty_attributes(level, parents, (fields | matched) - unanswered - _COMPUTED)
    results = [_shown({**empty, **row}, query, base) for row in rows]
    said = (
        ("Not kept for searching, so ignored", _names(search.unsupported_keys(query))),
        ("Older instances are still being indexed, so there may be more", _names(search.incomplete_keys(query))),
        ("Not kept for answers, so left out", _names(fields & unanswered)),
        ("Not known as attributes, so left out", unknown),
    )
    warnings = [_warning(base, f"{text}: {', '.join(names)}") for text, names in said if names]
    if len(results) > most:
        del results[most:]
        # PS3.18 §8.3.4.4.1; how many more there are is not counted.
        go_on = f": go on with offset={query.offset + most}" if most else ""
        warnings.append(_warning(base, f"There are additional results that can be requested{go_on}"))
    if warnings:
        headers["warning"] = ", ".join(warnings)
    return _answer(results, offer, headers, header_of(request.scope, b"accept-encoding"))


def _names(tags: Iterable[int]) -> list[str]:
    return [keyword_for_tag(tag) or f"{tag:08X}" for tag in sorted(tags)]


def _warning(base: str, text: str) -> str:
    """A Warning header's value (PS3.18 §8.3.4), of bounded length: servers and proxies take 8 KB of header."""
    text = text if len(text) <= _MAX_WARNING else text[:_MAX_WARNING] + " ..."
    return f'299 {base} "{text}"'


def _answer(results: list[DicomJson], offer: Offer, headers: dict[str, str], accept_encoding: str | None) -> Response:
    """The results in one body: an array in JSON, a part for each in XML, of which no part is no content."""
    if offer is not _XML_OFFER:
        headers["content-type"] = offer.content_type()
        body = b"".join(json_array(results))
    elif not results:
        return Response(status_code=204, headers=headers)
    else:
        documents = [to_xml(result) for result in results]
        boundary = derived_boundary(hashlib.sha256(b"".join(documents)).hexdigest())
        headers["content-type"] = offer.content_type(boundary)
        body = b"".join(bytes(piece) for piece in multipart(boundary, (Part(DICOM_XML, (one,)) for one in documents)))
    if len(body) >= _COMPRESS_FROM_BYTES and accepts_gzip(accept_encoding):
        body = b"".join(compressed([body]))
        headers["content-encoding"] = "gzip"
    return Response(body, headers=headers)


def _shown(result: DicomJson, query: Query, base: str) -> DicomJson:
    """The result as it is sent: sequences cut to the members asked for, with its Retrieve URL."""
    for tag in {path[0] for path in query.include_members}:
        name = f"{tag:08X}"
        if name in result:
            result = {
                **result,
                name: _cut(result[name], {path[1:] for path in query.include_members if path[0] == tag}),
            }
    return _with_url(result, base)


def _cut(sequence: dict[str, Any], paths: set[tuple[int, ...]]) -> dict[str, Any]:
    """A sequence whose items keep nothing but `paths`."""
    if sequence.get("vr") != "SQ" or not sequence.get("Value"):
        return sequence
    inner: dict[str, set[tuple[int, ...]]] = {}
    for path in paths:
        inner.setdefault(f"{path[0]:08X}", set()).add(path[1:])
    items = [
        {
            name: item[name] if () in below else _cut(item[name], below)
            for name, below in sorted(inner.items())
            if name in item
        }
        for item in (item or {} for item in sequence["Value"])
    ]
    return {**sequence, "Value": items}


def _with_url(result: DicomJson, base: str) -> DicomJson:
    """The result with its Retrieve URL (0008,1190), in tag order."""
    uids = [_uid(result, tag) for tag in ("0020000D", "0020000E", "00080018")]
    if uids[0] is None:
        return result
    key = ResourceKey(uids[0], uids[1], uids[2] if uids[1] else None)
    return dict(sorted({**result, "00081190": {"vr": "UR", "Value": [base + key.path]}}.items()))


def _uid(result: DicomJson, tag: str) -> str | None:
    values = result.get(tag, {}).get("Value") or [None]
    return values[0] if isinstance(values[0], str) else None

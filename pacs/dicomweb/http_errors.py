"""The one table that turns errors into HTTP status codes (RFC 9110 §15, PS3.18 §8.5), and the JSON body that helps.

Every error answer of this door is ``{"error": what was wrong, "hint": what to do next}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pacs import errors, log

STATUS: Mapping[type[errors.PacsError], int] = {
    errors.PacsError: 500,
    errors.PeerFault: 400,
    errors.ProtocolViolation: 400,
    errors.NotDicom: 400,
    errors.MalformedDataSet: 400,
    errors.InvalidIdentity: 400,
    errors.IdentityMismatch: 409,
    errors.InvalidRequest: 400,
    errors.TooLarge: 413,
    # PS3.18 Table 10.6.3-1: the search was too broad, a narrower one should be requested.
    errors.TooBroad: 413,
    errors.UnsupportedMedia: 415,
    errors.Refused: 403,
    errors.NotFound: 404,
    errors.Gone: 410,
    errors.Conflict: 409,
    errors.Retained: 409,
    errors.CoercionImpossible: 409,
    errors.NotAcceptable: 406,
    errors.UndecodablePixels: 406,
    errors.Busy: 503,
    errors.StorageError: 503,
    errors.StorageFull: 507,
    errors.IndexUnavailable: 503,
    errors.StoredBytesDamaged: 500,
}
"""Every class of `pacs.errors`; a test walks the tree."""

_HINT: Mapping[int, str] = {
    400: "Correct the request; sending it again unchanged cannot help.",
    403: "Nothing was changed. Ask the operator of this archive, who can allow it or do it for you.",
    404: "Search with QIDO-RS for what is kept: GET /studies.",
    405: "The Allow header names the methods of this resource.",
    406: "Send an Accept header that names one of the representations above, or Accept: */*.",
    409: "What is kept already stays as it was; compare the UIDs of the instance with the ones in the URL.",
    410: "What was deleted can be restored until it is erased: GET /trash?history=true tells who deleted it and why, or"
    " ask the operator.",
    412: "Ask without If-Match for what is kept now.",
    413: "Send less at once, or ask the operator to raise the limit.",
    415: 'Send application/dicom, or multipart/related with type="application/dicom" or "application/dicom+json".',
    500: "Tell the operator the time of this answer; the log holds the reason.",
    503: "Nothing was lost; try again shortly.",
    507: "Nothing was stored; try again when the operator has made room.",
}
_RETRY_AFTER_S = 5
_QUOTED = re.compile(r"'.*'|\".*\"", re.DOTALL)
"""Values as `repr` writes them, from the first quote to the last."""


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; 500 for one that is not of this archive."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def body(message: str, hint: str) -> bytes:
    """The JSON body of an error answer."""
    return json.dumps({"error": message, "hint": hint}, ensure_ascii=False).encode("utf-8", "replace")


def answer_to(error: BaseException) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields and JSON body for an error. The text of foreign errors is never shown."""
    status = status_of(error)
    known = isinstance(error, errors.PacsError)
    message = str(error) if known and str(error) else HTTPStatus(status).phrase
    return status, headers_of(error, status), body(message, hint_for(status))


def hint_for(status: int) -> str:
    """What the person at the other end can do next."""
    return _HINT.get(status, _HINT[400] if status < 500 else _HINT[500])


def headers_of(error: BaseException, status: int) -> dict[str, str]:
    """Header fields of an error answer; with Retry-After where trying again can help."""
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    if isinstance(error, errors.Busy):
        headers["retry-after"] = str(error.retry_after_s)
    elif status == 503:
        headers["retry-after"] = str(_RETRY_AFTER_S)
    elif status == 415:
        headers["accept-encoding"] = "gzip, identity"  # of a request (RFC 9110 §12.5.3)
    return headers


def log_refusal(error: BaseException, status: int, method: str, path: str) -> None:
    """One event for a request that was not answered as asked. The query string, which may hold a name, is left out."""
    fields: dict[str, Any] = {"method": method, "path": path[:500], "status": status}
    if status_of(error) >= 500 and not isinstance(error, errors.Busy):
        log.failure("request failed", error, **fields)
    elif status in (404, 406, 410):
        log.event("request refused", error=error, **fields)
    else:
        # The asker sees the value that was wrong; the log does not, as it may be about a patient.
        reason = _QUOTED.sub("'...'", str(error)) if isinstance(error, errors.InvalidRequest) else str(error)
        log.warning("request refused", reason=f"{type(error).__name__}: {reason}", **fields)

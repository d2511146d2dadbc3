"""What the retrieve routes read from a request, straight from its ASGI scope."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl, quote

from starlette.types import Scope

from pacs.dicomweb.accept import MediaRange, accept_of
from pacs.dicomweb.resources import service_base
from pacs.dicomweb.responses import header_of, is_known_to_client
from pacs.dicomweb.search_parameters import query_fields
from pacs.errors import InvalidRequest

_MOST_PARAMETERS = 100
_MOST_QUERY_BYTES = 2048
"""Of what a Content-Location repeats; servers and proxies take 8 KB of header."""
_TELLS_CLIENTS_APART = frozenset({b"accept-language", b"forwarded", b"user-agent", b"x-forwarded-for", b"x-real-ip"})
ASKED_BY_HEAD = "pacs.head"
"""In the scope of a request that is answered as GET, and whose answer's body nobody sends."""


def accepted_by(scope: Scope) -> tuple[MediaRange, ...]:
    """What the client accepts, from the ``accept`` query parameter or the Accept header (PS3.18 §8.7.5).

    Raises:
        InvalidRequest: neither can be read.
    """
    query_string: bytes = scope["query_string"]
    # Nothing else spells that name.
    is_named = b"accept" in query_string or b"%" in query_string or query_string.count(b"&") >= _MOST_PARAMETERS
    parameter = _query_parameter(query_string, "accept") if is_named else None
    return accept_of(header_of(scope, b"accept"), parameter)


def accepted_by_search(scope: Scope) -> tuple[MediaRange, ...]:
    """As `accepted_by`, with as many parameters as a search may have."""
    asked = [value for name, value in query_fields(scope["query_string"]) if name == "accept" and value]
    return accept_of(header_of(scope, b"accept"), ", ".join(asked))


def content_location(scope: Scope) -> str:
    """The URL of what is answered (PS3.18 Table 8.4.2-1); empty when it does not fit into a header field."""
    query = scope["query_string"]
    if len(query) > _MOST_QUERY_BYTES or not query.isascii():
        return ""
    path = quote(scope["path"].removeprefix(scope.get("root_path", "")), safe="/,")
    return f"{service_base(scope)}{path}" + (f"?{query.decode('ascii')}" if query else "")


def is_not_modified(scope: Scope, tag: str) -> bool:
    """Whether the client has the answer with this entity tag already."""
    return is_known_to_client(header_of(scope, b"if-none-match"), tag)


def client_of(scope: Scope) -> str:
    """What tells one client from another that has the same name: where it asks from and what it says of itself.

    For telling apart the lists that are paged through, and nothing else: anybody may say anything here.
    """
    address = (scope.get("client") or ("", 0))[0]
    said = (value.decode("latin-1") for name, value in scope["headers"] if name in _TELLS_CLIENTS_APART)
    return "\n".join((address, *said))


def query_parameters(scope: Scope) -> dict[str, str]:
    """The query string's parameters; of several with one name the last. Raises `InvalidRequest`."""
    query_string: bytes = scope["query_string"]
    try:
        return dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        raise _too_many() from None


def _query_parameter(query_string: bytes, name: str) -> str | None:
    try:
        values = parse_qs(query_string.decode("latin-1"), max_num_fields=_MOST_PARAMETERS).get(name)
    except ValueError:
        raise _too_many() from None
    return ", ".join(values) if values else None


def _too_many() -> InvalidRequest:
    return InvalidRequest(f"The query string has more than {_MOST_PARAMETERS} parameters")

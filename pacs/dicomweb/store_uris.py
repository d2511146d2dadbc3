"""Names of bulk data in a store request, each in the one form that all its spellings share. Pure.

A BulkDataURI and the Content-Location of its part name the same when both resolve to the same (RFC 2557 §5, RFC 3986
§5.2, §6.2.2); senders write one absolute and the other relative, or escape one and not the other.
"""

from __future__ import annotations

import re
from typing import cast
from urllib.parse import quote, unquote

_RESERVED = ":/?#[]@!$&'()*+,;="
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_COMPONENTS = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?\Z", re.DOTALL
)
"""Scheme, authority, path, query and fragment (RFC 3986 Appendix B)."""
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_IMPLIED_PORT = {"http": ":80", "https": ":443"}
_CONTENT_ID = "cid"


def resolved(uri: str, base: str) -> str:
    """The target of `uri`, which may be relative to `base` and may be anything, normalised; ASCII.

    What is no URI only because of its letters, blanks or per cent signs is taken as if they were escaped.
    """
    scheme, authority, path, query, fragment = _components(uri)
    if scheme == _CONTENT_ID:
        return _content_id(path)
    if not scheme:
        scheme, base_authority, base_path, base_query, _ = _components(base)
        if authority is None:
            authority = base_authority
            if not path:
                path, query = base_path, base_query if query is None else query
            elif not path.startswith("/"):
                path = base_path[: base_path.rfind("/") + 1] + path
    path = _without_dots(path)
    if authority is not None:
        user, at, host = authority.rpartition("@")
        authority = user + at + host.lower().removesuffix(_IMPLIED_PORT.get(scheme, "\n"))
        path = path if path.startswith("/") else "/" + path
    return (
        (f"{scheme}:" if scheme else "")
        + (f"//{authority}" if authority is not None else "")
        + path
        + (f"?{query}" if query is not None else "")
        + (f"#{fragment}" if fragment is not None else "")
    )


def content_id_uri(header: str) -> str:
    """The ``cid:`` URL of a Content-ID (RFC 2392 §2), as `resolved` writes it; empty when there is none."""
    name = header.strip().removeprefix("<").removesuffix(">")
    return _content_id(name) if name else ""


def text_of(header: str) -> str:
    """A header field, which comes as Latin-1, as the UTF-8 that a URI with other letters is written in."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def _components(uri: str) -> tuple[str, str | None, str, str | None, str | None]:
    written = _STRAY_PERCENT.sub("%25", quote(uri.strip(), safe=_RESERVED + "%", errors="surrogatepass"))
    match = cast("re.Match[str]", _COMPONENTS.match(_ESCAPED.sub(_unescaped, written)))  # every text has a path
    scheme, authority, path, query, fragment = match.groups()
    return (scheme or "").lower(), authority, path, query, fragment


def _unescaped(escaped: re.Match[str]) -> str:
    character = chr(int(escaped[1], 16))
    return character if character in _UNRESERVED else escaped[0].upper()


def _without_dots(path: str) -> str:
    """RFC 3986 §5.2.4."""
    if "." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if kept not in ([], [""]):
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)


def _content_id(name: str) -> str:
    return f"{_CONTENT_ID}:{quote(unquote(name), safe=_RESERVED, errors='surrogatepass')}"

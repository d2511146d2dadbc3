"""Which kind of request a request is, before anything is looked up. Pure."""

from __future__ import annotations

import re
from typing import Final

from pacs.measured.kinds import Kind, kind

_SEARCHED: Final = frozenset({"studies", "series", "instances"})
_PICTURES: Final = {"rendered": kind("rendered"), "thumbnail": kind("thumbnail")}
_BULK: Final = frozenset({"bulkdata", "pixeldata"})
_BY_DEPTH: Final = {2: kind("export"), 4: kind("export"), 6: kind("instance")}
_STORE, _OTHER, _FRAME, _BULK_DATA = kind("store"), kind("other"), kind("frame"), kind("bulk_data")
_METADATA, _STUDY_METADATA = kind("metadata"), kind("study_metadata")
_SEARCH, _SEARCH_INFIX = kind("search"), kind("search_infix")
_WADO_URI: Final = (kind("rendered"), kind("instance"))
_WIDE: Final = re.compile(rb"=(?:\*|%2A|\?|%3F)[^&]|fuzzymatching=true", re.IGNORECASE)
"""A wild card in front of more, or names that only sound alike: no index on the beginning of values helps."""


def kind_of(method: str, path: str, query_string: bytes = b"") -> Kind:
    """The kind of a request for `path` below the service's base; a path template will do, too."""
    steps = path.strip("/").split("/")
    if method == "POST":
        return _STORE if steps[0] == "studies" and len(steps) <= 2 else _OTHER
    if method not in ("GET", "HEAD") or steps[0] not in _SEARCHED:
        return _WADO_URI[b"application" in query_string] if steps == ["wado"] else _OTHER
    last, depth = steps[-1], len(steps)
    if depth > 6 and steps[6] in _BULK:
        return _BULK_DATA
    if depth % 2:
        if last in _SEARCHED:
            return _SEARCH_INFIX if _WIDE.search(query_string) else _SEARCH
        if last == "metadata":
            return _STUDY_METADATA if depth == 3 else _METADATA
        return _BY_DEPTH[depth - 1] if last in _BULK and depth < 6 else _PICTURES.get(last, _OTHER)
    if depth == 8 and steps[6] == "frames":
        return _FRAME
    return _BY_DEPTH.get(depth, _OTHER)


def refined(found: Kind, name: str | None) -> Kind:
    """What it turned out to be while it was answered, if anything."""
    return found if name is None else _BY_NAME.get((found.name, name), found)


_BY_NAME: Final = {
    ("frame", "transcoded"): kind("frame_transcoded"),
    ("bulk_data", "transcoded"): kind("frame_transcoded"),
    ("search", "wide"): _SEARCH_INFIX,
}

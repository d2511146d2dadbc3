"""Answers that are given again as they are: frames of images that viewers scroll through, again and again.

An answer whose bytes lie in a mapping costs nothing to keep, and everything that decides it stands in the request: who
asks, how the archive is addressed, the URL and what is accepted. Only for what never changes; see `HotRoute`.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from starlette.types import Scope

if TYPE_CHECKING:
    from pacs.dicomweb.hot import Answer

_MOST: Final = 4096
"""Some 2 KB each."""
_MOST_PIECES: Final = 64
_MOST_COPIED_BYTES: Final = 4096
"""Of pieces that are no mappings: heads of parts, not decoded frames."""
_DECIDE: Final = frozenset({b"host", b"accept"})


def request_key(scope: Scope, principal: Hashable) -> Hashable:
    """All of a GET request that decides a kept answer."""
    fields = tuple([field for field in scope["headers"] if field[0] in _DECIDE])
    return principal, scope["path"], scope["query_string"], fields, scope.get("scheme"), scope.get("root_path")


class KeptAnswers:
    """The answers given last. Used by one thread, that of the event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Answer] = OrderedDict()

    def get(self, key: Hashable) -> Answer | None:
        """The answer to a request like this one, if its bytes are still there."""
        answer = self._kept.get(key)
        if answer is None:
            return None
        if not _are_whole(answer.pieces):
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return answer

    def keep(self, key: Hashable, answer: Answer) -> Answer:
        """Remember `answer` if it may be kept; returns it, with pieces that can be sent more than once then."""
        if answer.status != 200 or answer.is_lazy or "immutable" not in answer.headers.get("cache-control", ""):
            return answer
        pieces = tuple(answer.pieces)
        answer = replace(answer, pieces=pieces)
        copied = sum(len(piece) for piece in pieces if not _is_mapped(piece))
        if len(pieces) <= _MOST_PIECES and copied <= _MOST_COPIED_BYTES:
            self._kept[key] = answer
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return answer


def _is_mapped(piece: bytes | memoryview) -> bool:
    return isinstance(piece, memoryview) and isinstance(piece.obj, mmap.mmap)


def _are_whole(pieces: Iterable[bytes | memoryview]) -> bool:
    """Whether no mapped file has been cut since: to touch bytes behind its end would kill the process."""
    for piece in pieces:
        mapped = piece.obj if isinstance(piece, memoryview) else None
        if isinstance(mapped, mmap.mmap) and mapped.size() < len(mapped):
            return False
    return True

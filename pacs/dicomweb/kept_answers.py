"""Answers that are given again as they are: frames, thumbnails and metadata that viewers ask for again and again.

Everything that decides such an answer stands in the request (who asks, how the archive is addressed, the URL, what is
accepted) and in the study; whether something of that has changed is told by its mark, see `pacs.index.change_marks`.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from starlette.types import Scope

from pacs.measured.kinds import Kind
from pacs.ready_answer import ReadyAnswer
from pacs.storage.mapped_file import FilePiece, piece_of_file

if TYPE_CHECKING:
    from pacs.dicomweb.hot import Answer
    from pacs.retrieve import ChangeMark

_MOST: Final = 8192
"""Some 3 KB each, with what they hold besides bytes."""
_MOST_PIECES: Final = 64
_MOST_BYTES: Final = 64 << 20
"""Of pieces that are no mappings, of all answers: thumbnails, metadata, heads of parts."""
_LEAST_SENT_FROM_FILE: Final = 16 << 10
"""Smaller pieces cost less when they are copied behind the header."""
_DECIDE: Final = frozenset({b"host", b"accept", b"accept-encoding", b"if-match"})
"""What If-Match did not name is not kept, so what is kept with it is what it names."""


def request_key(scope: Scope, principal: Hashable, root_path: str) -> Hashable:
    """All of a GET request that decides a kept answer."""
    fields = tuple([field for field in scope["headers"] if field[0] in _DECIDE])
    return principal, scope["path"], scope["query_string"], fields, scope.get("scheme"), root_path


@dataclass(frozen=True)
class Kept:
    """One answer, in the form of the ordinary way and, once it is asked for again, ready to be sent."""

    answer: Answer
    """200 with pieces that can be sent more than once; or 304, when only who had it already has asked for it."""
    mark: ChangeMark
    kind: Kind
    """As which requests for it are counted."""
    copied: int

    @cached_property
    def whole(self) -> ReadyAnswer | None:
        """None of a 304."""
        answer = self.answer
        if answer.status != 200:
            return None
        fields = {**answer.headers, "accept-ranges": "bytes"} if answer.has_ranges else answer.headers
        return ReadyAnswer(200, _lines(fields.items()), _sendable(answer.pieces))

    @cached_property
    def not_modified(self) -> ReadyAnswer:
        return ReadyAnswer(304, _lines(fields_of_304(self.answer).items()))


class KeptAnswers:
    """The answers given last, of all hot routes. Used by one thread, that of the event loop."""

    def __init__(self, is_current: Callable[[ChangeMark], bool]) -> None:
        """`is_current` tells whether nothing has changed since a mark was read."""
        self._is_current = is_current
        self._copied = 0
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def get(self, key: Hashable) -> Kept | None:
        """The answer to a request like this one, if nothing has changed and its bytes are still there."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not self._is_current(kept.mark) or not _are_whole(kept.answer.pieces):
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def keep(self, key: Hashable, mark: ChangeMark, answer: Answer, kind: Kind, *, most_bytes: int) -> Answer:
        """Remember `answer` if it may be kept; returns it, with pieces that can be sent more than once then.

        `mark` is that of its study, read before anything was looked up; `most_bytes` what it may hold besides mappings.
        """
        if answer.status not in (200, 304) or answer.is_lazy or "etag" not in answer.headers or not mark.value:
            return answer
        pieces = tuple(answer.pieces)
        answer = replace(answer, pieces=pieces)
        copied = sum(len(piece) for piece in pieces if not _is_mapped(piece))
        if len(pieces) <= _MOST_PIECES and copied <= most_bytes:
            self._forget(key)
            self._kept[key] = Kept(answer, mark, kind, copied)
            self._copied += copied
            while len(self._kept) > _MOST or self._copied > _MOST_BYTES:
                self._forget(next(iter(self._kept)))
        return answer

    def _forget(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._copied -= kept.copied


def fields_of_304(answer: Answer) -> dict[str, str]:
    """Of the header fields of a 200 answer those that a 304 one has (RFC 9110 §15.4.5)."""
    return {
        name: value
        for name, value in answer.headers.items()
        if not name.startswith("content-") or name == "content-location"
    }


def _lines(fields: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)


def _sendable(pieces: Iterable[bytes | memoryview]) -> tuple[bytes | memoryview | FilePiece, ...]:
    found: list[bytes | memoryview | FilePiece] = []
    for piece in pieces:
        large = isinstance(piece, memoryview) and len(piece) >= _LEAST_SENT_FROM_FILE
        found.append((piece_of_file(piece) if large and isinstance(piece, memoryview) else None) or piece)
    return tuple(found)


def _is_mapped(piece: bytes | memoryview) -> bool:
    return isinstance(piece, memoryview) and isinstance(piece.obj, mmap.mmap)


def _are_whole(pieces: Iterable[bytes | memoryview]) -> bool:
    """Whether no mapped file has been cut since: to touch bytes behind its end would kill the process."""
    for piece in pieces:
        mapped = piece.obj if isinstance(piece, memoryview) else None
        if isinstance(mapped, mmap.mmap) and mapped.size() < len(mapped):
            return False
    return True

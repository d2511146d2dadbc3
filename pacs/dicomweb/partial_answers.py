"""Multipart answers in which a part may fail while the others are sent: its reason stands in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from itertools import chain

from pacs.dicomweb.http_errors import answer_to
from pacs.dicomweb.multipart import Part, encoded
from pacs.errors import PacsError


def refusal(problem: PacsError, location: str) -> Part:
    """A part of ``application/json`` that says why what belongs there is not.

    Raises:
        PacsError: `problem` itself, when asking again may help: kept as the answer it would stay for good.
    """
    status, headers, body = answer_to(problem)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        raise problem
    return Part(headers["content-type"], (body,), location)


def encoded_if_any(boundary: str, parts: Iterable[tuple[Part, PacsError | None]]) -> Iterator[bytes | memoryview]:
    """The body of a multipart answer of `parts`, each with the problem that it tells of, if it does.

    Until a part is good nothing is given but empty pieces, so that the status can still be that of a failure.

    Raises:
        PacsError: none of the parts is good; the first one's problem.
    """
    waiting, first = [], None
    left = iter(parts)
    for part, problem in left:
        waiting.append(part)
        if problem is None:
            break
        first = first or problem
        yield b""
    else:
        if first is not None:
            try:
                raise first
            finally:
                # Its traceback holds this frame: Python 3.11 may crash when it clears such a circle with memoryviews.
                del first, problem
    yield from encoded(boundary, chain(waiting, (part for part, _ in left)))

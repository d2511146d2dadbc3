"""An HTTP answer that is ready to be sent: found in memory, without waiting for anything."""

from __future__ import annotations

from typing import NamedTuple

from pacs.storage.mapped_file import FilePiece


class ReadyAnswer(NamedTuple):
    """What a door gives for a request of which the head says everything (GET or HEAD, no body, no range).

    An ASGI application that can has a method ``at_once(scope) -> ReadyAnswer | None``: None when the request has to
    take the ordinary way. It is called in the event loop, so it neither waits nor computes, and makes every check of
    access that the ordinary way makes. Each application on the way adds its header fields, as it does there.
    """

    status: int
    fields: bytes
    """Lines of the header with their ends, without Date and without the empty line."""
    body: tuple[bytes | memoryview | FilePiece, ...] = ()
    """Not sent in answer to HEAD."""

    def with_fields(self, lines: bytes) -> ReadyAnswer:
        """The same with more lines of the header."""
        return ReadyAnswer(self.status, self.fields + lines, self.body)

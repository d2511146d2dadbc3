"""What the server gives a service class provider, and what it expects of one (PS3.7 §7-9, PS3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pacs.dimse.messages.command import CommandSet
from pacs.model import Principal


@dataclass(frozen=True, slots=True)
class PresentationContext:
    """One accepted presentation context (PS3.8 §7.1.1.13-14)."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    is_scu: bool = False
    """We may be the user of the service on it (C-GET: the peer took the SCP role, PS3.7 D.3.3.4)."""
    extended: bytes = b""
    """What was agreed by SOP class extended negotiation (PS3.7 D.3.3.5); empty: nothing."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of one association, after negotiation."""

    calling_ae_title: str
    called_ae_title: str
    address: str
    """IP address, without the port."""
    principal: Principal
    contexts: Mapping[int, PresentationContext]
    """Accepted contexts by ID."""


class AssociationLost(Exception):
    """The association ended (abort, closed connection, silence) before the exchange was over."""


class FollowUp(Protocol):
    """What a service has to tell the peer later, on the association of the request, between two requests.

    All calls are made from the association's own thread. What it raises of `pacs.errors` ends it and nothing else.
    """

    @property
    def context_id(self) -> int:
        """The presentation context to say it on."""

    def message(self, message_id: int) -> tuple[CommandSet, bytes] | None:
        """The request to send now, and its data set; None when there is nothing to say yet. Must not wait."""

    def answered(self, status: int) -> None:
        """The peer's response to the last message has come."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to say."""

    def close(self) -> None:
        """The association is over. Not called when `is_over`."""


class Exchange(Protocol):
    """One request being answered on its association. All calls are made from the association's own thread."""

    @property
    def peer(self) -> Peer: ...

    @property
    def context(self) -> PresentationContext:
        """The presentation context the request came on."""

    @property
    def command(self) -> CommandSet:
        """The request's command set."""

    def read_data_set(self, limit_bytes: int) -> bytes:
        """The request's whole data set. Raises `pacs.errors.TooLarge` past the limit, `AssociationLost`."""

    def fragments(self) -> Iterator[memoryview]:
        """The request's data set piece by piece as it arrives, once. Each piece is valid until the next is asked for.

        Raises `AssociationLost` when the peer is gone before the last piece. What is not read is read over by the
        server before the response leaves.
        """

    def respond(self, response: CommandSet, data_set: bytes | None = None) -> None:
        """Send one response message on the request's context; `data_set` is in its transfer syntax.

        Raises `AssociationLost` when the peer is gone.
        """

    def is_cancelled(self) -> bool:
        """Whether a C-CANCEL-RQ for this request has come; looks at the socket without waiting."""

    def afterwards(self, follow_up: FollowUp) -> None:
        """Ask `follow_up` for a message in quiet moments, from the final response to the end of the association."""

    def sub_operation(
        self, context: PresentationContext, request: CommandSet, data_set: Sequence[memoryview]
    ) -> CommandSet:
        """Send a C-STORE-RQ on this association and wait for its response (C-GET). Raises `AssociationLost`."""


class Service(Protocol):
    """A service class provider: answers one request message whole, then returns.

    An exception of `pacs.errors` that leaves `serve` is turned by the server into a response with the status
    of `pacs.dimse.messages.status` and an Error Comment; any other exception becomes 0x0110 and a log event.
    """

    def serve(self, exchange: Exchange) -> None: ...

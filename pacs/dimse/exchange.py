"""The `Exchange` of a live association: one request, its data set from the wire, its responses to the wire."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from pacs.dimse.connection import Connection, Silence
from pacs.dimse.follow_ups import FollowUps
from pacs.dimse.messages.command import CommandField, CommandSet
from pacs.dimse.messages.message import CommandReceived, DataSetPiece, MessageReader
from pacs.dimse.messages.status import is_pending
from pacs.dimse.priorities import STEP_BYTES
from pacs.dimse.scp.service import AssociationLost, FollowUp, Peer, PresentationContext
from pacs.dimse.upper_layer.events import DataReceived, Event
from pacs.errors import InvalidRequest, ProtocolViolation, TooLarge
from pacs.pace import Pace

MAX_READ_OVER_BYTES = 1 << 30
"""Of a data set that is refused already: most senders read the response only when they have sent all of it."""


class LiveExchange:
    """Implements `pacs.dimse.scp.service.Exchange`."""

    def __init__(
        self,
        connection: Connection,
        reader: MessageReader,
        peer: Peer,
        request: CommandReceived,
        pace: Pace,
        *,
        window: int = 1,
        give_way: Callable[[], None] | None = None,
        earlier: FollowUps | None = None,
    ) -> None:
        """`window` is how many operations the peer may have open, `give_way` is called before every `STEP_BYTES`.

        A response that comes now may belong to one of the `earlier` follow-ups.
        """
        self.peer: Peer = peer
        self.context: PresentationContext = peer.contexts[request.context_id]
        self.command: CommandSet = request.command
        self.is_answered = False
        """The final response has been sent."""
        self.next_requests: deque[CommandReceived] = deque()
        """Requests that came while this one was being answered; the last one's data set has not been read."""
        self.answered_after_s: float | None = None
        """From the last byte of the request to the first response; None while there is none."""
        self.status = 0
        """Of the last response."""
        self._whole_at = time.perf_counter()
        self.follow_ups: list[FollowUp] = []
        """What the service still has to tell."""
        self._connection = connection
        self._reader = reader
        self._pace = pace
        self._window = window
        self._give_way = give_way
        self._earlier = earlier
        self._is_data_set_unread = request.command.has_data_set
        self._is_cancelled = False

    def fragments(self) -> Iterator[memoryview]:
        read_bytes = 0
        waiting_event = self._connection.waiting_event
        while self._is_data_set_unread:
            if read_bytes >= STEP_BYTES and self._give_way is not None:
                read_bytes = 0
                self._give_way()
            piece = self._receive(waiting_event() or self._next_event())
            if type(piece) is not DataSetPiece:
                raise self._violation("command set in the middle of a data set")
            data, is_last = piece
            self._is_data_set_unread = not is_last
            if is_last:
                self._whole_at = time.perf_counter()
            read_bytes += len(data)
            yield data

    def read_data_set(self, limit_bytes: int) -> bytes:
        if not self._is_data_set_unread:
            raise InvalidRequest("the request has no data set")
        whole = bytearray()
        for fragment in self.fragments():
            if len(whole) + len(fragment) > limit_bytes:
                raise TooLarge(f"data set longer than {limit_bytes} bytes")
            whole += fragment
        return bytes(whole)

    def read_over(self) -> None:
        """Read what is left of the request's data set and forget it, so that a response can be understood.

        Raises:
            AssociationLost: it does not end within `MAX_READ_OVER_BYTES`; the association was aborted.
        """
        read_bytes = 0
        for fragment in self.fragments():
            read_bytes += len(fragment)
            if read_bytes > MAX_READ_OVER_BYTES:
                why = f"a data set that is not taken goes on for more than {MAX_READ_OVER_BYTES} bytes"
                raise self._violation(f"{why}; it is not read over")

    def respond(self, response: CommandSet, data_set: bytes | None = None) -> None:
        self.read_over()
        self.status = response.status
        self.is_answered = not is_pending(self.status)
        if self.answered_after_s is None:
            self.answered_after_s = time.perf_counter() - self._whole_at
        self._connection.send_message(
            self.context.context_id, response.encode(), None if data_set is None else [data_set]
        )

    def afterwards(self, follow_up: FollowUp) -> None:
        self.follow_ups.append(follow_up)

    def is_cancelled(self) -> bool:
        while not self._is_cancelled and not self._is_data_set_unread and self._may_read_on:
            event = self._connection.event_if_any()
            if event is None:
                break
            if not isinstance(event, DataReceived):
                self._connection.put_back(event)
                return True
            self._take_command(event)
        return self._is_cancelled

    @property
    def _may_read_on(self) -> bool:
        """Whether what comes next is the beginning of a message that there is a place for."""
        waiting = self.next_requests
        return not waiting or (len(waiting) < self._window and not waiting[-1].command.has_data_set)

    def sub_operation(
        self, context: PresentationContext, request: CommandSet, data_set: Sequence[memoryview]
    ) -> CommandSet:
        self.read_over()
        self._connection.send_message(context.context_id, request.encode(), data_set)
        self._pace.renew()
        while True:
            response = self._take_command(self._next_event())
            if response is None:
                continue
            if response.message_id_being_responded_to != request.message_id:
                raise self._violation(f"response to {response.message_id_being_responded_to}, which was not asked")
            if response.has_data_set:
                raise self._violation("C-STORE-RSP with a data set")
            return response

    def _take_command(self, event: Event) -> CommandSet | None:
        """Note a C-CANCEL-RQ or a further request; return a response."""
        received = self._receive(event)
        try:
            if received is None or (self._earlier is not None and self._earlier.take(received)):
                return None
            if not isinstance(received, CommandReceived):
                raise ProtocolViolation("data set without its command set")
            if received.command.is_response:
                received.command.status  # noqa: B018 -- a response without its status or number is no response
                received.command.message_id_being_responded_to  # noqa: B018
                return received.command
            if received.command.command_field != CommandField.C_CANCEL_RQ:
                if not self._may_read_on:
                    raise self._violation("more requests than the operations window allows")
                self.next_requests.append(received)
            elif received.command.message_id_being_responded_to == self.command.message_id:
                self._is_cancelled = True
        except ProtocolViolation as problem:
            raise self._violation(str(problem)) from problem
        return None

    def _next_event(self) -> Event:
        try:
            return self._connection.next_event_at(self._pace)
        except Silence as silence:
            why = "silence, or hardly any bytes, in the middle of a message"
            self._connection.abort(ProtocolViolation(why))
            raise Silence(why) from silence

    def _receive(self, event: Event) -> CommandReceived | DataSetPiece | None:
        if not isinstance(event, DataReceived):
            # The conversation deals with it, after this exchange has ended.
            self._connection.put_back(event)
            raise AssociationLost("the peer ended the association in the middle of a message")
        try:
            return self._reader.receive(*event)
        except ProtocolViolation as problem:
            raise self._violation(str(problem)) from problem

    def _violation(self, why: str) -> AssociationLost:
        self._connection.abort(ProtocolViolation(why))
        return AssociationLost(why)

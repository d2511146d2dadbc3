"""What the services still want to tell a peer, said one at a time between its requests (PS3.7 §7.5: we invoke)."""

from __future__ import annotations

from collections import deque

from pacs import log
from pacs.dimse.connection import Connection
from pacs.dimse.messages.message import CommandReceived, DataSetPiece
from pacs.dimse.scp.service import FollowUp
from pacs.errors import PacsError, ProtocolViolation

LOOK_EVERY_S = 0.25
"""How long an association is quiet before the follow-ups are asked, again and again."""
_LOOKED_AT_ONCE = 8
"""Follow-ups asked in one quiet moment; each may cost a look into the index."""
_MAX_MESSAGE_ID = 0xFFFF
MAX_REPLY_BYTES = 256 << 20
"""Of the data set of a response, which some send back as they got it: more than 1,000,000 references come to."""


class FollowUps:
    """Those of one association, used by its thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: deque[FollowUp] = deque()
        self._asked: FollowUp | None = None
        """Whose message has not been answered yet; one at a time, as the operations window allows."""
        self._message_id = 0
        self.is_reading_over = False
        """A response has come, and its data set is still to end."""
        self._read_bytes = 0

    @property
    def is_any_waiting(self) -> bool:
        """Whether somebody may have something to say soon."""
        return bool(self._waiting) and self._asked is None

    def add(self, follow_up: FollowUp) -> None:
        self._waiting.append(follow_up)

    def go_on(self) -> None:
        """It is quiet: send one message, if there is one and the last was answered.

        Raises:
            AssociationLost: the peer is gone, or takes nothing more.
        """
        if self._asked is not None:
            return
        for _ in range(min(_LOOKED_AT_ONCE, len(self._waiting))):
            follow_up = self._waiting.popleft()
            if self._say(follow_up):
                return
            if not follow_up.is_over:
                self._waiting.append(follow_up)

    def _say(self, follow_up: FollowUp) -> bool:
        number = self._message_id % _MAX_MESSAGE_ID + 1
        try:
            message = follow_up.message(number)
        except PacsError as problem:
            log.warning("follow-up has to wait", why=str(problem))
            return False
        if message is None:
            return False
        self._asked, self._message_id = follow_up, number
        command, data_set = message
        self._connection.send_message(follow_up.context_id, command.encode(), [data_set])
        return True

    def take(self, received: CommandReceived | DataSetPiece | None) -> bool:
        """Whether what was received belongs to a response to the message sent last; then it has been dealt with.

        Raises:
            ProtocolViolation: it is a response, but lacks its status, or has no end.
        """
        if isinstance(received, DataSetPiece) and self.is_reading_over:
            self.is_reading_over = not received.is_last  # some answer with a copy of what they were told
            self._read_bytes += len(received.data)
            if self._read_bytes > MAX_REPLY_BYTES:
                raise ProtocolViolation(f"its response goes on for more than {MAX_REPLY_BYTES} bytes")
            return True
        if not isinstance(received, CommandReceived) or not received.command.is_response:
            return False
        command = received.command
        if self._asked is None or command.message_id_being_responded_to != self._message_id:
            return False
        follow_up, self._asked = self._asked, None
        self.is_reading_over, self._read_bytes = command.has_data_set, 0
        try:
            follow_up.answered(command.status)
        except ProtocolViolation:
            self._waiting.append(follow_up)
            raise
        except PacsError as problem:
            log.warning("answer to a follow-up cannot be noted", why=str(problem))
            return True
        if not follow_up.is_over:
            self._waiting.append(follow_up)
        return True

    def close(self) -> None:
        """The association is over; raises nothing."""
        if self._asked is not None:
            self._waiting.append(self._asked)
        for follow_up in self._waiting:
            try:
                if not follow_up.is_over:
                    follow_up.close()
            except PacsError as problem:
                log.warning("follow-up cannot be ended", why=str(problem))
        self._waiting.clear()
        self._asked = None

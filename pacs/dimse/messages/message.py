"""Fragments to messages (PS3.7 §6.3.1; PS3.8 Annex E): a command set whole, its data set piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pacs.dimse.messages.command import MAX_COMMAND_SET_BYTES, CommandSet
from pacs.errors import ProtocolViolation


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A whole command set; when it has a data set, the next pieces are that."""

    context_id: int
    command: CommandSet


class DataSetPiece(NamedTuple):
    data: memoryview
    """Valid until the next bytes are received."""
    is_last: bool


class MessageReader:
    """Puts the fragments of one direction of an association together; holds at most one command set in memory."""

    def __init__(self) -> None:
        self._command = bytearray()
        self._context_id: int | None = None
        self._awaits_data_set = False

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing of a message has come that is not yet whole."""
        return self._context_id is None

    def receive(
        self, context_id: int, is_command: bool, is_last: bool, data: memoryview
    ) -> CommandReceived | DataSetPiece | None:
        """Take the next bytes of a fragment; None while a command set is not whole yet.

        Raises:
            ProtocolViolation: fragments in another order than command then data set, of two contexts mixed, or a
                command set that is too large or cannot be read.
        """
        if self._context_id not in (None, context_id):
            raise ProtocolViolation(
                f"fragment of context {context_id} in the middle of a message of context {self._context_id} (PS3.8 E.2)"
            )
        if is_command is self._awaits_data_set:
            found, expected = ("command set", "data set") if is_command else ("data set", "command set")
            raise ProtocolViolation(f"{found} fragment where a {expected} fragment belongs (PS3.7 §6.3.1)")
        self._context_id = context_id
        if self._awaits_data_set:
            if is_last:
                self._awaits_data_set = False
                self._context_id = None
            return DataSetPiece(data, is_last)
        if len(self._command) + len(data) > MAX_COMMAND_SET_BYTES:
            raise ProtocolViolation(f"command set longer than {MAX_COMMAND_SET_BYTES} bytes")
        self._command += data
        if not is_last:
            return None
        command = CommandSet.decode(bytes(self._command))
        self._command.clear()
        self._awaits_data_set = command.has_data_set
        if not self._awaits_data_set:
            self._context_id = None
        return CommandReceived(context_id, command)

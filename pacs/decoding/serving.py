"""What a decoder does: one piece of work after the other, until its connection ends."""

from __future__ import annotations

import socket
import traceback

from pacs.decoding import messages
from pacs.decoding.confinement import allow_processor_time
from pacs.decoding.messages import Kind
from pacs.errors import PacsError, UndecodablePixels


def serve(connection: socket.socket, processor_s: float) -> None:
    """Answer until the other end closes; `processor_s` of computing is what one piece of work may take."""
    while True:
        try:
            _, pickled, buffers = messages.receive(connection)
        except (messages.Ended, OSError):
            return
        except MemoryError:
            return  # the rest of the message is in the way of the next one
        allow_processor_time(processor_s)
        answer = _answer(pickled, buffers)
        del pickled, buffers
        try:
            messages.send(connection, answer)
        except OSError:
            return


def _answer(pickled: messages.Piece, buffers: list[bytearray]) -> list[messages.Piece]:
    try:
        function, arguments, named = messages.trusted(pickled, buffers)
        return messages.message(Kind.RESULT, function(*arguments, **named))
    except PacsError as refusal:
        return messages.message(Kind.REFUSAL, (type(refusal).__name__, str(refusal)))
    except MemoryError:
        why = "these pixels need more memory than one image may take (setting decoding.memory_bytes)"
        return messages.message(Kind.REFUSAL, (UndecodablePixels.__name__, why))
    except Exception as fault:  # noqa: BLE001 -- it is raised again by the process that asked
        told = (type(fault).__name__, str(fault), traceback.format_exc())
        return messages.message(Kind.FAULT, told)

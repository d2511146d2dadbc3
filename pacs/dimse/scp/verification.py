"""Verification (PS3.4 Annex A): C-ECHO."""

from __future__ import annotations

from pacs.dimse.messages.command import CommandField
from pacs.dimse.messages.command_builders import response_to
from pacs.dimse.messages.status import Status
from pacs.dimse.scp.service import Exchange

VERIFICATION = "1.2.840.10008.1.1"


class Verification:
    """Answers success to every C-ECHO."""

    def serve(self, exchange: Exchange) -> None:
        is_echo = exchange.command.command_field == CommandField.C_ECHO_RQ
        status = Status.SUCCESS if is_echo else Status.UNRECOGNIZED_OPERATION
        exchange.respond(response_to(exchange.command, status))

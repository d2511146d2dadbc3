from __future__ import annotations

from pacs.dimse.messages.command_builders import c_echo_rq, c_find_rq
from pacs.dimse.scp.service import PresentationContext
from pacs.dimse.scp.verification import VERIFICATION, Verification
from tests.dimse.scp.fake_exchange import EXPLICIT, FakeExchange

CONTEXT = PresentationContext(1, VERIFICATION, EXPLICIT)


def test_an_echo_succeeds() -> None:
    exchange = FakeExchange(c_echo_rq(7), b"", CONTEXT)
    Verification().serve(exchange)  # type: ignore[arg-type]
    assert exchange.statuses == [0]
    assert exchange.final.message_id_being_responded_to == 7


def test_anything_else_is_no_operation_of_this_service() -> None:
    exchange = FakeExchange(c_find_rq(7, VERIFICATION), b"", CONTEXT)
    Verification().serve(exchange)  # type: ignore[arg-type]
    assert exchange.statuses == [0x0211]

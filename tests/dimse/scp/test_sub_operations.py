"""Counts and final statuses of PS3.4 Table C.4-2 and C.4-3."""

from __future__ import annotations

import pytest

from pacs.dimse.messages.command import Element
from pacs.dimse.messages.command_builders import c_move_rq
from pacs.dimse.scp.sub_operations import SubOperations
from tests.dimse.scp.fake_exchange import EXPLICIT, IMPLICIT, decoded

REQUEST = c_move_rq(7, "1.2.840.10008.5.1.4.1.2.2.2", "DESTINATION")
OK, COERCED, REFUSED = 0x0000, 0xB000, 0xA700


@pytest.mark.parametrize(
    ("statuses", "final"),
    [
        ([], 0x0000),
        ([OK, OK], 0x0000),
        ([OK, REFUSED], 0xB000),
        ([OK, COERCED], 0xB000),
        ([COERCED, COERCED], 0xB000),
        ([COERCED, REFUSED], 0xB000),
        ([REFUSED, 0xC000], 0xA702),
    ],
)
def test_final_status(statuses: list[int], final: int) -> None:
    progress = SubOperations(len(statuses))
    for number, status in enumerate(statuses):
        progress.count(f"1.2.{number}", status)
    response, identifier = progress.final(REQUEST, IMPLICIT)
    assert response.status == final
    assert response.completed_sub_operations == statuses.count(OK)
    assert response.warning_sub_operations == statuses.count(COERCED)
    assert Element.REMAINING_SUB_OPERATIONS not in response
    assert response.message_id_being_responded_to == 7
    if final == 0x0000:
        assert identifier is None
        assert not response.has_data_set
    else:
        failed = [f"1.2.{number}" for number, status in enumerate(statuses) if status not in (OK, COERCED)]
        value = decoded(identifier)["FailedSOPInstanceUIDList"].value
        assert ([value] if isinstance(value, str) else list(value)) == (failed or [""])


def test_pending_tells_what_remains_and_has_no_identifier() -> None:
    progress = SubOperations(3)
    progress.count("1.2.1", OK)
    pending = progress.pending(REQUEST)
    assert pending.status == 0xFF00
    assert not pending.has_data_set
    counts = (Element.REMAINING_SUB_OPERATIONS, Element.COMPLETED_SUB_OPERATIONS)
    assert [pending[element] for element in counts] == [2, 1]
    assert pending[Element.FAILED_SUB_OPERATIONS] == pending[Element.WARNING_SUB_OPERATIONS] == 0


def test_cancel_tells_what_was_left() -> None:
    progress = SubOperations(5)
    progress.count("1.2.1", OK)
    progress.fail("1.2.2", "no accepted context")
    response, identifier = progress.final(REQUEST, IMPLICIT, is_cancelled=True)
    assert response.status == 0xFE00
    assert response[Element.REMAINING_SUB_OPERATIONS] == 3
    assert decoded(identifier).FailedSOPInstanceUIDList == "1.2.2"
    assert response.error_comment == "no accepted context"


def test_the_failed_list_fits_one_element_of_explicit_vr() -> None:
    progress = SubOperations(3000)
    for number in range(3000):
        progress.count("1.2.840.99999.1234567890.1234567890.1234567890." + str(number), REFUSED)
    response, identifier = progress.final(REQUEST, EXPLICIT)
    assert response.failed_sub_operations == 3000
    assert 1000 < len(decoded(identifier, EXPLICIT).FailedSOPInstanceUIDList) < 3000


def test_counts_beyond_a_us_are_sent_as_its_largest() -> None:
    pending = SubOperations(100_000).pending(REQUEST)
    assert pending.remaining_sub_operations == 65_535
    pending.encode()

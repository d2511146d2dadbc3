"""C-GET on an association in memory: what goes out, what is counted, what ends it."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from pacs.dimse.messages.command_builders import c_echo_rq, c_get_rq
from pacs.dimse.scp.retrieval import Listings
from pacs.dimse.scp.retrieve_get import RetrieveGet
from pacs.dimse.scp.service import PresentationContext
from pacs.model import StoredInstance
from tests.dimse.scp.fake_exchange import (
    CT,
    EXPLICIT,
    IMPLICIT,
    JPEG_LS,
    MR,
    FakeExchange,
    FakeRetrieve,
    decoded,
    encoded,
    instance,
)

MODEL = "1.2.840.10008.5.1.4.1.2.2.3"


def exchange(accepted: Sequence[PresentationContext], study: str = "1.2.1") -> FakeExchange:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study
    return FakeExchange(c_get_rq(1, MODEL), encoded(query), PresentationContext(1, MODEL, IMPLICIT), accepted)


def as_scp(number: int, abstract_syntax: str, transfer_syntax: str, *, is_scu: bool = True) -> PresentationContext:
    return PresentationContext(number, abstract_syntax, transfer_syntax, is_scu=is_scu)


def serve(asked: FakeExchange, instances: Sequence[StoredInstance], damaged: Sequence[str] = ()) -> None:
    RetrieveGet(FakeRetrieve(instances, damaged), Listings()).serve(asked)  # type: ignore[arg-type]


def test_every_instance_as_stored_then_success() -> None:
    asked = exchange([as_scp(3, CT, EXPLICIT), as_scp(5, CT, JPEG_LS)])
    serve(asked, [instance(1), instance(2, transfer_syntax=JPEG_LS), instance(3)])
    assert [(context.context_id, data) for context, _, data in asked.stored] == [
        (3, b"1.2.1.1.1"),
        (5, b"1.2.1.1.2"),
        (3, b"1.2.1.1.3"),
    ]
    assert [request.message_id for _, request, _ in asked.stored] == [2, 3, 4]
    assert [request.move_originator_ae_title for _, request, _ in asked.stored] == [None] * 3
    assert asked.statuses == [0xFF00, 0xFF00, 0xFF00, 0x0000]
    assert [response.remaining_sub_operations for response, _ in asked.responses[:-1]] == [2, 1, 0]
    assert asked.final.completed_sub_operations == 3


def test_nothing_matches_is_success_with_nothing_done() -> None:
    asked = exchange([as_scp(3, CT, EXPLICIT)], study="1.2.99")
    serve(asked, [instance(1)])
    assert asked.statuses == [0x0000]
    assert asked.final.completed_sub_operations == 0


def test_contexts_without_the_scp_role_are_not_used() -> None:
    asked = exchange([as_scp(3, CT, EXPLICIT, is_scu=False)])
    serve(asked, [instance(1)])
    assert asked.stored == []
    assert asked.statuses[-1] == 0xA702
    assert decoded(asked.responses[-1][1]).FailedSOPInstanceUIDList == "1.2.1.1.1"
    assert asked.final.error_comment == f"not taken: {CT} as {EXPLICIT}"


def test_one_class_not_accepted_and_one_damaged_do_not_stop_the_rest() -> None:
    asked = exchange([as_scp(3, CT, EXPLICIT)])
    serve(asked, [instance(1), instance(2, sop_class=MR), instance(3), instance(4)], damaged=["1.2.1.1.3"])
    assert [data for _, _, data in asked.stored] == [b"1.2.1.1.1", b"1.2.1.1.4"]
    assert asked.statuses[-1] == 0xB000
    assert (asked.final.completed_sub_operations, asked.final.failed_sub_operations) == (2, 2)
    assert decoded(asked.responses[-1][1]).FailedSOPInstanceUIDList == ["1.2.1.1.2", "1.2.1.1.3"]


def test_warnings_and_failures_of_the_other_side_are_counted() -> None:
    asked = exchange([as_scp(3, CT, EXPLICIT)])
    asked.store_status = {"1.2.1.1.1": 0xB000, "1.2.1.1.2": 0xA700, "1.2.1.1.3": 0x0000}.__getitem__
    serve(asked, [instance(1), instance(2), instance(3)])
    final = asked.final
    assert (final.warning_sub_operations, final.failed_sub_operations, final.completed_sub_operations) == (1, 1, 1)


def test_cancel() -> None:
    asked = exchange([as_scp(3, CT, EXPLICIT)])
    asked.cancel_after = 1
    serve(asked, [instance(1), instance(2), instance(3)])
    assert asked.statuses == [0xFF00, 0xFE00]
    assert asked.final.remaining_sub_operations == 2
    assert len(asked.stored) == 1


def test_another_operation_on_this_sop_class() -> None:
    asked = exchange([])
    asked.command = c_echo_rq(1)
    serve(asked, [])
    assert asked.statuses == [0x0211]

"""C-MOVE with destinations in memory: what is proposed, sent, counted, and what happens when they go away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from pydicom.dataset import Dataset

from pacs.dimse.messages.command import CommandSet
from pacs.dimse.messages.command_builders import c_echo_rq, c_move_rq
from pacs.dimse.scp.retrieval import Listings
from pacs.dimse.scp.retrieve_move import MAX_CONTEXTS, RetrieveMove, batches
from pacs.dimse.scp.service import PresentationContext
from pacs.dimse.scu import DestinationLost
from pacs.dimse.upper_layer.items import ProposedContext
from pacs.model import StoredInstance
from pacs.settings import DestinationSettings
from tests.dimse.scp.fake_exchange import (
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

MODEL = "1.2.840.10008.5.1.4.1.2.2.2"
DESTINATION = DestinationSettings(aet="WS", host="127.0.0.1", port=104)


class FakeDestination:
    """Takes every proposed context that `takes` allows; drops the association before its `drops_at`-th store."""

    def __init__(self, takes: Callable[[str], bool] = lambda _uid: True, drops_at: Sequence[int] = ()) -> None:
        self.takes = takes
        self.drops_at = list(drops_at)
        self.stored: list[tuple[str, CommandSet, bytes]] = []
        self.proposals: list[Sequence[ProposedContext]] = []
        self.released = 0
        self.is_reachable = True

    def connect(self, destination: DestinationSettings, contexts: Sequence[ProposedContext]) -> FakeDestination:
        assert destination == DESTINATION
        self.proposals.append(contexts)
        if not self.is_reachable:
            raise DestinationLost("WS cannot be reached")
        return self

    @property
    def contexts(self) -> list[PresentationContext]:
        return [
            PresentationContext(one.context_id, one.abstract_syntax, taken, is_scu=True)
            for one in self.proposals[-1]
            if (taken := next((uid for uid in one.transfer_syntaxes if self.takes(uid)), None))
        ]

    def store(self, context: PresentationContext, request: CommandSet, data_set: memoryview) -> int:
        if self.drops_at and len(self.stored) == self.drops_at[0]:
            self.drops_at.pop(0)
            raise DestinationLost("WS closed the connection")
        self.stored.append((context.transfer_syntax, request, bytes(data_set)))
        return 0

    def release(self) -> None:
        self.released += 1


def exchange(destination: str = "WS") -> FakeExchange:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = "1.2.1"
    return FakeExchange(c_move_rq(9, MODEL, destination), encoded(query), PresentationContext(1, MODEL, IMPLICIT))


def serve(asked: FakeExchange, instances: Sequence[StoredInstance], destination: FakeDestination) -> None:
    RetrieveMove(FakeRetrieve(instances), Listings(), [DESTINATION], destination.connect).serve(asked)  # type: ignore[arg-type]


def test_every_instance_as_stored_with_its_originator() -> None:
    asked, destination = exchange(), FakeDestination()
    serve(asked, [instance(1), instance(2, transfer_syntax=JPEG_LS)], destination)
    assert [(syntax, data) for syntax, _, data in destination.stored] == [
        (EXPLICIT, b"1.2.1.1.1"),
        (JPEG_LS, b"1.2.1.1.2"),
    ]
    request = destination.stored[0][1]
    assert (request.move_originator_ae_title, request.move_originator_message_id) == ("WORKSTATION", 9)
    assert asked.statuses == [0xFF00, 0xFF00, 0x0000]
    assert destination.released == 1


def test_each_transfer_syntax_is_proposed_alone_and_one_fallback() -> None:
    [batch] = batches([instance(1), instance(2, transfer_syntax=JPEG_LS), instance(3)])
    assert [(one.context_id, one.transfer_syntaxes) for one in batch.contexts] == [
        (1, (EXPLICIT,)),
        (3, (EXPLICIT, IMPLICIT)),
        (5, (JPEG_LS,)),
    ]
    assert len(batch.instances) == 3


def test_more_classes_than_an_association_can_carry() -> None:
    many = [instance(number, sop_class=f"1.2.3.{number}") for number in range(1, 151)]
    made = batches(many)
    assert [len(batch.contexts) <= MAX_CONTEXTS for batch in made] == [True, True, True]
    assert sorted(one.key.sop_instance_uid for batch in made for one in batch.instances) == sorted(
        one.key.sop_instance_uid for one in many
    )
    assert all(one.context_id % 2 == 1 and one.context_id <= 255 for batch in made for one in batch.contexts)
    asked, destination = exchange(), FakeDestination()
    serve(asked, many, destination)
    assert asked.final.completed_sub_operations == 150
    assert destination.released == len(made)


@pytest.mark.parametrize("title", ["NOWHERE", "", "ws"])
def test_an_unknown_destination_is_never_dialled(title: str) -> None:
    asked, destination = exchange(title), FakeDestination()
    serve(asked, [instance(1)], destination)
    assert asked.statuses == [0xA801]
    assert not asked.final.has_data_set
    assert destination.proposals == []


def test_a_padded_title_is_the_same_title() -> None:
    asked = exchange(" WS ")
    serve(asked, [instance(1)], FakeDestination())
    assert asked.statuses[-1] == 0x0000


def test_nothing_matches() -> None:
    asked, destination = exchange(), FakeDestination()
    serve(asked, [], destination)
    assert asked.statuses == [0x0000]
    assert destination.proposals == []


def test_a_destination_that_cannot_be_reached() -> None:
    asked, destination = exchange(), FakeDestination()
    destination.is_reachable = False
    serve(asked, [instance(1), instance(2)], destination)
    assert asked.statuses[-1] == 0xA702
    assert asked.final.failed_sub_operations == 2
    assert decoded(asked.responses[-1][1]).FailedSOPInstanceUIDList == ["1.2.1.1.1", "1.2.1.1.2"]
    assert asked.final.error_comment == "WS cannot be reached"


def test_a_dropped_association_costs_one_instance_when_the_next_one_holds() -> None:
    asked, destination = exchange(), FakeDestination(drops_at=[2])
    serve(asked, [instance(number) for number in range(1, 6)], destination)
    assert [data for _, _, data in destination.stored] == [b"1.2.1.1.1", b"1.2.1.1.2", b"1.2.1.1.4", b"1.2.1.1.5"]
    assert asked.statuses[-1] == 0xB000
    assert decoded(asked.responses[-1][1]).FailedSOPInstanceUIDList == "1.2.1.1.3"
    assert destination.released == 2


def test_a_destination_that_drops_at_once_is_given_up() -> None:
    asked, destination = exchange(), FakeDestination(drops_at=[0, 0, 0])
    serve(asked, [instance(number) for number in range(1, 6)], destination)
    assert asked.statuses[-1] == 0xA702
    assert asked.final.failed_sub_operations == 5
    assert len(destination.proposals) == 1


def test_a_class_that_is_not_accepted_fails_alone() -> None:
    asked, destination = exchange(), FakeDestination(takes=lambda uid: uid == JPEG_LS)
    serve(asked, [instance(1), instance(2, sop_class=MR, transfer_syntax=JPEG_LS)], destination)
    assert asked.statuses[-1] == 0xB000
    assert decoded(asked.responses[-1][1]).FailedSOPInstanceUIDList == "1.2.1.1.1"


def test_cancel_releases_the_destination() -> None:
    asked, destination = exchange(), FakeDestination()
    asked.cancel_after = 2
    serve(asked, [instance(number) for number in range(1, 6)], destination)
    assert asked.statuses == [0xFF00, 0xFF00, 0xFE00]
    assert asked.final.remaining_sub_operations == 3
    assert len(destination.stored) == 2
    assert destination.released == 1


def test_another_operation_on_this_sop_class() -> None:
    asked = exchange()
    asked.command = c_echo_rq(1)
    serve(asked, [], FakeDestination())
    assert asked.statuses == [0x0211]

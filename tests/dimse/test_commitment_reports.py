from __future__ import annotations

from collections.abc import Sequence

import pytest

from pacs.commitment import Report
from pacs.dimse.commitment_reports import CommitmentReports
from pacs.dimse.messages.command import CommandSet
from pacs.dimse.scp.commitment import STORAGE_COMMITMENT
from pacs.dimse.scp.service import PresentationContext
from pacs.dimse.scu import DestinationLost
from pacs.dimse.upper_layer.items import ProposedContext, RoleSelection
from pacs.index.commitments import ClaimedCommitment
from pacs.model import CommitmentKey, ReferencedInstance
from pacs.settings import DestinationSettings

EXPLICIT = "1.2.840.10008.1.2.1"
MODALITY = DestinationSettings(aet="MODALITY", host="127.0.0.1", port=104)


def report(uid: str, requester: str = "MODALITY") -> Report:
    key = CommitmentKey("default", requester, uid)
    return Report(ClaimedCommitment(key, (ReferencedInstance("1.2", "1.2.3"),), {}, 0, 0.0, 1, "claim"))


class FakeCommitment:
    def __init__(self, *due: Report) -> None:
        self.due = list(due)
        self.told_of: list[str] = []
        self.failed: list[tuple[str, str, bool]] = []

    def next_report(self, *, of: CommitmentKey | None = None) -> Report | None:
        for number, one in enumerate(self.due):
            if of is None or one.key.requester == of.requester:
                return self.due.pop(number)
        return None

    def told(self, one: Report) -> None:
        self.told_of.append(one.key.transaction_uid)

    def not_told(self, one: Report, why: str, *, is_reachable: bool = True) -> None:
        self.failed.append((one.key.transaction_uid, why, is_reachable))


class Requester:
    """Answers with these statuses; None: it goes away instead."""

    def __init__(self, *statuses: int | None, accepts: bool = True) -> None:
        self.statuses = list(statuses)
        context = PresentationContext(1, STORAGE_COMMITMENT, EXPLICIT)
        self.contexts: Sequence[PresentationContext] = (context,) if accepts else ()
        self.roles: Sequence[RoleSelection] = ()
        self.requests: list[CommandSet] = []
        self.connected = self.released = 0

    def connect(
        self, destination: DestinationSettings, contexts: Sequence[ProposedContext], roles: Sequence[RoleSelection]
    ) -> Requester:
        assert destination == MODALITY
        assert [one.abstract_syntax for one in contexts] == [STORAGE_COMMITMENT]
        self.roles = roles
        self.connected += 1
        return self

    def store(self, _context: PresentationContext, request: CommandSet, _data_set: memoryview) -> int:
        self.requests.append(request)
        status = self.statuses.pop(0)
        if status is None:
            raise DestinationLost("it went away")
        return status

    def release(self) -> None:
        self.released += 1


def tell(commitment: FakeCommitment, requester: Requester) -> bool:
    return CommitmentReports(commitment, [MODALITY], requester.connect).tell_next()  # type: ignore[arg-type]


def test_all_results_of_one_requester_go_on_one_association() -> None:
    commitment = FakeCommitment(report("1.1"), report("1.2", "OTHER"), report("1.3"))
    requester = Requester(0, 0x0107)
    assert tell(commitment, requester)
    assert (commitment.told_of, commitment.failed) == (["1.1", "1.3"], [])
    assert (requester.connected, requester.released) == (1, 1)
    assert [one.message_id for one in requester.requests] == [1, 2]
    assert requester.roles == (RoleSelection(STORAGE_COMMITMENT, is_scu=False, is_scp=True),)


def test_nothing_is_due() -> None:
    requester = Requester()
    assert not tell(FakeCommitment(), requester)
    assert requester.connected == 0


def test_a_requester_without_an_address_is_not_looked_for() -> None:
    commitment, requester = FakeCommitment(report("1.1", "STRANGER")), Requester()
    assert tell(commitment, requester)
    [(_, why, is_reachable)] = commitment.failed
    assert "dicom.destinations has no address for 'STRANGER'" in why
    assert (requester.connected, is_reachable) == (0, False)


def test_a_requester_that_cannot_be_reached() -> None:
    class Away(Requester):
        def connect(self, *_: object) -> Requester:
            raise DestinationLost("nobody there")

    commitment = FakeCommitment(report("1.1"), report("1.2"))
    assert tell(commitment, Away())
    assert commitment.failed == [("1.1", "nobody there", False)]
    assert len(commitment.due) == 1


@pytest.mark.parametrize("status", [0x0110, 0x0112, 0xC000])
def test_a_refused_result_does_not_hold_up_the_next(status: int) -> None:
    commitment, requester = FakeCommitment(report("1.1"), report("1.2")), Requester(status, 0)
    assert tell(commitment, requester)
    assert commitment.failed == [("1.1", f"it answered 0x{status:04X}", True)]
    assert commitment.told_of == ["1.2"]


def test_the_association_ends_in_between() -> None:
    commitment, requester = FakeCommitment(report("1.1"), report("1.2"), report("1.3")), Requester(0, None)
    assert tell(commitment, requester)
    assert (commitment.told_of, commitment.failed) == (["1.1"], [("1.2", "it went away", True)])
    assert requester.released == 1
    assert len(commitment.due) == 1


def test_a_requester_that_does_not_take_results() -> None:
    commitment, requester = FakeCommitment(report("1.1")), Requester(accepts=False)
    assert tell(commitment, requester)
    [(_, why, _)] = commitment.failed
    assert "takes no storage commitment results" in why
    assert requester.released == 1


def test_the_archive_is_being_stopped() -> None:
    commitment, requester = FakeCommitment(report("1.1"), report("1.2")), Requester(0, 0)
    reports = CommitmentReports(commitment, [MODALITY], requester.connect)  # type: ignore[arg-type]
    assert reports.tell_next(lambda: True)
    assert (commitment.told_of, len(commitment.due)) == (["1.1"], 1)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from pacs.commitment import Report
from pacs.dimse.messages.command import CommandField, CommandSet, Element
from pacs.dimse.messages.command_builders import c_echo_rq
from pacs.dimse.scp.commitment import (
    STORAGE_COMMITMENT,
    WELL_KNOWN_INSTANCE,
    ResultOnSameAssociation,
    StorageCommitment,
    action_information,
    event_report,
)
from pacs.dimse.scp.service import PresentationContext
from pacs.errors import Conflict, InvalidRequest, PeerFault, TooLarge
from pacs.index.commitments import ClaimedCommitment
from pacs.model import CommitmentKey, Principal, ReferencedInstance
from tests.dimse.scp.fake_exchange import CT, EXPLICIT, IMPLICIT, MR, FakeExchange, decoded, encoded

KEY = CommitmentKey("default", "WORKSTATION", "1.2.3")
REFERENCES = (ReferencedInstance(CT, "1.2.1"), ReferencedInstance(MR, "1.2.2"))


def n_action(**changes: Any) -> CommandSet:
    values = {
        Element.REQUESTED_SOP_CLASS_UID: STORAGE_COMMITMENT,
        Element.COMMAND_FIELD: CommandField.N_ACTION_RQ,
        Element.MESSAGE_ID: 5,
        Element.COMMAND_DATA_SET_TYPE: 1,
        Element.REQUESTED_SOP_INSTANCE_UID: WELL_KNOWN_INSTANCE,
        Element.ACTION_TYPE_ID: 1,
    }
    return CommandSet({**values, **{Element[name]: value for name, value in changes.items()}})


def information(references: Sequence[ReferencedInstance] = REFERENCES, uid: str | None = "1.2.3") -> Dataset:
    asked = Dataset()
    if uid is not None:
        asked.TransactionUID = uid
    asked.ReferencedSOPSequence = []
    for one in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = one.sop_class_uid, one.sop_instance_uid
        asked.ReferencedSOPSequence.append(item)
    return asked


def report(failures: dict[int, int] | None = None) -> Report:
    return Report(ClaimedCommitment(KEY, REFERENCES, failures or {}, 0, 0.0, 1, "claim"))


class FakeCommitment:
    max_references = 3

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.events: list[str] = []
        self.fails_with: Exception | None = None
        self.known: Report | None = None
        self.open = True

    def ask(self, principal: Principal, requester: str, uid: str, references: Sequence[Any]) -> CommitmentKey:
        if self.fails_with:
            raise self.fails_with
        self.asked.append((principal, requester, uid, tuple(references)))
        return KEY

    def is_open(self, _key: CommitmentKey) -> bool:
        return self.open

    def result(self, _key: CommitmentKey) -> Report | None:
        return self.known

    def told(self, _report: Report) -> None:
        self.events.append("told")

    def not_told(self, _report: Report, why: str) -> None:
        self.events.append(f"not told: {why}")

    def give_back(self, _report: Report) -> None:
        self.events.append("given back")

    def association_ended(self, _key: CommitmentKey) -> None:
        self.events.append("association ended")


def serve(commitment: FakeCommitment, command: CommandSet, data_set: bytes = b"") -> FakeExchange:
    exchange = FakeExchange(command, data_set, PresentationContext(1, STORAGE_COMMITMENT, IMPLICIT))
    StorageCommitment(commitment).serve(exchange)  # type: ignore[arg-type]
    return exchange


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT])
def test_the_request_is_read_as_it_was_sent(transfer_syntax: str) -> None:
    data_set = encoded(information(), transfer_syntax)
    assert action_information(data_set, transfer_syntax, 2) == ("1.2.3", list(REFERENCES))


def test_success_is_said_when_the_request_is_kept() -> None:
    commitment = FakeCommitment()
    exchange = serve(commitment, n_action(), encoded(information()))
    assert exchange.statuses == [0]
    assert exchange.final.affected_sop_instance_uid == WELL_KNOWN_INSTANCE
    assert commitment.asked == [(Principal("WORKSTATION"), "WORKSTATION", "1.2.3", REFERENCES)]
    [follow_up] = exchange.later
    assert follow_up.context_id == 1


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (c_echo_rq(1), 0x0211),
        (n_action(COMMAND_FIELD=CommandField.N_EVENT_REPORT_RQ), 0x0211),
        (n_action(REQUESTED_SOP_CLASS_UID=CT), 0x0118),
        (n_action(REQUESTED_SOP_INSTANCE_UID="1.2.3"), 0x0112),
        (n_action(ACTION_TYPE_ID=2), 0x0123),
        (n_action(COMMAND_DATA_SET_TYPE=0x0101), 0x0115),
    ],
)
def test_a_wrong_command(command: CommandSet, status: int) -> None:
    commitment = FakeCommitment()
    exchange = serve(commitment, command, encoded(information()))
    assert exchange.statuses == [status]
    assert (commitment.asked, exchange.later) == ([], [])


def test_a_missing_attribute() -> None:
    assert serve(FakeCommitment(), n_action(), encoded(information(uid=None))).statuses == [0x0115]
    nameless = information([ReferencedInstance(CT, "")])
    assert serve(FakeCommitment(), n_action(), encoded(nameless)).statuses == [0x0115]


def test_a_transaction_uid_in_use() -> None:
    commitment = FakeCommitment()
    commitment.fails_with = Conflict("in use")
    exchange = serve(commitment, n_action(), encoded(information()))
    assert (exchange.statuses, exchange.later) == ([0x0131], [])


def test_too_many_references_are_not_kept() -> None:
    with pytest.raises(TooLarge, match=r"commitment\.max_references"):
        serve(FakeCommitment(), n_action(), encoded(information([REFERENCES[0]] * 4)))
    with pytest.raises(TooLarge):
        serve(FakeCommitment(), n_action(), encoded(information([REFERENCES[0]] * 5000)))


def test_what_is_told() -> None:
    command, data_set = event_report(report(), 7, IMPLICIT)
    told = decoded(data_set)
    assert (command.command_field, command.message_id, command.event_type_id) == (0x0100, 7, 1)
    assert (command.affected_sop_class_uid, command.affected_sop_instance_uid) == (
        STORAGE_COMMITMENT,
        WELL_KNOWN_INSTANCE,
    )
    assert told.TransactionUID == "1.2.3"
    assert [one.ReferencedSOPInstanceUID for one in told.ReferencedSOPSequence] == ["1.2.1", "1.2.2"]
    assert "FailedSOPSequence" not in told


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT])
def test_what_is_told_of_failures(transfer_syntax: str) -> None:
    command, data_set = event_report(report({1: 0x0112}), 1, transfer_syntax)
    told = decoded(data_set, transfer_syntax)
    assert command.event_type_id == 2
    assert [one.ReferencedSOPInstanceUID for one in told.ReferencedSOPSequence] == ["1.2.1"]
    [failed] = told.FailedSOPSequence
    assert (failed.ReferencedSOPClassUID, failed.ReferencedSOPInstanceUID) == (MR, "1.2.2")
    assert failed.FailureReason == 0x0112
    _, nothing = event_report(report({0: 0x0112, 1: 0x0112}), 1, transfer_syntax)
    assert "ReferencedSOPSequence" not in decoded(nothing, transfer_syntax)


def _result(commitment: FakeCommitment) -> ResultOnSameAssociation:
    exchange = FakeExchange(n_action(), b"", PresentationContext(3, STORAGE_COMMITMENT, EXPLICIT))
    return ResultOnSameAssociation(commitment, KEY, exchange)  # type: ignore[arg-type]


def test_the_result_on_the_same_association() -> None:
    commitment = FakeCommitment()
    waiting = _result(commitment)
    assert waiting.message(1) is None
    waiting._next_look = 0
    commitment.known = report()
    message = waiting.message(1)
    assert message is not None
    waiting.answered(0)
    assert (waiting.is_over, commitment.events) == (True, ["told"])


def test_a_result_that_is_refused_on_the_same_association() -> None:
    commitment = FakeCommitment()
    commitment.known = report()
    waiting = _result(commitment)
    assert waiting.message(1) is not None
    waiting.answered(0x0110)
    assert waiting.is_over
    assert commitment.events == ["not told: answered 0x0110 on the same association"]


def test_the_association_ends_before_the_answer() -> None:
    commitment = FakeCommitment()
    commitment.known = report()
    waiting = _result(commitment)
    assert waiting.message(1) is not None
    waiting.close()
    assert commitment.events == ["given back", "association ended"]


def test_nothing_is_left_to_say_when_another_has_said_it() -> None:
    commitment = FakeCommitment()
    commitment.open = False
    waiting = _result(commitment)
    assert waiting.message(1) is None
    assert waiting.is_over


def made_up(data_set: bytes, transfer_syntax: str, sent: bytes) -> list[str]:
    """What is read of `data_set` without standing in `sent`, or beyond the one instance that is allowed; nothing when
    it is refused."""
    try:
        transaction_uid, references = action_information(data_set, transfer_syntax, 1)
    except PeerFault:
        return []
    uids = [transaction_uid, *(uid for one in references for uid in (one.sop_class_uid, one.sop_instance_uid))]
    too_many = [f"{len(references)} instances"] if len(references) > 1 else []
    return too_many + [uid for uid in uids if not uid or uid.encode("latin-1") not in sent]


def test_what_was_sent_is_seen() -> None:
    """The control of the two tests below."""
    data_set = encoded(information(REFERENCES[:1]), EXPLICIT)
    assert action_information(data_set, EXPLICIT, 1) == ("1.2.3", [REFERENCES[0]])
    assert made_up(data_set, EXPLICIT, data_set) == []
    assert made_up(data_set, EXPLICIT, b"") == ["1.2.3", CT, "1.2.1"]


@given(st.binary(max_size=300), st.sampled_from([IMPLICIT, EXPLICIT]))
def test_any_bytes(data_set: bytes, transfer_syntax: str) -> None:
    assert made_up(data_set, transfer_syntax, data_set) == []


@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    whole = bytearray(encoded(information(REFERENCES[:1]), EXPLICIT))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    assert made_up(damaged, EXPLICIT, damaged) == []


def test_an_item_that_is_no_reference_is_not_kept() -> None:
    asked = information()
    for number in range(70):
        asked.ReferencedSOPSequence[0].add_new(0x00110010 + number, "LO", "x")
    with pytest.raises(TooLarge, match="64"):
        action_information(encoded(asked, EXPLICIT), EXPLICIT, 10)


def test_an_absent_sequence_is_no_reference() -> None:
    asked = Dataset()
    asked.TransactionUID = "1.2.3"
    assert action_information(encoded(asked), IMPLICIT, 10) == ("1.2.3", [])
    with pytest.raises(InvalidRequest):
        action_information(encoded(information(uid=None)), IMPLICIT, 10)

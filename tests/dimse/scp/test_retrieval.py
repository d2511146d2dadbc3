"""Which instances are sent, on which context, in which bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, pairwise

import pytest

from pacs.dimse.messages.command import CommandField
from pacs.dimse.messages.status import status_of
from pacs.dimse.scp import retrieval
from pacs.dimse.scp.identifier import Identifier, Key
from pacs.dimse.scp.information_model import PATIENT_ROOT, STUDY_ROOT
from pacs.dimse.scp.retrieval import (
    Listings,
    chosen_context,
    data_set_for,
    sub_operation_message_id,
)
from pacs.dimse.scp.service import PresentationContext
from pacs.errors import Busy, TooLarge
from pacs.model import Principal, StoredInstance
from tests.dimse.scp.fake_exchange import CT, EXPLICIT, IMPLICIT, JPEG_LS, MR, FakeRetrieve, instance

ANYBODY = Principal("anybody")


def context(number: int, transfer_syntax: str, abstract_syntax: str = CT) -> PresentationContext:
    return PresentationContext(number, abstract_syntax, transfer_syntax, is_scu=True)


@pytest.mark.parametrize(
    ("accepted", "stored", "chosen"),
    [
        ([EXPLICIT, JPEG_LS], JPEG_LS, JPEG_LS),
        ([IMPLICIT, EXPLICIT], JPEG_LS, EXPLICIT),
        ([IMPLICIT], EXPLICIT, IMPLICIT),
        ([IMPLICIT, EXPLICIT], IMPLICIT, IMPLICIT),
        ([JPEG_LS], EXPLICIT, None),
        ([], EXPLICIT, None),
    ],
)
def test_its_own_transfer_syntax_then_an_uncompressed_one(accepted: list[str], stored: str, chosen: str | None) -> None:
    contexts = [context(2 * number + 1, syntax) for number, syntax in enumerate(accepted)]
    found = chosen_context([*contexts, context(99, stored, MR)], CT, stored)
    assert (found and found.transfer_syntax) == chosen


def test_stored_bytes_go_as_they_are() -> None:
    one = instance(1)
    assert data_set_for(FakeRetrieve([one]), one, EXPLICIT) == b"1.2.1.1.1"  # type: ignore[arg-type]


def identifier(level: str, patient: str, *values: str) -> Identifier:
    keys = [Key(0x00080052, "CS", (level,)), Key(0x00100020, "LO", (patient,))]
    return Identifier((*keys, Key(0x0020000D, "UI", values)))


def requested(asked: Identifier, retrieve: FakeRetrieve, listings: Listings | None = None) -> list[StoredInstance]:
    with (listings or Listings()).requested(asked, retrieve, ANYBODY, STUDY_ROOT) as found:  # type: ignore[arg-type]
        return list(found)


def test_each_of_a_uid_list_and_nothing_for_the_unknown() -> None:
    kept = [instance(1, study=1), instance(2, study=1), instance(1, study=2)]
    retrieve = FakeRetrieve(kept)
    asked = identifier("STUDY", "P", "1.2.2", "1.2.99", "1.2.1")
    assert requested(asked, retrieve) == [kept[2], kept[0], kept[1]]
    assert {one["patient_id"] for one in retrieve.asked} == {None}


def test_what_is_asked_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [instance(1, study=study) for study in (1, 2, 3)]
    retrieve = FakeRetrieve(rows)
    monkeypatch.setattr(retrieval, "MAX_INSTANCES", 2)
    assert requested(identifier("STUDY", "P", "1.2.1", "1.2.2"), retrieve) == rows[:2]
    with pytest.raises(TooLarge, match="more than 2") as refused:
        requested(identifier("STUDY", "P", "1.2.1", "1.2.2", "1.2.3"), retrieve)
    assert status_of(refused.value, CommandField.C_MOVE_RQ) == 0xA701


def test_all_lists_together_are_bounded_and_a_list_that_is_over_makes_room() -> None:
    retrieve = FakeRetrieve([instance(number) for number in range(1, 251)])
    listings = Listings(most=500)
    asked = identifier("STUDY", "P", "1.2.1")
    with listings.requested(asked, retrieve, ANYBODY, STUDY_ROOT) as first:  # type: ignore[arg-type]
        assert (len(first), listings.held) == (250, 300)
        with pytest.raises(Busy) as refused:
            requested(asked, retrieve, listings)
        assert status_of(refused.value, CommandField.C_GET_RQ) == 0xA701
        assert listings.held == 300
    assert listings.held == 0
    assert len(requested(asked, retrieve, listings)) == 250


def test_no_more_is_read_than_may_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Endless(FakeRetrieve):
        def listed(self, principal: Principal, **choices: str | None) -> Iterator[StoredInstance]:
            for number in count():
                read.append(number)
                yield instance(1)

    monkeypatch.setattr(retrieval, "MAX_INSTANCES", 1_000)
    with pytest.raises(TooLarge):
        requested(identifier("STUDY", "P", "1.2.1"), Endless([]))
    assert len(read) == 1_001


def test_patient_root_names_the_patient_too() -> None:
    retrieve = FakeRetrieve([instance(1)])
    with Listings().requested(identifier("STUDY", "P7", "1.2.1"), retrieve, ANYBODY, PATIENT_ROOT):  # type: ignore[arg-type]
        assert retrieve.asked[0]["patient_id"] == "P7"


def test_message_ids_are_never_that_of_the_request() -> None:
    ids = [sub_operation_message_id(number, 3) for number in range(70_000)]
    assert 3 not in ids
    assert min(ids) == 1
    assert max(ids) <= 65_535
    assert all(first != second for first, second in pairwise(ids))

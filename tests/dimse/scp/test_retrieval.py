"""Which instances are sent, on which context, in which bytes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from pacs.dimse.messages.command import CommandField
from pacs.dimse.messages.status import status_of
from pacs.dimse.scp import retrieval
from pacs.dimse.scp.identifier import Identifier, Key
from pacs.dimse.scp.information_model import PATIENT_ROOT, STUDY_ROOT
from pacs.dimse.scp.retrieval import (
    chosen_context,
    data_set_for,
    requested_instances,
    sub_operation_message_id,
)
from pacs.dimse.scp.service import PresentationContext
from pacs.errors import TooLarge
from pacs.model import Principal
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


def test_each_of_a_uid_list_and_nothing_for_the_unknown() -> None:
    kept = [instance(1, study=1), instance(2, study=1), instance(1, study=2)]
    retrieve = FakeRetrieve(kept)
    asked = identifier("STUDY", "P", "1.2.2", "1.2.99", "1.2.1")
    found = requested_instances(asked, retrieve, ANYBODY, STUDY_ROOT)  # type: ignore[arg-type]
    assert found == [kept[2], kept[0], kept[1]]
    assert {one["patient_id"] for one in retrieve.asked} == {None}


def test_what_is_asked_at_once_is_bounded_in_number_and_each_in_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        replace(instance(1, study=study), attributes={"00200013": {"vr": "IS", "Value": [1]}}, frame_table=b"table")
        for study in (1, 2, 3)
    ]
    retrieve = FakeRetrieve(rows)
    monkeypatch.setattr(retrieval, "MAX_INSTANCES", 2)
    found = requested_instances(identifier("STUDY", "P", "1.2.1", "1.2.2"), retrieve, ANYBODY, STUDY_ROOT)  # type: ignore[arg-type]
    assert [one.key for one in found] == [rows[0].key, rows[1].key]
    assert not any(one.attributes or one.frame_table for one in found), "ten times as much, and not sent"
    with pytest.raises(TooLarge, match="more than 2") as refused:
        requested_instances(identifier("STUDY", "P", "1.2.1", "1.2.2", "1.2.3"), retrieve, ANYBODY, STUDY_ROOT)  # type: ignore[arg-type]
    assert status_of(refused.value, CommandField.C_MOVE_RQ) == 0xA701


def test_patient_root_names_the_patient_too() -> None:
    retrieve = FakeRetrieve([instance(1)])
    requested_instances(identifier("STUDY", "P7", "1.2.1"), retrieve, ANYBODY, PATIENT_ROOT)  # type: ignore[arg-type]
    assert retrieve.asked[0]["patient_id"] == "P7"


def test_message_ids_are_never_that_of_the_request() -> None:
    ids = [sub_operation_message_id(number, 3) for number in range(70_000)]
    assert 3 not in ids
    assert min(ids) == 1
    assert max(ids) <= 65_535
    assert all(first != second for first, second in pairwise(ids))

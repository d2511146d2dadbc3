from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pacs.dimse.messages.command import CommandField, CommandSet, Element
from pacs.dimse.messages.command_builders import c_echo_rq, c_store_rq
from pacs.dimse.messages.status import status_of
from pacs.dimse.scp.service import AssociationLost, PresentationContext
from pacs.dimse.scp.storage import Storage
from pacs.dimse.scp.verification import VERIFICATION
from pacs.errors import InvalidIdentity, MalformedDataSet, StorageFull, UnsupportedMedia
from tests.dimse.scp.fake_exchange import CT, JPEG_LS, MR, FakeExchange
from tests.dimse.served import MemoryIngest

CONTEXT = PresentationContext(1, CT, JPEG_LS)
STORE = c_store_rq(1, CT, "1.2.3")


@dataclass
class StoreExchange(FakeExchange):
    ends_early: bool = False

    def fragments(self) -> Iterator[memoryview]:
        half = len(self.data_set) // 2
        yield memoryview(self.data_set)[:half]
        if self.ends_early:
            raise AssociationLost("gone")
        yield memoryview(self.data_set)[half:]


def _serve(ingest: MemoryIngest, exchange: Any) -> None:
    Storage(ingest).serve(exchange)  # type: ignore[arg-type]


def test_fragments_are_passed_on_and_success_comes_after_the_commit() -> None:
    ingest, exchange = MemoryIngest(), StoreExchange(STORE, b"abcd", CONTEXT)
    _serve(ingest, exchange)
    assert ingest.kept == {"1.2.3": b"abcd"}
    assert exchange.statuses == [0]


def test_a_coerced_instance_is_told_with_its_warning() -> None:
    ingest, exchange = MemoryIngest(), StoreExchange(STORE, b"abcd", CONTEXT)
    ingest.coerced = (0x00100010,)
    _serve(ingest, exchange)
    assert exchange.statuses == [0xB000]


def test_the_ingest_is_told_who_sends_what() -> None:
    asked: list[tuple[Any, ...]] = []

    class Asked(MemoryIngest):
        def begin(self, source: Any, syntax: str, **uids: str) -> Any:
            asked.append((source.principal.name, source.route, source.peer, syntax, uids))
            return super().begin(source, syntax, **uids)

    _serve(Asked(), StoreExchange(STORE, b"abcd", CONTEXT))
    uids = {"sop_class_uid": CT, "sop_instance_uid": "1.2.3"}
    assert asked == [("WORKSTATION", "C-STORE", "127.0.0.1", JPEG_LS, uids)]


def test_no_success_without_a_commit() -> None:
    ingest, exchange = MemoryIngest(), StoreExchange(STORE, b"abcd", CONTEXT)
    ingest.fail_with = StorageFull("no room")
    with pytest.raises(StorageFull):
        _serve(ingest, exchange)
    assert exchange.statuses == []
    assert ingest.aborted == 1


def test_a_peer_that_is_gone_leaves_nothing() -> None:
    ingest = MemoryIngest()
    with pytest.raises(AssociationLost):
        _serve(ingest, StoreExchange(STORE, b"abcd", CONTEXT, ends_early=True))
    assert (ingest.kept, ingest.aborted) == ({}, 1)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (CommandSet({**STORE, Element.COMMAND_DATA_SET_TYPE: 0x0101}), MalformedDataSet),
        (CommandSet({**STORE, Element.AFFECTED_SOP_INSTANCE_UID: ""}), InvalidIdentity),
        (CommandSet({**STORE, Element.AFFECTED_SOP_CLASS_UID: ""}), InvalidIdentity),
    ],
)
def test_a_request_that_names_nothing_is_refused(command: CommandSet, problem: type[Exception]) -> None:
    ingest = MemoryIngest()
    with pytest.raises(problem):
        _serve(ingest, StoreExchange(command, b"abcd", CONTEXT))
    assert ingest.begun == 0


@pytest.mark.parametrize("sop_class", [VERIFICATION, "1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.2.1.1"])
def test_what_is_no_storage_class_is_refused_on_a_context_of_one(sop_class: str) -> None:
    ingest = MemoryIngest()
    with pytest.raises(UnsupportedMedia) as refused:
        _serve(ingest, StoreExchange(c_store_rq(1, sop_class, "1.2.3"), b"abcd", CONTEXT))
    assert status_of(refused.value, CommandField.C_STORE_RQ) == 0x0122
    assert ingest.begun == 0


@pytest.mark.parametrize("sop_class", [MR, "1.2.3.4"])
def test_another_storage_class_than_the_contexts_is_taken(sop_class: str) -> None:
    ingest = MemoryIngest()
    exchange = StoreExchange(c_store_rq(1, sop_class, "1.2.3"), b"abcd", CONTEXT)
    _serve(ingest, exchange)
    assert (exchange.statuses, [*ingest.kept]) == ([0], ["1.2.3"])


def test_anything_else_is_no_operation_of_this_service() -> None:
    exchange = StoreExchange(c_echo_rq(7), b"", CONTEXT)
    _serve(MemoryIngest(), exchange)
    assert exchange.statuses == [0x0211]

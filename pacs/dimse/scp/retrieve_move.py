"""C-MOVE: instances go to a configured destination on associations of our own (PS3.4 C.4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pacs import log
from pacs.dimse.messages.command import CommandField, CommandSet
from pacs.dimse.messages.command_builders import c_store_rq, response_to
from pacs.dimse.messages.status import Status, comment
from pacs.dimse.scp.information_model import MOVE_MODELS
from pacs.dimse.scp.retrieval import (
    FALLBACKS,
    Listings,
    chosen_context,
    data_set_for,
    no_context_reason,
    read_identifier,
    sub_operation_message_id,
)
from pacs.dimse.scp.service import Exchange, PresentationContext
from pacs.dimse.scp.sub_operations import SubOperations
from pacs.dimse.scu import DestinationLost
from pacs.dimse.upper_layer.items import ProposedContext
from pacs.errors import PacsError
from pacs.model import StoredInstance
from pacs.retrieve import Retrieve
from pacs.settings import DestinationSettings

MAX_CONTEXTS = 128
"""Presentation context IDs are odd numbers from 1 to 255 (PS3.8 §9.3.2.2)."""


class StorageAssociation(Protocol):
    """An open association with a destination; `pacs.dimse.scu` has the real one."""

    @property
    def contexts(self) -> Sequence[PresentationContext]:
        """Accepted contexts."""

    def store(self, context: PresentationContext, request: CommandSet, data_set: memoryview) -> int:
        """Send one C-STORE-RQ; the status of its response. Raises `DestinationLost`."""

    def release(self) -> None:
        """End it in order; never raises."""


Connect = Callable[[DestinationSettings, Sequence[ProposedContext]], StorageAssociation]
"""Opens an association. Raises `DestinationLost`."""


class RetrieveMove:
    """Service class provider of C-MOVE for the SOP classes of `MOVE_MODELS`.

    Sends to `destinations` only: no address ever comes from the request.
    """

    def __init__(
        self,
        retrieve: Retrieve,
        listings: Listings,
        destinations: Iterable[DestinationSettings],
        connect: Connect,
    ) -> None:
        self._retrieve = retrieve
        self._listings = listings
        self._destinations = {destination.aet.strip(): destination for destination in destinations}
        self._connect = connect

    def serve(self, exchange: Exchange) -> None:
        request = exchange.command
        if request.command_field != CommandField.C_MOVE_RQ:
            exchange.respond(response_to(request, Status.UNRECOGNIZED_OPERATION))
            return
        identifier = read_identifier(exchange)
        title = (request.move_destination or "").strip()
        destination = self._destinations.get(title)
        if destination is None:
            log.event("C-MOVE destination unknown", calling_ae_title=exchange.peer.calling_ae_title, destination=title)
            text = comment(f"Move Destination {title!r} is not configured here")
            exchange.respond(response_to(request, Status.MOVE_DESTINATION_UNKNOWN, error_comment=text))
            return
        model = MOVE_MODELS[exchange.context.abstract_syntax]
        with self._listings.requested(identifier, self._retrieve, exchange.peer.principal, model) as instances:
            self._serve(exchange, destination, instances)

    def _serve(self, exchange: Exchange, destination: DestinationSettings, instances: list[StoredInstance]) -> None:
        request = exchange.command
        move = _Move(exchange, self._retrieve, destination, self._connect, SubOperations(len(instances)))
        for batch in batches(instances):
            move.send(batch)
        progress = move.progress
        response, failed = progress.final(request, exchange.context.transfer_syntax, is_cancelled=move.is_cancelled)
        log.event(
            "C-MOVE answered",
            calling_ae_title=exchange.peer.calling_ae_title,
            destination=destination.aet.strip(),
            status=f"0x{response.status:04X}",
            completed=progress.completed,
            failed=progress.failed,
            warning=progress.warning,
            remaining=progress.remaining,
        )
        exchange.respond(response, failed)


@dataclass(slots=True)
class _Move:
    """The state of one C-MOVE while it sends."""

    exchange: Exchange
    retrieve: Retrieve
    destination: DestinationSettings
    connect: Connect
    progress: SubOperations
    is_cancelled: bool = False
    number: int = 0

    def send(self, batch: Batch) -> None:
        """Send a batch; when the destination drops the association, go on once more on a new one as long as something
        got through on the last."""
        waiting = batch.instances
        while waiting and not self.is_cancelled:
            try:
                association = self.connect(self.destination, batch.contexts)
            except DestinationLost as lost:
                self._fail_all(waiting, lost)
                return
            sent = 0
            try:
                for instance in waiting:
                    self.is_cancelled = self.exchange.is_cancelled()
                    if self.is_cancelled:
                        break
                    self._send_one(association, instance)
                    sent += 1
            except DestinationLost as lost:
                failed = waiting[sent : sent + 1] if sent else waiting
                self._fail_all(failed, lost)
                waiting = waiting[sent + len(failed) :]
            else:
                waiting = []
            finally:
                association.release()

    def _send_one(self, association: StorageAssociation, instance: StoredInstance) -> None:
        sop_instance_uid = instance.key.sop_instance_uid
        context = chosen_context(association.contexts, instance.sop_class_uid, instance.transfer_syntax_uid)
        if context is None:
            self._fail(instance, no_context_reason(instance))
            return
        try:
            data_set = data_set_for(self.retrieve, instance, context.transfer_syntax)
        except PacsError as error:
            log.event("sub-operation failed", error=error, sop_instance_uid=sop_instance_uid)
            self._fail(instance, str(error))
            return
        move = self.exchange.command
        store = c_store_rq(
            sub_operation_message_id(self.number, 0),
            instance.sop_class_uid,
            sop_instance_uid,
            priority=move.priority,
            move_originator_ae_title=self.exchange.peer.calling_ae_title,
            move_originator_message_id=move.message_id,
        )
        self.number += 1
        self.progress.count(sop_instance_uid, association.store(context, store, data_set))
        self.exchange.respond(self.progress.pending(move))

    def _fail(self, instance: StoredInstance, reason: str) -> None:
        self.progress.fail(instance.key.sop_instance_uid, reason)
        self.exchange.respond(self.progress.pending(self.exchange.command))

    def _fail_all(self, instances: Iterable[StoredInstance], lost: DestinationLost) -> None:
        log.event("C-MOVE destination lost", destination=self.destination.aet, error=lost)
        for instance in instances:
            self.progress.fail(instance.key.sop_instance_uid, str(lost))


@dataclass(slots=True)
class Batch:
    """Instances that one association can carry."""

    contexts: list[ProposedContext] = field(default_factory=list)
    instances: list[StoredInstance] = field(default_factory=list)

    def propose(self, abstract_syntax: str, transfer_syntaxes: tuple[str, ...]) -> None:
        """Add a context with the next ID, once."""
        if any(
            (one.abstract_syntax, one.transfer_syntaxes) == (abstract_syntax, transfer_syntaxes)
            for one in self.contexts
        ):
            return
        self.contexts.append(ProposedContext(2 * len(self.contexts) + 1, abstract_syntax, transfer_syntaxes))


def batches(instances: Iterable[StoredInstance]) -> list[Batch]:
    """Group `instances` so that no association proposes more than 128 contexts.

    Every SOP class is proposed in each transfer syntax it is stored in, one context each, so that the destination
    cannot choose another for all; and once more with the uncompressed ones, for what it cannot take as stored.
    """
    groups: dict[tuple[str, str], list[StoredInstance]] = {}
    for instance in instances:
        groups.setdefault((instance.sop_class_uid, instance.transfer_syntax_uid), []).append(instance)
    made: list[Batch] = []
    for (sop_class_uid, transfer_syntax_uid), members in sorted(groups.items()):
        if not made or len(made[-1].contexts) + 2 > MAX_CONTEXTS:
            made.append(Batch())
        batch = made[-1]
        batch.propose(sop_class_uid, (transfer_syntax_uid,))
        batch.propose(sop_class_uid, FALLBACKS)
        batch.instances.extend(members)
    return made

"""C-GET: instances come back on the association that asked for them (PS3.4 C.4.3)."""

from __future__ import annotations

from pacs import log
from pacs.dimse.messages.command import CommandField
from pacs.dimse.messages.command_builders import c_store_rq, response_to
from pacs.dimse.messages.status import Status
from pacs.dimse.scp.information_model import GET_MODELS
from pacs.dimse.scp.retrieval import (
    Listings,
    chosen_context,
    data_set_for,
    no_context_reason,
    read_identifier,
    sub_operation_message_id,
)
from pacs.dimse.scp.service import Exchange, PresentationContext
from pacs.dimse.scp.sub_operations import SubOperations
from pacs.errors import PacsError
from pacs.model import StoredInstance
from pacs.retrieve import Retrieve


class RetrieveGet:
    """Service class provider of C-GET for the SOP classes of `GET_MODELS`."""

    def __init__(self, retrieve: Retrieve, listings: Listings) -> None:
        self._retrieve = retrieve
        self._listings = listings

    def serve(self, exchange: Exchange) -> None:
        request = exchange.command
        if request.command_field != CommandField.C_GET_RQ:
            exchange.respond(response_to(request, Status.UNRECOGNIZED_OPERATION))
            return
        model = GET_MODELS[exchange.context.abstract_syntax]
        identifier = read_identifier(exchange)
        with self._listings.requested(identifier, self._retrieve, exchange.peer.principal, model) as instances:
            self._serve(exchange, instances)

    def _serve(self, exchange: Exchange, instances: list[StoredInstance]) -> None:
        request = exchange.command
        # Only where the requester took the SCP role may we send (PS3.7 D.3.3.4).
        contexts = [context for context in exchange.peer.contexts.values() if context.is_scu]
        progress = SubOperations(total=len(instances))
        is_cancelled = False
        for number, instance in enumerate(instances):
            is_cancelled = exchange.is_cancelled()
            if is_cancelled:
                break
            self._send(exchange, contexts, number, instance, progress)
            exchange.respond(progress.pending(request))
        response, identifier = progress.final(request, exchange.context.transfer_syntax, is_cancelled=is_cancelled)
        log.event(
            "C-GET answered",
            calling_ae_title=exchange.peer.calling_ae_title,
            status=f"0x{response.status:04X}",
            completed=progress.completed,
            failed=progress.failed,
            warning=progress.warning,
            remaining=progress.remaining,
        )
        exchange.respond(response, identifier)

    def _send(
        self,
        exchange: Exchange,
        contexts: list[PresentationContext],
        number: int,
        instance: StoredInstance,
        progress: SubOperations,
    ) -> None:
        sop_instance_uid = instance.key.sop_instance_uid
        context = chosen_context(contexts, instance.sop_class_uid, instance.transfer_syntax_uid)
        if context is None:
            progress.fail(sop_instance_uid, no_context_reason(instance))
            return
        try:
            data_set = data_set_for(self._retrieve, instance, context.transfer_syntax)
        except PacsError as error:
            log.event("sub-operation failed", error=error, sop_instance_uid=sop_instance_uid)
            progress.fail(sop_instance_uid, str(error))
            return
        store = c_store_rq(
            sub_operation_message_id(number, exchange.command.message_id),
            instance.sop_class_uid,
            sop_instance_uid,
            priority=exchange.command.priority,
        )
        progress.count(sop_instance_uid, exchange.sub_operation(context, store, [data_set]).status)

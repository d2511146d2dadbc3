"""Storage (PS3.4 Annex B): C-STORE of every SOP class, in the transfer syntax it comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pacs.dimse.messages.command import CommandField
from pacs.dimse.messages.command_builders import response_to
from pacs.dimse.messages.status import Status
from pacs.dimse.scp.service import Exchange
from pacs.errors import InvalidIdentity, MalformedDataSet
from pacs.model import Source

if TYPE_CHECKING:
    from pacs.ingest import Ingest


class Storage:
    """Passes fragments to the ingest path as they arrive; answers success only when that has committed."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    def serve(self, exchange: Exchange) -> None:
        request, peer = exchange.command, exchange.peer
        if request.command_field != CommandField.C_STORE_RQ:
            exchange.respond(response_to(request, Status.UNRECOGNIZED_OPERATION))
            return
        if not request.has_data_set:
            raise MalformedDataSet("C-STORE-RQ without a data set")
        if not request.affected_sop_class_uid or not request.affected_sop_instance_uid:
            raise InvalidIdentity("C-STORE-RQ names no SOP class or instance (PS3.7 §9.3.1)")
        with self._ingest.begin(
            Source(peer.principal, "C-STORE", peer.address),
            exchange.context.transfer_syntax,
            sop_class_uid=request.affected_sop_class_uid,
            sop_instance_uid=request.affected_sop_instance_uid,
        ) as reception:
            for fragment in exchange.fragments():
                reception.write(fragment)
            stored = reception.commit()
        status = Status.COERCION_OF_DATA_ELEMENTS if stored.coerced else Status.SUCCESS
        exchange.respond(response_to(request, status))

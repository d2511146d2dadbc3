"""Storage (PS3.4 Annex B): C-STORE of every SOP class, in the transfer syntax it comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pacs.dimse.messages.command import CommandField
from pacs.dimse.messages.command_builders import response_to
from pacs.dimse.messages.status import Status
from pacs.dimse.scp.service import Exchange
from pacs.dimse.scp.storage_classes import is_storage_class
from pacs.errors import InvalidIdentity, MalformedDataSet, UnsupportedMedia
from pacs.model import Source, is_uid

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
        # It need not be the context's: instances of a class may come under a related general one (PS3.7 D.3.3.6), and
        # dcmtk and dcm4che compare no more. What the data set says must be the same, and a class that is kept.
        sop_class_uid = request.affected_sop_class_uid
        if is_uid(sop_class_uid) and not is_storage_class(sop_class_uid):
            raise UnsupportedMedia(f"instances of SOP class {sop_class_uid} are not stored")
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

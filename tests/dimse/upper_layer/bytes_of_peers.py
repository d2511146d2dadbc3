"""PDUs and associations that several tests of the upper layer use."""

from __future__ import annotations

from pacs.dimse.upper_layer import pdu
from pacs.dimse.upper_layer.association import Association
from pacs.dimse.upper_layer.events import Event
from pacs.dimse.upper_layer.items import ContextResult, ProposedContext, UserInformation

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
REQUEST = pdu.AssociateRequest(
    "PACS", "CT1", (ProposedContext(1, CT, (EXPLICIT,)),), UserInformation(16384, "1.2.3", "PEER")
)
ACCEPT = pdu.AssociateAccept("PACS", "CT1", (ContextResult(1, 0, EXPLICIT),), UserInformation(16384, "1.2.4", "US"))

RQ = pdu.encode_associate_rq(REQUEST)
AC = pdu.encode_associate_ac(ACCEPT)
RJ = pdu.encode_associate_rj(pdu.CALLING_AE_TITLE_NOT_RECOGNIZED)
RELEASE_RQ = pdu.encode_release_rq()
RELEASE_RP = pdu.encode_release_rp()
ABORT = pdu.encode_abort(pdu.Abort(0))
UNKNOWN = b"\x63\0\0\0\0\x04abcd"


def data_pdu(data: bytes, *, context_id: int = 1, control: int = 2) -> bytes:
    fragment = pdu.PDV_HEADER.pack(len(data) + 2, context_id, control) + data
    return pdu.HEADER.pack(pdu.PduType.DATA_TF, len(fragment)) + fragment


def feed(association: Association, data: bytes) -> list[Event]:
    """Let `data` arrive, and take every event as it comes (data copied, because it is only lent)."""
    events: list[Event] = []
    while True:
        while (event := association.next_event()) is not None:
            events.append(event._replace(data=memoryview(bytes(event.data))) if isinstance(event, tuple) else event)
        if not data:
            return events
        room = association.room()
        count = min(len(room), len(data))
        room[:count] = data[:count]
        association.received(count)
        data = data[count:]


def output(association: Association) -> bytes:
    return b"".join(association.take_output())


def opened(*, is_requestor: bool = False) -> Association:
    """An established association (Sta6) with nothing left to take."""
    association = Association(max_pdu_length=16384, is_requestor=is_requestor)
    if is_requestor:
        association.request(REQUEST)
        association.connected()
        feed(association, AC)
    else:
        association.connection_arrived()
        feed(association, RQ)
        association.accept(ACCEPT)
    association.take_output()
    return association

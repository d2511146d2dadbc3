"""A modality that stores images and asks for commitment, with pynetdicom; what it is told comes on any association."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator, Sequence
from typing import Any

from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import StorageCommitmentPushModel

WELL_KNOWN = "1.2.840.10008.1.20.1.1"
AET = "MODALITY"

Reference = tuple[str, str]


class Told:
    """One N-EVENT-REPORT."""

    def __init__(self, event: Any) -> None:
        information = event.event_information
        self.event_type: int = event.event_type
        self.transaction_uid = str(information.TransactionUID)
        self.committed = {str(one.ReferencedSOPInstanceUID) for one in information.get("ReferencedSOPSequence", [])}
        self.failed = {
            str(one.ReferencedSOPInstanceUID): int(one.FailureReason)
            for one in information.get("FailedSOPSequence", [])
        }
        self.was_asked_for_here = event.assoc.is_requestor


class Modality:
    """Keeps what it is told in `told`; answers with `status`."""

    def __init__(self) -> None:
        self.told: queue.Queue[Told] = queue.Queue()
        self.status = 0x0000
        self.port = 0
        self._answering: dict[Any, Told] = {}

    def handle(self, event: Any) -> tuple[int, None]:
        self._answering[event.assoc] = Told(event)
        return self.status, None

    def sent(self, event: Any) -> None:
        """Only now may a test go on: pynetdicom cannot release while it answers."""
        if isinstance(event.pdu, P_DATA_TF) and event.assoc in self._answering:
            self.told.put(self._answering.pop(event.assoc))

    @property
    def _handlers(self) -> list[Any]:
        return [(evt.EVT_N_EVENT_REPORT, self.handle), (evt.EVT_PDU_SENT, self.sent)]

    @contextlib.contextmanager
    def listening(self, port: int = 0, *, takes_role: bool = True) -> Iterator[None]:
        ae = AE(AET)
        roles = {"scu_role": False, "scp_role": True} if takes_role else {"scu_role": True, "scp_role": False}
        ae.add_supported_context(StorageCommitmentPushModel, **roles)
        server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=self._handlers)
        self.port = server.server_address[1]
        try:
            yield
        finally:
            server.shutdown()

    @contextlib.contextmanager
    def associated(self, port: int, aet: str = "PACS") -> Iterator[Any]:
        ae = AE(AET)
        ae.dimse_timeout = ae.network_timeout = 30
        ae.add_requested_context(StorageCommitmentPushModel, ExplicitVRLittleEndian)
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = ae.associate(
            "127.0.0.1",
            port,
            ae_title=aet,
            ext_neg=[build_role(StorageCommitmentPushModel, scu_role=True)],
            evt_handlers=self._handlers,
        )
        try:
            assert association.is_established
            yield association
        finally:
            if association.is_established:
                association.release()
            association.join(10)
            if association.dul.socket is not None:
                association.dul.socket.close()  # pynetdicom leaves it open when the peer vanishes

    def wait(self, limit_s: float = 40) -> Told:
        return self.told.get(timeout=limit_s)


def store(association: Any, count: int) -> list[Reference]:
    """Store new images; their SOP class and instance UIDs."""
    image = dcmread(str(get_testdata_file("CT_small.dcm")))
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    stored = []
    for _ in range(count):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        assert association.send_c_store(image).Status == 0
        stored.append((str(image.SOPClassUID), str(image.SOPInstanceUID)))
    return stored


def action_information(transaction_uid: str, references: Sequence[Reference]) -> Dataset:
    asked = Dataset()
    asked.TransactionUID = transaction_uid
    asked.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
        asked.ReferencedSOPSequence.append(item)
    return asked


def ask(association: Any, references: Sequence[Reference], transaction_uid: str | None = None) -> tuple[int, str]:
    """Send an N-ACTION-RQ; status and Transaction UID."""
    transaction_uid = transaction_uid or str(generate_uid())
    information = action_information(transaction_uid, references)
    answer, _ = association.send_n_action(information, 1, StorageCommitmentPushModel, WELL_KNOWN)
    return int(answer.Status), transaction_uid

"""Results of storage commitment, told on associations of our own, the SCP of the service on them (PS3.4 J.3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from pacs.commitment import Commitment, Report
from pacs.dimse.messages.command import CommandSet
from pacs.dimse.messages.status import is_failure
from pacs.dimse.scp.commitment import STORAGE_COMMITMENT, event_report
from pacs.dimse.scp.service import PresentationContext
from pacs.dimse.scu import DestinationLost
from pacs.dimse.upper_layer.items import ProposedContext, RoleSelection
from pacs.part10.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacs.settings import DestinationSettings

CONTEXTS: Final = (ProposedContext(1, STORAGE_COMMITMENT, (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)),)
ROLES: Final = (RoleSelection(STORAGE_COMMITMENT, is_scu=False, is_scp=True),)
"""Whoever opens an association is the user of its services, unless this says otherwise (PS3.7 D.3.3.4)."""


class ReportAssociation(Protocol):
    """An open association with a requester; `pacs.dimse.scu` has the real one."""

    @property
    def contexts(self) -> Sequence[PresentationContext]:
        """Accepted contexts."""

    def store(self, context: PresentationContext, request: CommandSet, data_set: memoryview) -> int:
        """Send one request; the status of its response. Raises `DestinationLost`."""

    def release(self) -> None:
        """End it in order; never raises."""


Connect = Callable[[DestinationSettings, Sequence[ProposedContext], Sequence[RoleSelection]], ReportAssociation]
"""Opens an association. Raises `DestinationLost`."""


class CommitmentReports:
    """Tells requesters their results, at the addresses of `destinations` and nowhere else."""

    def __init__(self, commitment: Commitment, destinations: Iterable[DestinationSettings], connect: Connect) -> None:
        self._commitment = commitment
        self._destinations = {destination.aet.strip(): destination for destination in destinations}
        self._connect = connect

    def tell_next(self, is_stopping: Callable[[], bool] = lambda: False) -> bool:
        """Tell the requester whose result is due longest, and then its other due ones; False when none is due.

        Raises:
            StorageError: the index failed; what was not noted as told is told again.
        """
        report = self._commitment.next_report()
        if report is None:
            return False
        destination = self._destinations.get(report.key.requester)
        if destination is None:
            why = f"dicom.destinations has no address for {report.key.requester!r}"
            self._commitment.not_told(report, why, is_reachable=False)
            return True
        try:
            association = self._connect(destination, CONTEXTS, ROLES)
        except DestinationLost as lost:
            self._commitment.not_told(report, str(lost), is_reachable=False)
            return True
        try:
            self._tell_all(association, report, is_stopping)
        finally:
            association.release()
        return True

    def _tell_all(self, association: ReportAssociation, first: Report, is_stopping: Callable[[], bool]) -> None:
        report: Report | None = first
        message_id = 0
        while report is not None:
            message_id = message_id % 0xFFFF + 1
            try:
                status = self._tell(association, report, message_id)
            except DestinationLost as lost:
                self._commitment.not_told(report, str(lost))
                return
            if is_failure(status):
                self._commitment.not_told(report, f"it answered 0x{status:04X}")
            else:
                self._commitment.told(report)
            report = None if is_stopping() else self._commitment.next_report(of=first.key)

    @staticmethod
    def _tell(association: ReportAssociation, report: Report, message_id: int) -> int:
        """The status that the requester answers. Raises `DestinationLost`."""
        if not association.contexts:
            raise DestinationLost("it takes no storage commitment results, or not from us as the provider")
        context = association.contexts[0]
        request, data_set = event_report(report, message_id, context.transfer_syntax)
        return association.store(context, request, memoryview(data_set))

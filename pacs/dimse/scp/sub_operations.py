"""The C-STORE sub-operations of C-MOVE and C-GET: how they are counted and told (PS3.4 C.4.2, C.4.3). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from pacs.dimse.messages.command import CommandSet
from pacs.dimse.messages.command_builders import response_to
from pacs.dimse.messages.status import Status, comment, is_warning
from pacs.dimse.scp.identifier_writer import encode_identifier
from pacs.model import DicomJson

_FAILED_SOP_INSTANCE_UID_LIST = "00080058"
_MAX_LIST_BYTES = 65_534
"""The most that one UI element in Explicit VR can hold (PS3.5 §7.1.2)."""


@dataclass(slots=True)
class SubOperations:
    """The counts of one C-MOVE or C-GET (PS3.7 §9.1.3, §9.1.4)."""

    total: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_sop_instance_uids: list[str] = field(default_factory=list)
    reason: str = ""
    """Why the first failed one failed, in one sentence."""

    @property
    def remaining(self) -> int:
        return self.total - self.completed - self.failed - self.warning

    def count(self, sop_instance_uid: str, status: int, reason: str = "") -> None:
        """Count one finished sub-operation by the status of its C-STORE response."""
        if status == Status.SUCCESS:
            self.completed += 1
        elif is_warning(status):
            self.warning += 1
        else:
            self.failed += 1
            self.failed_sop_instance_uids.append(sop_instance_uid)
            self.reason = self.reason or reason or f"C-STORE sub-operation answered 0x{status:04X}"

    def fail(self, sop_instance_uid: str, reason: str) -> None:
        """Count one that could not be sent."""
        self.count(sop_instance_uid, Status.PROCESSING_FAILURE, reason)

    def pending(self, request: CommandSet) -> CommandSet:
        """The response that tells how far it is; it has no identifier (PS3.4 C.4.2.1.4.2)."""
        return response_to(
            request,
            Status.PENDING,
            remaining=self.remaining,
            completed=self.completed,
            failed=self.failed,
            warning=self.warning,
        )

    def final(
        self, request: CommandSet, transfer_syntax_uid: str, *, is_cancelled: bool = False
    ) -> tuple[CommandSet, bytes | None]:
        """The last response and its identifier.

        Success only when every sub-operation succeeded; a warning when some did; a failure when none did
        (PS3.4 C.4.2.3.1). All but success carry the Failed SOP Instance UID List. Remaining is told in the answer to
        a cancel only (PS3.4 Table C.4-2).
        """
        status = self._status(is_cancelled=is_cancelled)
        response = response_to(
            request,
            status,
            has_data_set=status != Status.SUCCESS,
            error_comment=comment(self.reason) if self.reason else None,
            remaining=self.remaining if is_cancelled else None,
            completed=self.completed,
            failed=self.failed,
            warning=self.warning,
        )
        if status == Status.SUCCESS:
            return response, None
        return response, encode_identifier(self._failed_list(), transfer_syntax_uid)

    def _status(self, *, is_cancelled: bool) -> Status:
        if is_cancelled:
            return Status.CANCEL
        if not self.failed and not self.warning:
            return Status.SUCCESS
        if self.completed or self.warning:
            return Status.SUB_OPERATIONS_WITH_FAILURES
        return Status.UNABLE_TO_PERFORM_SUB_OPERATIONS

    def _failed_list(self) -> DicomJson:
        room = _MAX_LIST_BYTES
        fitting = []
        for uid in self.failed_sop_instance_uids:
            room -= len(uid) + 1
            if room < 0:
                break
            fitting.append(uid)
        return {_FAILED_SOP_INSTANCE_UID_LIST: {"vr": "UI", "Value": fitting}}

"""Why a request about a workitem is refused, where PS3.18 §11 has words of its own for it."""

from __future__ import annotations

from pacs.errors import Conflict, InvalidRequest, NotFound


class TransactionUidMissing(InvalidRequest):
    """The workitem is claimed, and the request does not say by whom (C301)."""


class TransactionUidIncorrect(InvalidRequest):
    """The request names another Transaction UID than that of the claim (C301)."""


class NotClaimed(Conflict):
    """The request brings a Transaction UID for a workitem that nobody has claimed (C310)."""


class WrongState(Conflict):
    """The state of the workitem does not allow it (C300, C302, C304, C310, C311)."""


class NoLongerChanged(InvalidRequest):
    """An update of a workitem that is COMPLETED or CANCELED; PS3.18 §11.6.2 wants 400."""


class NobodyListens(Conflict):
    """A cancellation cannot be told to the performer: nobody is subscribed (C312)."""


class DeletedWorkitem(NotFound):
    """It existed; its UID is all that is left (410)."""

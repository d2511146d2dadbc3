"""What every operation on a workitem asks first."""

from __future__ import annotations

import re

from pacs.errors import InvalidRequest, NotFound
from pacs.index.workitems import DELETED, KeptWorkitem
from pacs.model import checked_uid
from pacs.worklist.refusals import DeletedWorkitem, TransactionUidIncorrect, TransactionUidMissing

_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}\Z")


def check_subscriber(subscriber: str) -> str:
    """`subscriber`, when it can be an AE title. Raises InvalidRequest otherwise."""
    if not _AE_TITLE.match(subscriber) or not subscriber.strip() or subscriber != subscriber.strip():
        raise InvalidRequest(f"{subscriber[:40]!r} is no AE title: 1 to 16 characters of ASCII (PS3.5 §6.2)")
    return subscriber


def checked_workitem_uid(workitem_uid: str) -> str:
    """It, when it can be a UID. Raises InvalidIdentity otherwise."""
    return checked_uid(workitem_uid, "The workitem in the URL")


def checked_transaction_uid(text: str) -> str:
    """It, when it is empty or can be a UID. Raises InvalidIdentity otherwise."""
    return checked_uid(text, "The Transaction UID") if text else ""


def present(kept: KeptWorkitem | None, workitem_uid: str) -> KeptWorkitem:
    """The workitem. Raises NotFound, DeletedWorkitem."""
    if kept is None:
        raise NotFound(f"there is no workitem {workitem_uid}")
    if kept.state == DELETED:
        raise DeletedWorkitem(f"the workitem {workitem_uid} existed and has been deleted")
    return kept


def check_claim(kept: KeptWorkitem, claim: str) -> None:
    """Raises TransactionUidMissing, TransactionUidIncorrect: the workitem is somebody else's."""
    if not claim:
        raise TransactionUidMissing(f"The workitem is {kept.state}, and the Transaction UID is missing")
    if claim != kept.transaction_uid:
        # Nothing of the right one is told: whoever knows it owns the workitem.
        raise TransactionUidIncorrect(f"The workitem is {kept.state}, and the Transaction UID is incorrect")

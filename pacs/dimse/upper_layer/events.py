"""What an association tells its local user: the indications and confirmations of PS3.8 §7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pacs.dimse.upper_layer.pdu import Abort, AssociateAccept, AssociateReject, AssociateRequest


class DataReceived(NamedTuple):
    """P-DATA indication: the next bytes of one message fragment, as far as they have arrived."""

    context_id: int
    is_command: bool
    is_last: bool
    """These bytes end the command set or data set (PS3.8 Annex E.2)."""
    data: memoryview
    """Valid until the next bytes are received."""


@dataclass(frozen=True, slots=True)
class AssociationRequested:
    """A-ASSOCIATE indication."""

    request: AssociateRequest


@dataclass(frozen=True, slots=True)
class AssociationAccepted:
    """A-ASSOCIATE confirmation."""

    accept: AssociateAccept


@dataclass(frozen=True, slots=True)
class AssociationRejected:
    """A-ASSOCIATE confirmation (reject)."""

    reject: AssociateReject


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """A-RELEASE indication."""


@dataclass(frozen=True, slots=True)
class ReleaseConfirmed:
    """A-RELEASE confirmation."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """A-ABORT or A-P-ABORT indication."""

    abort: Abort
    why: str
    """For the log."""


Event = (
    DataReceived
    | AssociationRequested
    | AssociationAccepted
    | AssociationRejected
    | ReleaseRequested
    | ReleaseConfirmed
    | Aborted
)

"""The frozen values that services, stores and doors pass to each other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pacs.errors import InvalidIdentity

DicomJson = dict[str, dict[str, Any]]
"""A data set in the DICOM JSON Model (PS3.18 Annex F): ``{"00100020": {"vr": "LO", "Value": ["1"]}}``."""

DEFAULT_HOSPITAL = "default"

_UID = re.compile(r"[0-9]+(\.[0-9]+)*\Z")


def checked_uid(value: str | None, name: str) -> str:
    """Return `value` when it can be a UID (PS3.5 §9.1): digits and single dots, at most 64 characters.

    Leading zeros and unregistered roots are taken, because real equipment sends them.

    Raises:
        InvalidIdentity: missing, empty, too long, or any other character (``../`` for example).
    """
    if not value:
        raise InvalidIdentity(f"{name} is missing; every instance needs one (PS3.5 §9)")
    if not is_uid(value):
        raise InvalidIdentity(f"{name} {value[:80]!r} is no UID: only digits and single dots, at most 64 (PS3.5 §9.1)")
    return value


def is_uid(value: str) -> bool:
    """Whether `checked_uid` takes it."""
    return len(value) <= 64 and _UID.match(value) is not None


class Level(StrEnum):
    """Query/Retrieve Level (PS3.4 C.3)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a person, a modality or another system, and the hospital it belongs to."""

    name: str
    hospital: str = DEFAULT_HOSPITAL


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """Identity of one SOP instance; the hospital is part of it."""

    hospital: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class ReferencedInstance:
    """An instance as somebody names it (PS3.3 Table 10-11); nothing says that it is kept here."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentKey:
    """One storage commitment transaction (PS3.4 J.3); hospital and requester are part of it."""

    hospital: str
    requester: str
    """AE title of who asked; the result goes there."""
    transaction_uid: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where bytes came from, for the log and for (0002,0016)."""

    principal: Principal
    route: str
    """``C-STORE``, ``STOW-RS`` or ``import``."""
    peer: str = ""
    """Address of the peer, or the path of an imported file."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where one Part 10 file lies: a byte range of an object on a tier."""

    segment: str
    """Name of the segment, derived by the archive; never a name from outside."""
    offset: int
    """First byte of the Part 10 file (its preamble) in the segment."""
    length: int
    """Bytes of the Part 10 file."""
    data_set_offset: int
    """First byte of the data set, counted from `offset`."""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """The index's row of one instance: all that the read path needs."""

    key: InstanceKey
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    """SHA-256 of the data set's bytes as received (without preamble and file meta), lower-case hex."""
    location: Location
    header_length: int
    """Bytes of the (inflated) data set before the pixel data element; all of it when there is none."""
    number_of_frames: int
    """Frames in the frame table; 0 when there is no pixel data."""
    frame_table: bytes
    """`pacs.part10.frame_table.FrameTable.encode()`; empty when there is no pixel data."""
    attributes: DicomJson
    """Instance-level attributes kept in the index (Rows, Columns, InstanceNumber ...)."""
    stored_at: datetime
    """UTC."""


@dataclass(frozen=True, slots=True)
class Succession:
    """What a record is to others of its SOP Instance UID; it says so itself, for a lost index to be rebuilt."""

    replaces: tuple[str, ...] = ()
    """Digests of the versions before it that it takes the place of."""
    is_original: bool = False
    """It came so and was coerced: it is kept and never served."""


class Superseded(StrEnum):
    """Why a version is not the one that is served."""

    REPLACED = "replaced"
    """Other bytes came later under the same SOP Instance UID."""
    COERCED = "coerced"
    """It is what came; the served version was made of it by coercion."""


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """An earlier version of an instance, kept byte for byte."""

    digest: str
    transfer_syntax_uid: str
    location: Location | None
    """None when only its digest is known: a rebuilt index found a later version and not this one."""
    received_at: datetime
    superseded_at: datetime
    reason: Superseded


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What the ingest path hands to the index: a durable record that has no row yet."""

    key: InstanceKey
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    location: Location
    header_length: int
    number_of_frames: int
    frame_table: bytes
    patient: DicomJson
    study: DicomJson
    series: DicomJson
    instance: DicomJson
    """Attributes of each level as `pacs.part10.indexed_attributes` found them, without the computed ones."""
    succession: Succession | None = None
    """None for almost all: the only version."""
    received_at_us: int = 0
    """Microseconds since 1970; 0: now."""


class DeletionState(StrEnum):
    """What became of a deletion, in the order in which states may follow one another."""

    IN_TRASH = "in-trash"
    RESTORED = "restored"
    """All of it; or it did not take place."""
    ERASING = "erasing"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Deletion:
    """A study, series or instance that was deleted, with what was there of it at that time."""

    name: str
    """32 hex digits, made here."""
    hospital: str
    study_instance_uid: str
    series_instance_uid: str | None
    """None: of the whole study."""
    sop_instance_uid: str | None
    reason: str
    principal: str
    """Name of who asked for it."""
    source: str
    """Address it was asked from, or the command."""
    deleted_at: datetime
    erase_at: datetime
    """When its bytes are to be erased; until then it can be restored."""
    state: DeletionState = DeletionState.IN_TRASH
    instances: int = 0
    """In the trash now; of an erased one, that were erased."""
    stored_bytes: int = 0
    """Of the Part 10 files of those, with earlier versions."""


class Outcome(StrEnum):
    STORED = "stored"
    ALREADY_THERE = "already there"
    """The same SOP Instance UID with the same digest and transfer syntax: success, without a second copy."""
    NEW_VERSION = "stored as a new version"
    """Other bytes under a SOP Instance UID that was kept; they are the ones that are served now."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Proof that an instance is durable and indexed. Only the ingest commit makes one."""

    key: InstanceKey
    sop_class_uid: str
    outcome: Outcome
    coerced: tuple[int, ...] = ()
    """Tags of the attributes that were changed before it was stored (`ingest.coercion`)."""


@dataclass(frozen=True, slots=True)
class Match:
    """One matching key of a query (PS3.4 C.2.2.2), as text, decoded from the peer's character set.

    `path` is the tags from the outermost sequence to the attribute: ``(0x00100010,)`` or
    ``(0x00400275, 0x00401001)``. No values means universal matching. More than one value is a UID list, or
    multiple values of a single-value key (any of them matches).
    """

    path: tuple[int, ...]
    values: tuple[str, ...] = ()

    @property
    def tag(self) -> int:
        return self.path[-1]


@dataclass(frozen=True, slots=True)
class Query:
    """One search, from C-FIND or QIDO-RS alike."""

    level: Level
    matches: tuple[Match, ...] = ()
    include: frozenset[int] | None = None
    """Tags to return beside those of `matches`; None means all that the index keeps for this level and above."""
    include_members: frozenset[tuple[int, ...]] = frozenset()
    """Paths of attributes inside sequences of `include`: of those sequences nothing else is to be returned."""
    limit: int | None = None
    offset: int = 0
    is_fuzzy: bool = False
    """Fuzzy matching of person names (PS3.4 C.2.2.2.1.4, PS3.18 §8.3.4.2): beginnings, one slip, the same sound."""
    combines_date_and_time: bool = False
    """The ranges of a date and of its time are one range of moments (PS3.4 C.2.2.2.5)."""
    finds_empty: bool = False
    """A value of two quotation marks finds what is empty or absent (PS3.4 C.2.2.2.7)."""
    needs_all_values: bool = False
    """All values of a key must be found in an attribute of several values (PS3.4 C.2.2.2.8); otherwise any of them."""
    timezone_offset: str = ""
    """``+0900``: the zone in which dates and times of the keys are meant (0008,0201); empty: that of the data."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is kept, for `pacs status` and the operator's page."""

    patients: int
    studies: int
    series: int
    instances: int
    stored_bytes: int
    segments: int
    last_stored_at: datetime | None
    by_modality: dict[str, int] = field(default_factory=dict)
    """Series per modality."""

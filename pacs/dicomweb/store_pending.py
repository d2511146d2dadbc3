"""What a store request of metadata waits for (PS3.18 §10.5.2): its instances, and what comes under each BulkDataURI."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pacs.dicomweb.store_bulk_data import BulkPart, PendingInstance
from pacs.errors import InvalidIdentity
from pacs.model import checked_uid
from pacs.part10.data_set_writer import BulkReference


@dataclass(eq=False, slots=True)
class BulkLocation:
    """One BulkDataURI: who waits for it, and what came."""

    uri: str
    instances: list[PendingInstance] = field(default_factory=list)
    waiting: int = 0
    """How many of the instances are neither stored nor failed."""
    frames: int = 1
    """Parts that may come when each is a frame."""
    parts: list[BulkPart] = field(default_factory=list)
    frame_numbers: set[int] = field(default_factory=set)
    is_failed: bool = False

    @property
    def is_complete(self) -> bool:
        return bool(self.parts) and len(self.parts) >= self._expected(self.parts[0])

    def _expected(self, part: BulkPart) -> int:
        return self.frames if part.is_frame and not part.is_video else 1


def pending_instance(attributes: Any) -> PendingInstance:
    """What `attributes`, which may be anything, say of an instance; its pieces are not known yet."""
    return PendingInstance(
        (),
        _uid(attributes, "00080016"),
        _uid(attributes, "00080018"),
        _uid(attributes, "00020010") or _uid(attributes, "00083002"),
        _number_of_frames(attributes),
    )


def uris_of(instance: PendingInstance) -> set[str]:
    """The BulkDataURIs that its values come under."""
    return {piece.uri for piece in instance.pieces if isinstance(piece, BulkReference)}


def _first(attributes: Any, key: str) -> Any:
    attribute = attributes.get(key) if isinstance(attributes, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _uid(attributes: Any, key: str) -> str:
    """A UID of the data set, empty when it is none: it is only used where it is one."""
    value = _first(attributes, key)
    try:
        return checked_uid(value, key) if isinstance(value, str) else ""
    except InvalidIdentity:
        return ""


def _number_of_frames(attributes: Any) -> int:
    value = _first(attributes, "00280008")
    try:
        return max(1, int(value)) if isinstance(value, int | float | str) else 1
    except (ValueError, OverflowError):
        return 1

"""What a store request of metadata waits for (PS3.18 §10.5.2): its instances, and what comes under each BulkDataURI."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from pacs.dicomweb.store_bulk_data import BulkPart, PendingInstance, Place
from pacs.dicomweb.store_description import said_by, with_places
from pacs.dicomweb.store_pixels import first_value, pixel_measure
from pacs.dicomweb.store_uris import resolved
from pacs.errors import InvalidIdentity
from pacs.model import checked_uid
from pacs.part10.data_set_writer import BulkReference, encoded_data_set

_NAMED_FRAMES: Final = 10


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

    def misplaced(self, part: BulkPart) -> str:
        """Why `part` has no place among those that came; empty when it has."""
        if self.is_complete or part.frame_number in self.frame_numbers:
            return "two parts have the Content-Location of one BulkDataURI"
        if part.frame_number > self._expected(part):
            return f"a part is frame {part.frame_number} of {self._expected(part)} by its Content-Location"
        if self.parts and bool(part.frame_number) is not bool(self.frame_numbers):
            return "some parts have the number of their frame in their Content-Location, and others have none"
        return ""

    def missing(self) -> str:
        """What did not come, in words."""
        if not self.parts:
            return "no part came"
        expected = self._expected(self.parts[0])
        numbers = range(1, expected + 1) if self.frame_numbers else ()
        absent = list(islice((number for number in numbers if number not in self.frame_numbers), _NAMED_FRAMES + 1))
        named = ", ".join(map(str, absent[:_NAMED_FRAMES])) + (", ..." if len(absent) > _NAMED_FRAMES else "")
        return f"only {len(self.parts)} of {expected} frames came" + (f" (not {named})" if named else "")

    def _expected(self, part: BulkPart) -> int:
        is_frame = part.is_frame or part.frame_number
        return self.frames if is_frame and not part.holds_all_frames else 1


def pending_instance(attributes: Any) -> PendingInstance:
    """What `attributes`, which may be anything, say of an instance; its pieces are not known yet."""
    return PendingInstance(
        (),
        _uid(attributes, "00080016"),
        _uid(attributes, "00080018"),
        _uid(attributes, "00020010") or _uid(attributes, "00083002"),
        pixel_measure(attributes),
        said_by(attributes),
    )


def encoded_pieces(attributes: Any, base: str) -> list[bytes | Place | BulkReference]:
    """The data set of `attributes`, which may be anything, with places left for what comes later; BulkDataURIs that are
    relative are so to `base`. Raises `MalformedDataSet`."""
    described, places = with_places(attributes)
    pieces: list[bytes | Place | BulkReference] = []
    for piece in encoded_data_set(described):
        if not isinstance(piece, BulkReference):
            pieces.append(piece)
        elif piece.tag in places and not piece.is_nested:
            pieces.append(Place(piece.tag))
        else:
            pieces.append(replace(piece, uri=resolved(piece.uri, base)))
    return pieces


def uris_of(instance: PendingInstance) -> set[str]:
    """The BulkDataURIs that its values come under."""
    return {piece.uri for piece in instance.pieces if isinstance(piece, BulkReference)}


def _uid(attributes: Any, key: str) -> str:
    """A UID of the data set, empty when it is none: it is only used where it is one."""
    value = first_value(attributes, key)
    try:
        return checked_uid(value, key) if isinstance(value, str) else ""
    except InvalidIdentity:
        return ""

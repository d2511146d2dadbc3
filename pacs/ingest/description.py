"""What the index needs to know of one data set, found without building a full data set."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from pacs.errors import MalformedDataSet
from pacs.model import InstanceKey, Location, NewInstance, Succession
from pacs.part10.frame_table import frame_table
from pacs.part10.header import Header, scan
from pacs.part10.indexed_attributes import IndexedAttributes, indexed_attributes
from pacs.part10.own_encoding import own_transfer_syntax
from pacs.part10.transfer_syntax import transfer_syntax

_FILE_META_GROUP = 0x0002
_inflating = threading.Lock()
_nothing = nullcontext()


@dataclass(frozen=True, slots=True)
class Description:
    """One data set, before it has a place."""

    key: InstanceKey
    transfer_syntax_uid: str
    digest: str
    header_length: int
    number_of_frames: int
    frame_table: bytes
    attributes: IndexedAttributes
    succession: Succession | None = None
    received_at_us: int = 0
    """Microseconds since 1970, whole milliseconds; 0: now."""

    @property
    def sop_class_uid(self) -> str:
        return self.attributes.sop_class_uid

    def at(self, location: Location) -> NewInstance:
        """The row to be, now that its bytes are durable at `location`."""
        return NewInstance(
            key=self.key,
            sop_class_uid=self.attributes.sop_class_uid,
            transfer_syntax_uid=self.transfer_syntax_uid,
            digest=self.digest,
            location=location,
            header_length=self.header_length,
            number_of_frames=self.number_of_frames,
            frame_table=self.frame_table,
            patient=self.attributes.patient,
            study=self.attributes.study,
            series=self.attributes.series,
            instance=self.attributes.instance,
            succession=self.succession,
            received_at_us=self.received_at_us,
        )


def describe(
    data_set: memoryview,
    *,
    hospital: str,
    transfer_syntax_uid: str,
    digest: str,
    max_inflated_bytes: int,
    is_kept: bool = False,
) -> Description:
    """Scan `data_set`; nothing of the answer refers to its memory.

    The transfer syntax is the announced one, unless the data set is plainly in another (`own_transfer_syntax`).
    `is_kept` says that it was acknowledged before, so that it is not judged again.

    Raises:
        MalformedDataSet: empty or torn, or it begins with file meta information.
        InvalidIdentity: a UID is missing or none.
        TooLarge: it inflates past the limit.
    """
    with memory_for(transfer_syntax_uid):
        header = scan(data_set, transfer_syntax_uid, max_inflated_bytes=max_inflated_bytes)
        if not is_kept:
            _require_no_file_meta(header)
        attributes = indexed_attributes(header)
        table = frame_table(header)
        header_length = header.header_length
        own_uid = transfer_syntax_uid if is_kept else own_transfer_syntax(header, table)
        del header
    frames = len(table)
    return Description(
        key=InstanceKey(
            hospital, attributes.study_instance_uid, attributes.series_instance_uid, attributes.sop_instance_uid
        ),
        transfer_syntax_uid=own_uid,
        digest=digest,
        header_length=header_length,
        number_of_frames=frames,
        frame_table=table.encode() if frames else b"",
        attributes=attributes,
    )


def _require_no_file_meta(header: Header) -> None:
    """In the file that is made of it, other readers would take such elements for ours (PS3.10 §7.1)."""
    first = next(iter(header.elements))
    if first >> 16 == _FILE_META_GROUP:
        name = f"({first >> 16:04X},{first & 0xFFFF:04X})"
        raise MalformedDataSet(f"the data set begins with {name}, which belongs to a file's head (PS3.5 §7.1)")


def memory_for(transfer_syntax_uid: str) -> AbstractContextManager[object]:
    """To be held while a data set of this transfer syntax is scanned.

    Inflated ones are whole in memory, so one at a time: many small bombs at once are a large one.
    """
    return _inflating if transfer_syntax(transfer_syntax_uid).is_deflated else _nothing

"""The one read path: who asks, what for -> rows -> byte ranges, without copies."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from pacs.errors import NotFound, StoredBytesDamaged
from pacs.index import Index
from pacs.model import DicomJson, InstanceKey, Principal, StoredInstance
from pacs.part10.dicom_json import to_json, value_bytes
from pacs.part10.frame_table import FrameTable
from pacs.part10.header import Header, scan
from pacs.part10.transfer_syntax import transfer_syntax
from pacs.storage.derived import DerivedStore
from pacs.storage.segments import SegmentStore

_MAX_KEPT = 2048
"""Rows and frame tables kept in memory, about 10 KB each: the instances that viewers scroll through now."""


@dataclass(frozen=True, slots=True)
class _Kept:
    instance: StoredInstance
    frames: FrameTable


class Retrieve:
    """Thread-safe. A principal sees what its own hospital holds, and nothing tells it of anything else."""

    def __init__(self, store: SegmentStore, index: Index, derived: DerivedStore) -> None:
        self._store = store
        self._index = index
        self._derived = derived
        self._lock = threading.Lock()
        self._kept: OrderedDict[InstanceKey, _Kept] = OrderedDict()

    def instances(
        self,
        principal: Principal,
        *,
        study_instance_uid: str | Sequence[str] | None = None,
        series_instance_uid: str | Sequence[str] | None = None,
        sop_instance_uid: str | Sequence[str] | None = None,
        patient_id: str | None = None,
    ) -> list[StoredInstance]:
        """All instances that match, by series number, then instance number.

        Raises:
            NotFound: there is none that this principal may see.
        """
        found = self._index.instances(
            principal.hospital,
            patient_id=patient_id,
            study_instance_uid=study_instance_uid,
            series_instance_uid=series_instance_uid,
            sop_instance_uid=sop_instance_uid,
        )
        if not found:
            asked = sop_instance_uid or series_instance_uid or study_instance_uid or "this patient"
            raise NotFound(f"nothing is kept of {asked if isinstance(asked, str) else ', '.join(asked)}"[:300])
        return found

    def instance(self, principal: Principal, study: str, series: str, sop: str) -> StoredInstance:
        """One instance by its three UIDs. Raises `NotFound`."""
        key = InstanceKey(principal.hospital, study, series, sop)
        kept = self._kept.get(key)
        if kept is not None:
            return kept.instance
        found = self._index.instance(principal.hospital, study, series, sop)
        if found is None:
            raise NotFound(f"no instance {sop} is kept in series {series} of study {study}")
        return self._keep(found).instance

    def file(self, instance: StoredInstance) -> memoryview:
        """The whole Part 10 file (PS3.10 §7): our preamble and file meta, the data set as it came.

        Raises:
            StorageError: the bytes are not there or are no DICOM file.
        """
        view = self._view(instance)
        if bytes(view[128:132]) != b"DICM":
            raise StoredBytesDamaged(f"instance {instance.key.sop_instance_uid} is damaged where it is stored")
        return view

    def data_set(self, instance: StoredInstance) -> memoryview:
        """The data set, byte for byte as it came. Raises `StorageError`."""
        return self._view(instance)[instance.location.data_set_offset :]

    def header(self, instance: StoredInstance) -> Header:
        """The scanned data set; its values are read from storage when they are asked for.

        Raises:
            StorageError: the bytes are not there.
            MalformedDataSet, TooLarge: they are, and cannot be read any more.
        """
        return scan(self.data_set(instance), instance.transfer_syntax_uid)

    def frames(self, instance: StoredInstance, numbers: Sequence[int]) -> list[tuple[memoryview, ...]]:
        """The stored bytes of each frame, by number from 1: one view per fragment, item headers left out.

        A frame of a deflated data set is inflated; one that starts inside a byte (1 bit allocated) is shifted to start
        at one. Nothing is decoded.

        Raises:
            NotFound: a number is out of range; then no frame is read.
            StorageError: the bytes are not there.
        """
        table = self._frame_table(instance)
        for number in numbers:
            if not 1 <= number <= len(table):
                raise NotFound(
                    f"frame {number} is not there: the instance has {len(table)} frames (numbers start at 1)"
                )
        if transfer_syntax(instance.transfer_syntax_uid).is_deflated:
            data_set = self.header(instance).buffer
        else:
            data_set = self.data_set(instance)
        return [_frame(table, number, data_set, instance) for number in numbers]

    def metadata(self, instance: StoredInstance, bulk_data_base: str) -> DicomJson:
        """The DICOM JSON Model of the instance (PS3.18 Annex F); bulk values as ``<bulk_data_base>/<path>``.

        Raises:
            StorageError, MalformedDataSet: the bytes are not there, or cannot be read any more.
        """
        return to_json(self.header(instance), bulk_data_uri=lambda path: f"{bulk_data_base}/{path}")

    def bulk_data(self, instance: StoredInstance, path: str) -> memoryview:
        """The value that `metadata` gave the URI ``<bulk_data_base>/<path>``. Raises `NotFound`, `StorageError`."""
        return value_bytes(self.header(instance), path)

    def _view(self, instance: StoredInstance) -> memoryview:
        try:
            return self._store.view(instance.location)
        except NotFound as problem:
            # The row says that it is kept: to the client this is our fault, not a wrong name.
            raise StoredBytesDamaged(f"the bytes of instance {instance.key.sop_instance_uid} are gone") from problem

    def _frame_table(self, instance: StoredInstance) -> FrameTable:
        kept = self._kept.get(instance.key)
        if kept is None or kept.instance.digest != instance.digest:
            kept = self._keep(instance)
        return kept.frames

    def _keep(self, instance: StoredInstance) -> _Kept:
        kept = _Kept(instance, FrameTable.decode(instance.frame_table))
        with self._lock:
            self._kept[instance.key] = kept
            self._kept.move_to_end(instance.key)
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return kept


def _frame(table: FrameTable, number: int, data_set: memoryview, instance: StoredInstance) -> tuple[memoryview, ...]:
    fragments = table.fragments(number)
    if any(offset + length > len(data_set) for offset, length in fragments):
        raise StoredBytesDamaged(f"instance {instance.key.sop_instance_uid} ends before its frame {number}")
    if table.frame_bits & 7:
        return (_unpacked(table, number, data_set),)
    return tuple(data_set[offset : offset + length] for offset, length in fragments)


def _unpacked(table: FrameTable, number: int, data_set: memoryview) -> memoryview:
    """A one-bit frame whose neighbours share its first or last byte (PS3.5 §8.1.1): alone, unused bits cleared."""
    ((offset, length),) = table.fragments(number)
    bits = int.from_bytes(data_set[offset : offset + length], "little") >> table.bit_offset(number)
    bits &= (1 << table.frame_bits) - 1
    return memoryview(bits.to_bytes((table.frame_bits + 7) // 8, "little"))

"""The one read path: who asks, what for -> rows -> byte ranges, without copies."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pacs.decoding.workers import Decoding, workers_of_this_process
from pacs.errors import Gone, NotFound, PacsError, StoredBytesDamaged
from pacs.index import ChangeMark, Index
from pacs.index.contents import SeriesRow
from pacs.known_headers import KnownHeaders
from pacs.measured.stages import INDEX, STORAGE
from pacs.metadata import Form, Metadata, SeriesMetadata
from pacs.model import Deletion, DicomJson, EarlierVersion, InstanceKey, Principal, StoredInstance
from pacs.part10.dicom_json import to_json, value_bytes
from pacs.part10.file_meta import read_file_meta
from pacs.part10.frame_bytes import frame_bytes
from pacs.part10.frame_table import FrameTable
from pacs.part10.header import Header, scan
from pacs.part10.transfer_syntax import transfer_syntax
from pacs.storage.derived import DerivedStore
from pacs.storage.segments import SegmentStore
from pacs.storage.soundness import Soundness
from pacs.thumbnails import Thumbnails
from pacs.video_frames import Shown, frame_to_show

__all__ = ["ChangeMark", "Retrieve", "Version"]

_MAX_KEPT = 2048
"""Rows and frame tables kept in memory, about 10 KB each: the instances that viewers scroll through now."""
_MAX_CHECKED_FOR_A_FRAME = 8 << 20
"""Reading a larger instance through would keep its first frame waiting; whole it is checked whatever its size."""
_MAX_INFLATED_KEPT_BYTES = 64 << 20
"""The deflated data set read last stays inflated up to this size."""
_CHECKED_AT_INGEST = 1 << 40
"""``ingest.max_inflated_bytes`` was kept to when the data set came; what is stored stays readable when it shrinks."""


_NO_MARK = ChangeMark(0, b"")


@dataclass(frozen=True, slots=True)
class _Kept:
    instance: StoredInstance
    frames: FrameTable
    mark: ChangeMark
    """Of the study, read before the row was."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an instance."""

    number: int
    """From 1, in the order received."""
    digest: str
    instance: StoredInstance | None
    """What `Retrieve.file` gives its bytes for; of an earlier version only what says where and what these are, the
    rest is that of the served one. None when a rebuilt index found no bytes of it."""
    source: str
    """Route, principal and peer that it came from; empty when that cannot be read."""
    superseded: EarlierVersion | None = None
    """When and why it is no longer the served one; None for that one."""


class Retrieve:
    """Thread-safe. A principal sees what its own hospital holds, and nothing tells it of anything else."""

    def __init__(
        self,
        store: SegmentStore,
        index: Index,
        derived: DerivedStore,
        *,
        instances_change: bool = False,
        decoding: Decoding | None = None,
    ) -> None:
        """`instances_change` says that other bytes may come under a UID (``ingest.duplicates`` is ``keep-both``)."""
        self.decoding = decoding or workers_of_this_process()
        """Where pixels are decoded."""
        self._instances_change = instances_change
        self._store = store
        self._index = index
        self._derived = derived
        self._metadata = Metadata(index, store, derived)
        self._headers = KnownHeaders()
        self.thumbnails = Thumbnails(index, store, derived, self.decoding, self._headers)
        """Small pictures, kept; of what `instance` and `series` let a principal see."""
        self._lock = threading.Lock()
        self._soundness = Soundness()
        self._inflating = threading.Lock()
        self._inflated: tuple[str, Header | None] = ("", None)
        self._kept: OrderedDict[InstanceKey, _Kept] = OrderedDict()

    @property
    def instances_change(self) -> bool:
        """Whether an instance may be other bytes tomorrow, so that its name alone does not tell them."""
        return self._instances_change

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
        with INDEX:
            found = self._index.instances(
                principal.hospital,
                patient_id=patient_id,
                study_instance_uid=study_instance_uid,
                series_instance_uid=series_instance_uid,
                sop_instance_uid=sop_instance_uid,
            )
        if not found:
            asked = sop_instance_uid or series_instance_uid or study_instance_uid or "this patient"
            message = f"nothing is kept of {asked if isinstance(asked, str) else ', '.join(asked)}"[:300]
            if isinstance(study_instance_uid, str) and isinstance(series_instance_uid, str | None):
                sop = sop_instance_uid if isinstance(sop_instance_uid, str) else None
                raise self._absent(message, principal, study_instance_uid, series_instance_uid, sop)
            raise NotFound(message)
        return found

    def listed(
        self,
        principal: Principal,
        *,
        patient_id: str | None,
        study_instance_uid: str | None,
        series_instance_uid: str | None,
        sop_instance_uid: str | None,
    ) -> Iterator[StoredInstance]:
        """What matches, in the order of `instances`, without attributes and frame tables and not all at once; nothing
        when there is none. At least one choice must be given."""
        return self._index.brief_instances(
            principal.hospital,
            patient_id=patient_id,
            study_instance_uid=study_instance_uid,
            series_instance_uid=series_instance_uid,
            sop_instance_uid=sop_instance_uid,
        )

    def instance(self, principal: Principal, study: str, series: str, sop: str) -> StoredInstance:
        """One instance by its three UIDs. Raises `NotFound`."""
        key = InstanceKey(principal.hospital, study, series, sop)
        kept = self._kept.get(key)
        if kept is not None and self._index.changes.is_current(kept.mark):
            return kept.instance
        mark = self.change_mark(principal, study)
        with INDEX:
            found = self._index.instance(principal.hospital, study, series, sop)
        if found is None:
            message = f"no instance {sop} is kept in series {series} of study {study}"
            raise self._absent(message, principal, study, series, sop)
        return self._keep(found, mark).instance

    def change_mark(self, principal: Principal, study: str) -> ChangeMark:
        """Read before what is to be remembered of a study; see `is_current`. Raises `IndexUnavailable`."""
        return self._index.changes.mark(principal.hospital, study)

    def is_current(self, mark: ChangeMark) -> bool:
        """Whether what was looked up after `mark` was read is still right. Raises `IndexUnavailable`."""
        return self._index.changes.is_current(mark)

    def file(self, instance: StoredInstance) -> memoryview:
        """The whole Part 10 file (PS3.10 §7): our preamble and file meta, the data set as it came.

        Raises:
            StorageError: the bytes are not there or are not those that were stored.
        """
        view = self._view(instance)
        self._require_sound(instance, view[instance.location.data_set_offset :])
        try:
            meta = read_file_meta(view[: instance.location.data_set_offset])
        except PacsError as problem:
            raise StoredBytesDamaged(f"the file meta of {instance.key.sop_instance_uid} is damaged") from problem
        if meta.transfer_syntax_uid != instance.transfer_syntax_uid:
            raise StoredBytesDamaged(f"the file meta of {instance.key.sop_instance_uid} is damaged")
        return view

    def versions(self, principal: Principal, study: str, series: str, sop: str) -> list[Version]:
        """All versions of an instance in the order received; the last one is served. Raises `NotFound`."""
        served = self._index.instance(principal.hospital, study, series, sop)
        if served is None:
            message = f"no instance {sop} is kept in series {series} of study {study}"
            raise self._absent(message, principal, study, series, sop)
        found = []
        for number, each in enumerate(self._index.versions(principal.hospital, sop), start=1):
            instance = None
            if each.location is not None:
                instance = replace(
                    served,
                    transfer_syntax_uid=each.transfer_syntax_uid,
                    digest=each.digest,
                    location=each.location,
                    stored_at=each.received_at,
                )
            found.append(Version(number, each.digest, instance, self._source(instance), each))
        return [*found, Version(len(found) + 1, served.digest, served, self._source(served))]

    def _source(self, instance: StoredInstance | None) -> str:
        if instance is None:
            return ""
        try:
            return self._store.source(instance.location)
        except PacsError:
            return ""

    def data_set(self, instance: StoredInstance) -> memoryview:
        """The data set, byte for byte as it came.

        Raises:
            StorageError: the bytes are not there or are not those that were stored.
        """
        data_set = self._unchecked(instance)
        self._require_sound(instance, data_set)
        return data_set

    def header(self, instance: StoredInstance) -> Header:
        """The scanned data set; its values are read from storage when they are asked for.

        Raises:
            StorageError: the bytes are not there.
            MalformedDataSet, TooLarge: they are, and cannot be read any more.
        """
        data_set = self._unchecked(instance)
        if not transfer_syntax(instance.transfer_syntax_uid).is_deflated:
            return self._headers.header(instance.digest, data_set, instance.transfer_syntax_uid)
        with self._inflating:  # one at a time, and not again for each frame: it is whole in memory
            digest, header = self._inflated
            if header is None or digest != instance.digest:
                header = scan(data_set, instance.transfer_syntax_uid, max_inflated_bytes=_CHECKED_AT_INGEST)
                is_small = len(header.buffer) <= _MAX_INFLATED_KEPT_BYTES
                self._inflated = (instance.digest, header) if is_small else ("", None)
            return header

    def frames(self, instance: StoredInstance, numbers: Sequence[int]) -> list[tuple[memoryview, ...]]:
        """The stored bytes of each frame, by number from 1: one view per fragment, item headers left out.

        A frame of a deflated data set is inflated; one that starts inside a byte (1 bit allocated) is shifted to start
        at one. Nothing is decoded. The digest of an instance of up to 8 MB is checked first, once per process.

        Raises:
            NotFound: a number is out of range; then no frame is read.
            StorageError: the bytes are not there or are not those that were stored.
        """
        table = self._frame_table(instance)
        is_deflated = transfer_syntax(instance.transfer_syntax_uid).is_deflated
        stored = self._unchecked(instance)
        if len(stored) <= _MAX_CHECKED_FOR_A_FRAME:
            self._require_sound(instance, stored)
        data_set = self.header(instance).buffer if is_deflated else stored
        return frame_bytes(table, data_set, numbers)

    def frame_to_show(self, instance: StoredInstance, number: int, *, is_near: bool = False) -> tuple[Header, Shown]:
        """What functions of `pacs.pixels` make a picture of frame `number` of: its stored bytes, as `frames` gives
        them, but of a video the decoded frame, or with `is_near` one near it where it would take long.

        Raises:
            NotFound, StorageError: as `frames`.
            UndecodablePixels, Busy: of a video.
        """
        header = self.header(instance)

        def stored(one: int) -> tuple[memoryview, ...]:
            return self.frames(instance, (one,))[0]

        return header, frame_to_show(self.decoding, header, stored, number, is_near=is_near)

    def thumbnail(self, instance: StoredInstance, frame_number: int) -> bytes:
        """A small JPEG of one frame, kept for the next who asks; raises as `Thumbnails.of_frame`."""
        with STORAGE:
            return self.thumbnails.of_frame(instance, frame_number)

    def metadata(self, instance: StoredInstance, bulk_data_base: str) -> DicomJson:
        """The DICOM JSON Model of the instance (PS3.18 Annex F); bulk values as ``<bulk_data_base>/<path>``.

        Raises:
            StorageError, MalformedDataSet: the bytes are not there, or cannot be read any more.
        """
        return to_json(self.header(instance), bulk_data_uri=lambda path: f"{bulk_data_base}/{path}")

    def series(self, principal: Principal, study: str, series: str | None = None) -> list[SeriesRow]:
        """The series of a study, or one of them, in the order of `instances`. Raises `NotFound`."""
        try:
            with INDEX:
                return self._metadata.series(principal.hospital, study, series)
        except NotFound as problem:
            raise self._absent(str(problem), principal, study, series, None) from None

    def series_metadata(
        self, principal: Principal, study: str, series: SeriesRow, form: Form = Form.JSON
    ) -> SeriesMetadata:
        """What `metadata` gives of all instances of a series, as compressed text with slots for the archive's address;
        looked up when the series is settled.

        Raises:
            StorageError, MalformedDataSet, TooLarge: as `metadata`.
        """
        with STORAGE:
            return self._metadata.of_series(principal.hospital, study, series, form)

    def instance_metadata(self, instance: StoredInstance, form: Form = Form.JSON) -> bytes:
        """What `metadata` gives, as text with slots for the archive's address; raises as `metadata`."""
        with STORAGE:
            return self._metadata.of_instance(instance, form)

    def bulk_data(self, instance: StoredInstance, path: str) -> memoryview:
        """The value that `metadata` gave the URI ``<bulk_data_base>/<path>``. Raises `NotFound`, `StorageError`."""
        return value_bytes(self.header(instance), path)

    def bulk_data_paths(self, instance: StoredInstance) -> list[str]:
        """The paths that `bulk_data` takes: of all values for which `metadata` gives a URI, in their order."""
        paths: list[str] = []

        def uri(path: str) -> str:
            paths.append(path)
            return path

        to_json(self.header(instance), bulk_data_uri=uri)
        return paths

    def _absent(self, message: str, principal: Principal, study: str, series: str | None, sop: str | None) -> NotFound:
        """What to tell of what is not there: whoever could see it learns that it waits in the trash, or was erased."""
        trash, what = self._index.trash, sop or series or study
        deletion = trash.holding(principal.hospital, study, series, sop)
        if deletion is None:
            erased = trash.erased_with(principal.hospital, study, series, sop)
            if erased is None or self._is_there_again(erased):
                return NotFound(message)
            return Gone(_erased(erased, what))
        at, until = (when.isoformat(timespec="minutes") for when in (deletion.deleted_at, deletion.erase_at))
        return Gone(f"{what} was deleted at {at}; until {until} it can be restored (deletion {deletion.name})")

    def _is_there_again(self, erased: Deletion) -> bool:
        """Then nobody knows whether what is asked for below it ever was."""
        named = (erased.study_instance_uid, erased.series_instance_uid, erased.sop_instance_uid)
        return self._index.trash.newest_stored_at(erased.hospital, *named) is not None

    def _unchecked(self, instance: StoredInstance) -> memoryview:
        return self._view(instance)[instance.location.data_set_offset :]

    def _require_sound(self, instance: StoredInstance, data_set: memoryview) -> None:
        try:
            with STORAGE:
                self._soundness.require(instance.location, instance.digest, data_set)
        except StoredBytesDamaged as problem:
            uid = instance.key.sop_instance_uid
            raise StoredBytesDamaged(f"instance {uid} is damaged where it is stored") from problem

    def _view(self, instance: StoredInstance) -> memoryview:
        try:
            with STORAGE:
                return self._store.view(instance.location)
        except NotFound as problem:
            # The row says that it is kept: to the client this is our fault, not a wrong name.
            raise StoredBytesDamaged(f"the bytes of instance {instance.key.sop_instance_uid} are gone") from problem

    def _frame_table(self, instance: StoredInstance) -> FrameTable:
        kept = self._kept.get(instance.key)
        if kept is None or kept.instance.digest != instance.digest:
            kept = self._keep(instance, _NO_MARK)
        return kept.frames

    def _keep(self, instance: StoredInstance, mark: ChangeMark) -> _Kept:
        kept = _Kept(instance, FrameTable.decode(instance.frame_table), mark)
        with self._lock:
            self._kept[instance.key] = kept
            self._kept.move_to_end(instance.key)
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return kept


def _erased(deletion: Deletion, what: str) -> str:
    """Of what was erased with it nobody knows which UIDs there were: one that never was is not told to have been."""
    named = deletion.sop_instance_uid or deletion.series_instance_uid or deletion.study_instance_uid
    at = deletion.deleted_at.isoformat(timespec="minutes")
    if named == what:
        return f"{what} was deleted at {at} and is erased; it cannot be restored (deletion {deletion.name})"
    level = "series" if deletion.series_instance_uid else "study"
    return (
        f"The {level} {named} was deleted at {at} and is erased with all that was in it (deletion {deletion.name});"
        f" whether {what} ever was is not known any more"
    )

"""The one path of change: what happens to instances after they are stored, in the background."""

from __future__ import annotations

from pacs import log
from pacs.decoding.workers import Decoding, workers_of_this_process
from pacs.errors import NotFound, PeerFault, StoredBytesDamaged, UndecodablePixels
from pacs.index import Index
from pacs.index.read import UnsettledSeries
from pacs.metadata import Metadata
from pacs.model import StoredInstance
from pacs.part10.frame_bytes import frame_bytes
from pacs.part10.frame_table import FrameTable
from pacs.part10.header import scan
from pacs.pixels.thumbnail import middle, thumbnail
from pacs.settings import LifecycleSettings
from pacs.storage.derived import DerivedStore, thumbnail_name
from pacs.storage.segments import SegmentStore

_MAX_TRIED = 3
"""Images tried for one thumbnail when the middle one cannot be decoded."""


class Lifecycle:
    """One worker at a time. All work is found in the index's tables, so that a crash loses none of it."""

    def __init__(
        self,
        index: Index,
        store: SegmentStore,
        derived: DerivedStore,
        settings: LifecycleSettings,
        *,
        decoding: Decoding | None = None,
    ) -> None:
        self._index = index
        self._store = store
        self._derived = derived
        self._settings = settings
        self._metadata = Metadata(index, store, derived)
        self._decoding = decoding or workers_of_this_process()

    def settle_once(self) -> int:
        """Make thumbnail and metadata of series that have been quiet for a while; returns how many series were settled.

        A series whose images cannot be read or decoded is settled without. Instances that arrive meanwhile leave their
        series to be settled again.

        Raises:
            StorageError: index or storage failed; what was done stays done.
        """
        settled = 0
        for series in self._index.series_to_settle(self._settings.settle_after_s):
            self._settle(series)
            settled += self._index.mark_settled(series)
        return settled

    def _settle(self, series: UnsettledSeries) -> None:
        try:
            self._metadata.keep(series.hospital, series.study_instance_uid, series.series_instance_uid)
        except (PeerFault, StoredBytesDamaged) as problem:
            log.event("no metadata", error=problem, series_instance_uid=series.series_instance_uid)
        self._make_thumbnail_of(series)

    def _make_thumbnail_of(self, series: UnsettledSeries) -> None:
        found = self._index.instances(
            series.hospital,
            study_instance_uid=series.study_instance_uid,
            series_instance_uid=series.series_instance_uid,
        )
        images = [instance for instance in found if instance.number_of_frames > 0]
        chosen = middle(len(images)) - 1
        for instance in [*images[chosen:], *reversed(images[:chosen])][:_MAX_TRIED]:
            try:
                self._make_thumbnail(instance)
            except (PeerFault, UndecodablePixels, StoredBytesDamaged, NotFound) as problem:
                log.event("no thumbnail", error=problem, sop_instance_uid=instance.key.sop_instance_uid)
            else:
                return

    def _make_thumbnail(self, instance: StoredInstance) -> None:
        hospital, number = instance.key.hospital, middle(instance.number_of_frames)
        name = thumbnail_name(instance.digest, number)
        if self._derived.get(hospital, name) is not None:
            return
        data_set = self._store.view(instance.location)[instance.location.data_set_offset :]
        header = scan(data_set, instance.transfer_syntax_uid)
        (fragments,) = frame_bytes(FrameTable.decode(instance.frame_table), header.buffer, (number,))
        made = self._decoding.run(thumbnail, header, fragments, frame_number=number)
        self._derived.put(hospital, name, made)

"""The one path of change: what happens to instances after they are stored, in the background."""

from __future__ import annotations

from pacs import log
from pacs.decoding.workers import Decoding, workers_of_this_process
from pacs.errors import Busy, PeerFault, StoredBytesDamaged
from pacs.index import Index
from pacs.index.read import UnsettledSeries
from pacs.known_headers import KnownHeaders
from pacs.metadata import Metadata
from pacs.settings import LifecycleSettings
from pacs.storage.derived import DerivedStore
from pacs.storage.segments import SegmentStore
from pacs.thumbnails import Thumbnails


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
        self._settings = settings
        self._metadata = Metadata(index, store, derived)
        self._thumbnails = Thumbnails(index, store, derived, decoding or workers_of_this_process(), KnownHeaders())

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
        try:
            self._thumbnails.keep(series.hospital, series.study_instance_uid, series.series_instance_uid)
        except Busy as problem:
            log.event("no thumbnail", error=problem, series_instance_uid=series.series_instance_uid)

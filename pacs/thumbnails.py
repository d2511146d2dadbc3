"""Small pictures that stand for frames, instances, series and studies (PS3.18 §10.4.1.1.5): made once, then looked up.

- A frame: itself, kept by the digest of its instance.
- An instance of several frames: the middle one, or the next of `order_of_trying` on which something is to be seen.
- A series: the same among its images. Kept with the series' revision, so that a late image or another version of one
  makes the choice be made again; see `pacs.metadata`.
- A study: the first series, by series number, of ordinary images; else the first of localizers, of secondary captures,
  of segmentations and dose grids, in this order. A series without images (SR, PR, KO, RT plans) stands for nothing.

A window that was stored with an image is used when something is seen with it; see `pacs.pixels.window`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from pacs import log
from pacs.decoding.workers import Decoding
from pacs.errors import NotFound, PeerFault, StorageError, StoredBytesDamaged, UndecodablePixels
from pacs.index import Index
from pacs.index.contents import SeriesRow
from pacs.known_headers import KnownHeaders
from pacs.model import StoredInstance
from pacs.part10.frame_bytes import frame_bytes
from pacs.part10.frame_table import FrameTable
from pacs.part10.header import scan
from pacs.part10.transfer_syntax import transfer_syntax
from pacs.pixels.form import form_of_pictures, form_of_videos
from pacs.pixels.thumbnail import TELLS_NOTHING, order_of_trying, sketch
from pacs.recent import Recent
from pacs.storage.derived import DerivedStore, chosen_thumbnail_name, thumbnail_name
from pacs.storage.segments import SegmentStore
from pacs.storage.soundness import Soundness
from pacs.video_frames import frame_to_show, frames_with_kept_pictures, number_of_pictures

_MOST_FAILED: Final = 3
"""Images of a series that are given up on; each may cost the time of a decoder."""
_TRIED_AGAIN_AFTER_S: Final = 86_400
"""A busy machine, or a codec that has been repaired since, may have been to blame."""
_MAX_HEAD_BYTES: Final = 4096
_MAX_BYTES: Final = 16 << 20
"""Chosen pictures held by a process: some 2,000 series."""
_MAX_CHECKED: Final = 8 << 20
_CHECKED_AT_INGEST: Final = 1 << 40
_ORDINARY, _LOCALIZER, _SECONDARY, _MAP, _NOTHING = range(5)
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_MAPS: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
        "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
        "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
    }
)
_IMAGE_TYPE: Final = "00080008"
_CANNOT_BE_TRIED: Final = (PeerFault, UndecodablePixels, StoredBytesDamaged, NotFound)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The frame that stands for an instance, a series or a study."""

    series_instance_uid: str
    sop_instance_uid: str
    digest: str
    frame: int
    rank: int
    """Of its series in the study; a lower one stands for the study."""
    problem: str = ""
    """Why none of the images can be shown; then `picture` is empty."""
    picture: bytes = b""

    @property
    def is_nothing(self) -> bool:
        """There is no image."""
        return self.rank == _NOTHING

    def encoded(self, revision: str) -> bytes:
        """As it is kept: a line of JSON, then the JPEG."""
        form = _form_of_chosen(self.problem)
        head = {**asdict(self), "form": form, "revision": revision, "kept_at": int(time.time())}
        del head["picture"]
        return json.dumps(head, separators=(",", ":")).encode("ascii") + b"\n" + self.picture

    @classmethod
    def decoded(cls, content: bytes | None, revision: str) -> Chosen | None:
        """What `encoded` gave for the same revision; None when it is of another, or of another edition, or when it is
        time to try again."""
        line = (content or b"")[:_MAX_HEAD_BYTES].partition(b"\n")[0]
        try:
            head = json.loads(line)
            if (head.pop("form"), head.pop("revision")) != (_form_of_chosen(head["problem"]), revision):
                return None
            kept_at = head.pop("kept_at")
            if head["problem"] and not 0 <= time.time() - kept_at < _TRIED_AGAIN_AFTER_S:
                return None
            return cls(**head, picture=(content or b"")[len(line) + 1 :])
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


_NONE: Final = Chosen("", "", "", 0, _NOTHING)


class NotMade(Exception):
    """The picture would have to be made now."""


class Thumbnails:
    """Thread-safe. Several processes may keep the same ones; what they write is the same.

    All methods raise `StorageError` when index or storage fail, and `Busy` when too much is being decoded. With `make`
    false, they only look up: they wait for no decoder and for nobody who does, and raise `NotMade` instead.
    """

    def __init__(
        self, index: Index, store: SegmentStore, derived: DerivedStore, decoding: Decoding, headers: KnownHeaders
    ) -> None:
        self._index = index
        self._store = store
        self._derived = derived
        self._decoding = decoding
        self._headers = headers
        self._soundness = Soundness()
        self._recent: Recent[tuple[str, Chosen]] = Recent(_MAX_BYTES)
        self._choosing = tuple(threading.Lock() for _ in range(16))
        """By series: who asks for one that is being chosen waits for it."""

    def of_frame(self, instance: StoredInstance, number: int, *, make: bool = True) -> bytes:
        """One frame as a small JPEG.

        Raises:
            NotFound: the number is out of range.
            UndecodablePixels: no pixel data, or it cannot be decoded.
        """
        hospital, name = instance.key.hospital, thumbnail_name(instance.digest, number)
        form, _, picture = (self._derived.get(hospital, name) or b"").partition(b"\n")
        if form == _form():
            return picture
        _require(make)
        return self._drawn(instance, number)[0]

    def of_instance(self, instance: StoredInstance, *, make: bool = True) -> Chosen:
        """The frame that stands for an instance; raises `UndecodablePixels` when there is none."""
        frames = number_of_pictures(instance)
        if frames <= 1:
            return _chosen(instance, 1, self.of_frame(instance, 1, make=make))
        key = instance.key
        name = chosen_thumbnail_name(key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid)
        kept = Chosen.decoded(self._derived.get(key.hospital, name), instance.digest)
        if kept is None:
            _require(make)
            kept = self._best((instance, number) for number in order_of_trying(frames))
            self._try_to_keep(key.hospital, name, kept.encoded(instance.digest))
        return _shown(kept)

    def of_series(self, hospital: str, study_instance_uid: str, row: SeriesRow, *, make: bool = True) -> Chosen:
        """The frame that stands for a series; `Chosen.is_nothing` when it has no images.

        Raises:
            UndecodablePixels: none of its images that were tried can be shown.
        """
        return _shown(self._of_series(hospital, study_instance_uid, row, make=make))

    def of_study(
        self, hospital: str, study_instance_uid: str, rows: Sequence[SeriesRow], *, make: bool = True
    ) -> Chosen:
        """The frame that stands for a study of these series, as `of_series`."""
        best = _NONE
        for row in rows:
            chosen = self._of_series(hospital, study_instance_uid, row, make=make)
            is_better = (bool(chosen.problem), chosen.rank) < (bool(best.problem), best.rank)
            if not chosen.is_nothing and (is_better or best.is_nothing):
                best = chosen
            if best.rank == _ORDINARY and not best.problem:
                break
        return _shown(best)

    def keep(self, hospital: str, study_instance_uid: str, series_instance_uid: str) -> None:
        """Choose for a series and keep it, if that is not done already. Frames that cannot be shown are no error."""
        for row in self._index.contents.series(hospital, study_instance_uid, series_instance_uid):
            name = chosen_thumbnail_name(study_instance_uid, series_instance_uid)
            if Chosen.decoded(self._derived.get(hospital, name), row.revision) is None:
                chosen = self._choose(hospital, study_instance_uid, series_instance_uid)
                self._derived.put(hospital, name, chosen.encoded(row.revision))

    def _of_series(self, hospital: str, study: str, row: SeriesRow, *, make: bool) -> Chosen:
        found = self._found(hospital, study, row)
        if found is not None:
            return found
        _require(make)
        with self._choosing[row.row % len(self._choosing)]:
            found = self._found(hospital, study, row)
            if found is not None:
                return found
            chosen = self._choose(hospital, study, row.series_instance_uid)
            if row.is_settled:
                name = chosen_thumbnail_name(study, row.series_instance_uid)
                self._try_to_keep(hospital, name, chosen.encoded(row.revision))
            self._remember(hospital, row, chosen)
            return chosen

    def _found(self, hospital: str, study: str, row: SeriesRow) -> Chosen | None:
        """What was chosen for the series as it is now."""
        found = self._recent.get((hospital, row.row, row.series_instance_uid))
        if found is not None and found[0] == row.revision:
            return found[1]
        # What the background worker kept may be right before the series is marked as settled.
        content = self._derived.get(hospital, chosen_thumbnail_name(study, row.series_instance_uid))
        chosen = Chosen.decoded(content, row.revision)
        if chosen is not None:
            self._remember(hospital, row, chosen)
        return chosen

    def _remember(self, hospital: str, row: SeriesRow, chosen: Chosen) -> None:
        key = (hospital, row.row, row.series_instance_uid)
        self._recent.put(key, (row.revision, chosen), len(chosen.picture) + 1000)

    def _choose(self, hospital: str, study: str, series: str) -> Chosen:
        found = self._index.instances(hospital, study_instance_uid=study, series_instance_uid=series)
        images = [instance for instance in found if instance.number_of_frames > 0]
        if len(images) == 1:
            only = images[0]
            return self._best((only, number) for number in order_of_trying(number_of_pictures(only)))
        tried = [images[number - 1] for number in order_of_trying(len(images))]
        return self._best((each, order_of_trying(number_of_pictures(each))[0]) for each in tried)

    def _best(self, frames: Iterable[tuple[StoredInstance, int]]) -> Chosen:
        """The first on which something is to be seen, else the one on which most is."""
        best, most, failed, failures = _NONE, -1.0, _NONE, 0
        for instance, number in frames:
            if failures == _MOST_FAILED:
                break
            try:
                picture, seen = self._drawn(instance, number)
            except _CANNOT_BE_TRIED as problem:
                log.event("no thumbnail", error=problem, sop_instance_uid=instance.key.sop_instance_uid)
                failures += 1
                if failed.is_nothing:
                    failed = _chosen(instance, number, b"", problem=str(problem)[:300])
                continue
            if seen > most:
                best, most = _chosen(instance, number, picture), seen
            if seen >= TELLS_NOTHING:
                break
        return failed if best.is_nothing else best

    def _drawn(self, instance: StoredInstance, number: int) -> tuple[bytes, float]:
        data_set = self._store.view(instance.location)[instance.location.data_set_offset :]
        if len(data_set) <= _MAX_CHECKED:
            self._soundness.require(instance.location, instance.digest, data_set)
        if transfer_syntax(instance.transfer_syntax_uid).is_deflated:
            header = scan(data_set, instance.transfer_syntax_uid, max_inflated_bytes=_CHECKED_AT_INGEST)
        else:
            header = self._headers.header(instance.digest, data_set, instance.transfer_syntax_uid)
        where = header.buffer

        def stored(one: int) -> Sequence[memoryview]:
            return frame_bytes(FrameTable.decode(instance.frame_table), where, (one,))[0]

        fragments = frame_to_show(self._decoding, header, stored, number, is_near=True)
        picture, seen = self._decoding.run(sketch, header, fragments, frame_number=number)
        if number in frames_with_kept_pictures(instance):
            name = thumbnail_name(instance.digest, number)
            self._try_to_keep(instance.key.hospital, name, _form() + b"\n" + picture)
        return picture, seen

    def _try_to_keep(self, hospital: str, name: str, content: bytes) -> None:
        try:
            self._derived.put(hospital, name, content)
        except StorageError as problem:
            log.failure("thumbnail cannot be kept", problem)


def _require(make: bool) -> None:
    if not make:
        raise NotMade


def _form_of_chosen(problem: str) -> str:
    """A video that could not be shown can be as soon as what decodes it is there."""
    return form_of_videos() if problem else form_of_pictures()


def _form() -> bytes:
    """The first line of a frame's picture as it is kept. In the object and not in its name: the next edition is kept in
    its place, and whoever deletes the instance finds it whatever edition it is of."""
    return form_of_pictures().encode("ascii")


def _chosen(instance: StoredInstance, number: int, picture: bytes, *, problem: str = "") -> Chosen:
    key = instance.key
    return Chosen(
        key.series_instance_uid, key.sop_instance_uid, instance.digest, number, _rank(instance), problem, picture
    )


def _rank(instance: StoredInstance) -> int:
    if instance.sop_class_uid in _MAPS:
        return _MAP
    values = instance.attributes.get(_IMAGE_TYPE, {}).get("Value", ())
    if any(value in {"LOCALIZER", "SCOUT"} for value in values):
        return _LOCALIZER
    if instance.sop_class_uid == _SECONDARY_CAPTURE or instance.sop_class_uid.startswith(_SECONDARY_CAPTURE + "."):
        return _SECONDARY
    return _ORDINARY


def _shown(chosen: Chosen) -> Chosen:
    if chosen.problem:
        raise UndecodablePixels(chosen.problem)
    return chosen

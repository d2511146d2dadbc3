"""Which frame stands for what, and that it is chosen again when it may be another one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pacs.decoding.workers import InThisProcess
from pacs.errors import UndecodablePixels
from pacs.index.contents import SeriesRow
from pacs.known_headers import KnownHeaders
from pacs.lifecycle import Lifecycle
from pacs.model import Principal, Source, StoredInstance
from pacs.pixels.thumbnail import TELLS_NOTHING, _seen_on
from pacs.settings import LifecycleSettings
from pacs.storage.derived import DerivedStore, chosen_thumbnail_name, thumbnail_name
from pacs.thumbnails import Chosen, Thumbnails
from tests.dicomweb.served import image, written
from tests.ingest.small_archive import Place, open_place

SOURCE = Source(Principal("test"), "import")
STUDY, SERIES = "1.2.1", "1.2.2"
DARK = np.zeros((16, 24), "<u2")
SEEN = np.kron(np.eye(4), np.ones((4, 6))).astype("<u2") * 300


class Archive:
    """Images in, choices out."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place = place
        self.derived = DerivedStore(folder / "derived")
        self.thumbnails = self.of_a_new_process()

    def of_a_new_process(self) -> Thumbnails:
        return Thumbnails(self.place.index, self.place.store, self.derived, InThisProcess(), KnownHeaders())

    def keep(self, number: int, pixels: Any, series: str = SERIES, **attributes: Any) -> None:
        values = {
            "StudyInstanceUID": STUDY,
            "SeriesInstanceUID": series,
            "SOPInstanceUID": f"{series}.{number}",
            "InstanceNumber": number,
            "PixelData": None if pixels is None else np.asarray(pixels).tobytes(),
        }
        self.place.ingest.store_file(SOURCE, written(image(**(values | attributes))))

    def rows(self, series: str | None = None) -> list[SeriesRow]:
        return self.place.index.contents.series("default", STUDY, series)

    def of_series(self, series: str = SERIES) -> Chosen:
        return self.thumbnails.of_series("default", STUDY, self.rows(series)[0])

    def of_study(self) -> Chosen:
        return self.thumbnails.of_study("default", STUDY, self.rows())

    def settle(self) -> int:
        settings = LifecycleSettings(settle_after_s=-1.0)
        lifecycle = Lifecycle(self.place.index, self.place.store, self.derived, settings, decoding=InThisProcess())
        return lifecycle.settle_once()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    place = open_place(tmp_path, duplicates="keep-both")
    yield Archive(place, tmp_path)
    place.close()


def test_the_middle_image_stands_for_a_series(archive: Archive) -> None:
    for number in range(1, 6):
        archive.keep(number, SEEN)
    assert archive.of_series().sop_instance_uid == f"{SERIES}.3"


@pytest.mark.parametrize("empty", [DARK, DARK + 4000], ids=["black", "white"])
def test_an_image_of_one_colour_stands_for_nothing_when_there_is_another(archive: Archive, empty: Any) -> None:
    for number in range(1, 7):
        archive.keep(number, SEEN if number == 3 else empty)
    assert archive.of_series().sop_instance_uid == f"{SERIES}.3"


def test_when_nothing_is_seen_anywhere_the_middle_one_stands(archive: Archive) -> None:
    for number in range(1, 4):
        archive.keep(number, DARK)
    assert archive.of_series().sop_instance_uid == f"{SERIES}.2"


def test_the_frame_on_which_something_is_seen_stands_for_its_instance(archive: Archive) -> None:
    archive.keep(1, np.stack([DARK, SEEN, DARK, DARK]), NumberOfFrames=4)
    instance = archive.place.index.instances("default", study_instance_uid=STUDY)[0]
    chosen = archive.thumbnails.of_instance(instance)
    assert chosen.frame == 2
    assert chosen.picture == archive.thumbnails.of_frame(instance, 2) == archive.of_series().picture
    assert archive.of_a_new_process().of_instance(instance) == chosen
    with pytest.raises(Exception, match="frame"):
        archive.thumbnails.of_frame(instance, 5)


def test_a_study_is_shown_by_its_first_series_of_ordinary_images(archive: Archive) -> None:
    report = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "Modality": "SR", "Rows": None}
    archive.keep(1, None, "1.2.9", SeriesNumber=0, **report)
    assert archive.of_study().is_nothing
    segmentation = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4", "Modality": "SEG"}
    for number, series, attributes in (
        (1, "1.2.5", segmentation),
        (2, "1.2.6", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}),
        (3, "1.2.7", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}),
        (5, "1.2.8", {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}),
    ):
        archive.keep(1, SEEN, series, SeriesNumber=number, **attributes)
        assert archive.of_study().series_instance_uid == series
    archive.keep(1, SEEN, "1.2.10", SeriesNumber=4)
    assert archive.of_study().series_instance_uid == "1.2.10"


def test_what_cannot_be_shown_does_not_hide_what_can(archive: Archive) -> None:
    colours = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    nonsense = np.zeros((16, 24, 3), np.uint8)
    archive.keep(1, nonsense, "1.2.5", SeriesNumber=1, PhotometricInterpretation="NONSENSE", **colours)
    with pytest.raises(UndecodablePixels):
        archive.of_study()
    with pytest.raises(UndecodablePixels):
        archive.of_series("1.2.5")
    archive.keep(1, SEEN, "1.2.6", SeriesNumber=2, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    assert archive.of_study().series_instance_uid == "1.2.6"


def test_settling_keeps_what_readers_then_find(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        archive.keep(number, SEEN)
    assert archive.settle() == 1
    monkeypatch.setattr("pacs.thumbnails.sketch", None)
    assert archive.of_series().sop_instance_uid == f"{SERIES}.2"
    assert archive.of_study().picture == archive.of_series().picture


@pytest.mark.parametrize("is_settled", [False, True])
def test_late_images_make_the_choice_be_made_again(archive: Archive, is_settled: bool) -> None:
    archive.keep(1, SEEN)
    if is_settled:
        archive.settle()
    assert archive.of_series().sop_instance_uid == f"{SERIES}.1"
    for number in (2, 3, 4):
        archive.keep(number, SEEN)
    assert archive.of_series().sop_instance_uid == f"{SERIES}.3"
    assert archive.of_a_new_process().of_series("default", STUDY, archive.rows()[0]) == archive.of_series()


def test_a_new_version_is_shown_at_once(archive: Archive) -> None:
    archive.keep(1, SEEN)
    archive.settle()
    before = archive.of_series()
    archive.keep(1, SEEN[::-1])
    after = archive.of_series()
    assert (after.digest, after.picture) != (before.digest, before.picture)
    (instance,) = archive.place.index.instances("default", study_instance_uid=STUDY)
    assert after.picture == archive.thumbnails.of_frame(instance, 1)


@pytest.mark.parametrize("damage", [b"", b"{", b"PACSd1xxxx{}\n", bytes(100)], ids=["empty", "torn", "false", "zeros"])
def test_damaged_objects_are_made_again(archive: Archive, damage: bytes) -> None:
    archive.keep(1, SEEN)
    archive.settle()
    whole = archive.of_series()
    for name in (chosen_thumbnail_name(STUDY, SERIES), thumbnail_name(whole.digest, 1)):
        archive.derived._path("default", name).write_bytes(damage)
    archive.thumbnails = archive.of_a_new_process()
    assert archive.of_series() == whole
    instance = archive.place.index.instances("default", study_instance_uid=STUDY)[0]
    assert archive.thumbnails.of_frame(instance, 1) == whole.picture


def test_pictures_of_an_older_edition_are_made_again(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.keep(1, SEEN)
    archive.settle()
    instance = archive.place.index.instances("default", study_instance_uid=STUDY)[0]
    made: list[str] = []
    drawn = Thumbnails._drawn

    def counted(self: Thumbnails, instance: StoredInstance, number: int) -> tuple[bytes, float]:
        made.append(instance.key.sop_instance_uid)
        return drawn(self, instance, number)

    monkeypatch.setattr(Thumbnails, "_drawn", counted)
    archive.thumbnails = archive.of_a_new_process()
    archive.of_series()
    archive.thumbnails.of_frame(instance, 1)
    assert not made, "they are kept"
    monkeypatch.setattr("pacs.thumbnails.form_of_pictures", lambda: "the next one")
    archive.thumbnails = archive.of_a_new_process()
    archive.of_series()
    assert len(made) == 1, "the choice"
    archive.derived.put("default", thumbnail_name(instance.digest, 1), b"of old\npicture")
    assert archive.thumbnails.of_frame(instance, 1) == archive.thumbnails.of_frame(instance, 1) != b"picture"
    assert len(made) == 2, "the frame, once"


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b"{}\n", b'{"form":"1","revision":"r","x":1}\n', b"\xff\n"])
def test_what_is_not_a_kept_choice_is_none(content: bytes) -> None:
    assert Chosen.decoded(content, "r") is None


def test_a_choice_of_another_revision_is_none() -> None:
    chosen = Chosen("1", "2", "d", 3, 0, picture=b"\n\xff\n")
    assert Chosen.decoded(chosen.encoded("r"), "r") == chosen
    assert Chosen.decoded(chosen.encoded("r"), "s") is None


def test_noise_tells_less_than_an_image() -> None:
    large = np.random.default_rng(2).integers(0, 60, (160, 160)).astype(np.uint8)
    drawn = np.kron(np.eye(4), np.ones((40, 40))).astype(np.uint8) * 60
    assert _seen_on(large) < TELLS_NOTHING < _seen_on(drawn)
    assert _seen_on(np.full((1, 1), 7, np.uint8)) == 0
    assert _seen_on(np.dstack([drawn] * 3)) > TELLS_NOTHING


def test_a_failure_is_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Chosen("1", "2", "d", 3, 0, problem="too slow")
    content = failed.encoded("r")
    assert Chosen.decoded(content, "r") == failed
    later = time.time() + 100_000
    monkeypatch.setattr("pacs.thumbnails.time.time", lambda: later)
    assert Chosen.decoded(content, "r") is None

from __future__ import annotations

from pathlib import Path

import pytest

from pacs.lifecycle import Lifecycle
from pacs.model import Principal
from pacs.retrieve import Retrieve
from pacs.settings import LifecycleSettings
from pacs.storage.derived import DerivedStore, thumbnail_name

from .ingest.small_archive import encoded, open_place


@pytest.fixture
def archive(tmp_path: Path):
    place = open_place(tmp_path)
    yield place
    place.close()


@pytest.fixture
def derived(tmp_path: Path) -> DerivedStore:
    return DerivedStore(tmp_path / "derived")


def settle(archive, derived, quiet_s: float = -1.0) -> int:
    return Lifecycle(archive.index, archive.store, derived, LifecycleSettings(settle_after_s=quiet_s)).settle_once()


def test_a_quiet_series_gets_the_thumbnail_that_readers_then_find(archive, derived, monkeypatch) -> None:
    for number in (1, 2, 3):
        archive.send(encoded(number))
    assert settle(archive, derived, quiet_s=3600.0) == 0
    assert settle(archive, derived) == 1
    assert settle(archive, derived) == 0
    retrieve = Retrieve(archive.store, archive.index, derived)
    instance = retrieve.instance(Principal("viewer"), "1.2.1", "1.2.2", "1.2.3.2")
    monkeypatch.setattr("pacs.thumbnails.sketch", None)
    assert retrieve.thumbnail(instance, 1).startswith(b"\xff\xd8")


def test_a_late_instance_makes_the_series_settle_again(archive, derived) -> None:
    archive.send(encoded(1))
    assert settle(archive, derived) == 1
    archive.send(encoded(2))
    assert settle(archive, derived) == 1


def test_pixels_that_cannot_be_decoded_do_not_stop_the_others(archive, derived) -> None:
    archive.send(encoded(1, PhotometricInterpretation="NONSENSE", BitsAllocated=16, BitsStored=99))
    archive.send(encoded(2, SeriesInstanceUID="1.2.9"))
    assert settle(archive, derived) == 2
    row = archive.index.instance("default", "1.2.1", "1.2.9", "1.2.3.2")
    assert derived.get("default", thumbnail_name(row.digest, 1)) is not None

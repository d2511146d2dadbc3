"""A codec that ends its process costs a decoder: the background worker goes on, and the series is settled."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from pacs import thumbnails
from pacs.decoding.workers import InThisProcess, Workers
from pacs.lifecycle import Lifecycle
from pacs.settings import DecodingSettings, LifecycleSettings
from pacs.storage.derived import DerivedStore, chosen_thumbnail_name, metadata_name, xml_metadata_name
from tests.decoding.faults import crash
from tests.ingest.small_archive import encoded, open_place


@pytest.fixture(autouse=True)
def _every_image_crashes_its_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "sketch", crash)


def settle(folder: Path, decoding: InThisProcess | Workers) -> int:
    place = open_place(folder)
    try:
        derived = DerivedStore(folder / "derived")
        settings = LifecycleSettings(settle_after_s=0)
        return Lifecycle(place.index, place.store, derived, settings, decoding=decoding).settle_once()
    finally:
        place.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = open_place(tmp_path)
    place.send(encoded(1))
    place.send(encoded(2))
    place.close()
    return tmp_path


def test_the_series_is_settled_without_a_picture(folder: Path) -> None:
    workers = Workers(DecodingSettings(workers=1), modules=[crash.__module__])
    try:
        assert settle(folder, workers) == 1
    finally:
        workers.close()
    derived = DerivedStore(folder / "derived")
    series = ("1.2.1", "1.2.2")
    names = (metadata_name(*series), chosen_thumbnail_name(*series), xml_metadata_name(*series))
    kept = {path for path in folder.glob("derived/**/*") if path.is_file()}
    assert kept == {derived._path("default", name) for name in names}
    assert b"SIGSEGV" in (derived.get("default", names[1]) or b""), "why there is none is kept: it is not tried at once"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="forking a process with threads warns there")
def test_control_in_the_same_process_it_ends_the_worker(folder: Path) -> None:
    child = os.fork()
    if not child:
        settle(folder, InThisProcess())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGSEGV

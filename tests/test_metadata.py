"""What makes and keeps metadata. That what it gives is right is shown in `tests/dicomweb/test_kept_metadata.py`."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacs.errors import NotFound, StorageFull
from pacs.metadata import Metadata, SeriesMetadata
from pacs.part10.json_text import JsonTexts
from pacs.storage.derived import DerivedStore, metadata_name

from .ingest.small_archive import Place, encoded, open_place


@pytest.fixture
def archive(tmp_path: Path):
    place = open_place(tmp_path)
    for number in range(1, 6):
        place.send(encoded(number))
    yield place
    place.close()


@pytest.fixture
def metadata(archive: Place, tmp_path: Path) -> Metadata:
    return Metadata(archive.index, archive.store, DerivedStore(tmp_path / "derived"))


def of_series(metadata: Metadata) -> SeriesMetadata:
    (row,) = metadata.series("default", "1.2.1", "1.2.2")
    return metadata.of_series("default", "1.2.1", row)


def mark_settled(archive: Place) -> None:
    (quiet,) = archive.index.series_to_settle(-1)
    assert archive.index.mark_settled(quiet)


def test_many_who_ask_at_once_wait_for_one(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    together = threading.Barrier(6)
    text = JsonTexts.text

    def counted(*given: object) -> bytes:
        made.append(1)
        return text(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(JsonTexts, "text", counted)

    def ask(_: int) -> SeriesMetadata:
        together.wait()
        return of_series(metadata)

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(ask, range(6)))
    assert len(made) == 5
    assert {each.identity for each in found} == {found[0].identity}


def test_hospitals_never_meet(archive: Place, metadata: Metadata) -> None:
    of_series(metadata)
    (row,) = metadata.series("default", "1.2.1", "1.2.2")
    with pytest.raises(NotFound):
        metadata.series("other", "1.2.1")
    with pytest.raises(NotFound):
        metadata.of_series("other", "1.2.1", row)
    archive.send(encoded(9, PatientName="Other^One"), hospital="other")
    (row,) = metadata.series("other", "1.2.1")
    assert metadata.of_series("other", "1.2.1", row).instances == 1


def test_who_asks_first_keeps_what_the_background_did_not(
    archive: Place, metadata: Metadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived, name = DerivedStore(tmp_path / "derived"), metadata_name("1.2.1", "1.2.2")
    of_series(metadata)
    assert derived.get("default", name) is None, "it may still grow"
    mark_settled(archive)

    def put(*_: object) -> None:
        raise StorageFull("no room")

    with monkeypatch.context() as full:
        full.setattr(DerivedStore, "put", put)
        other = Metadata(archive.index, archive.store, derived)
        assert of_series(other).instances == 5, "a full disk is no reason not to answer"
    of_series(Metadata(archive.index, archive.store, derived))
    kept = derived.get("default", name)
    assert kept is not None
    metadata.keep("default", "1.2.1", "1.2.2")
    assert derived.get("default", name) == kept

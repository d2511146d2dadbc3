"""A power cut after any acknowledgement loses none of what was acknowledged; disks that lie are seen to lose it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacs.errors import PacsError, StorageError
from pacs.ingest.committer import Committer
from pacs.storage.segment_writer import SegmentWriter
from tests.crash.commit_forever import content_of
from tests.crash.power_cut import ForgetfulDisk, LyingDisk, PowerCutDisk
from tests.ingest.small_archive import open_place


def lost_after_cuts(tmp_path: Path, disk: PowerCutDisk) -> list[int]:
    """Store in rounds; after each, cut the power and count what was acknowledged and is not there."""
    folder = tmp_path / "archive"
    folder.mkdir()
    place = open_place(folder, disk=disk, memory_bytes_per_instance=1 << 16)
    lost: list[int] = []
    acknowledged: list[int] = []
    try:
        with ThreadPoolExecutor(4) as pool:
            for round_number in range(5):
                numbers = range(10 * round_number, 10 * round_number + 8)
                list(pool.map(lambda number: place.send(content_of(number)), numbers))
                acknowledged += numbers
                after = tmp_path / f"after-{round_number}"
                disk.cut(folder, after)
                lost += missing(after, acknowledged)
    finally:
        place.close()
    return lost


def missing(folder: Path, numbers: list[int]) -> list[int]:
    place = open_place(folder)
    try:
        try:
            place.ingest.recover()
        except StorageError:  # of all segments that the rows name none is left
            return list(numbers)
        return [number for number in numbers if not is_there(place, number)]
    finally:
        place.close()


def is_there(place, number: int) -> bool:
    row = place.index.instance("default", "1.2.1", "1.2.2", f"1.2.3.{number}")
    if row is None:
        return False
    try:
        return bytes(place.store.view(row.location)[row.location.data_set_offset :]) == content_of(number)
    except PacsError:
        return False


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    assert lost_after_cuts(tmp_path, PowerCutDisk()) == []


@pytest.mark.parametrize("disk", [LyingDisk, ForgetfulDisk])
def test_control_a_disk_that_does_not_sync_is_seen_to_lose_images(tmp_path: Path, disk: type[PowerCutDisk]) -> None:
    assert lost_after_cuts(tmp_path, disk()) != []


def test_control_a_writer_that_leaves_the_sync_out_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmentWriter, "sync", lambda self: None)
    assert lost_after_cuts(tmp_path, PowerCutDisk()) != []


def test_control_a_row_before_its_bytes_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order itself: when rows go first, a failed sync leaves a row without bytes."""
    folder = tmp_path / "archive"
    folder.mkdir()
    place = open_place(folder, disk=PowerCutDisk())
    make_durable = Committer._make_durable

    def row_first(self, batch):
        with monkeypatch.context() as patch:
            patch.setattr(SegmentWriter, "sync", lambda _writer: None)
            placed = make_durable(self, batch)
        place.index.add([pending.description.at(location) for pending, location in placed])
        place.store._disk.cut(folder, tmp_path / "after")
        return placed

    monkeypatch.setattr(Committer, "_make_durable", row_first)
    place.send(content_of(1))
    place.close()
    assert missing(tmp_path / "after", [1]) == [1]

from __future__ import annotations

from pathlib import Path

import pytest

from pacs.storage.disk import Disk
from pacs.storage.segment_writer import SegmentWriter

from .faulty_disk import FaultyDisk


def test_a_new_file_that_another_process_takes_first_is_left_to_it(tmp_path: Path) -> None:
    class SlowDisk(Disk):
        """Loses the first race between making a file and locking it."""

        taken = 0

        def lock(self, handle: int) -> bool:
            self.taken += 1
            return self.taken > 1 and super().lock(handle)

    writer = SegmentWriter.create(SlowDisk(), tmp_path, "default")
    assert len(list(tmp_path.glob("*/*.tar"))) == 2
    writer.close()


def test_a_segment_that_is_held_or_sealed_is_not_taken_over(tmp_path: Path, make_record) -> None:
    writer = SegmentWriter.create(Disk(), tmp_path, "default")
    writer.append(make_record(1))
    assert SegmentWriter.take_over(Disk(), tmp_path, writer.name) is None
    writer.seal()
    assert SegmentWriter.take_over(Disk(), tmp_path, writer.name) is None
    assert SegmentWriter.take_over(Disk(), tmp_path, "default/" + "0" * 32) is None


def test_after_a_failed_sync_only_durable_records_stay(tmp_path: Path, make_record) -> None:
    disk = FaultyDisk()
    writer = SegmentWriter.create(disk, tmp_path, "default")
    writer.append(make_record(1))
    writer.sync()
    durable = writer.end
    writer.append(make_record(2))
    disk.fail("sync")
    with pytest.raises(OSError, match="sync"):
        writer.sync()
    assert not writer.is_usable
    (path,) = tmp_path.glob("*/*.tar")
    assert path.stat().st_size == durable

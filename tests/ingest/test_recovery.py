from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pacs.errors import IndexUnavailable
from pacs.model import Outcome
from tests.storage.faulty_disk import FaultyDisk

from .small_archive import encoded


def rows(place) -> int:
    return place.index.holdings().instances


def stop_before_the_row(place, content: bytes) -> None:
    """What a crash between the sync and the transaction leaves."""
    add = place.index.add
    place.index.add = lambda _batch: (_ for _ in ()).throw(IndexUnavailable("the process died here"))
    with pytest.raises(IndexUnavailable):
        place.send(content)
    place.index.add = add


@pytest.mark.parametrize("pixel_bytes", [512, 1 << 18])
def test_a_durable_record_without_a_row_gets_one(open_archive, pixel_bytes: int) -> None:
    first = open_archive(memory_bytes_per_instance=1 << 16)
    first.send(encoded(1))
    stop_before_the_row(first, encoded(2, pixel_bytes=pixel_bytes))
    assert rows(first) == 1
    first.close()
    again = open_archive(memory_bytes_per_instance=1 << 16)
    assert again.ingest.recover() == 1
    row = again.index.instance("default", "1.2.1", "1.2.2", "1.2.3.2")
    assert bytes(again.store.view(row.location)[row.location.data_set_offset :]) == encoded(2, pixel_bytes=pixel_bytes)
    assert again.send(encoded(2, pixel_bytes=pixel_bytes)).outcome is Outcome.ALREADY_THERE
    again.close()
    assert open_archive().ingest.recover() == 0


def test_a_torn_record_gets_no_row_and_its_room_is_used_again(open_archive, tmp_path: Path) -> None:
    first = open_archive()
    first.send(encoded(1))
    stop_before_the_row(first, encoded(2))
    first.close()
    (path,) = tmp_path.glob("objects/*/*.tar")
    os.truncate(path, path.stat().st_size - 600)
    again = open_archive()
    assert again.ingest.recover() == 0
    assert again.send(encoded(2)).outcome is Outcome.STORED
    assert rows(again) == 2
    assert list(tmp_path.glob("objects/*/*.tar")) == [path]


def test_a_living_process_is_left_alone(open_archive) -> None:
    living = open_archive()
    living.send(encoded(1))
    stop_before_the_row(living, encoded(2))
    starting = open_archive()
    assert starting.ingest.recover() == 0
    assert living.send(encoded(3)).outcome is Outcome.STORED
    assert starting.send(encoded(4)).outcome is Outcome.STORED


def test_the_index_can_be_thrown_away(open_archive, tmp_path: Path) -> None:
    first = open_archive(memory_bytes_per_instance=1 << 16)
    for number in range(5):
        first.send(encoded(number))
    first.send(encoded(9, pixel_bytes=1 << 18))
    first.close()
    for path in tmp_path.glob("index.sqlite*"):
        path.unlink()
    again = open_archive()
    assert again.ingest.recover() == 6
    assert rows(again) == 6


def test_a_second_copy_loses_again(open_archive) -> None:
    first = open_archive()
    stop_before_the_row(first, encoded(1, PatientName="Refused"))
    first.close()
    second = open_archive()
    second.send(encoded(1))
    assert second.ingest.recover() == 0
    row = second.index.instance("default", "1.2.1", "1.2.2", "1.2.3.1")
    assert bytes(second.store.view(row.location)[row.location.data_set_offset :]) == encoded(1)


def forget_rows(folder: Path, *numbers: int) -> None:
    """As an index that was restored from an older backup, or that lost some of its pages."""
    with closing(sqlite3.connect(folder / "index.sqlite")) as database, database:
        for number in numbers:
            database.execute("DELETE FROM instances WHERE sop_instance_uid = ?", (f"1.2.3.{number}",))
        database.execute(
            'UPDATE segments SET end_offset = (SELECT COALESCE(MAX("offset" + length), 0) FROM instances'
            " WHERE segment_row = segments.id)"
        )


def seal(folder: Path) -> None:
    for path in folder.glob("objects/*/*.tar"):
        path.chmod(0o400)


def test_a_sealed_segment_of_which_some_rows_are_missing_gets_them(open_archive, tmp_path: Path) -> None:
    first = open_archive()
    for number in range(4):
        first.send(encoded(number))
    first.close()
    seal(tmp_path)
    forget_rows(tmp_path, 2, 3)
    again = open_archive()
    assert again.ingest.recover() == 2
    for number in range(4):
        assert again.send(encoded(number)).outcome is Outcome.ALREADY_THERE
    assert again.ingest.recover() == 0


def test_whole_sealed_segments_are_not_opened(open_archive, tmp_path: Path) -> None:
    disk = FaultyDisk()
    first = open_archive(memory_bytes_per_instance=1 << 16)
    for number in range(3):
        first.send(encoded(number, pixel_bytes=1 << 18))
    first.close()
    opened = []
    disk.open = opened.append  # type: ignore[assignment, func-returns-value]
    disk.open_to_read = disk.open  # type: ignore[method-assign]
    asked = []
    again = open_archive(disk=disk)
    segment_end = again.index.segment_end
    again.index.segment_end = lambda *names: asked.append(names) or segment_end(*names)
    assert again.ingest.recover() == 0
    assert opened == asked == []
    assert len(list(tmp_path.glob("objects/*/*.tar"))) == 3


def test_missing_and_short_segments_are_told(open_archive, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = open_archive(memory_bytes_per_instance=1 << 16)
    for number in range(2):
        first.send(encoded(number, pixel_bytes=1 << 18))
    first.close()
    missing, short = sorted(tmp_path.glob("objects/*/*.tar"))
    missing.unlink()
    os.truncate(short, 5000)
    assert open_archive().ingest.recover() == 0
    assert "segments are missing" in caplog.messages
    assert "segment is shorter than the index says" in caplog.messages


def test_who_was_told_of_a_failure_may_still_find_the_instance(open_archive) -> None:
    """No void is written for it: if the transaction took place after all, a void would deny a row that is there."""
    first = open_archive()
    stop_before_the_row(first, encoded(1))
    first.close()
    again = open_archive()
    assert again.ingest.recover() == 1
    assert again.send(encoded(1)).outcome is Outcome.ALREADY_THERE
    assert rows(again) == 1


def test_a_second_try_after_a_failure_is_the_one_that_counts(open_archive) -> None:
    first = open_archive()
    stop_before_the_row(first, encoded(1, PatientName="First try"))
    assert first.send(encoded(1)).outcome is Outcome.STORED
    first.close()
    again = open_archive()
    assert again.ingest.recover() == 0
    row = again.index.instance("default", "1.2.1", "1.2.2", "1.2.3.1")
    assert bytes(again.store.view(row.location)[row.location.data_set_offset :]) == encoded(1)

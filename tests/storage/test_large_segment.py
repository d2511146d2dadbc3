from __future__ import annotations

import errno
import hashlib
import io
import subprocess
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from pacs.errors import StorageError, StorageFull
from pacs.part10.file_meta import read_file_meta
from pacs.storage.large_segment import FILE_META_LENGTH, padded_file_meta
from pacs.storage.segments import SegmentStore

from .faulty_disk import FaultyDisk

CONTENT = b"0123456789abcdef" * 20_001


def no_rows(_hospital: str, _segment: str) -> int:
    return 0


@pytest.fixture
def large(make_record):
    return make_record(1, data_set=CONTENT)


def head_of(record):
    return replace(record.head, data_set_offset=FILE_META_LENGTH, digest=hashlib.sha256(CONTENT).hexdigest())


def fill(store: SegmentStore):
    segment = store.begin_large("default")
    for start in range(0, len(CONTENT), 65_537):
        segment.write(CONTENT[start : start + 65_537])
    return segment


def test_a_large_instance_is_kept_in_a_sealed_segment_of_its_own(tmp_path: Path, large) -> None:
    store = SegmentStore(tmp_path)
    segment = fill(store)
    assert bytes(segment.data_set()) == CONTENT
    location = segment.keep(head_of(large), large.file_meta)
    segment.release()
    view = store.view(location)
    assert bytes(view[location.data_set_offset :]) == CONTENT
    assert read_file_meta(view).data_set_offset == location.data_set_offset == FILE_META_LENGTH
    (path,) = tmp_path.glob("*/*.tar")
    assert path.stat().st_mode & 0o777 == 0o400
    listed = subprocess.run(["tar", "xOf", path], capture_output=True, check=True)
    assert listed.stdout == bytes(view)
    ((_, records),) = SegmentStore(tmp_path).recover(no_rows)
    assert records[0].head == head_of(large)


def test_the_order_of_calls_makes_it_durable(tmp_path: Path, large) -> None:
    disk = FaultyDisk()
    segment = fill(SegmentStore(tmp_path, disk=disk))
    disk.calls.clear()
    segment.keep(head_of(large), large.file_meta)
    assert disk.calls == ["write", "write", "sync", "sync_folder", "seal"]


def test_a_kept_segment_is_left_alone_until_its_row_is_there(tmp_path: Path, large) -> None:
    segment = fill(SegmentStore(tmp_path))
    segment.keep(head_of(large), large.file_meta)
    assert list(SegmentStore(tmp_path).recover(no_rows)) == []
    segment.release()
    assert len(list(SegmentStore(tmp_path).recover(no_rows))) == 1


def test_what_was_abandoned_is_cut_by_recovery(tmp_path: Path) -> None:
    segment = fill(SegmentStore(tmp_path))
    segment.release()
    assert list(SegmentStore(tmp_path).recover(no_rows)) == []
    (path,) = tmp_path.glob("*/*.tar")
    assert path.stat().st_size == 0


def test_what_is_discarded_is_gone(tmp_path: Path) -> None:
    fill(SegmentStore(tmp_path)).discard()
    assert list(tmp_path.glob("*/*.tar")) == []


def test_failures_are_the_archives_own_errors(tmp_path: Path, large) -> None:
    disk = FaultyDisk()
    segment = fill(SegmentStore(tmp_path, disk=disk))
    disk.fail("write", errno.ENOSPC)
    with pytest.raises(StorageFull):
        segment.write(b"x")
    disk.fail("sync")
    with pytest.raises(StorageError):
        segment.keep(head_of(large), large.file_meta)
    disk.fail("unlink")
    segment.discard()


@pytest.mark.parametrize("can_be_emptied", [True, False])
def test_what_a_failed_sync_left_is_not_found_again(tmp_path: Path, large, can_be_emptied: bool) -> None:
    disk = FaultyDisk()
    segment = fill(SegmentStore(tmp_path, disk=disk))
    disk.fail("sync")
    with pytest.raises(StorageError):
        segment.keep(head_of(large), large.file_meta)
    disk.fail("unlink")
    if not can_be_emptied:
        disk.fail("truncate")
    segment.discard()
    assert list(SegmentStore(tmp_path).recover(no_rows)) == []
    (path,) = tmp_path.glob("*/*.tar")
    assert (path.stat().st_size == 0) == can_be_emptied
    segment.release()


def test_padded_file_meta_is_read_by_pydicom(make_record) -> None:
    meta = make_record(1).file_meta
    found = pydicom.dcmread(io.BytesIO(padded_file_meta(meta))).file_meta
    assert found.MediaStorageSOPInstanceUID == "1.2.3.1"
    assert found.FileMetaInformationGroupLength == FILE_META_LENGTH - 144
    with pytest.raises(ValueError, match="cannot be padded"):
        padded_file_meta(meta + bytes(1000))

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from pacs.errors import InvalidIdentity, NotFound, StorageError, StorageFull, StoredBytesDamaged
from pacs.model import Location
from pacs.storage.segments import SegmentStore
from pacs.storage.tar_record import padded

from .faulty_disk import FaultyDisk


def no_rows(_hospital: str, _segment: str) -> int:
    return 0


def kept(answer: Location | StorageError) -> Location:
    assert isinstance(answer, Location), answer
    return answer


def files(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.tar"))


def test_what_is_kept_is_viewed_byte_for_byte(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path)
    records = [make_record(number) for number in range(3)]
    locations = [kept(answer) for answer in store.keep("default", records)]
    locations.append(kept(store.keep("default", [make_record(9)])[0]))
    for record, location in zip([*records, make_record(9)], locations, strict=True):
        view = store.view(location)
        assert bytes(view) == record.file_meta + record.data_set
        assert bytes(view[location.data_set_offset :]) == record.data_set
        assert view.readonly


def test_a_segment_is_a_tar_file_for_standard_tools(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path)
    store.keep("default", [make_record(1), make_record(2)])
    listed = subprocess.run(["tar", "tf", files(tmp_path)[0]], capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == [f"{make_record(number).head.digest}.dcm" for number in (1, 2)]
    assert listed.stderr == ""


def test_each_hospital_has_its_own_segments(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path)
    store.keep("a", [make_record(1)])
    store.keep("b", [make_record(1)])
    assert [path.parent.name for path in files(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("hospital", ["", "..", "a/b", "a\0", "x" * 65, "병원"])
def test_a_hospital_that_is_no_name_never_becomes_a_path(tmp_path: Path, make_record, hospital: str) -> None:
    with pytest.raises(InvalidIdentity):
        SegmentStore(tmp_path).keep(hospital, [make_record(1)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "segment", ["", "../x", "default/../../etc/passwd", "default/" + "0" * 31, "default/" + "0" * 32]
)
def test_a_segment_that_is_not_here_is_not_found(tmp_path: Path, segment: str) -> None:
    with pytest.raises(NotFound):
        SegmentStore(tmp_path).view(Location(segment, 0, 10, 0))


def test_a_place_beyond_the_segment_is_damage_not_a_crash(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path)
    location = kept(store.keep("default", [make_record(1)])[0])
    for offset, length in ((location.offset, 1 << 40), (1 << 40, 10), (-1, 10), (0, 0)):
        with pytest.raises(StoredBytesDamaged):
            store.view(Location(location.segment, offset, length, 0))
    assert len(store.view(location)) == location.length
    os.truncate(files(tmp_path)[0], 600)
    with pytest.raises(StoredBytesDamaged):
        store.view(location)


def test_a_view_outlives_the_store(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path)
    view = store.view(kept(store.keep("default", [make_record(1)])[0]))
    store.close()
    assert bytes(view).endswith(make_record(1).data_set)


def test_the_order_of_calls_makes_a_record_durable(tmp_path: Path, make_record) -> None:
    disk = FaultyDisk()
    store = SegmentStore(tmp_path / "objects", disk=disk)
    kept(store.keep("default", [make_record(1)])[0])
    # objects/, default/ and the segment itself: each name is durable before the first record is answered.
    assert disk.calls == ["sync_folder", "sync_folder", "sync_folder", "write", "sync"]
    disk.calls.clear()
    store.keep("default", [make_record(2), make_record(3)])
    assert disk.calls == ["write", "write", "sync"]


def test_full_segments_are_sealed_and_never_written_again(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path, segment_bytes=1000)
    for number in range(3):
        kept(store.keep("default", [make_record(number)])[0])
    modes = sorted(oct(path.stat().st_mode & 0o777) for path in files(tmp_path))
    assert modes == ["0o400", "0o400", "0o600"]
    store.close()
    assert [len(records) for _, records in SegmentStore(tmp_path).recover(no_rows)] == [1, 1, 1]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_refuses_one_record_and_keeps_the_others(tmp_path: Path, make_record, error: int) -> None:
    disk = FaultyDisk()
    store = SegmentStore(tmp_path, disk=disk)
    first = kept(store.keep("default", [make_record(1)])[0])
    disk.fail("write", error)
    refused, taken = store.keep("default", [make_record(2), make_record(3)])
    assert isinstance(refused, StorageFull)
    assert bytes(store.view(kept(taken))).endswith(make_record(3).data_set)
    assert bytes(store.view(first)).endswith(make_record(1).data_set)
    store.close()
    ((_, records),) = SegmentStore(tmp_path).recover(no_rows)
    assert [record.head.key.sop_instance_uid for record in records] == ["1.2.3.1", "1.2.3.3"]


def test_a_segment_that_cannot_be_synced_is_given_up(tmp_path: Path, make_record) -> None:
    disk = FaultyDisk()
    store = SegmentStore(tmp_path, disk=disk)
    first = kept(store.keep("default", [make_record(1)])[0])
    disk.fail("sync")
    answers = store.keep("default", [make_record(2), make_record(3)])
    assert all(isinstance(answer, StorageError) for answer in answers)
    later = kept(store.keep("default", [make_record(4)])[0])
    assert later.segment != first.segment
    assert bytes(store.view(first)).endswith(make_record(1).data_set)
    store.close()
    found = [
        record.head.key.sop_instance_uid for _, records in SegmentStore(tmp_path).recover(no_rows) for record in records
    ]
    assert found == ["1.2.3.1", "1.2.3.4"]


def test_a_failed_segment_that_cannot_be_cut_stays_locked(tmp_path: Path, make_record) -> None:
    disk = FaultyDisk()
    store = SegmentStore(tmp_path, disk=disk)
    kept(store.keep("default", [make_record(1)])[0])
    disk.fail("sync")
    disk.fail("truncate")
    assert isinstance(store.keep("default", [make_record(2)])[0], StorageError)
    # Another process must not take the record that was refused for one that is safe.
    assert list(SegmentStore(tmp_path).recover(no_rows)) == []


def test_a_segment_whose_name_is_not_durable_is_not_used(tmp_path: Path, make_record) -> None:
    disk = FaultyDisk()
    store = SegmentStore(tmp_path, disk=disk)
    kept(store.keep("other", [make_record(1)])[0])
    (tmp_path / "default").mkdir()
    disk.fail("sync_folder")
    assert isinstance(store.keep("default", [make_record(1)])[0], StorageError)
    assert list((tmp_path / "default").iterdir()) == []


def test_recovery_leaves_a_living_writers_segment_alone(tmp_path: Path, make_record) -> None:
    living = SegmentStore(tmp_path)
    living.keep("default", [make_record(1)])
    assert list(SegmentStore(tmp_path).recover(no_rows)) == []
    living.close()
    assert len(list(SegmentStore(tmp_path).recover(no_rows))) == 1


def test_recovery_cuts_the_torn_tail_and_goes_on_in_the_same_segment(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path)
    first = kept(store.keep("default", [make_record(1)])[0])
    store.keep("default", [make_record(2)])
    store.close()
    path = files(tmp_path)[0]
    os.truncate(path, path.stat().st_size - 512)
    disk = FaultyDisk()
    store = SegmentStore(tmp_path, disk=disk)
    ((segment, records),) = store.recover(no_rows)
    assert [record.head.key.sop_instance_uid for record in records] == ["1.2.3.1"]
    assert disk.calls == ["truncate", "sync"]
    assert path.stat().st_size == padded(first.offset + first.length)
    again = kept(store.keep("default", [make_record(2)])[0])
    assert again.segment == segment == first.segment
    assert bytes(store.view(again)).endswith(make_record(2).data_set)


def test_recovery_starts_behind_the_last_row(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path)
    first, _ = (kept(answer) for answer in store.keep("default", [make_record(1), make_record(2)]))
    store.close()
    ((_, records),) = SegmentStore(tmp_path).recover(lambda _hospital, _segment: first.offset + first.length)
    assert [record.head.key.sop_instance_uid for record in records] == ["1.2.3.2"]


def test_a_segment_shorter_than_its_rows_is_not_touched(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path)
    store.keep("default", [make_record(1)])
    store.close()
    size = files(tmp_path)[0].stat().st_size
    store = SegmentStore(tmp_path)
    assert list(store.recover(lambda _hospital, _segment: size + 512)) == []
    assert files(tmp_path)[0].stat().st_size == size
    store.keep("default", [make_record(2)])
    assert len(files(tmp_path)) == 2


def test_a_disowned_record_is_not_recovered(tmp_path: Path, make_record) -> None:
    store = SegmentStore(tmp_path)
    lost = kept(store.keep("default", [make_record(1)])[0])
    store.disown(lost)
    store.keep("default", [make_record(2)])
    store.close()
    ((_, records),) = SegmentStore(tmp_path).recover(no_rows)
    assert [record.head.key.sop_instance_uid for record in records] == ["1.2.3.2"]


def test_many_restarts_do_not_make_many_segments(tmp_path: Path, make_record) -> None:
    for number in range(5):
        store = SegmentStore(tmp_path)
        list(store.recover(no_rows))
        kept(store.keep("default", [make_record(number)])[0])
        store.close()
    assert len(files(tmp_path)) == 1

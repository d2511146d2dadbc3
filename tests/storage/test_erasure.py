from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import pytest

from pacs.storage.deletion_notes import DeletedRecord
from pacs.storage.disk import Disk
from pacs.storage.segment_name import segment_path
from pacs.storage.segments import SegmentStore
from tests.ingest.small_archive import encoded, open_place


def kept(folder: Path, *, large: bool = False):
    """Three instances, and the records of them."""
    place = open_place(folder, memory_bytes_per_instance=1 << 16 if large else 1 << 20)
    for number in (1, 2, 3):
        place.send(encoded(number, pixel_bytes=1 << 17 if large else 2048, PatientName=f"Secret{number}^Name"))
    rows = place.index.instances("default", study_instance_uid="1.2.1")
    records = [
        DeletedRecord(
            row.location.segment, row.location.offset, row.location.length, row.key.sop_instance_uid, row.digest
        )
        for row in rows
    ]
    place.close()
    return records


@pytest.mark.parametrize("large", [False, True])
def test_only_the_erased_bytes_are_gone(tmp_path: Path, large: bool) -> None:
    records = kept(tmp_path, large=large)
    store = SegmentStore(tmp_path / "objects")
    path = segment_path(store.root, records[1].segment)
    before = path.read_bytes()
    assert b"Secret2" in before
    mode = path.stat().st_mode
    (found,) = store.with_starts(records[1:2])
    store.erase([found])
    after = path.read_bytes()
    assert b"Secret2" not in after and records[1].digest.encode() not in after
    assert b"1.2.3.2" not in after
    assert len(after) == len(before)
    end = found.offset + -(-found.length // 512) * 512
    assert after[: found.start] == before[: found.start] and after[end:] == before[end:]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(mode)
    for record in (records[0], records[2]):
        with store.walked(record.segment, with_digests=True) as walk:
            assert walk is not None and walk.damaged == ()
            assert record.offset in {each.file_offset for each in walk.records}
            assert large or found.offset not in {each.file_offset for each in walk.records}
    with tarfile.open(path) as tar:  # a tar program still reads it to its end
        names = tar.getnames()
    assert "erased" in names and len(names) == (1 if large else 3)


def test_its_room_is_given_back(tmp_path: Path) -> None:
    records = kept(tmp_path, large=True)
    store = SegmentStore(tmp_path / "objects")
    path = segment_path(store.root, records[0].segment)
    before = path.stat().st_blocks
    store.erase(store.with_starts(records[:1]))
    assert path.stat().st_blocks * 512 < before * 512 - (1 << 16)


def test_zeros_are_written_where_there_are_no_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = kept(tmp_path, large=True)

    def no_holes(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr("pacs.storage.disk._punch_hole", no_holes)
    store = SegmentStore(tmp_path / "objects")
    store.erase(store.with_starts(records[:1]))
    content = segment_path(store.root, records[0].segment).read_bytes()
    assert content[records[0].offset :].strip(b"\0") == b""


@pytest.mark.parametrize("cut", ["header", "half a header", "file"])
def test_what_was_half_erased_is_erased_from_the_note_alone(tmp_path: Path, cut: str) -> None:
    records = kept(tmp_path)
    store = SegmentStore(tmp_path / "objects")
    (found,) = store.with_starts(records[1:2])
    path = segment_path(store.root, found.segment)
    with path.open("r+b") as file:
        file.seek(found.start if cut != "file" else found.offset)
        length = {"header": found.offset - found.start, "half a header": 300, "file": found.length}[cut]
        file.write(b"\xff" * length)
    store.erase([found])
    with store.walked(found.segment, with_digests=True) as walk:
        assert walk is not None and walk.damaged == () and len(walk.records) == 2


def test_erasing_twice_and_what_is_not_there(tmp_path: Path) -> None:
    records = kept(tmp_path)
    store = SegmentStore(tmp_path / "objects")
    found = store.with_starts(records)
    store.erase(found)
    store.erase(found)
    assert {record.start for record in store.with_starts(records)} == {-1}
    store.erase([found[0]._replace(segment="default/" + "0" * 32)])


def test_without_its_header_the_file_is_erased_all_the_same(tmp_path: Path) -> None:
    records = kept(tmp_path)
    store = SegmentStore(tmp_path / "objects")
    path = segment_path(store.root, records[2].segment)
    length = path.stat().st_size
    store.erase([records[2]._replace(start=-1), records[0]._replace(offset=length - 512, start=-1)])
    assert b"Secret3" not in path.read_bytes() and b"Secret2" in path.read_bytes()
    assert path.stat().st_size == length


def test_a_sealed_segment_stays_sealed(tmp_path: Path) -> None:
    records = kept(tmp_path, large=True)
    disk = Disk()
    path = segment_path(tmp_path / "objects", records[0].segment)
    handle = disk.open_to_erase(path)
    try:
        assert disk.is_sealed(handle)
        disk.write(handle, [b"x"], 0)
    finally:
        disk.close(handle)
    assert path.read_bytes()[:1] == b"x"

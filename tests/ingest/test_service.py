from __future__ import annotations

import errno
import hashlib
import io
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from pacs.errors import (
    Conflict,
    IdentityMismatch,
    IndexUnavailable,
    InvalidIdentity,
    MalformedDataSet,
    NotDicom,
    StorageError,
    StorageFull,
    TooLarge,
)
from pacs.index import Index
from pacs.model import Outcome, Principal, Source
from pacs.part10.file_meta import write_file_meta
from pacs.storage.segments import SegmentStore

from ..storage.faulty_disk import FaultyDisk
from .small_archive import CT, EXPLICIT, encoded

SOURCE = Source(Principal("CT_1"), "C-STORE", "127.0.0.1")


def stored_bytes(place, number: int = 1) -> bytes:
    row = place.index.instance("default", "1.2.1", "1.2.2", f"1.2.3.{number}")
    assert row is not None
    return bytes(place.store.view(row.location)[row.location.data_set_offset :])


def rows(place) -> int:
    return place.index.holdings().instances


def segment_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("objects/*/*.tar"))


def test_what_is_sent_is_stored_byte_for_byte_and_found_at_once(archive) -> None:
    content = encoded(1)
    stored = archive.send(content, step=7)
    assert (stored.outcome, stored.sop_class_uid) == (Outcome.STORED, CT)
    row = archive.index.instance("default", "1.2.1", "1.2.2", "1.2.3.1")
    assert row.key == stored.key
    assert row.digest == hashlib.sha256(content).hexdigest()
    assert (row.number_of_frames, row.transfer_syntax_uid) == (1, EXPLICIT)
    assert content[row.header_length :].startswith(b"\xe0\x7f\x10\x00")
    assert stored_bytes(archive) == content


def test_the_stored_file_is_read_by_pydicom(archive) -> None:
    archive.send(encoded(1))
    row = archive.index.instance("default", "1.2.1", "1.2.2", "1.2.3.1")
    found = pydicom.dcmread(io.BytesIO(bytes(archive.store.view(row.location))))
    assert found.file_meta.SourceApplicationEntityTitle == "CT_1"
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID == "1.2.3.1"


def test_the_stored_file_names_the_transfer_syntax_it_is_in(archive) -> None:
    with archive.ingest.begin(Source(Principal("CT_1"), "C-STORE"), "1.2.840.10008.1.2.5") as reception:
        reception.write(encoded(1))
        reception.commit()
    row = archive.index.instance("default", "1.2.1", "1.2.2", "1.2.3.1")
    found = pydicom.dcmread(io.BytesIO(bytes(archive.store.view(row.location))))
    assert row.transfer_syntax_uid == found.file_meta.TransferSyntaxUID == EXPLICIT
    assert (found.pixel_array == 0x0101).all()


def test_the_same_bytes_again_are_success_without_a_second_copy(archive, tmp_path: Path) -> None:
    archive.send(encoded(1))
    before = segment_bytes(tmp_path)
    assert archive.send(encoded(1)).outcome is Outcome.ALREADY_THERE
    assert segment_bytes(tmp_path) == before


def test_other_bytes_under_the_same_uid_are_refused_and_the_first_stay(archive, tmp_path: Path) -> None:
    archive.send(encoded(1))
    before = segment_bytes(tmp_path)
    for other in (encoded(1, PatientName="Other"), encoded(1, StudyInstanceUID="9.9")):
        with pytest.raises(Conflict):
            archive.send(other)
    assert (stored_bytes(archive), segment_bytes(tmp_path)) == (encoded(1), before)


def test_hospitals_with_the_same_uids_never_meet(archive) -> None:
    archive.send(encoded(1), hospital="a")
    assert archive.send(encoded(1, PatientName="Other"), hospital="b").outcome is Outcome.STORED
    assert archive.index.instance("a", "1.2.1", "1.2.2", "1.2.3.1").location.segment.startswith("a/")
    assert archive.index.existing("default", "1.2.3.1") is None


def test_senders_racing_with_one_instance_make_one_copy_and_hear_the_truth(archive, tmp_path: Path) -> None:
    same, other = encoded(1), encoded(1, PatientName="Other")
    start = threading.Barrier(8)

    def send(content: bytes) -> object:
        start.wait()
        try:
            return archive.send(content).outcome
        except Conflict as conflict:
            return type(conflict)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, [same, other] * 4))
    assert sorted(map(str, answers)) == sorted(
        map(str, [Outcome.STORED] + [Outcome.ALREADY_THERE] * 3 + [Conflict] * 4)
    )
    assert rows(archive) == 1
    (segment,) = tmp_path.glob("objects/*/*.tar")
    assert segment.read_bytes().count(b"DICM") == 1


def test_two_processes_racing_leave_one_row_and_a_void(open_archive, tmp_path: Path) -> None:
    ours, theirs = open_archive(), open_archive()
    ours.send(encoded(7))
    # Between the look-up and the transaction the other process stores the same instance with other bytes.
    look_up = ours.index.existing

    def look_up_then_lose(hospital: str, uid: str) -> object:
        found = look_up(hospital, uid)
        theirs.send(encoded(1, PatientName="Other"))
        return found

    ours.index.existing = look_up_then_lose  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        ours.send(encoded(1))
    ours.index.existing = look_up  # type: ignore[method-assign]
    ours.send(encoded(2))
    assert stored_bytes(ours) == encoded(1, PatientName="Other")
    ours.close()
    theirs.close()
    found = [
        record.head.key.sop_instance_uid
        for _, records in SegmentStore(tmp_path / "objects").recover(lambda _hospital, _segment: 0)
        for record in records
    ]
    assert sorted(found) == ["1.2.3.1", "1.2.3.2", "1.2.3.7"]


def test_many_at_once_share_syncs(open_archive) -> None:
    disk = FaultyDisk()
    archive = open_archive(disk=disk)
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda number: archive.send(encoded(number)).outcome, range(64)))
    assert outcomes == [Outcome.STORED] * 64
    assert rows(archive) == 64
    assert disk.calls.count("sync") < 64
    for number in range(64):
        assert stored_bytes(archive, number) == encoded(number)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", MalformedDataSet),
        (b"\0" * 3, MalformedDataSet),
        (b"this is no DICOM data set at all", MalformedDataSet),
        (encoded(1)[:-300], MalformedDataSet),
        (encoded(1)[:100], MalformedDataSet),
        (encoded(1, SOPInstanceUID=None), InvalidIdentity),
        (encoded(1, StudyInstanceUID=None), InvalidIdentity),
        (encoded(1, SeriesInstanceUID=""), InvalidIdentity),
        (encoded(1, SOPClassUID=None), InvalidIdentity),
    ],
)
def test_bad_data_sets_are_refused_and_leave_nothing(archive, tmp_path: Path, content: bytes, error: type) -> None:
    with pytest.raises(error):
        archive.send(content)
    assert (rows(archive), segment_bytes(tmp_path)) == (0, 0)
    assert archive.send(encoded(2)).outcome is Outcome.STORED


def test_a_uid_that_is_a_path_is_refused(archive, tmp_path: Path) -> None:
    content = encoded(1, StudyInstanceUID="1.2.1234567").replace(b"1.2.1234567", b"../../../ab")
    with pytest.raises(InvalidIdentity):
        archive.send(content)
    with pytest.raises(InvalidIdentity):
        archive.ingest.begin(SOURCE, EXPLICIT, sop_instance_uid="../x")
    with pytest.raises(InvalidIdentity):
        archive.ingest.begin(SOURCE, "not a uid")
    with pytest.raises(InvalidIdentity):
        archive.ingest.begin(Source(Principal("x", "../y"), "C-STORE"), EXPLICIT)
    assert segment_bytes(tmp_path) == 0


@pytest.mark.parametrize(
    "announced", [{"sop_class_uid": "1.9"}, {"sop_instance_uid": "1.9"}, {"study_instance_uid": "1.9"}]
)
def test_a_data_set_that_lies_about_its_identity_is_refused(archive, tmp_path: Path, announced: dict) -> None:
    with pytest.raises(IdentityMismatch, match=r"1\.9"):
        archive.send(encoded(1), **announced)
    assert (rows(archive), segment_bytes(tmp_path)) == (0, 0)


def test_too_large_is_refused_while_it_arrives(open_archive, tmp_path: Path) -> None:
    archive = open_archive(max_instance_bytes=1 << 20, memory_bytes_per_instance=1 << 16)
    reception = archive.ingest.begin(SOURCE, EXPLICIT)
    with pytest.raises(TooLarge, match=r"ingest\.max_instance_bytes"):
        for _ in range(17):
            reception.write(bytes(1 << 16))
    with pytest.raises(StorageError, match="over"):
        reception.write(b"more")
    assert list(tmp_path.glob("objects/*/*.tar")) == []


def test_a_deflate_bomb_is_refused(open_archive) -> None:
    archive = open_archive(max_inflated_bytes=1 << 20)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(4 << 20)) + deflater.flush()
    reception = archive.ingest.begin(SOURCE, "1.2.840.10008.1.2.1.99")
    reception.write(bomb)
    with pytest.raises(TooLarge):
        reception.commit()


def test_an_abandoned_reception_leaves_nothing(open_archive, tmp_path: Path) -> None:
    archive = open_archive(memory_bytes_per_instance=1 << 16)
    with archive.ingest.begin(SOURCE, EXPLICIT) as reception:
        reception.write(encoded(1, pixel_bytes=1 << 18))
        assert len(list(tmp_path.glob("objects/*/*.tar"))) == 1
    assert list(tmp_path.glob("objects/*/*.tar")) == []


def test_a_large_instance_goes_through_a_segment_of_its_own(open_archive, tmp_path: Path) -> None:
    archive = open_archive(memory_bytes_per_instance=1 << 16)
    content = encoded(1, pixel_bytes=1 << 20)
    assert archive.send(content).outcome is Outcome.STORED
    assert archive.send(content).outcome is Outcome.ALREADY_THERE
    with pytest.raises(Conflict):
        archive.send(encoded(1, pixel_bytes=1 << 20, PatientName="Other"))
    assert stored_bytes(archive) == content
    assert len(list(tmp_path.glob("objects/*/*.tar"))) == 1
    row = archive.index.instance("default", "1.2.1", "1.2.2", "1.2.3.1")
    assert pydicom.dcmread(io.BytesIO(bytes(archive.store.view(row.location)))).SOPInstanceUID == "1.2.3.1"


def test_when_all_memory_is_taken_small_instances_go_on_on_disk_and_all_is_given_back(
    open_archive, tmp_path: Path
) -> None:
    archive = open_archive(memory_bytes_in_flight=1 << 20)
    content = encoded(2, pixel_bytes=1 << 19)
    with archive.ingest.begin(SOURCE, EXPLICIT) as holder:
        holder.write(encoded(1, pixel_bytes=700_000))
        assert list(tmp_path.glob("objects/*/*.tar")) == []
        assert archive.send(content).outcome is Outcome.STORED
        assert len(list(tmp_path.glob("objects/*/*.tar"))) == 1, "in a segment of its own"
    assert archive.ingest._memory.taken_bytes == 0
    assert archive.send(content).outcome is Outcome.ALREADY_THERE


def test_the_row_comes_after_the_sync(open_archive) -> None:
    disk = FaultyDisk()
    archive = open_archive(disk=disk)
    add = archive.index.add

    def told_add(batch):
        disk.calls.append("row")
        return add(batch)

    archive.index.add = told_add  # type: ignore[method-assign]
    archive.send(encoded(1))
    disk.calls.append("stored")
    assert disk.calls[-4:] == ["write", "sync", "row", "stored"]


def test_bytes_that_are_not_durable_get_no_row(open_archive) -> None:
    disk = FaultyDisk()
    archive = open_archive(disk=disk)
    archive.send(encoded(1))
    disk.fail("sync")
    with pytest.raises(StorageError):
        archive.send(encoded(2))
    assert rows(archive) == 1
    assert archive.send(encoded(2)).outcome is Outcome.STORED
    assert stored_bytes(archive, 1) == encoded(1)


@pytest.mark.parametrize("pixel_bytes", [512, 1 << 18])
def test_a_full_disk_stores_nothing_and_takes_again_when_there_is_room(open_archive, pixel_bytes: int) -> None:
    disk = FaultyDisk()
    archive = open_archive(disk=disk, memory_bytes_per_instance=1 << 16)
    archive.send(encoded(1))
    disk.fail("write", errno.ENOSPC, forever=True)
    for _ in range(3):
        with pytest.raises(StorageFull):
            archive.send(encoded(2, pixel_bytes=pixel_bytes))
    disk.heal()
    assert rows(archive) == 1
    assert archive.send(encoded(2, pixel_bytes=pixel_bytes)).outcome is Outcome.STORED
    assert stored_bytes(archive, 1) == encoded(1)


def test_an_index_that_fails_acknowledges_nothing(archive, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Index, "add", lambda *_: (_ for _ in ()).throw(IndexUnavailable("down")))
        with pytest.raises(IndexUnavailable):
            archive.send(encoded(1))
    with monkeypatch.context() as patch:
        patch.setattr(Index, "add", lambda *_: (_ for _ in ()).throw(RuntimeError("surprise")))
        with pytest.raises(StorageError):
            archive.send(encoded(1))
    assert rows(archive) == 0
    assert archive.send(encoded(1)).outcome is Outcome.STORED


def test_one_instance_that_the_index_refuses_does_not_fail_its_neighbours(archive) -> None:
    add = archive.index.add

    def picky_add(batch):
        if any(new.key.sop_instance_uid == "1.2.3.13" for new in batch):
            raise IndexUnavailable("cannot be written")
        return add(batch)

    archive.index.add = picky_add  # type: ignore[method-assign]

    def send(number: int) -> object:
        try:
            return archive.send(encoded(number)).outcome
        except StorageError as problem:
            return type(problem)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(16)))
    assert answers == [IndexUnavailable if number == 13 else Outcome.STORED for number in range(16)]


def test_a_transaction_that_only_seemed_to_fail_is_ours(archive) -> None:
    add = archive.index.add
    attempts = []

    def add_then_lose_the_answer(batch):
        attempts.append(len(batch))
        result = add(batch)
        if len(batch) > 1:
            raise IndexUnavailable("connection lost during commit")
        return result

    archive.index.add = add_then_lose_the_answer  # type: ignore[method-assign]
    while not any(size > 1 for size in attempts):
        start = 100 * len(attempts)
        with ThreadPoolExecutor(16) as pool:
            outcomes = list(pool.map(lambda n: archive.send(encoded(n)).outcome, range(start, start + 16)))
        assert outcomes == [Outcome.STORED] * 16


def test_after_close_nothing_is_taken(open_archive) -> None:
    archive = open_archive()
    archive.send(encoded(1))
    archive.ingest.close()
    with pytest.raises(StorageError, match="stopping"):
        archive.send(encoded(2))


def test_a_file_is_stored_with_its_data_set_as_it_is(archive) -> None:
    path = Path(get_testdata_file("CT_small.dcm"))
    content = path.read_bytes()
    source = Source(Principal("import"), "import", str(path))
    stored = archive.ingest.store_file(source, content)
    row = archive.index.instance(*_names(stored.key))
    view = archive.store.view(row.location)
    assert content.endswith(bytes(view[row.location.data_set_offset :]))
    assert archive.ingest.store_file(source, memoryview(content)).outcome is Outcome.ALREADY_THERE
    with pytest.raises(IdentityMismatch):
        archive.ingest.store_file(source, content, study_instance_uid="1.2")


@pytest.mark.parametrize("content", [b"", b"hello", bytes(132), bytes(128) + b"DICM"])
def test_a_file_that_is_no_dicom_is_refused(archive, content: bytes) -> None:
    with pytest.raises(NotDicom):
        archive.ingest.store_file(SOURCE, content)


def test_a_file_with_meta_and_nothing_else_is_refused(archive) -> None:
    meta = write_file_meta(sop_class_uid=CT, sop_instance_uid="1.2.3", transfer_syntax_uid=EXPLICIT)
    with pytest.raises(MalformedDataSet, match="empty"):
        archive.ingest.store_file(SOURCE, meta)


def _names(key) -> tuple[str, str, str, str]:
    return key.hospital, key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid

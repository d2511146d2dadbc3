from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from pacs.commitment import Commitment, Report
from pacs.errors import Busy, Conflict, InvalidIdentity, InvalidRequest, TooLarge
from pacs.index import Index
from pacs.ingest import Ingest
from pacs.model import CommitmentKey, Principal, ReferencedInstance, Source
from pacs.settings import CommitmentSettings, IngestSettings
from pacs.storage.disk import Disk
from pacs.storage.segments import SegmentStore

HERE, ELSEWHERE = Principal("MODALITY"), Principal("MODALITY", "other hospital")
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
SETTINGS = CommitmentSettings(max_references=10, same_association_s=0, first_pause_s=10, longest_pause_s=35)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


class BadDisk(Disk):
    """Cannot read behind a byte, as a disk with a bad sector."""

    def __init__(self) -> None:
        self.bad_from: int | None = None

    def read(self, handle: int, length: int, offset: int) -> bytes:
        if self.bad_from is not None and offset + length > self.bad_from:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(handle, length, offset)


class Archive:
    def __init__(self, folder: Path, settings: CommitmentSettings = SETTINGS) -> None:
        self.disk, self.clock = BadDisk(), Clock()
        self.index = Index.open(f"sqlite:///{folder / 'index.db'}")
        self.index.migrate()
        self.index.commitments._clock = self.clock
        self.store = SegmentStore(folder / "objects", disk=self.disk)
        self.ingest = Ingest(self.store, self.index, IngestSettings())
        self.commitment = Commitment(self.index, self.store, settings, clock=self.clock)

    def keep(self, name: str) -> ReferencedInstance:
        content = Path(str(get_testdata_file(name))).read_bytes()
        stored = self.ingest.store_file(Source(HERE, "import"), content)
        return ReferencedInstance(stored.sop_class_uid, stored.key.sop_instance_uid)

    def result(self, *references: ReferencedInstance, principal: Principal = HERE, uid: str = "1.2.3") -> Report:
        key = self.commitment.ask(principal, "MODALITY", uid, references)
        assert self.commitment.verify_next()
        report = self.commitment.result(key)
        assert report is not None
        return report

    def close(self) -> None:
        self.ingest.close()
        self.store.close()
        self.index.close()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = Archive(tmp_path)
    yield opened
    opened.close()


def test_what_is_kept_is_committed_to(archive: Archive) -> None:
    ct, mr = archive.keep("CT_small.dcm"), archive.keep("MR_small.dcm")
    report = archive.result(mr, ct)
    assert (report.committed, report.failed) == ([mr, ct], [])
    assert report.key == CommitmentKey("default", "MODALITY", "1.2.3")


def test_each_failure_has_its_reason(archive: Archive) -> None:
    ct = archive.keep("CT_small.dcm")
    unknown, wrong = ReferencedInstance(CT, "1.2.3.4"), ReferencedInstance(MR, ct.sop_instance_uid)
    report = archive.result(unknown, ct, wrong, ct)
    assert report.committed == [ct, ct]
    assert report.failed == [(unknown, 0x0112), (wrong, 0x0119)]


@pytest.mark.parametrize("odd", ["../1", "1.2 3", "1.2\n1.2.3 1.2.3", "1.2\\1.3", "1.2%2E3", "1\0", "1.é", "9" * 900])
def test_what_can_be_no_uid_fails_alone(archive: Archive, odd: str) -> None:
    """One bad reference among a thousand must not keep the others from their commitment."""
    ct, mr = archive.keep("CT_small.dcm"), archive.keep("MR_small.dcm")
    instance, sop_class = ReferencedInstance(CT, odd), ReferencedInstance(odd, mr.sop_instance_uid)
    report = archive.result(ct, instance, sop_class, mr)
    assert report.committed == [ct, mr]
    assert report.failed == [(instance, 0x0112), (sop_class, 0x0119)]
    assert archive.result(instance, uid="1.2.4").failed == [(instance, 0x0112)]


def test_another_hospitals_instance_is_not_there(archive: Archive) -> None:
    ct = archive.keep("CT_small.dcm")
    assert archive.result(ct, principal=ELSEWHERE).failed == [(ct, 0x0112)]


def _flip(archive: Archive, one: ReferencedInstance, *, from_end: int) -> None:
    [row] = archive.index.instances("default", sop_instance_uid=one.sop_instance_uid)
    path = next(archive.store.root.rglob(f"{row.location.segment.rpartition('/')[2]}*"))
    with path.open("r+b") as file:
        file.seek(row.location.offset + row.location.length - from_end)
        [byte] = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x80]))


@pytest.mark.parametrize("from_end", [1, 5000])
def test_one_flipped_bit_is_found(archive: Archive, from_end: int) -> None:
    ct, mr = archive.keep("CT_small.dcm"), archive.keep("MR_small.dcm")
    _flip(archive, ct, from_end=from_end)
    report = archive.result(ct, mr)
    assert (report.committed, report.failed) == ([mr], [(ct, 0x0110)])


def test_a_disk_that_cannot_be_read_is_a_failure_and_no_crash(archive: Archive) -> None:
    ct = archive.keep("CT_small.dcm")
    archive.disk.bad_from = 4096
    assert archive.result(ct).failed == [(ct, 0x0110)]


def test_a_segment_that_is_gone_or_cut_is_a_failure(archive: Archive) -> None:
    ct, mr = archive.keep("CT_small.dcm"), archive.keep("MR_small.dcm")
    [segment] = archive.store.root.rglob("*.tar")
    [row] = archive.index.instances("default", sop_instance_uid=mr.sop_instance_uid)
    with segment.open("r+b") as file:
        file.truncate(row.location.offset + 1000)
    report = archive.result(ct, mr)
    assert (report.committed, report.failed) == ([ct], [(mr, 0x0110)])
    segment.unlink()
    assert archive.result(ct, mr, uid="1.2.4").failed == [(ct, 0x0110), (mr, 0x0110)]


@pytest.mark.parametrize(
    ("references", "uid", "error"),
    [
        ([], "1.2.3", InvalidRequest),
        ([ReferencedInstance(CT, "1.2")] * 11, "1.2.3", TooLarge),
        ([ReferencedInstance(CT, "1.2")], "1.2\n3", InvalidIdentity),
        ([ReferencedInstance(CT, "1.2")], "", InvalidIdentity),
    ],
)
def test_wrong_requests_leave_nothing(
    archive: Archive, references: list[ReferencedInstance], uid: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        archive.commitment.ask(HERE, "MODALITY", uid, references)
    assert not archive.commitment.verify_next()


def test_a_transaction_uid_in_use(archive: Archive) -> None:
    ct = archive.keep("CT_small.dcm")
    archive.result(ct)
    with pytest.raises(Conflict):
        archive.commitment.ask(HERE, "MODALITY", "1.2.3", [ct, ct])


def test_too_many_open_requests(tmp_path: Path) -> None:
    archive = Archive(tmp_path, CommitmentSettings(max_open_per_peer=2))
    one = ReferencedInstance(CT, "1.2")
    for uid in ("1.1", "1.2"):
        archive.commitment.ask(HERE, "MODALITY", uid, [one])
    with pytest.raises(Busy):
        archive.commitment.ask(HERE, "MODALITY", "1.3", [one])
    archive.close()


def test_a_check_that_is_interrupted_is_begun_again(archive: Archive) -> None:
    ct = archive.keep("CT_small.dcm")
    key = archive.commitment.ask(HERE, "MODALITY", "1.2.3", [ct])
    assert not archive.commitment.verify_next(lambda: True)
    assert archive.commitment.result(key) is None
    assert archive.commitment.verify_next()
    assert archive.commitment.result(key) is not None


def test_the_requester_is_told_again_and_again_until_its_time_is_over(archive: Archive) -> None:
    ct = archive.keep("CT_small.dcm")
    report: Report | None = archive.result(ct)
    pauses = []
    while report is not None:
        archive.commitment.not_told(report, "nobody there")
        assert archive.commitment.next_report() is None
        asleep = 0.0
        while archive.commitment.is_open(report.key) and (found := archive.commitment.next_report()) is None:
            archive.clock.now_s += 5
            asleep += 5
        if not archive.commitment.is_open(report.key):
            break
        report = found
        if len(pauses) < 5:
            pauses.append(asleep)
            continue
        archive.clock.now_s = report.claimed.requested_at_s + SETTINGS.give_up_after_s
    assert pauses == [10, 20, 35, 35, 35]
    assert not archive.commitment.is_open(report.key)


def test_told_once_is_told(archive: Archive) -> None:
    report = archive.result(archive.keep("CT_small.dcm"))
    archive.commitment.told(report)
    assert not archive.commitment.is_open(report.key)
    assert archive.commitment.next_report() is None
    assert archive.commitment.forget() == 0
    archive.clock.now_s += SETTINGS.keep_s
    assert archive.commitment.forget() == 1


def test_one_report_that_fails_does_not_hold_up_the_others(archive: Archive) -> None:
    ct = archive.keep("CT_small.dcm")
    first = archive.result(ct, uid="1.1")
    second = archive.result(ct, uid="1.2")
    archive.commitment.give_back(second)
    archive.commitment.not_told(first, "it answered 0x0110")
    found = archive.commitment.next_report(of=first.key)
    assert found is not None
    assert found.key == second.key


def test_a_requester_that_is_away_is_left_alone_for_all_its_results(archive: Archive) -> None:
    ct = archive.keep("CT_small.dcm")
    first = archive.result(ct, uid="1.1")
    archive.commitment.give_back(archive.result(ct, uid="1.2"))
    archive.commitment.not_told(first, "cannot be reached", is_reachable=False)
    assert archive.commitment.next_report() is None

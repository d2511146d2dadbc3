"""The service whole: notes, rows, bytes, and what every reader then sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.encaps import encapsulate
from sqlalchemy import text

from pacs.commitment import Commitment, FailureReason
from pacs.deletions import MAX_REASON_CHARACTERS, READERS_END_AFTER, Deletions, checked_reason
from pacs.errors import Gone, InvalidIdentity, InvalidRequest, NotFound, Retained, StorageError
from pacs.index import Index
from pacs.ingest.consistency import compare
from pacs.lifecycle import Lifecycle
from pacs.model import Deletion, DeletionState, Level, Outcome, Principal, Query, ReferencedInstance, Source
from pacs.query import Search
from pacs.retrieve import Retrieve
from pacs.settings import CommitmentSettings, IngestSettings, LifecycleSettings
from pacs.storage.bounded_store import BoundedStore
from pacs.storage.derived import FRAMES, DerivedStore, metadata_name, thumbnail_name, xml_metadata_name
from pacs.storage.segments import SegmentStore
from tests.dicomweb.served import written
from tests.dicomweb.videos import mp4_instance
from tests.ingest.small_archive import CT, Place, encoded, open_place
from tests.pixels.numbered_videos import COLUMNS, ROWS, numbered_video

ME = Principal("me")


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Archive:
    """What two processes have of one folder: one deletes, the other reads and keeps what it has read."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.place: Place = open_place(folder, duplicates=settings.pop("duplicates", "refuse"))
        self.derived = DerivedStore(folder / "derived")
        self.clock = Clock()
        self.deletions = Deletions(
            self.place.index, self.place.store, self.derived, LifecycleSettings(**settings), clock=self.clock
        )
        self.index = Index.open(f"sqlite:///{folder / 'index.sqlite'}")
        self.store = SegmentStore(folder / "objects")
        self.retrieve = Retrieve(self.store, self.index, self.derived)

    def delete(self, *uids: str, reason: str = "wrong patient") -> Deletion:
        return self.deletions.delete(ME, *(uids or ("1.2.1",)), reason=reason, source="test")

    def instance(self, number: int) -> Any:
        return self.retrieve.instance(ME, "1.2.1", "1.2.2", f"1.2.3.{number}")

    def seen(self) -> Any:
        found = {level: list(Search(self.index).find(ME, Query(level))) for level in Level}
        try:
            rows = self.retrieve.instances(ME, study_instance_uid="1.2.1")
        except NotFound:
            return found, [], []
        series = self.retrieve.series(ME, "1.2.1")
        metadata = [self.retrieve.series_metadata(ME, "1.2.1", one) for one in series]
        texts = [(one.identity, b"".join(one.text.pieces)) for one in metadata]
        return found, [(row, bytes(self.retrieve.file(row))) for row in rows], texts

    def settle(self) -> None:
        Lifecycle(self.place.index, self.place.store, self.derived, LifecycleSettings(settle_after_s=-1)).settle_once()

    def close(self) -> None:
        self.place.close()
        self.index.close()
        self.store.close()


@pytest.fixture
def archive(tmp_path: Path):
    opened = Archive(tmp_path)
    yield opened
    opened.close()


def segment_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("objects/*/*.tar")))


def test_deleted_for_every_reader_at_once_and_undone_exactly(archive: Archive) -> None:
    for number in (1, 2, 3):
        archive.place.send(encoded(number))
    archive.place.send(encoded(4, SeriesInstanceUID="1.2.4", Modality="SR"))
    archive.settle()
    before = archive.seen()
    assert archive.instance(2).key.sop_instance_uid == "1.2.3.2"  # held by the other process from now on
    for uids in (("1.2.1",), ("1.2.1", "1.2.2"), ("1.2.1", "1.2.2", "1.2.3.2")):
        done = archive.delete(*uids)
        with pytest.raises(Gone, match=r"was deleted at .* restored"):
            archive.instance(2)
        if len(uids) == 1:
            with pytest.raises(Gone):
                archive.retrieve.instances(ME, study_instance_uid="1.2.1")
            with pytest.raises(Gone):
                archive.retrieve.series(ME, "1.2.1")
        with pytest.raises(NotFound) as problem:
            archive.retrieve.instance(ME, "1.2.1", "1.2.2", "1.2.3.99")
        assert not isinstance(problem.value, Gone)
        with pytest.raises(NotFound) as problem:
            archive.retrieve.instance(Principal("other", "elsewhere"), "1.2.1", "1.2.2", "1.2.3.2")
        assert not isinstance(problem.value, Gone)
        assert archive.seen() != before
        count, _ = archive.deletions.restore(ME, done.name)
        assert count == done.instances
        assert archive.seen() == before
        archive.settle()
        assert archive.seen() == before


def test_there_is_no_commitment_to_what_was_deleted(archive: Archive) -> None:
    archive.place.send(encoded(1))
    archive.place.send(encoded(2))
    archive.delete("1.2.1", "1.2.2", "1.2.3.1")
    commitment = Commitment(archive.index, archive.store, CommitmentSettings(same_association_s=0))
    asked = [ReferencedInstance(CT, "1.2.3.1"), ReferencedInstance(CT, "1.2.3.2")]
    key = commitment.ask(ME, "CT1", "1.9", asked)
    assert commitment.verify_next()
    report = commitment.result(key)
    assert report is not None
    assert report.committed == asked[1:]
    assert report.failed == [(asked[0], FailureReason.NO_SUCH_OBJECT_INSTANCE)]


def test_the_reason_is_kept_with_who_and_when(archive: Archive) -> None:
    archive.place.send(encoded(1))
    done = archive.delete(reason="  환자 오류 <script>alert(1)</script> ' \" % ")
    assert done.reason == "환자 오류 <script>alert(1)</script> ' \" %"
    assert (done.principal, done.source, done.instances) == ("me", "test", 1)
    (path,) = archive.folder.glob("objects/default/deletions/*.json")
    said = json.loads(path.read_text())
    assert (said["reason"], said["by"], said["study"]) == (done.reason, "me", "1.2.1")
    assert archive.deletions.all("default", limit=10) == [done]
    assert archive.deletions.all("elsewhere", limit=10) == []
    with pytest.raises(NotFound):
        archive.deletions.one(Principal("x", "elsewhere"), done.name)


@pytest.mark.parametrize(
    "reason",
    [
        None,
        "",
        "   ",
        "a\r\nSet-Cookie: x",
        "a\nlevel=error",
        "a\x1b[2J",
        "\u202egnp.exe",
        "a\u2028x",
        "x" * (MAX_REASON_CHARACTERS + 1),
        "\x00",
    ],
)
def test_without_a_fitting_reason_nothing_is_deleted(archive: Archive, reason: str | None) -> None:
    archive.place.send(encoded(1))
    with pytest.raises(InvalidRequest):
        archive.deletions.delete(ME, "1.2.1", reason=reason, source="test")
    assert archive.instance(1) is not None


def test_a_reason_of_one_line_is_taken_whole() -> None:
    assert checked_reason("x" * MAX_REASON_CHARACTERS) == "x" * MAX_REASON_CHARACTERS
    assert checked_reason("환자\u3000오류") == "환자 오류"
    with pytest.raises(InvalidRequest, match="reason"):
        checked_reason(None)


@pytest.mark.parametrize("uid", ["../1", "", "1.2 ", "1" * 65, "%00", "1.2.1' OR 1=1"])
def test_odd_uids(archive: Archive, uid: str) -> None:
    with pytest.raises(InvalidIdentity):
        archive.delete(uid)
    with pytest.raises(InvalidIdentity):
        archive.delete("1.2.1", uid)
    with pytest.raises(NotFound):
        archive.deletions.restore(ME, uid)


def test_of_an_erased_video_no_picture_stays(archive: Archive) -> None:
    """It has more frames to be seen than frames that are stored, and may claim any number of them."""
    sizes = {"Rows": ROWS, "Columns": COLUMNS, "NumberOfFrames": 40}
    video = mp4_instance(StudyInstanceUID="1.2.1", SeriesInstanceUID="1.2.2", SOPInstanceUID="1.2.3.1", **sizes)
    video.PixelData = encapsulate([numbered_video("H.264 in MP4")])
    video["PixelData"].is_undefined_length = True
    boast = mp4_instance(StudyInstanceUID="1.2.1", SeriesInstanceUID="1.2.2", SOPInstanceUID="1.2.3.2")
    boast.NumberOfFrames = 2_000_000_000
    for each in (video, boast):
        archive.place.ingest.store_file(Source(ME, "test"), written(each))
    before = set(objects(archive.folder))
    kept = archive.retrieve.thumbnails
    for number in range(1, 41):
        assert kept.of_frame(archive.instance(1), number)
    kept.of_instance(archive.instance(1))
    kept.of_series("default", "1.2.1", archive.retrieve.series(ME, "1.2.1")[0])
    kept.of_instance(archive.instance(2))
    assert 1 < len(set(objects(archive.folder)) - before) < 30, "some are kept, and not of every frame"
    archive.delete("1.2.1")
    archive.clock.ahead = timedelta(days=30, minutes=1)
    assert archive.deletions.erase_next()
    assert set(objects(archive.folder)) <= before


def objects(folder: Path) -> Iterator[Path]:
    """Derived ones."""
    return (path for path in (folder / "derived").rglob("*") if path.is_file())


def test_erased_by_schedule_its_bytes_are_gone(archive: Archive) -> None:
    for number in (1, 2, 3):
        archive.place.send(encoded(number, PatientName=f"Secret{number}^Name"))
    archive.settle()
    thumbnail = thumbnail_name(archive.instance(2).digest, 1)
    assert archive.retrieve.thumbnail(archive.instance(2), 1) and archive.derived.get("default", thumbnail)
    frames, digest = BoundedStore(archive.folder / "derived" / FRAMES, 1 << 20), archive.instance(2).digest
    frames.put("default", digest, "frame in another transfer syntax", b"Secret2")
    metadata = [name("1.2.1", "1.2.2") for name in (metadata_name, xml_metadata_name)]
    assert all(archive.derived.get("default", name) for name in metadata)
    done = archive.delete("1.2.1", "1.2.2", "1.2.3.2")
    assert not any(archive.derived.get("default", name) for name in metadata)
    assert not archive.deletions.erase_next()
    archive.clock.ahead = timedelta(days=29, hours=23)
    assert not archive.deletions.erase_next()
    assert b"Secret2" in segment_bytes(archive.folder)
    archive.clock.ahead = timedelta(days=30, minutes=1)
    assert archive.deletions.erase_next() and not archive.deletions.erase_next()
    kept = segment_bytes(archive.folder)
    assert b"Secret2" not in kept and b"Secret1" in kept and b"Secret3" in kept
    assert archive.derived.get("default", thumbnail) is None
    for path in archive.folder.rglob("*"):
        if path.is_file():
            assert b"Secret2" not in path.read_bytes() or "index" in path.name, path
    with pytest.raises(NotFound) as problem:
        archive.retrieve.instance(Principal("other", "elsewhere"), "1.2.1", "1.2.2", "1.2.3.2")
    assert not isinstance(problem.value, Gone)
    with pytest.raises(Gone, match="is erased"):
        archive.instance(2)
    with pytest.raises(NotFound) as problem:
        archive.instance(9)
    assert not isinstance(problem.value, Gone)
    assert bytes(archive.retrieve.file(archive.instance(3)))
    with pytest.raises(Retained):
        archive.deletions.restore(ME, done.name)
    assert archive.deletions.all("default", limit=10) == []
    (history,) = archive.deletions.all("default", with_history=True, limit=10)
    assert (history.state, history.reason) == (DeletionState.ERASED, "wrong patient")
    assert archive.place.send(encoded(2, PatientName="Secret2^Name")).outcome is Outcome.STORED


def test_what_was_erased_is_gone_until_it_is_sent_again(archive: Archive) -> None:
    for number in (1, 2):
        archive.place.send(encoded(number))
    archive.delete("1.2.1")
    archive.clock.ahead = timedelta(days=30, minutes=1)
    assert archive.deletions.erase_next()
    for series in (None, "1.2.2"):
        with pytest.raises(Gone, match="is erased"):
            archive.retrieve.series(ME, "1.2.1", series)
    with pytest.raises(Gone, match=r"^The study 1\.2\.1 was deleted .* whether 1\.2\.3\.2 ever was"):
        archive.instance(2)
    with pytest.raises(Gone, match=r"^1\.2\.1 was deleted") as problem:
        archive.retrieve.series(ME, "1.2.1")
    assert "whether" not in str(problem.value)
    made_up = "9.9.9"
    with pytest.raises(Gone, match=rf"^The study 1\.2\.1 was deleted .* whether {made_up} ever was"):
        archive.retrieve.series(ME, "1.2.1", made_up)
    archive.place.send(encoded(1))
    assert archive.retrieve.series(ME, "1.2.1")
    with pytest.raises(NotFound) as problem:
        archive.instance(2)
    assert not isinstance(problem.value, Gone), "the study that was erased is another one now"


def test_what_never_was_in_a_study_in_the_trash_is_not_found(archive: Archive) -> None:
    archive.place.send(encoded(1))
    archive.delete("1.2.1")
    for made_up in ("9.9.9", None):
        with pytest.raises(NotFound) as problem:
            archive.retrieve.instance(ME, "1.2.1", made_up or "1.2.2", "1.2.3.9")
        assert not isinstance(problem.value, Gone)
    archive.clock.ahead = timedelta(days=30, minutes=1)
    assert archive.deletions.erase_next()
    with pytest.raises(NotFound) as problem:
        archive.retrieve.series(ME, "9.9.9")
    assert not isinstance(problem.value, Gone), "nothing of this study is known"


def test_erased_early_but_not_under_a_reader(archive: Archive) -> None:
    archive.place.send(encoded(1))
    done = archive.delete()
    changed = archive.deletions.erase_early(ME, done.name)
    assert changed.erase_at == done.deleted_at + READERS_END_AFTER
    assert not archive.deletions.erase_next()
    archive.deletions.erase_early(ME, done.name, at_once=True)
    assert archive.deletions.erase_next()


def test_even_without_a_trash_readers_may_end(tmp_path: Path) -> None:
    archive = Archive(tmp_path, trash_days=0)
    archive.place.send(encoded(1))
    view = archive.retrieve.file(archive.instance(1))
    content = bytes(view)
    archive.delete()
    assert not archive.deletions.erase_next() and bytes(view) == content
    archive.clock.ahead = READERS_END_AFTER
    assert archive.deletions.erase_next()
    archive.close()


def test_what_must_be_kept_is_not_deleted(tmp_path: Path) -> None:
    archive = Archive(tmp_path, retain_days=10)
    archive.place.send(encoded(1))
    with pytest.raises(Retained, match=r"kept until 20.*retain_days"):
        archive.delete()
    assert archive.instance(1) is not None and archive.deletions.all(None, with_history=True, limit=9) == []
    archive.clock.ahead = timedelta(days=10, minutes=1)
    archive.delete()
    archive.close()


def test_sent_again_while_in_the_trash_it_is_stored_and_stays(archive: Archive) -> None:
    archive.place.send(encoded(1))
    archive.place.send(encoded(2))
    done = archive.delete()
    assert archive.place.send(encoded(1)).outcome is Outcome.STORED  # the same bytes
    assert archive.place.send(encoded(2, PatientID="P2")).outcome is Outcome.STORED  # corrected ones
    corrected = bytes(archive.retrieve.file(archive.instance(2)))
    assert b"P2" in corrected
    count, now = archive.deletions.restore(ME, done.name)
    assert (count, now.state, now.instances) == (0, DeletionState.IN_TRASH, 2)
    archive.clock.ahead = timedelta(days=31)
    assert archive.deletions.erase_next()
    assert bytes(archive.retrieve.file(archive.instance(2))) == corrected
    assert bytes(archive.retrieve.file(archive.instance(1)))[-512:] == b"\1" * 512


def rebuilt(archive: Archive, folder: Path) -> Archive:
    """The archive after its index was lost."""
    archive.close()
    for path in folder.glob("index*"):
        path.unlink()
    again = Archive(folder)
    again.place.ingest.recover()
    again.deletions.follow_notes()
    return again


@pytest.mark.parametrize("how", ["recover", "repair"])
def test_a_lost_index_knows_what_was_deleted(tmp_path: Path, how: str) -> None:
    archive = Archive(tmp_path)
    for number in range(1, 7):
        archive.place.send(encoded(number, SeriesInstanceUID=f"1.2.2.{number % 2}"))
    in_trash = archive.delete("1.2.1", "1.2.2.1", "1.2.3.1")
    restored = archive.delete("1.2.1", "1.2.2.0", "1.2.3.2")
    archive.deletions.restore(ME, restored.name)
    erased = archive.delete("1.2.1", "1.2.2.1", "1.2.3.3")
    archive.deletions.erase_early(ME, erased.name, at_once=True)
    assert archive.deletions.erase_next()
    again = archive.delete("1.2.1", "1.2.2.0", "1.2.3.4")
    archive.place.send(encoded(4, SeriesInstanceUID="1.2.2.0"))
    before = archive.seen()
    history = archive.deletions.all(None, with_history=True, limit=99)
    if how == "recover":
        archive = rebuilt(archive, tmp_path)
    else:
        archive.close()
        for path in tmp_path.glob("index*"):
            path.unlink()
        archive = Archive(tmp_path)
        compare(archive.place.store, archive.place.index, IngestSettings(), repair=True)
        archive.deletions.follow_notes()

    def plain(seen: Any) -> Any:
        """The moment of storing is that of the record, in milliseconds."""
        found, rows, texts = seen
        return found, sorted((str(row.key), file) for row, file in rows), sorted(texts)

    assert plain(archive.seen())[1] == plain(before)[1]
    assert archive.seen()[0][Level.STUDY] == before[0][Level.STUDY]
    now = archive.deletions.all(None, with_history=True, limit=99)
    assert {one.name for one in now} == {one.name for one in history if one.state is not DeletionState.RESTORED}
    findings = compare(archive.place.store, archive.place.index, IngestSettings(), with_digests=True)
    assert findings.is_sound and findings.records_without_row == 0
    # What is in the trash of the new index is as good as it was.
    count, _ = archive.deletions.restore(ME, in_trash.name)
    assert count == 1 and archive.retrieve.instance(ME, "1.2.1", "1.2.2.1", "1.2.3.1")
    assert archive.deletions.restore(ME, again.name)[0] == 0
    found = archive.seen()[0][Level.STUDY]
    assert (found[0]["00201206"]["Value"], found[0]["00201208"]["Value"]) == ([2], [5])
    archive.clock.ahead = timedelta(days=31)
    while archive.deletions.erase_next():
        pass
    assert compare(archive.place.store, archive.place.index, IngestSettings(), with_digests=True).is_sound
    archive.close()


def test_without_its_note_a_deleted_instance_would_come_back(tmp_path: Path) -> None:
    """The control of the test above."""
    archive = Archive(tmp_path)
    archive.place.send(encoded(1))
    archive.delete()
    for path in tmp_path.glob("objects/*/deletions/*"):
        path.unlink()
    archive = rebuilt(archive, tmp_path)
    assert archive.instance(1) is not None
    archive.close()


def test_a_second_copy_does_not_come_back(tmp_path: Path) -> None:
    """Two processes had stored the same instance at once, and the second one's record was never voided."""
    archive = Archive(tmp_path)
    archive.place.send(encoded(1))
    row = archive.instance(1)
    archive.close()
    (segment,) = tmp_path.glob("objects/default/*.tar")
    name = segment.stem
    other = f"{int(name, 16) + 1:032x}"
    segment.with_name(f"{other}.tar").write_bytes(segment.read_bytes().replace(name.encode(), other.encode()))
    archive = Archive(tmp_path)
    archive.place.ingest.recover()
    assert archive.instance(1).location == row.location
    archive.delete()
    archive = rebuilt(archive, tmp_path)
    with pytest.raises(Gone):
        archive.instance(1)
    assert compare(archive.place.store, archive.place.index, IngestSettings()).records_without_row == 0
    archive.close()


def test_a_failing_note_deletes_nothing(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.place.send(encoded(1))
    before = archive.seen()

    def full(*_: object) -> None:
        raise StorageError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(archive.place.store.deletions, "write", full)
        with pytest.raises(StorageError):
            archive.delete()
    assert archive.seen() == before
    assert archive.deletions.follow_notes() == 0


def test_an_index_that_fails_after_the_note_deletes_nothing(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.place.send(encoded(1))
    before = archive.seen()
    write = archive.place.store.deletions.write

    def break_after(note: Any) -> None:
        write(note)
        if note.deletion.state is DeletionState.IN_TRASH:
            raise StorageError("the index ended")

    monkeypatch.setattr(archive.place.store.deletions, "write", break_after)
    with pytest.raises(StorageError):
        archive.delete()
    assert archive.deletions.follow_notes() == 0 and archive.seen() == before


def test_notes_hold_after_an_older_index_was_put_back(archive: Archive) -> None:
    """A deletion and a restoring that a backup of the index knows nothing of."""
    for number in (1, 2):
        archive.place.send(encoded(number))
    first = archive.delete("1.2.1", "1.2.2", "1.2.3.1")
    with archive.place.index._engine.begin() as connection:
        rows = list(connection.execute(text("SELECT * FROM deletions")).mappings())
    second = archive.delete("1.2.1", "1.2.2", "1.2.3.2")
    archive.place.index.trash.restore("default", second.name, lambda *_: None)
    archive.place.index.trash.restore("default", first.name, lambda *_: None)
    archive.place.index.trash.put(replace(first, name=first.name[::-1]), lambda *_: None)
    with archive.place.index._engine.begin() as connection:
        connection.execute(text("DELETE FROM deletions WHERE name = :name"), {"name": second.name})
    assert len(rows) == 1
    assert archive.deletions.follow_notes() == 3
    with pytest.raises(Gone):
        archive.instance(2)
    with pytest.raises(Gone):
        archive.instance(1)
    assert archive.deletions.follow_notes() == 0

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pacs.errors import InvalidIdentity, NotFound, StorageError
from pacs.model import Deletion, DeletionState
from pacs.storage.deletion_notes import DeletedRecord, DeletionNotes, Note
from pacs.storage.disk import Disk

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
DELETION = Deletion(
    name="ab" * 16,
    hospital="default",
    study_instance_uid="1.2",
    series_instance_uid="1.3",
    sop_instance_uid=None,
    reason='환자가 "틀림" </script>',
    principal="anonymous",
    source="127.0.0.1",
    deleted_at=AT,
    erase_at=AT + timedelta(days=30),
    instances=2,
    stored_bytes=30,
)
SEGMENT = "default/" + "0" * 32
RECORDS = (
    DeletedRecord(SEGMENT, 1536, 10, "1.4", "d1"),
    DeletedRecord(SEGMENT, 4096, 20, "1.5", "d2", 2048),
)
NOTE = Note(DELETION, RECORDS)


@pytest.fixture
def notes(tmp_path: Path) -> DeletionNotes:
    return DeletionNotes(tmp_path, Disk())


def test_what_is_written_is_read_again(notes: DeletionNotes) -> None:
    notes.write(NOTE)
    assert notes.states() == {("default", DELETION.name): DeletionState.IN_TRASH}
    assert notes.read("default", DELETION.name, DeletionState.IN_TRASH) == NOTE


def test_a_later_state_takes_the_place_of_the_one_before(notes: DeletionNotes, tmp_path: Path) -> None:
    notes.write(NOTE)
    notes.write(replace(NOTE, deletion=replace(DELETION, state=DeletionState.ERASED)))
    assert [path.name for path in tmp_path.glob("default/deletions/*")] == [f"{DELETION.name}.erased.json"]


def test_of_two_that_a_crash_left_the_later_counts(notes: DeletionNotes, tmp_path: Path) -> None:
    notes.write(replace(NOTE, deletion=replace(DELETION, state=DeletionState.RESTORED)))
    restored = next(tmp_path.glob("default/deletions/*.json"))
    content = restored.read_bytes()
    notes.write(NOTE)
    restored.write_bytes(content)
    assert notes.states() == {("default", DELETION.name): DeletionState.RESTORED}


def test_what_it_says_of_records(notes: DeletionNotes) -> None:
    notes.write(NOTE)
    fates = notes.fates()
    assert fates.of_place(SEGMENT, 1536) == DELETION and fates.of_place(SEGMENT, 1024) is None
    before, after = (AT - timedelta(seconds=1)).isoformat(), (AT + timedelta(seconds=1)).isoformat()
    assert fates.is_second_copy("default", "1.4", "d1", before)
    assert not fates.is_second_copy("default", "1.4", "d1", after)  # it was sent again
    assert not fates.is_second_copy("default", "1.4", "d2", before)
    assert not fates.is_second_copy("other", "1.4", "d1", before)
    assert not fates.is_second_copy("default", "1.4", "d1", "nonsense")
    assert not fates.is_erased(SEGMENT, 2048, 2560)
    notes.write(replace(NOTE, deletion=replace(DELETION, state=DeletionState.ERASING)))
    assert notes.fates().is_erased(SEGMENT, 2048, 2560) and not notes.fates().is_erased(SEGMENT, 0, 1536)
    notes.write(replace(NOTE, deletion=replace(DELETION, state=DeletionState.RESTORED)))
    assert notes.fates().of_place(SEGMENT, 1536) is None


def test_notes_that_are_none_are_left_alone(notes: DeletionNotes, tmp_path: Path) -> None:
    notes.write(NOTE)
    folder = tmp_path / "default" / "deletions"
    for name in ("x.json", f"{'cd' * 16}.nonsense.json", f"{'cd' * 16}.in-trash.json.1.new", "..json"):
        (folder / name).write_text("{}")
    (folder / f"{'ef' * 16}.in-trash.json").write_text('{"form": 1}')
    assert len(notes.states()) == 2
    assert notes.fates().of_place(SEGMENT, 1536) == DELETION  # the damaged one is told in the log and left out
    with pytest.raises(StorageError, match="damaged"):
        notes.read("default", "ef" * 16, DeletionState.IN_TRASH)
    with pytest.raises(NotFound):
        notes.read("default", "99" * 16, DeletionState.IN_TRASH)
    with pytest.raises(InvalidIdentity):
        notes.read("../default", DELETION.name, DeletionState.IN_TRASH)

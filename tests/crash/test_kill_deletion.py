"""kill -9 at each call of deleting, restoring and erasing: the next start has it done or not done, and never half.

What was acknowledged holds, also when the index is lost with the process.
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from pacs.ingest.consistency import compare
from pacs.model import DeletionState
from pacs.settings import IngestSettings
from tests.crash.delete_forever import ME, deletions_of, run
from tests.crash.killed import run_until_killed
from tests.crash.privileges import SOAK
from tests.ingest.small_archive import encoded, open_place

MODULE = "tests.crash.delete_forever"
BEFORE = {"delete": (1, 2, 3), "restore": (1, 3), "erase": (1, 3)}
AFTER = {"delete": (1, 3), "restore": (1, 2, 3), "erase": (1, 3)}


def content_of(number: int) -> bytes:
    return encoded(number, PatientName=f"Secret{number}^Name")


def prepared(folder: Path, step: str) -> Path:
    """Three instances; for restoring and erasing the second is in the trash already."""
    folder.mkdir()
    place = open_place(folder)
    for number in (1, 2, 3):
        place.send(content_of(number))
    if step != "delete":
        deletions_of(place, folder).delete(ME, "1.2.1", "1.2.2", "1.2.3.2", reason="test", source="test")
    place.close()
    return folder


def survey(folder: Path, step: str, told: list[int], *, is_index_lost: bool = False) -> bool:
    """Start again, check all promises; whether the step took place."""
    if is_index_lost:
        for path in folder.glob("index*"):
            path.unlink()
    place = open_place(folder)
    try:
        place.ingest.recover()
        deletions = deletions_of(place, folder)
        deletions.follow_notes()
        assert deletions.follow_notes() == 0
        rows = place.index.instances("default", study_instance_uid="1.2.1")
        found = tuple(int(row.key.sop_instance_uid.rpartition(".")[2]) for row in rows)
        is_done = found == AFTER[step] and (step != "erase" or not place.index.trash.all(None))
        assert found in (BEFORE[step], AFTER[step])
        assert is_done or not told, "what was acknowledged did not take place"
        for row, number in zip(rows, found, strict=True):
            assert bytes(place.store.view(row.location)[row.location.data_set_offset :]) == content_of(number)
        (series,) = place.index.contents.series("default", "1.2.1")
        assert series.instances == len(found)
        assert compare(place.store, place.index, IngestSettings(), with_digests=True).is_sound
        if step == "erase":
            while deletions_of(place, folder, ahead=timedelta(days=31)).erase_next():
                pass
            kept = b"".join(path.read_bytes() for path in folder.glob("objects/*/*.tar"))
            assert b"Secret2" not in kept and b"Secret1" in kept and b"Secret3" in kept
            assert [one.state for one in place.index.trash.all(None, states=list(DeletionState))] == ["erased"]
        elif not is_done:
            if step == "delete":
                deletions.delete(ME, "1.2.1", "1.2.2", "1.2.3.2", reason="again", source="test")
            else:
                (one,) = place.index.trash.all(None)
                assert deletions.restore(ME, one.name)[0] == 1
        else:
            # Whatever it was, the opposite can be done.
            place.send(content_of(2))
        assert compare(place.store, place.index, IngestSettings(), with_digests=True).is_sound
        return is_done
    finally:
        place.close()


_AROUND_A_NOTE = ("create", "write", "sync", "sync_folder", "unlink")
CALLS = {
    "delete": [("make_folder", 1), *((call, 1) for call in _AROUND_A_NOTE), ("unlink", 3)],
    "restore": [*((call, 1) for call in _AROUND_A_NOTE), ("unlink", 2)],
    "erase": [
        *((call, 1) for call in _AROUND_A_NOTE),
        *(("open_to_erase", 1), ("erase", 1), ("write", 2), ("sync", 2)),
        *(("create", 2), ("write", 3), ("sync", 3), ("sync_folder", 2), ("unlink", 4), ("unlink", 5)),
    ],
}
"""Of the disk: of one note, of the segment, of the second note."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("step", list(CALLS))
def test_killed_right_before_a_call_of_the_disk(tmp_path: Path, step: str) -> None:
    base = prepared(tmp_path / "base", step)
    outcomes = set()
    for number, (call, at) in enumerate(CALLS[step]):
        # Otherwise every second one of each kind: the next call is hardly another state of the disk.
        for is_index_lost in (False, True) if SOAK else (bool(number % 2),):
            folder = tmp_path / f"{number}{is_index_lost}"
            shutil.copytree(base, folder)
            assert killed(folder, step, call, at) == -signal.SIGKILL, f"{call} {at} was not reached"
            outcomes.add(survey(folder, step, [], is_index_lost=is_index_lost))
    assert outcomes == {True, False}, "some kills are before the note, some behind it"


def killed(folder: Path, step: str, call: str, at: int) -> int | None:
    """The step in a process of its own, which nothing but its own signal ends before it is through."""
    process = multiprocessing.get_context("fork").Process(target=run, args=(folder, step, call, at))
    process.start()
    process.join()
    return process.exitcode


def test_the_control_a_deletion_without_its_note_is_forgotten(tmp_path: Path) -> None:
    """What the notes are for: without them the survey finds that what was acknowledged did not take place."""
    folder = prepared(tmp_path / "base", "delete")
    told = run_until_killed(MODULE, folder, "delete")
    assert told == [1]
    for path in folder.glob("objects/*/deletions/*"):
        path.unlink()
    with pytest.raises(AssertionError, match="acknowledged"):
        survey(folder, "delete", told, is_index_lost=True)

"""Marks tell of every change, in all processes that map the file, and only of changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacs.errors import IndexUnavailable
from pacs.index.change_marks import ChangeMarks


def test_a_change_is_seen_by_another_holder_of_the_file(tmp_path: Path) -> None:
    ours, theirs = ChangeMarks(tmp_path / "changes"), ChangeMarks(tmp_path / "changes")
    mark, other = ours.mark("default", "1.2"), ours.mark("default", "1.3")
    assert ours.is_current(mark)
    theirs.changed("default", "1.2")
    assert not ours.is_current(mark)
    assert ours.is_current(other)
    theirs.all_changed()
    assert not ours.is_current(other)


def test_a_hospital_does_not_share_a_mark_by_its_name_alone(tmp_path: Path) -> None:
    marks = ChangeMarks(tmp_path / "changes")
    mark = marks.mark("a", "1.2")
    marks.changed("b", "1.2")
    assert marks.is_current(mark)


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_transaction_changes_marks_however_it_ends(tmp_path: Path, is_failing: bool) -> None:
    marks = ChangeMarks(tmp_path / "changes")
    mark = marks.mark("default", "1.2")
    try:
        with marks.of([("default", "1.2")]):
            assert marks.is_current(mark)
            if is_failing:
                raise OSError
    except OSError:
        pass
    assert not marks.is_current(mark)


def test_all_are_changed_however_it_ends(tmp_path: Path) -> None:
    marks = ChangeMarks(tmp_path / "changes")
    mark = marks.mark("default", "1.2")
    with pytest.raises(OSError, match="x"), marks.of_all():
        raise OSError("x")
    assert not marks.is_current(mark)


def test_without_a_file_nothing_is_current() -> None:
    marks = ChangeMarks(None)
    assert not marks.is_current(marks.mark("default", "1.2"))
    marks.changed("default", "1.2")
    marks.all_changed()


def test_marks_survive_with_their_file(tmp_path: Path) -> None:
    first = ChangeMarks(tmp_path / "changes")
    first.changed("default", "1.2")
    mark = first.mark("default", "1.2")
    first.close()
    assert ChangeMarks(tmp_path / "changes").is_current(mark)


def test_a_file_that_cannot_be_opened_is_said_before_anything_is_changed(tmp_path: Path) -> None:
    marks = ChangeMarks(tmp_path / "missing" / "changes")
    with pytest.raises(IndexUnavailable, match="change marks"), marks.of([("default", "1.2")]):
        pytest.fail("the transaction was begun")

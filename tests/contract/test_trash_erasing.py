"""Erasing what is in the trash when its time has come, and an index that follows the notes of the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from pacs.errors import Retained
from pacs.index import Index
from pacs.index.engine import open_engine
from pacs.index.tables import metadata
from pacs.model import DeletionState
from tests.contract.deleted import Notes, deletion, filled, rows_of, seen, study


def test_erased_it_leaves_no_row_and_no_gram(index: Index, notes: Notes) -> None:
    filled(index)
    index.trash.put(deletion("1.2"), notes)
    whole = rows_of(index)
    done = index.trash.put(deletion("1.3"), notes)
    part = index.trash.put(deletion("1.1", "1.1.1", "1.1.1.1"), notes)
    before = seen(index)
    for one in (done, part):
        begun = index.trash.begin_erasing(one, notes)
        assert begun is not None and begun.state is DeletionState.ERASING
        with pytest.raises(Retained):
            index.trash.restore("default", one.name, notes)
        index.trash.erased(begun)
        with pytest.raises(Retained):
            index.trash.restore("default", one.name, notes)
    assert seen(index) == before
    now = rows_of(index)
    assert now["instances"] == whole["instances"] - 7 and now["studies"] == whole["studies"] - 1
    assert now["patients"] == whole["patients"] - 1
    engine = open_engine(index._engine.url.render_as_string(hide_password=False))
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            assert connection.execute(text("SELECT count(*) FROM study_grams")).scalar() == now["studies"]
            places = connection.execute(text("SELECT DISTINCT place FROM study_wholes ORDER BY 1")).scalars().all()
            assert places == connection.execute(text("SELECT place FROM study_grams ORDER BY 1")).scalars().all()
        else:
            connection.execute(text("INSERT INTO study_grams(study_grams) VALUES ('integrity-check')"))
    engine.dispose()
    assert [one.state for one in index.trash.all("default", states=list(DeletionState))].count(
        DeletionState.ERASED
    ) == 2
    # The same study sent again is new, also where its row's number is used again.
    index.add(study(3, patient="P3"))
    assert len(index.instances("default", study_instance_uid="1.3")) == 6


def test_only_what_is_due_is_erased(index: Index, notes: Notes) -> None:
    filled(index)
    now = datetime.now(UTC)
    late = index.trash.put(deletion("1.1", erase_at=now + timedelta(days=2)), notes)
    soon = index.trash.put(deletion("1.2", erase_at=now + timedelta(days=1)), notes)
    assert index.trash.due(now) is None
    assert index.trash.due(now + timedelta(days=3)).name == soon.name
    hastened = index.trash.hasten("default", late.name, now, notes)
    assert hastened.erase_at <= now and notes.last[late.name][0] == hastened
    assert index.trash.due(now).name == late.name
    index.trash.begin_erasing(soon, notes)
    assert index.trash.due(now).name == soon.name  # what was begun comes first
    index.trash.erased(soon)
    assert index.trash.begin_erasing(soon, notes) is None
    with pytest.raises(Retained):
        index.trash.hasten("default", soon.name, now, notes)


@pytest.mark.parametrize("last", list(DeletionState))
def test_the_index_follows_the_notes(index: Index, notes: Notes, last: DeletionState) -> None:
    """Whatever it knew: nothing of the deletion, that it is in the trash, or that it was restored."""
    for number, knows in enumerate(("nothing", "in-trash", "restored", "part"), start=1):
        index.add(study(number))
        whole = seen(index)
        done = index.trash.put(deletion(f"1.{number}", f"1.{number}.1"), notes)
        places, without = notes.last[done.name][1], seen(index)
        if knows in ("nothing", "restored"):
            index.trash.restore("default", done.name, notes)
        elif knows == "part":
            index.trash.restore("default", done.name, notes, sop=f"1.{number}.1.2")
        if knows == "nothing":
            with index._engine.begin() as connection:
                connection.execute(metadata.tables["deletions"].delete())
        is_there = knows in ("nothing", "restored")
        for _ in range(2):  # again is the same
            index.trash.adopt(replace(done, state=last), places)
            assert index.trash.one("default", done.name).state is last
            if last is DeletionState.RESTORED or (last is DeletionState.ERASED and is_there):
                assert seen(index) == whole
            elif not (last is DeletionState.ERASED and knows == "part"):
                assert seen(index) == without

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pacs.storage.change_stamp import ChangeStamp


def test_another_process_sees_it_at_once(tmp_path: Path) -> None:
    stamp = ChangeStamp(tmp_path / "objects" / "changes")
    before = stamp.now()
    assert before is not None and stamp.now() == before
    program = (
        "import sys; from pathlib import Path; from pacs.storage.change_stamp import ChangeStamp\n"
        "with ChangeStamp(Path(sys.argv[1])).changing(): pass"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "objects" / "changes")], check=True)
    assert stamp.now() not in (None, before)


def test_nothing_held_is_used_during_a_change_nor_after_a_killed_one(tmp_path: Path) -> None:
    stamp = ChangeStamp(tmp_path / "changes")
    before = stamp.now()
    child = os.fork()
    if not child:
        with ChangeStamp(tmp_path / "changes").changing():
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert stamp.now() is None
    stamp.mend()
    after = stamp.now()
    assert after is not None and after != before
    stamp.mend()
    assert stamp.now() == after


def test_a_change_that_fails_counts_as_one(tmp_path: Path) -> None:
    stamp = ChangeStamp(tmp_path / "changes")
    before = stamp.now()
    with pytest.raises(ZeroDivisionError), stamp.changing():
        assert stamp.now() is None
        raise ZeroDivisionError
    assert stamp.now() not in (None, before)


def test_a_stamp_that_cannot_be_seen_lets_nothing_be_held(tmp_path: Path) -> None:
    (tmp_path / "changes").mkdir()
    assert ChangeStamp(tmp_path / "changes").now() is None

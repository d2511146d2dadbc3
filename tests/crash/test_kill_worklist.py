"""kill -9 between a change of a workitem and its event: there is no between."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pacs.index import Index
from pacs.index.subscriptions import GlobalSubscription

UID = "1.2.3"


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'index.sqlite'}"
    index = Index.open(url)
    index.migrate()
    wanted = GlobalSubscription("default", "WATCH", "1.2.840.10008.5.1.4.34.5", False, "")
    index.workitems.subscribe_to_all(wanted, lambda kept: True, lambda kept: ())
    index.workitems.create("default", UID, "SCHEDULED", {}, [], lambda one: True)
    index.close()
    return url


def state_and_events(url: str, *how: str) -> tuple[str, list[str]]:
    """After a process has claimed the workitem and was killed at once."""
    program = Path(__file__).with_name("claim_and_die.py")
    ended = subprocess.run([sys.executable, str(program), url, UID, *how], timeout=200, check=False)
    assert ended.returncode == -signal.SIGKILL
    index = Index.open(url)
    kept = index.workitems.get("default", UID)
    assert kept is not None
    events = index.workitems.subscriptions.waiting("default", "WATCH", 0, 10)
    index.close()
    return kept.state, [one.event.attributes["00741000"]["Value"][0] for one in events]


def test_the_event_is_there_when_the_change_is(url: str) -> None:
    assert state_and_events(url) == ("IN PROGRESS", ["IN PROGRESS"])


def test_an_event_written_afterwards_would_be_lost(url: str) -> None:
    """The control."""
    assert state_and_events(url, "later") == ("IN PROGRESS", [])

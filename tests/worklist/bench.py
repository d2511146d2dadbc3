"""A worklist, and what its subscribers heard."""

from __future__ import annotations

from typing import Any

from pacs.index import Index
from pacs.model import Principal
from pacs.settings import WorklistSettings
from pacs.worklist.service import Worklist
from tests.worklist.workitems import claim, new_uid, workitem

US = Principal("anonymous")
THEM = Principal("anonymous", "other")
STATE = "00741000"


class Bench:
    """A worklist, and what its subscribers heard."""

    def __init__(self, index: Index) -> None:
        self.now = 1_700_000_000.0
        self.index = index
        index.workitems._clock = lambda: self.now
        settings = WorklistSettings(max_subscribers=3, keep_ended_s=100, max_waiting_events=5, keep_events_s=1000)
        self.worklist = Worklist(index, settings, clock=lambda: self.now)

    def create(self, **values: Any) -> str:
        return self.worklist.create(US, new_uid(), workitem(**values)).workitem_uid

    def claimed(self, **values: Any) -> tuple[str, str]:
        uid, transaction = self.create(**values), new_uid()
        self.worklist.change_state(US, uid, claim(transaction))
        return uid, transaction

    def state(self, uid: str) -> str:
        value: str = self.worklist.retrieve(US, uid)[STATE]["Value"][0]
        return value

    def heard(self, subscriber: str, hospital: str = US.hospital) -> list[tuple[int, str]]:
        """Event type and state (or "") of everything that waits, which is then delivered."""
        found = self.worklist.waiting(hospital, subscriber, 0, 1000)
        if found:
            self.worklist.delivered(hospital, subscriber, found[-1][0])
        return [(one["00001002"]["Value"][0], one.get(STATE, {}).get("Value", [""])[0]) for _, one in found]

"""Random sequences of requests, against a small model of PS3.4 Table CC.1.1-2 written down by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pacs.index import Index
from pacs.worklist.service import Worklist
from tests.dicomweb.worklist_client import Client
from tests.worklist.workitems import new_uid, performed, reason, to_state, workitem

SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED = "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"
_STATES = (SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED)
_UIDS = (None, "1.2.3", "1.2.4")
"""No Transaction UID, and those of two performers."""

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create")),
        st.tuples(st.just("change"), st.sampled_from(_STATES), st.sampled_from(_UIDS)),
        # The way through is rare among random steps, so it is offered more often.
        st.tuples(st.just("change"), st.sampled_from((IN_PROGRESS, COMPLETED, CANCELED)), st.just("1.2.3")),
        st.tuples(st.just("update"), st.sampled_from(("performed", "reason")), st.sampled_from(_UIDS)),
        st.tuples(st.just("update"), st.sampled_from(("performed", "reason")), st.just("1.2.3")),
        st.tuples(st.just("cancel")),
        st.tuples(st.sampled_from(("subscribe", "unsubscribe"))),
    ),
    max_size=14,
)


class Model:
    """What the standard says of one workitem and one subscriber."""

    def __init__(self) -> None:
        self.state = ""
        self.owner: str | None = None
        self.has: set[str] = set()
        self.is_watched = False
        self.events: list[tuple[int, str]] = []

    def create(self) -> int:
        if self.state:
            return 409
        self.state = SCHEDULED
        return 201

    def change(self, asked: str, uid: str | None) -> int:
        if not self.state:
            return 404
        if uid is None or (self.owner and uid != self.owner):
            return 400
        if asked == SCHEDULED:
            return 409
        if self.state in (COMPLETED, CANCELED):
            return 200 if asked == self.state else 409
        if self.state == SCHEDULED:
            if asked != IN_PROGRESS:
                return 409
            self.owner = uid
        elif asked == IN_PROGRESS or ("performed" if asked == COMPLETED else "reason") not in self.has:
            return 409
        self._become(asked)
        return 200

    def update(self, what: str, uid: str | None) -> int:
        if not self.state:
            return 404
        if self.state in (COMPLETED, CANCELED):
            return 400
        if self.state == SCHEDULED and uid:
            return 409
        if self.state == IN_PROGRESS and uid != self.owner:
            return 400
        self.has.add(what)
        return 200

    def cancel(self) -> int:
        match self.state:
            case "":
                return 404
            case "COMPLETED":
                return 409
            case "SCHEDULED":
                self._become(IN_PROGRESS)
                self._become(CANCELED)
            case "IN PROGRESS" if not self.is_watched:
                return 409
            case "IN PROGRESS":
                self.events.append((2, ""))
        return 202

    def subscribe(self) -> int:
        if not self.state:
            return 404
        self.is_watched = True
        self.events.append((1, self.state))
        return 201

    def unsubscribe(self) -> int:
        was, self.is_watched = self.is_watched, False
        return 200 if was else 404

    def _become(self, state: str) -> None:
        self.state = state
        if self.is_watched:
            self.events.append((1, state))


def sent(client: Client, workitem_uid: str, step: tuple[str | None, ...]) -> int:
    path = f"/workitems/{workitem_uid}"
    match step:
        case ("create",):
            return client.request("POST", f"/workitems?{workitem_uid}", workitem()).status_code
        case ("change", str(state), uid):
            return client.request("PUT", f"{path}/state", to_state(state, uid)).status_code
        case ("update", what, uid):
            body = performed() if what == "performed" else reason()
            return client.request("POST", path + (f"?{uid}" if uid else ""), body).status_code
        case ("cancel",):
            return client.request("POST", f"{path}/cancelrequest").status_code
        case ("subscribe",):
            return client.request("POST", f"{path}/subscribers/W").status_code
        case _:
            return client.request("DELETE", f"{path}/subscribers/W").status_code


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    index = Index.open(f"sqlite:///{tmp_path_factory.mktemp('states') / 'index.sqlite'}")
    index.migrate()
    client = Client(Worklist(index))
    yield client
    client.close()
    index.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_worklist_does_what_the_table_says(client: Client, steps: list[tuple[str | None, ...]]) -> None:
    model, uid = Model(), new_uid()
    for step in steps:
        name, *arguments = step
        assert sent(client, uid, step) == getattr(model, str(name))(*arguments), (step, model.state)
    if model.state:
        (kept,) = client.request("GET", f"/workitems/{uid}").json()
        assert kept["00741000"]["Value"] == [model.state]
        assert "00081195" not in kept
    waiting = client.worklist.waiting("default", "W", 0, 1000)
    own = [report for _, report in waiting if report["00001000"]["Value"] == [uid]]
    assert [(one["00001002"]["Value"][0], one.get("00741000", {}).get("Value", [""])[0]) for one in own] == model.events
    if waiting:
        client.worklist.delivered("default", "W", waiting[-1][0])

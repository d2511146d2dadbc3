"""What is given again without a look-up: to the same principal, for the same request, while its bytes are there."""

from __future__ import annotations

import asyncio
import mmap
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Scope

from pacs.dicomweb import kept_answers
from pacs.dicomweb.hot import Answer, HotRoute, Keeping
from pacs.dicomweb.kept_answers import KeptAnswers
from pacs.errors import NotFound
from pacs.index.change_marks import ChangeMarks
from pacs.measured.counts import Counts
from pacs.model import Principal

KEEPABLE = {"cache-control": "private, no-cache", "etag": '"1"', "content-length": "5"}


@pytest.fixture
def changes(tmp_path: Path) -> ChangeMarks:
    return ChangeMarks(tmp_path / "changes")


class Asked:
    """A route whose function counts its calls."""

    def __init__(self, answer: Answer | None = None, changes: ChangeMarks | None = None) -> None:
        self.calls = 0
        self.principal = Principal("one")
        self.changes = changes or ChangeMarks(None)
        self._answer = answer
        keeping = Keeping(
            lambda _: self.principal,
            lambda principal, study: self.changes.mark(principal.hospital, study),
            KeptAnswers(self.changes.is_current),
            Counts.alone(),
        )
        self.route = HotRoute(self._prepare, keeping=keeping)

    def _prepare(self, _scope: Scope) -> Answer:
        self.calls += 1
        if self._answer is None:
            raise NotFound("nothing here")
        return self._answer

    def get(self, path: str = "/a", query: bytes = b"", **fields: str) -> tuple[int, bytes]:
        messages: list[Any] = []
        headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": headers}
        scope["path_params"] = {"study": "1.2"}

        async def send(message: Any) -> None:
            messages.append(message)

        async def receive() -> Any:
            return {"type": "http.request"}

        asyncio.run(self.route(scope, receive, send))
        return messages[0]["status"], b"".join(message["body"] for message in messages[1:])


def test_the_same_request_is_answered_again_without_the_function(changes: ChangeMarks) -> None:
    asked = Asked(Answer(KEEPABLE, iter([b"fra", b"me"])), changes)
    assert [asked.get(host="h", accept="x/y"), asked.get(host="h", accept="x/y")] == [(200, b"frame")] * 2
    assert asked.calls == 1
    assert asked.get(host="h", accept="x/y", if_none_match='"1"') == (304, b"")
    assert asked.get(host="h", accept="x/y", range="bytes=1-2") == (206, b"ra")
    assert asked.calls == 1


@pytest.mark.parametrize(
    "other",
    [{"host": "h2"}, {"accept": "x/z"}, {"accept_encoding": "gzip"}, {"path": "/b"}, {"query": b"accept=x%2Fz"}],
    ids=str,
)
def test_another_request_is_looked_up(other: dict[str, Any], changes: ChangeMarks) -> None:
    asked = Asked(Answer(KEEPABLE, [b"frame"]), changes)
    asked.get(host="h", accept="x/y")
    asked.get(**{"host": "h", "accept": "x/y", **other})
    assert asked.calls == 2


def test_another_principal_is_looked_up_for_itself(changes: ChangeMarks) -> None:
    asked = Asked(Answer(KEEPABLE, [b"frame"]), changes)
    asked.get()
    asked.principal = Principal("two", hospital="other")
    asked.get()
    assert asked.calls == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"content-length": "5"}, [b"frame"]),
        Answer(KEEPABLE, [b"frame"], status=404),
        Answer(KEEPABLE, [b"frame"], is_lazy=True),
        Answer({**KEEPABLE, "content-length": "5000"}, [bytes(5000)]),
    ],
    ids=["no entity tag", "no success", "made while it is sent", "decoded"],
)
def test_what_cannot_be_told_apart_or_takes_memory_is_not_kept(answer: Answer, changes: ChangeMarks) -> None:
    asked = Asked(answer, changes)
    asked.get()
    asked.get()
    assert asked.calls == 2


def test_an_error_is_not_kept(changes: ChangeMarks) -> None:
    asked = Asked(None, changes)
    for _ in range(2):
        with pytest.raises(NotFound):
            asked.get()
    assert asked.calls == 2


def test_a_file_that_was_cut_is_not_touched_again(tmp_path: Path, changes: ChangeMarks) -> None:
    file = tmp_path / "segment"
    file.write_bytes(bytes(3 * mmap.PAGESIZE))
    with file.open("rb") as opened:
        mapping = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    asked = Asked(Answer({**KEEPABLE, "content-length": "10"}, [memoryview(mapping)[:10]]), changes)
    asked.get()
    asked.get()
    assert asked.calls == 1
    with file.open("r+b") as opened:
        opened.truncate(10)
    asked.get()
    assert asked.calls == 2


def test_the_answers_kept_are_bounded(monkeypatch: pytest.MonkeyPatch, changes: ChangeMarks) -> None:
    monkeypatch.setattr(kept_answers, "_MOST", 3)
    asked = Asked(Answer(KEEPABLE, [b"frame"]), changes)
    for number in range(5):
        asked.get(f"/{number}")
    asked.get("/4")
    assert asked.calls == 5
    asked.get("/0")
    assert asked.calls == 6


def test_the_bytes_kept_are_bounded(monkeypatch: pytest.MonkeyPatch, changes: ChangeMarks) -> None:
    monkeypatch.setattr(kept_answers, "_MOST_BYTES", 12)
    asked = Asked(Answer(KEEPABLE, [b"frame"]), changes)
    for path in ("/0", "/1", "/2", "/1", "/2"):
        asked.get(path)
    assert asked.calls == 3
    asked.get("/0")
    assert asked.calls == 4


def test_what_changed_is_looked_up_again(changes: ChangeMarks, tmp_path: Path) -> None:
    asked = Asked(Answer(KEEPABLE, [b"frame"]), changes)
    of_another_process = ChangeMarks(tmp_path / "changes")
    for calls, change in enumerate(
        (
            lambda: None,
            lambda: of_another_process.changed("default", "1.2"),
            of_another_process.all_changed,
        ),
        start=1,
    ):
        change()
        asked.get()
        asked.get()
        assert asked.calls == calls


def test_what_changed_while_it_was_looked_up_is_not_given_again(changes: ChangeMarks) -> None:
    asked = Asked(Answer(KEEPABLE, [b"frame"]), changes)
    prepare = asked.route._prepare

    def slow(scope: Scope) -> Answer:
        answer = prepare(scope)
        changes.changed("default", "1.2")
        return answer

    asked.route._prepare = slow  # type: ignore[method-assign]
    asked.get()
    asked.get()
    assert asked.calls == 2


def test_without_marks_nothing_is_kept() -> None:
    asked = Asked(Answer(KEEPABLE, [b"frame"]))
    asked.get()
    asked.get()
    assert asked.calls == 2

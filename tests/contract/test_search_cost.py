"""What a search may cost: a deadline, and no hospital's searches keep another's waiting."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from pacs.errors import Busy, PacsError, TooBroad
from pacs.index import Index, pages
from pacs.index import allowance as allowance_module
from pacs.index.allowance import Allowance
from pacs.index.engine import open_engine
from pacs.model import Level, Match, Principal, Query
from pacs.query import Search
from pacs.settings import SearchSettings
from tests.index.new_instances import attributes, name, new_instance

_ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def released() -> threading.Event:
    return threading.Event()


@pytest.fixture
def slow_for_a(index: Index, released: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index whose database begins no page for hospital a before `released`, and never finishes one."""
    for hospital in ("a", "b"):
        index.add([new_instance(hospital=hospital, in_patient=attributes(PatientID="P", PatientName=name("Kim")))])
    real = pages.Pages._read

    def read(self: pages.Pages, connection: object, *rest: object) -> list[object]:
        if self._plan.hospital == "a":
            assert released.wait(60)
            connection.execute(text(_ENDLESS))  # type: ignore[attr-defined]
        return real(self, connection, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pages.Pages, "_read", read)
    return index


@pytest.mark.real_time(1.0)
def test_a_search_ends_at_its_deadline(url: str) -> None:
    engine = open_engine(url)
    for _ in range(2):
        begun = time.monotonic()
        with (
            pytest.raises(TooBroad, match=r"0\.2 s \(search\.deadline_s\)"),
            Allowance(0.2).reading(engine) as connection,
        ):
            connection.execute(text(_ENDLESS))
        assert time.monotonic() - begun < 5
        with Allowance(10).reading(engine) as connection:  # the connection is as before
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_the_deadline_is_of_all_pages_together(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    later_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + later_s)
    monkeypatch.setattr(allowance_module, "time", clock)
    engine = open_engine(url)
    allowance = Allowance(60)
    with allowance.reading(engine) as connection:
        connection.execute(text("SELECT 1"))
    allowance.check()
    with allowance.spending():
        later_s = 60
    with pytest.raises(TooBroad):
        allowance.check()
    with pytest.raises(TooBroad), allowance.reading(engine) as connection:
        connection.execute(text(_ENDLESS))
    engine.dispose()


@pytest.mark.real_time(0.1)
def test_a_slow_search_of_one_hospital_leaves_the_others_theirs(slow_for_a: Index, released: threading.Event) -> None:
    """16 threads, as a web worker has: hospital a sends more slow searches than that, hospital b asks as ever."""
    search = Search(slow_for_a, SearchSettings(deadline_s=0.8, at_once_per_hospital=2, waiting_per_hospital=4))
    refused = _crowd(search, released, patience_s=60)
    assert {type(error) for error in refused} == {TooBroad, Busy}
    assert sum(isinstance(error, Busy) for error in refused) >= 14


def test_without_turns_the_others_would_wait(slow_for_a: Index, released: threading.Event) -> None:
    """The control."""
    search = Search(slow_for_a, SearchSettings(deadline_s=0.8, at_once_per_hospital=100))
    with pytest.raises(TimeoutError):
        _crowd(search, released, patience_s=0.5)


def _crowd(search: Search, released: threading.Event, patience_s: float) -> list[PacsError]:
    """Errors of hospital a, after hospital b was answered while not one search of a had ended.

    Raises:
        TimeoutError: hospital b was not.
    """
    query = Query(Level.STUDY, (Match((0x00100010,), ("*kim*",)),))

    def ask(hospital: str) -> PacsError | None:
        try:
            assert len(list(search.find(Principal("P", hospital), query))) == 1
        except PacsError as error:
            return error
        return None

    with ThreadPoolExecutor(16) as pool:
        crowd = [pool.submit(ask, "a") for _ in range(24)]
        try:
            for _ in range(3):
                assert pool.submit(ask, "b").result(patience_s) is None
        finally:
            released.set()
        errors = [future.result(60) for future in crowd]
    return [error for error in errors if error]


def test_little_more_is_read_where_little_is_missing(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = pages.Pages.read

    def noted(self: pages.Pages, after: object, size: int) -> list[object]:
        read.append(size)
        return real(self, after, size)  # type: ignore[arg-type]

    monkeypatch.setattr(pages.Pages, "read", noted)
    for number in range(20):
        # The newest is of another institution, which no column has.
        institution = "Other" if number == 19 else "Asan"
        kept = attributes(InstitutionName=institution, StudyDate=f"202601{number + 1:02}")
        index.add([new_instance(f"1.{number}", f"1.{number}.1", f"1.{number}.1.1", in_study=kept)])
    asked = Query(Level.STUDY, (Match((0x00080080,), ("Asan",)),), limit=10)
    found = list(index.search("default", asked))
    assert [one["00080020"]["Value"] for one in found] == [[f"202601{number:02}"] for number in range(19, 9, -1)]
    assert read == [10, 2]
    read.clear()
    rare = Query(Level.STUDY, (Match((0x00080080,), ("Other",)),), limit=2)
    assert len(list(index.search("default", rare))) == 1
    assert read == [2, 2, 8, 32], "one of two was right, then none"
    read.clear()
    assert not list(index.search("default", Query(Level.STUDY, (Match((0x00080080,), ("None",)),), limit=2)))
    assert read == [2, 8, 32]

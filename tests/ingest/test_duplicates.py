from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pacs.commitment import Commitment
from pacs.errors import Conflict, IndexUnavailable
from pacs.index.driver import Driver
from pacs.model import Level, Outcome, Principal, Query, ReferencedInstance, Source, Superseded
from pacs.settings import CommitmentSettings

from .small_archive import CT, EXPLICIT, Place, encoded

BOTH = {"duplicates": "keep-both"}
UID = "1.2.3.1"
SIZES = pytest.mark.parametrize("pixel_bytes", [512, 1 << 18], ids=["in memory", "large"])


def slice_of(name: str, pixel_bytes: int = 512, **changes: object) -> bytes:
    return encoded(1, pixel_bytes=pixel_bytes, PatientName=name, **changes)


def served(place: Place) -> bytes:
    row = place.index.instance("default", "1.2.1", "1.2.2", UID)
    assert row is not None
    return bytes(place.store.view(row.location)[row.location.data_set_offset :])


def earlier(place: Place) -> list[bytes]:
    found = place.index.versions("default", UID)
    assert all(each.reason is Superseded.REPLACED for each in found)
    return [bytes(place.store.view(each.location)[each.location.data_set_offset :]) for each in found if each.location]


def state(place: Place) -> tuple[object, ...]:
    holdings = place.index.holdings()
    return served(place), earlier(place), (holdings.studies, holdings.series, holdings.instances, holdings.stored_bytes)


def segment_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("objects/*/*.tar"))


def lose_index(folder: Path) -> None:
    for path in folder.glob("index.sqlite*"):
        path.unlink()


@SIZES
def test_other_bytes_become_the_served_version_and_the_first_stay(open_archive, pixel_bytes: int) -> None:
    place = open_archive(memory_bytes_per_instance=1 << 16, **BOTH)
    versions = [slice_of(name, pixel_bytes, InstanceNumber=str(at)) for at, name in enumerate(("A", "B", "C"), start=5)]
    outcomes = [place.send(content).outcome for content in versions]
    assert outcomes == [Outcome.STORED, Outcome.NEW_VERSION, Outcome.NEW_VERSION]
    assert served(place) == versions[2]
    assert earlier(place) == versions[:2]
    (found,) = place.index.search("default", Query(Level.IMAGE))
    assert found["00200013"]["Value"] == [7]
    assert place.index.holdings().instances == 1


def test_bytes_of_any_version_again_are_success_and_change_nothing(open_archive, tmp_path: Path) -> None:
    place = open_archive(**BOTH)
    for name in ("A", "B"):
        place.send(slice_of(name))
    before, size = state(place), segment_bytes(tmp_path)
    for name in ("A", "B"):
        assert place.send(slice_of(name)).outcome is Outcome.ALREADY_THERE
    assert (state(place), segment_bytes(tmp_path)) == (before, size)


@pytest.mark.parametrize(
    "change",
    [{"StudyInstanceUID": "1.2.9"}, {"SeriesInstanceUID": "1.2.9"}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}],
)
def test_another_study_series_or_class_is_refused_and_changes_nothing(open_archive, change: dict[str, str]) -> None:
    place = open_archive(**BOTH)
    place.send(slice_of("A"))
    before = state(place)
    with pytest.raises(Conflict, match="another study, series or SOP class"):
        place.send(slice_of("B", **change))
    assert state(place) == before


def test_a_refused_duplicate_and_a_kept_one_are_told_once_without_the_patient(
    open_archive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pacs")
    place = open_archive()
    place.send(slice_of("Secret^A"))
    first = place.index.instance("default", "1.2.1", "1.2.2", UID).digest
    with pytest.raises(Conflict, match=r"ingest\.duplicates"):
        place.send(slice_of("Secret^B"))
    both = open_archive(**BOTH)
    both.send(slice_of("Secret^B"))
    second = both.index.instance("default", "1.2.1", "1.2.2", UID).digest
    for event in ("duplicate refused", "instance kept as a new version"):
        (record,) = [record for record in caplog.records if record.getMessage() == event]
        fields = record.fields
        assert (fields["principal"], fields["sop_instance_uid"]) == ("CT_1", UID)
        assert (fields["kept_digest"], fields["digest"]) == (first, second)
    assert "Secret" not in "".join(str(vars(record)) for record in caplog.records)


@SIZES
def test_a_rebuilt_index_has_the_same_versions_whatever_the_setting_is_now(
    open_archive, tmp_path: Path, pixel_bytes: int
) -> None:
    places = [open_archive(memory_bytes_per_instance=1 << 16, **BOTH) for _ in range(2)]  # two segments
    for at, name in enumerate("ABCD"):
        places[at % 2].send(slice_of(name, pixel_bytes))
    before = state(places[0])
    for place in places:
        place.close()
    lose_index(tmp_path)
    again = open_archive()
    assert again.ingest.recover() == 4
    assert state(again) == before
    assert again.ingest.recover() == 0


def test_a_version_without_its_row_gets_it_after_a_crash(open_archive) -> None:
    first = open_archive(**BOTH)
    first.send(slice_of("A"))
    add = first.index.add
    first.index.add = lambda _batch: (_ for _ in ()).throw(IndexUnavailable("the process died here"))
    with pytest.raises(IndexUnavailable):
        first.send(slice_of("B"))
    assert served(first) == slice_of("A")
    first.index.add = add
    first.close()
    again = open_archive()
    assert again.ingest.recover() == 1
    assert (served(again), earlier(again)) == (slice_of("B"), [slice_of("A")])
    assert again.send(slice_of("A")).outcome is Outcome.ALREADY_THERE


@SIZES
def test_the_loser_of_a_race_between_processes_becomes_the_next_version(open_archive, pixel_bytes: int) -> None:
    mine, theirs = (open_archive(memory_bytes_per_instance=1 << 16, **BOTH) for _ in range(2))
    look, waiting = mine.index.existing, [True]

    def look_too_early(hospital: str, uid: str) -> object:
        found = look(hospital, uid)
        if waiting.pop() if waiting else False:
            theirs.send(slice_of("Theirs", pixel_bytes))
        return found

    mine.index.existing = look_too_early
    if pixel_bytes > 1 << 16:
        with pytest.raises(Exception, match="send it again"):
            mine.send(slice_of("Mine", pixel_bytes))
        assert (served(mine), earlier(mine)) == (slice_of("Theirs", pixel_bytes), [])
    assert mine.send(slice_of("Mine", pixel_bytes)).outcome is Outcome.NEW_VERSION
    assert (served(theirs), earlier(theirs)) == (slice_of("Mine", pixel_bytes), [slice_of("Theirs", pixel_bytes)])


def test_a_clock_that_goes_back_does_not_bring_back_the_older_version(
    open_archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = open_archive(**BOTH)
    place.send(slice_of("A"))
    monkeypatch.setattr("pacs.ingest.duplicates.time.time_ns", lambda: 1_000_000_000_000)
    place.send(slice_of("B"))
    place.send(slice_of("C"))
    before = state(place)
    assert before[0] == slice_of("C")
    place.close()
    lose_index(tmp_path)
    again = open_archive()
    again.ingest.recover()
    assert state(again) == before


def test_commitment_is_to_the_served_version(open_archive) -> None:
    place = open_archive(**BOTH)
    for name in ("A", "B"):
        place.send(slice_of(name))
    commitment = Commitment(place.index, place.store, CommitmentSettings())

    def failures(uid: str) -> tuple[object, ...]:
        key = commitment.ask(Principal("CT_1"), "CT_1", uid, [ReferencedInstance(CT, UID)])
        assert commitment.verify_next()
        return tuple(commitment.result(key).claimed.failures)

    assert failures("1.2.3.4") == ()
    (row,) = place.index.versions("default", UID)
    served_row = place.index.instance("default", "1.2.1", "1.2.2", UID)
    (path,) = (place.store.root).glob("*/*.tar")
    for location, expected in ((row.location, 0), (served_row.location, 1)):
        with path.open("r+b") as file:
            file.seek(location.offset + location.length - 1)
            file.write(b"!")
        assert len(failures(f"1.2.3.5.{expected}")) == expected


@pytest.mark.parametrize("letter", ["x", "é", "김", "\N{WASTEBASKET}", "\x01"])
def test_the_longest_names_fit_the_head_of_a_large_version(open_archive, letter: str) -> None:
    place = open_archive(memory_bytes_per_instance=1 << 16, **BOTH)
    uids = {
        "StudyInstanceUID": "1." + "2" * 62,
        "SeriesInstanceUID": "1." + "3" * 62,
        "SOPInstanceUID": "1." + "4" * 62,
    }
    source = Source(Principal("import" + "n" * 90), "import", "/" + letter * 300)
    for name in ("A", "B"):
        content = encoded(1, pixel_bytes=1 << 18, PatientName=name, **uids)
        with place.ingest.begin(source, EXPLICIT) as reception:
            reception.write(content)
            stored = reception.commit()
    assert stored.outcome is Outcome.NEW_VERSION


def test_an_instance_that_is_no_duplicate_asks_nothing_about_versions(
    open_archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = open_archive(**BOTH)
    asked: list[str] = []
    rows, run = Driver.rows, Driver.run

    def noted_rows(driver: Driver, statement: Any, values: Any) -> Any:
        asked.append(str(statement))
        return rows(driver, statement, values)

    def noted_run(driver: Driver, statement: Any, several: Any) -> Any:
        asked.append(str(statement))
        return run(driver, statement, several)

    monkeypatch.setattr(Driver, "rows", noted_rows)
    monkeypatch.setattr(Driver, "run", noted_run)
    place.send(slice_of("A"))
    assert asked
    assert not any("versions" in statement for statement in asked)
    place.send(slice_of("B"))
    assert any("versions" in statement for statement in asked), "the control"

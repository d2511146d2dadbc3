"""Studies with a modality are found by it however rare it is, whatever came or went since."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from random import Random

import pytest
from sqlalchemy import event, select, text

from pacs.index import Index, pages, study_modalities
from pacs.index.engine import open_engine, writing
from pacs.index.grams import of_modality
from pacs.model import Level, Match, NewInstance, Query
from tests.contract.deleted import Notes, deletion
from tests.index.new_instances import attributes, name, new_instance

_IN_STUDY, _OF_SERIES, _NAME, _DATE = 0x00080061, 0x00080060, 0x00100010, 0x00080020
_DAYS = ("", "18500607", "19000101", "20231231", "20240101", "20240131", "99991231")
_MODALITIES = ("CT", "MR", "NM", "", "OT", "OPT")


def _instance(study: int, series: int, modality: str, *, day: str = "20240131", patient: str = "Kim") -> NewInstance:
    return new_instance(
        f"1.{study:04}",
        f"1.{study:04}.{series}",
        f"1.{study:04}.{series}.1",
        in_patient=attributes(PatientID=f"P{patient}", PatientName=name(patient)),
        in_study=attributes(StudyDate=day, StudyTime=("", "10", "1015")[study % 3]),
        in_series=attributes(Modality=modality or None),
    )


@pytest.fixture(scope="module")
def asked_of(new_url: object) -> Iterator[Index]:
    """An index of 200 studies, most of them CT."""
    index, random = Index.open(new_url()), Random(3)  # type: ignore[operator]
    index.migrate()
    archive = []
    for study in range(200):
        day, patient = random.choice(_DAYS), random.choice(("Kim", "Lee", "Kimura"))
        for series in range(random.choice((1, 1, 2, 3))):
            modality = _MODALITIES[int(len(_MODALITIES) * random.random() ** 3)]
            archive.append(_instance(study, series, modality, day=day, patient=patient))
    random.shuffle(archive)
    for some in range(0, len(archive), 7):
        index.add(archive[some : some + 7])
    yield index
    index.close()


def _found(index: Index, level: Level, *keys: tuple[int, str], size: int = 25) -> list[str]:
    """All pages, each with no more than `size`."""
    matches = tuple(Match((tag,), tuple(value.split("|"))) for tag, value in keys if value)
    found: list[str] = []
    while len(found) % size == 0:
        query = Query(level, matches, limit=size, offset=len(found))
        page = [
            answer["0020000D" if level is Level.STUDY else "0020000E"]["Value"][0]
            for answer in index.search("default", query, reader=str(keys))
        ]
        if not page:
            break
        found += page
    return found


@pytest.mark.parametrize("few", [0, 1_000])
def test_they_are_those_of_the_whole_list(asked_of: Index, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(study_modalities, "_FEW", few)
    monkeypatch.setattr(pages, "_TRIED", max(1, few // 10))
    asked = ("CT", "NM", "OT", "OPT", "PT", "NM|OPT", "C?", "CT\\MR")
    for modality, (person, day) in itertools.product(asked, (("", ""), ("*kim*", ""), ("", "19000101-20240101"))):
        for level, tag in ((Level.STUDY, _IN_STUDY), (Level.STUDY, _OF_SERIES), (Level.SERIES, _OF_SERIES)):
            keys = ((tag, modality), (_NAME, person), (_DATE, day))
            found = _found(asked_of, level, *keys)
            with monkeypatch.context() as without:
                without.setattr(pages.Pages, "_found_by_places", lambda *_: None)  # the list is walked
                without.setattr(pages.Pages, "have_rare_modality", lambda _: False)
                assert found == _found(asked_of, level, *keys, size=1000), (level, keys)
    assert len(_found(asked_of, Level.STUDY, (_IN_STUDY, "CT"))) > 70
    assert 0 < len(_found(asked_of, Level.STUDY, (_IN_STUDY, "OPT"))) < 40


def test_a_rare_one_is_not_looked_for_in_the_whole_list(asked_of: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the control: two ways to the same studies, of which one reads them all."""
    read: list[int] = []
    matching = pages.Pages.read

    def noting(self: pages.Pages, after: pages.Key | None, size: int) -> list[object]:
        found = matching(self, after, size)
        read.append(len(found))
        return found

    monkeypatch.setattr(pages.Pages, "read", noting)
    expected = _found(asked_of, Level.STUDY, (_IN_STUDY, "OPT"), size=100)
    assert sum(read) == len(expected)


def test_a_far_page_is_that_of_the_whole_list(asked_of: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each offset by itself, also where many studies are of one second, or of no date."""
    monkeypatch.setattr(pages, "_NEAR", 3)
    for modality, day in itertools.product(("CT", "NM"), ("", "19000101-20240101", "20240101-", "-99991231")):
        keys = tuple(Match((tag,), (value,)) for tag, value in ((_IN_STUDY, modality), (_DATE, day)) if value)
        whole = [answer["0020000D"] for answer in asked_of.search("default", Query(Level.STUDY, keys))]
        for offset in (0, 1, 4, 5, 9, *range(20, len(whole) - 3, 13), *range(max(0, len(whole) - 3), len(whole) + 3)):
            query = Query(Level.STUDY, keys, limit=2, offset=offset)
            found = [one["0020000D"] for one in asked_of.search("default", query, reader=f"{offset}")]
            assert found == whole[offset : offset + 2], (modality, day, offset)


def test_what_comes_and_goes(index: Index, notes: Notes) -> None:
    def found(modality: str) -> list[str]:
        return _found(index, Level.STUDY, (_IN_STUDY, modality))

    index.add([_instance(1, 1, "CT"), _instance(2, 1, "CT", day="20240201"), _instance(1, 2, "PT")])
    index.add([_instance(2, 2, "PT", day="19990101"), _instance(2, 3, "SR", day="")])  # the study's date stays
    assert found("CT") == found("PT") == ["1.0002", "1.0001"]
    assert found("SR") == ["1.0002"]
    some = deletion("1.0002", "1.0002.2")
    index.trash.put(some, notes)
    assert found("PT") == ["1.0001"]
    assert _entries(index) == 4, "of two studies, CT and PT, CT and SR"
    index.add([_instance(2, 4, "PT")])
    assert found("PT") == ["1.0002", "1.0001"]
    index.trash.restore("default", some.name, notes)
    assert found("PT") == ["1.0002", "1.0001"]
    whole = deletion("1.0002")
    index.trash.put(whole, notes)
    assert found("PT") == ["1.0001"]
    assert found("SR") == []
    assert _entries(index) == 2
    index.trash.restore("default", whole.name, notes)
    assert found("PT") == ["1.0002", "1.0001"]


def test_those_of_an_older_version_are_made_from_the_rows(index: Index, url: str) -> None:
    index.add([_instance(1, 1, "CT"), _instance(1, 2, "PT"), _instance(2, 1, "PT", day=""), _instance(3, 1, "")])
    engine = open_engine(url)
    with engine.connect() as connection:
        expected = sorted(map(tuple, connection.execute(select(study_modalities.study_modalities))))
    with writing(engine, "go back") as connection:
        connection.execute(text("DROP TABLE study_modalities"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0013'"))
    index.migrate()
    with engine.connect() as connection:
        assert sorted(map(tuple, connection.execute(select(study_modalities.study_modalities)))) == expected
    engine.dispose()
    assert len(expected) == 4
    assert _found(index, Level.STUDY, (_IN_STUDY, "PT")) == ["1.0001", "1.0002"]


def _entries(index: Index) -> int:
    with index._engine.connect() as connection:
        return len(connection.execute(select(study_modalities.study_modalities)).all())


def _is_the_walk_everywhere(index: Index, *keys: Match, **ways: bool) -> list[str]:
    """Every offset by itself, from no mark, is that of the whole list."""
    whole = [one["0020000D"]["Value"][0] for one in index.search("default", Query(Level.STUDY, keys, **ways))]
    for offset in range(len(whole) + 2):
        query = Query(Level.STUDY, keys, limit=2, offset=offset, **ways)
        found = [one["0020000D"]["Value"][0] for one in index.search("default", query, reader=f"{offset}")]
        assert found == whole[offset : offset + 2], (keys, offset)
    return whole


def test_a_far_page_of_several_keys_on_days_and_modalities(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts places or days may count no others than those that meet all keys."""
    monkeypatch.setattr(pages, "_NEAR", 3)
    monkeypatch.setattr(pages, "_FAR", 3)
    archive = [_instance(study, 1, "CT", day=f"202401{1 + study % 28:02}") for study in range(60)]
    archive += [_instance(study, 2, "SR", day=f"202401{1 + study % 28:02}") for study in range(0, 60, 3)]
    index.add(archive)
    early, late = Match((_DATE,), ("20240105-20240120",)), Match((_DATE,), ("20240112-",))
    both = Match((_IN_STUDY,), ("CT", "SR"))
    assert len(_is_the_walk_everywhere(index, both, needs_all_values=True)) == 20
    assert len(_is_the_walk_everywhere(index, both)) == 60
    one_of_each = Match((_IN_STUDY,), ("CT",)), Match((_IN_STUDY,), ("SR",))
    assert len(_is_the_walk_everywhere(index, *one_of_each)) == 20
    for days in ((early, late), (late, early)):
        assert 10 < len(_is_the_walk_everywhere(index, *days)) < 30
        assert 10 < len(_is_the_walk_everywhere(index, *days, Match((_IN_STUDY,), ("CT",)))) < 30


def test_who_chooses_a_modality_moves_nobody_elses_pages(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """These two have the same CRC-32 after this hospital's name; anybody can find such a one for CT."""
    monkeypatch.setattr(pages, "_NEAR", 3)
    assert of_modality("default", "9CR2BMCW") != of_modality("default", "290MMBUN")
    for modality, first in (("9CR2BMCW", 0), ("290MMBUN", 20)):
        index.add(
            [_instance(study, 1, modality, day=f"202401{1 + study % 7:02}") for study in range(first, first + 20)]
        )
    assert len(_is_the_walk_everywhere(index, Match((_IN_STUDY,), ("9CR2BMCW",)))) == 20


def test_a_modality_that_is_longer_than_what_is_kept_of_it(index: Index) -> None:
    """No CS is, but what a broken file says is to be found whole, also below the study."""
    index.add([_instance(1, 1, "X" * 300), _instance(2, 1, "X" * 301), _instance(3, 1, "X" * 256)])
    assert _found(index, Level.SERIES, (_OF_SERIES, "X" * 300)) == ["1.0001.1"]
    assert _found(index, Level.SERIES, (_OF_SERIES, "X" * 256)) == ["1.0003.1"]


def test_many_studies_of_a_modality_are_read_some_at_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL takes 65,535 values in a statement, SQLite 32,766 or 250,000."""
    index.add([_instance(study, 1, "CT", day=f"202401{1 + study % 28:02}") for study in range(60)])
    monkeypatch.setattr(pages, "_MOST_PLACES", 10)
    longest = []

    def noting(_connection: object, _cursor: object, statement: str, values: Sequence[object], *_: object) -> None:
        if statement.startswith("SELECT studies.study_date"):
            longest.append(len(values))

    event.listen(index._engine, "before_cursor_execute", noting)
    days = (_DATE, "20240101-20240201")
    assert len(_found(index, Level.SERIES, (_IN_STUDY, "CT"), days, size=100)) == 60
    assert len(longest) > 3 and max(longest) < 25

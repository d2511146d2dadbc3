"""The made-up index: what it holds agrees with itself, and with what the archive makes and asks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from benchmarks import synthetic_index
from benchmarks.synthetic_index import Contents, OtherContents, build
from pacs.index import Index
from pacs.model import Level, Match, Query
from tests.index.new_instances import new_instance

SMALL = Contents(studies=700, series_per_study=3, instances_per_series=2, studies_per_batch=200)
TABLES = ("patients", "studies", "series", "segments", "instances")


def rows(file: Path, table: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(file) as database:
        return database.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("built") / "index.sqlite"
    build(f"sqlite:///{file}", SMALL)
    return file


def test_counters_agree_with_the_rows(built: Path) -> None:
    with sqlite3.connect(built) as database:
        assert [len(rows(built, table)) for table in TABLES[1:]] == [700, 2100, 4, 4200]
        for above, below, link in (("patients", "studies", "patient_row"), ("series", "instances", "series_row")):
            counted = f"(SELECT count(*) FROM {below} WHERE {link} = {above}.id)"
            wrong = database.execute(f"SELECT count(*) FROM {above} WHERE {below} != {counted}").fetchone()
            assert wrong == (0,)
        assert database.execute("SELECT count(*) FROM patients WHERE instances != studies * 6").fetchone() == (0,)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert database.execute("SELECT count(*) FROM series WHERE NOT is_settled").fetchone() == (0,)


def test_names_dates_and_modalities_are_skewed(built: Path) -> None:
    with sqlite3.connect(built) as database:
        kims, korean, all_patients = database.execute(
            "SELECT sum(patient_name_phonetic GLOB '김^*'), sum(patient_name_phonetic GLOB '[가-힣]*'), count(*) "
            "FROM patients"
        ).fetchone()
        assert 0.1 < kims / korean < 0.35
        assert 0.4 < korean / all_patients < 0.8
        years = [year for (year,) in database.execute("SELECT DISTINCT substr(study_date, 1, 4) FROM studies")]
        assert len(years) >= 15
        ((most,),) = database.execute(
            "SELECT modalities_in_study FROM studies GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
        ).fetchall()
        assert most == "\\DX\\"
        assert {"\\CT\\", "\\MR\\", "\\US\\"} <= {
            row[0] for row in database.execute("SELECT DISTINCT modalities_in_study FROM studies")
        }


def test_a_stopped_build_goes_on_and_gives_the_same_rows(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "index.sqlite"

    def stop(done: int) -> None:
        if done == 400:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(f"sqlite:///{file}", SMALL, stop)
    assert len(rows(file, "studies")) == 400
    build(f"sqlite:///{file}", SMALL)
    for table in TABLES:
        assert rows(file, table) == rows(built, table), table
    monkeypatch.setattr(synthetic_index, "_write_batch", None)  # a finished one is left as it is
    build(f"sqlite:///{file}", SMALL)


def test_other_rows_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'index.sqlite'}"
    build(url, Contents(studies=20))
    with pytest.raises(OtherContents, match="holds 20 studies"):
        build(url, Contents(studies=30))


def test_the_archive_searches_and_stores_in_it(built: Path, tmp_path: Path) -> None:
    file = tmp_path / "index.sqlite"
    file.write_bytes(built.read_bytes())
    with sqlite3.connect(file) as database:
        uid, name = database.execute(
            "SELECT study_instance_uid, patient_name_phonetic FROM studies WHERE patient_name_phonetic != '' LIMIT 1"
        ).fetchone()
    index = Index.open(f"sqlite:///{file}")
    try:
        found = list(index.search("default", Query(Level.STUDY, (Match((0x00100010,), (f"*{name[1:]}*",)),))))
        assert uid in {study["0020000D"]["Value"][0] for study in found}
        assert len(index.instances("default", study_instance_uid=uid)) == 6
        assert index.add([new_instance()])[0].added
        build(f"sqlite:///{file}", SMALL)  # what came since does not disturb
    finally:
        index.close()

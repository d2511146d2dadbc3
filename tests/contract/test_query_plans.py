"""Questions by key use an index that leads to their rows; lists come in the order of an index. Nothing is counted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
from sqlalchemy import Engine

from pacs.index import Index
from pacs.index.engine import open_engine
from pacs.index.planning import plan
from pacs.model import Level, Match, Query
from tests.contract.statements import noted
from tests.index.new_instances import new_instance

_KIM = """
INSERT INTO studies (hospital, study_instance_uid, patient_row, patient_id, issuer_of_patient_id, patient_name,
    patient_name_ideographic, patient_name_phonetic, patient_birth_date, patient_sex, study_date, study_time,
    accession_number, study_id, study_description, modalities_in_study, sop_classes_in_study, series, instances,
    patient_attributes, attributes)
SELECT 'default', '9.' || n, 1, 'P' || n / 2, '', 'kim^' || n, '', '', '', '', '20240101', '', 'A' || n, '', '',
    '\\CT\\', '\\', 1, 1, '{}', '{}' FROM generate_series(1, 5000) AS n;
INSERT INTO series (hospital, study_row, series_instance_uid, modality, series_number, series_description, instances,
    stored_bytes, last_stored_at_us, is_settled, attributes)
SELECT hospital, id, study_instance_uid || '.1', 'CT', 1, '', 1, 1, 1, true, '{}' FROM studies WHERE id > 1;
INSERT INTO instances (hospital, series_row, sop_instance_uid, sop_class_uid, transfer_syntax_uid, instance_number,
    digest, segment_row, "offset", length, data_set_offset, header_length, number_of_frames, stored_at_us, frame_table,
    attributes)
SELECT hospital, id, series_instance_uid || '.1', '1', '1', 1, '', 1, 1, 1, 1, 1, 1, 1, '', '' FROM series WHERE id > 1;
ANALYZE;
"""


@pytest.fixture(scope="module")
def engine(new_url: object) -> Iterator[Engine]:
    """One hospital, on PostgreSQL with 5,000 studies, for its planner goes by what is there."""
    url: str = new_url()  # type: ignore[operator]
    index = Index.open(url)
    index.migrate()
    index.add([new_instance()])
    index.close()
    engine = open_engine(url)
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            for statement in _KIM.split(";")[:-1]:
                connection.exec_driver_sql(statement.replace("%", "%%"))
            connection.commit()
    yield engine
    engine.dispose()


def _key(tag: int, *values: str) -> Match:
    return Match((tag,), values)


KEYED = {
    "study by UID": (Level.STUDY, _key(0x0020000D, "9.77")),
    "studies of a patient": (Level.STUDY, _key(0x00100020, "P77")),
    "study by accession number": (Level.STUDY, _key(0x00080050, "A77")),
    "studies by UID list": (Level.STUDY, _key(0x0020000D, "9.77", "9.78", "9.79")),
    "study of an instance": (Level.STUDY, _key(0x00080018, "9.77.1.1")),
    "study of a series": (Level.STUDY, _key(0x0020000E, "9.77.1")),
    "series of a study": (Level.SERIES, _key(0x0020000D, "9.77")),
    "series of a patient": (Level.SERIES, _key(0x00100020, "P77")),
    "series by UID": (Level.SERIES, _key(0x0020000E, "9.77.1")),
    "instances of a study": (Level.IMAGE, _key(0x0020000D, "9.77")),
    "instances of a series": (Level.IMAGE, _key(0x0020000E, "9.77.1")),
    "instance by UID": (Level.IMAGE, _key(0x00080018, "9.77.1.1")),
    "patient by ID": (Level.PATIENT, _key(0x00100020, "P77")),
}
LISTS = {
    "newest studies": (Level.STUDY, None),
    "studies of a month": (Level.STUDY, _key(0x00080020, "20231201-20240131")),
    "all series": (Level.SERIES, None),
    "all instances": (Level.IMAGE, None),
    "patients": (Level.PATIENT, None),
}


def _explained(engine: Engine, level: Level, match: Match | None) -> list[str]:
    query = Query(level, (match,) if match else ())
    planned = plan("default", query, engine.dialect.name)
    rows = planned.rows.limit(100).params(planned.keyed.values if planned.keyed else {})
    compiled = rows.compile(engine, compile_kwargs={"render_postcompile": True})
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params)]
        values = tuple(compiled.params[name] for name in compiled.positiontup or ())  # type: ignore[attr-defined]
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]


@pytest.mark.parametrize("question", KEYED)
def test_a_key_leads_to_its_rows(engine: Engine, question: str) -> None:
    explained = _explained(engine, *KEYED[question])
    if engine.dialect.name == "sqlite":
        steps = [step for step in explained if step.startswith(("SCAN", "SEARCH"))]
        assert steps
        assert not [step for step in steps if step.startswith("SCAN") or step.endswith("(hospital=?)")], explained
    else:
        scans = [step for step in explained if "Seq Scan" in step and "patients" not in step]
        assert not scans, "\n".join(explained)


@pytest.mark.parametrize("question", LISTS)
def test_a_list_is_read_in_the_order_of_an_index(engine: Engine, question: str) -> None:
    explained = _explained(engine, *LISTS[question])
    if question == "patients" and engine.dialect.name == "postgresql":
        pytest.skip("one patient is sorted faster than looked up")
    assert not [step for step in explained if "SCAN" in step or "Seq Scan" in step], explained
    assert not [step for step in explained if "B-TREE FOR ORDER" in step or "Sort" in step], explained


NARROWED = {
    "series by name": (Level.SERIES, _key(0x00100010, "*kim*")),
    "instances by name": (Level.IMAGE, _key(0x00100010, "*kim*")),
    "instances by modality": (Level.IMAGE, _key(0x00080060, "CT")),
    "series of some days": (Level.SERIES, _key(0x00080020, "20231201-20240131")),
}


@pytest.mark.parametrize("question", NARROWED)
def test_a_condition_on_rows_above_does_not_read_all_of_them(engine: Engine, question: str) -> None:
    """Before a join SQLite would, into a Bloom filter."""
    explained = _explained(engine, *NARROWED[question])
    assert not [step for step in explained if "BLOOM" in step or "B-TREE FOR ORDER" in step], explained


def test_without_its_index_a_key_would_be_seen_to_scan(engine: Engine) -> None:
    """The control of the tests above: a description is no key."""
    explained = _explained(engine, Level.STUDY, _key(0x00081030, "chest"))
    assert any(step.endswith("(hospital=?)") or "Seq Scan" in step or "Filter" in step for step in explained)


def test_few_statements_store_a_batch(index: Index) -> None:
    index.add([new_instance(sop=f"1.{n}") for n in range(8)])
    with noted() as statements:
        index.add([new_instance(sop=f"2.{n}") for n in range(8)])
    locks = [statement for statement in statements if "pg_advisory_xact_lock_shared" in statement]
    assert len(locks) <= 1
    assert 4 < len(statements) - len(locks) <= 8


def test_no_search_counts(index: Index) -> None:
    index.add([new_instance(sop=f"1.{n}") for n in range(8)])
    with noted() as statements:
        for level in Level:
            assert list(index.search("default", Query(level, limit=5)))
            list(index.search("default", Query(level, limit=5, offset=2)))
            list(index.search("default", Query(level, (_key(0x00100010, "*kim*"),), limit=5, offset=2)))
    assert len(statements) > 3 * len(Level)
    assert not [statement for statement in statements if "count(" in statement.lower()]


def test_keys_alone_have_their_statements_made_once(index: Index) -> None:
    """As many as there are combinations of keys, whatever is asked for and in whatever order."""
    index.add([new_instance(sop=f"1.{n}") for n in range(8)])
    keys = (_key(0x0020000D, "1.1"), _key(0x00100020, "P1"), _key(0x00080050, "A1"))
    for level in (Level.STUDY, Level.SERIES, Level.IMAGE):
        made = [plan("default", Query(level, several), "sqlite") for several in permutations(keys)]
        assert len({id(one.rows) for one in made}) == 1
    assert plan("default", Query(Level.STUDY, (_key(0x00080050, "A*"),)), "sqlite").keyed is None
    assert plan("default", Query(Level.STUDY, (_key(0x0020000D, "1.1", "1.2"),)), "sqlite").keyed is None
    index.searchable.known()
    with noted() as statements:
        assert len(list(index.search("default", Query(Level.IMAGE, keys[:1])))) == 8
    assert len(statements) == 3, "its rows, their series and their study"

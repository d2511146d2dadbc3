from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs.errors import InvalidRequest
from pacs.index import Index
from pacs.model import Level, Match, Principal, Query
from pacs.query import Search
from tests.index.new_instances import attributes, new_instance


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Search]:
    index = Index.open(f"sqlite:///{tmp_path / 'index.db'}")
    index.migrate()
    for hospital in ("a", "b"):
        index.add([new_instance(hospital=hospital, in_patient=attributes(PatientID=f"P{hospital}"))])
    yield Search(index)
    index.close()


def test_a_principal_finds_only_what_its_hospital_holds(search: Search) -> None:
    for hospital in ("a", "b"):
        (found,) = search.find(Principal("someone", hospital), Query(Level.STUDY))
        assert found["00100020"]["Value"] == [f"P{hospital}"]
    assert list(search.find(Principal("someone", "c"), Query(Level.STUDY))) == []
    other = Query(Level.STUDY, (Match((0x00100020,), ("Pb",)),))
    assert list(search.find(Principal("someone", "a"), other)) == []


def test_a_wrong_key_is_refused_before_anything_is_read(search: Search) -> None:
    with pytest.raises(InvalidRequest, match="StudyDate"):
        search.find(Principal("someone", "a"), Query(Level.STUDY, (Match((0x00080020,), ("soon",)),)))


def test_keys_without_effect_are_told(search: Search) -> None:
    keys = (Match((0x00091001,), ("x",)), Match((0x00100020,), ("Pa",)))
    assert search.unsupported_keys(Query(Level.STUDY, keys)) == {0x00091001}

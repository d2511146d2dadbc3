from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, func, select, update

from pacs.errors import IndexUnavailable
from pacs.index.driver import Driver
from pacs.index.engine import open_engine
from pacs.index.kept_connections import KeptConnections

words = Table("words", MetaData(), Column("id", Integer, primary_key=True), Column("word", Text), Column("n", Integer))
_INSERT = words.insert().inline()
_WITH_OWN_VALUE = update(words).where(words.c.id == bindparam("row")).values(word=func.replace(words.c.word, "a", "b"))
_LISTED = select(words.c.word).where(words.c.n == bindparam("n"), words.c.id.in_(bindparam("ids", expanding=True)))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptConnections]:
    engine = open_engine(f"sqlite:///{tmp_path / 'index.db'}")
    words.metadata.create_all(engine)
    kept = KeptConnections(engine, most=1)
    with kept.writing("make") as driver:
        driver.run(_INSERT, [{"id": n, "word": f"a{n}", "n": n % 2} for n in range(6)])
    yield kept
    kept.close()
    engine.dispose()


def test_a_list_may_have_another_length_each_time(kept: KeptConnections) -> None:
    with kept.reading("look") as driver:
        assert driver.rows(_LISTED, {"n": 1, "ids": [1, 2, 3]}) == [("a1",), ("a3",)]
        assert driver.rows(_LISTED, {"n": 0, "ids": [2]}) == [("a2",)]
        assert driver.rows(_LISTED, {"n": 1, "ids": [5, 4, 3]}) == [("a3",), ("a5",)]


def test_a_statement_may_have_values_of_its_own(kept: KeptConnections) -> None:
    with kept.writing("write") as driver:
        driver.run(_WITH_OWN_VALUE, [{"row": 0}, {"row": 2}])
    with kept.reading("look") as driver:
        assert driver.rows(select(words.c.word).order_by(words.c.id), {})[:3] == [("b0",), ("a1",), ("b2",)]


def test_columns_that_are_not_given_are_not_written(kept: KeptConnections) -> None:
    with kept.writing("write") as driver:
        driver.run(_INSERT, [{"id": 7, "word": "x"}])
        driver.run(_INSERT, [{"id": 8, "n": 1}])
    with kept.reading("look") as driver:
        assert driver.rows(select(words).where(words.c.id > 6), {}) == [(7, "x", None), (8, None, 1)]


def test_what_fails_leaves_nothing_and_is_told_as_ours(kept: KeptConnections) -> None:
    def fail(driver: Driver) -> None:
        driver.run(_INSERT, [{"id": 9, "word": "x", "n": 1}])
        driver.run(_INSERT, [{"id": 0, "word": "taken", "n": 1}])

    with pytest.raises(IndexUnavailable, match="UNIQUE"), kept.writing("write") as driver:
        fail(driver)
    with kept.reading("look") as driver:
        assert driver.rows(select(words.c.id).where(words.c.id == 9), {}) == []

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, bindparam, func, select, update

from pacs.errors import IndexUnavailable
from pacs.index.driver import Driver
from pacs.index.engine import open_engine, reading_directly, writing_directly

words = Table("words", MetaData(), Column("id", Integer, primary_key=True), Column("word", Text), Column("n", Integer))
_INSERT = words.insert().inline()
_WITH_OWN_VALUE = update(words).where(words.c.id == bindparam("row")).values(word=func.replace(words.c.word, "a", "b"))
_LISTED = select(words.c.word).where(words.c.n == bindparam("n"), words.c.id.in_(bindparam("ids", expanding=True)))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'index.db'}")
    words.metadata.create_all(engine)
    with writing_directly(engine, "make") as driver:
        driver.run(_INSERT, [{"id": n, "word": f"a{n}", "n": n % 2} for n in range(6)])
    yield engine
    engine.dispose()


def test_a_list_may_have_another_length_each_time(engine: Engine) -> None:
    with reading_directly(engine, "look") as driver:
        assert driver.rows(_LISTED, {"n": 1, "ids": [1, 2, 3]}) == [("a1",), ("a3",)]
        assert driver.rows(_LISTED, {"n": 0, "ids": [2]}) == [("a2",)]
        assert driver.rows(_LISTED, {"n": 1, "ids": [5, 4, 3]}) == [("a3",), ("a5",)]


def test_a_statement_may_have_values_of_its_own(engine: Engine) -> None:
    with writing_directly(engine, "write") as driver:
        driver.run(_WITH_OWN_VALUE, [{"row": 0}, {"row": 2}])
    with reading_directly(engine, "look") as driver:
        assert driver.rows(select(words.c.word).order_by(words.c.id), {})[:3] == [("b0",), ("a1",), ("b2",)]


def test_columns_that_are_not_given_are_not_written(engine: Engine) -> None:
    with writing_directly(engine, "write") as driver:
        driver.run(_INSERT, [{"id": 7, "word": "x"}])
        driver.run(_INSERT, [{"id": 8, "n": 1}])
    with reading_directly(engine, "look") as driver:
        assert driver.rows(select(words).where(words.c.id > 6), {}) == [(7, "x", None), (8, None, 1)]


def test_what_fails_leaves_nothing_and_is_told_as_ours(engine: Engine) -> None:
    def fail(driver: Driver) -> None:
        driver.run(_INSERT, [{"id": 9, "word": "x", "n": 1}])
        driver.run(_INSERT, [{"id": 0, "word": "taken", "n": 1}])

    with pytest.raises(IndexUnavailable, match="UNIQUE"), writing_directly(engine, "write") as driver:
        fail(driver)
    with reading_directly(engine, "look") as driver:
        assert driver.rows(select(words.c.id).where(words.c.id == 9), {}) == []

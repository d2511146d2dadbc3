from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pacs.index.wildcard import as_glob, as_like, literal_prefix, matches


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
@example("*", "")
@example("a*", "a")
def test_matches_as_a_regular_expression_does(pattern: str, text: str) -> None:
    expression = pattern.replace("*", ".*").replace("?", ".")
    assert matches(pattern, text) == bool(re.fullmatch(expression, text))


def test_many_stars_take_no_time() -> None:
    start = time.process_time()
    assert not matches("*a" * 512, "a" * 256 + "b")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(("pattern", "prefix"), [("kim*", "kim"), ("k?m*", "k"), ("kim", "kim"), ("*", "")])
def test_the_literal_beginning(pattern: str, prefix: str) -> None:
    assert literal_prefix(pattern) == prefix


def test_characters_with_a_meaning_in_sql_lose_it() -> None:
    assert as_glob("[a]*?") == "[[]a]*?"
    assert as_like("100%_\\*?") == "100\\%\\_\\\\%_"

"""Whatever is close to a word has one of its grams, so that a search may look at nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given

from pacs.index import grams
from pacs.index.criteria import FuzzyNames
from pacs.index.fuzzy import MAX_LETTERS, is_close, words
from pacs.index.fuzzy_keys import of_name, of_word
from pacs.index.normal_form import name_group
from tests.index.close_names import pairs

_COLUMNS = ("patient_name", "patient_name_ideographic", "patient_name_phonetic", "patient_birth_date")


def _is_found(choices: tuple[tuple[str, ...], ...], **names: str) -> bool:
    stored = grams.of_values("h", {**dict.fromkeys(_COLUMNS, ""), **names})
    asked = grams.asked("h", 0x00100010, FuzzyNames(choices))
    assert asked
    return all(any(one <= stored for one in several.sets) for several in asked)


@given(pairs())
@example(("abcd", "abc\uae40"))
@example(("ab\uae40", "ab\uae39^x"))
@example(("x" * 32, "x" * 33))
@example(("x" * 32, "x" * 40))
@example(("ki", "ki\uae40"))
def test_what_is_close_is_found(pair: tuple[str, str]) -> None:
    asked, group = map(name_group, pair)
    for word in words(asked):
        if is_close(word, group):
            assert _is_found(((word,),), patient_name=group), (word, group)
            assert _is_found(((word,),), patient_name_phonetic=group), (word, group)
    if words(asked) and all(is_close(word, group) for word in words(asked)):
        assert _is_found((words(asked),), patient_name=group)
        assert _is_found((words(asked), ("nothing", "of", "it")), patient_name=group)


@pytest.mark.parametrize("asked", ["smiht", "smyth", "gimm", "\ubc15\uc601\ud76c", "lee", "k", "li"])
def test_other_names_are_not_looked_at(asked: str) -> None:
    """Or nothing would be won."""
    assert not _is_found(((asked,),), patient_name="bauer^hans", patient_name_phonetic="\ud64d^\uae38\ub3d9")


def test_keys_are_few() -> None:
    """They are written with every new study."""
    assert len(of_name(("kim^minsu", "\u91d1^\u654f\u6d19", "\uae40^\ubbfc\uc218"))) <= 40
    assert len(of_word("x" * MAX_LETTERS)) <= MAX_LETTERS + 3
    assert len(of_name((" ".join(["abcdefghij" * 100] * 20),))) < 100, "what no slip leads to has no key of its own"

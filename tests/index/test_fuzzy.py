"""What fuzzy matching of names finds, and that the patterns for the database leave nothing of it out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from pacs.index import wildcard
from pacs.index.fuzzy import MAX_LETTERS, MAX_WORDS, is_close, likely, likely_sound, words
from pacs.index.normal_form import name_group
from tests.index.close_names import pairs


@pytest.mark.parametrize(
    ("asked", "group"),
    [
        ("kim", "kim^minsu"),
        ("min", "kim^minsu"),
        ("minsu", "kim^min su"),
        ("minsu", "kim^min-su"),
        ("kimminsu", "kim^minsu"),
        ("minsukim", "kim^minsu"),
        ("insu", "kim^minsu"),
        ("gim", "kim^minsu"),
        ("janson", "jensen^lars"),
        ("kam", "kim^minsu"),
        ("kmi", "kim^minsu"),
        ("ikm", "kim^minsu"),
        ("kiim", "kim^minsu"),
        ("jonson", "johnson"),
        ("johnosn", "johnson"),
        ("johhnson", "johnson"),
        ("meier", "mayer"),
        ("maier", "meyer^hans"),
        ("smith", "schmidt"),
        ("schmitt", "smith"),
        ("filip", "philipp"),
        ("catherine", "katharina"),
        ("jung", "chung^a"),
        ("jeong", "jung^a"),
        ("mueller", "muller"),
        ("홍길동", "홍^길동"),
        ("길동홍", "홍^길동"),
        ("홍길둥", "홍^길동"),
        ("길둥", "홍^길동"),
        ("동길", "홍^길동"),
        ("남궁민", "남궁^민"),
        ("山田太郎", "山田^太郎"),
        ("田山", "山田^太郎"),
        ("やまた", "やまだ^たろう"),
    ],
)
def test_found(asked: str, group: str) -> None:
    assert is_close(*map(name_group, (asked, group)))


@pytest.mark.parametrize(
    ("asked", "group"),
    [
        ("im", "kim^minsu"),
        ("lim", "kim^minsu"),
        ("jim", "kim^minsu"),
        ("kimm", "lim"),
        ("k", "lee"),
        ("lee", "ly"),
        ("carlson", "jensen^lars"),
        ("abcdef", "abxyef"),
        ("길순", "홍^길동"),
        ("길동순", "홍^길동"),
        ("민지", "김^민수"),
        ("山口", "山田^太郎"),
        ("太一", "山田^太郎"),
    ],
)
def test_not_found(asked: str, group: str) -> None:
    assert not is_close(*map(name_group, (asked, group)))


def test_words_are_bounded() -> None:
    assert words("kim^min-su, (dr.)") == ("kim", "min", "su", "(dr", ")")
    assert len(words("a b c d e f g h i j k")) == MAX_WORDS
    assert [len(word) for word in words("x" * 500)] == [MAX_LETTERS]
    assert words("*?^= ") == ()


def _is_likely(asked: str, group: str) -> bool:
    sound = ".*".join(f"[{letters}]" for letters in likely_sound(asked))
    return any(wildcard.matches(pattern, group) for pattern in likely(asked)) or (
        bool(sound) and re.search(sound, group) is not None
    )


@given(pairs())
def test_the_patterns_leave_nothing_out(pair: tuple[str, str]) -> None:
    asked, group = map(name_group, pair)
    for word in words(asked):
        if is_close(word, group):
            assert _is_likely(word, group), (word, group, likely(word))


@given(pairs())
def test_one_slip_is_found_in_words_of_letters(pair: tuple[str, str]) -> None:
    asked, group = map(name_group, pair)
    plain = [word for word in re.split(r"[ ^]", group) if word.isascii()]
    if len(asked) > 3 and asked.isalpha() and asked.isascii():
        expected = any(word in _one_slip(asked) or word.startswith(asked) for word in plain)
        assert is_close(asked, group) or not expected


def _one_slip(word: str) -> set[str]:
    letters = "abcdhiklmnoprst"
    pieces = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    return (
        {left + right[1:] for left, right in pieces if right}
        | {left + letter + right for left, right in pieces for letter in letters}
        | {left + letter + right[1:] for left, right in pieces if right for letter in letters}
        | {left + right[1] + right[0] + right[2:] for left, right in pieces if len(right) > 1}
    )

"""Keys by which the names that are close to a word are found without looking at all names. Pure.

What `pacs.index.fuzzy.is_close` calls close shares a key: two words of which one comes from the other by one slip
become equal when the right letter is left out of each (so a word is noted whole and without each of its letters),
words that sound alike are noted by their sound, beginnings of one or two letters by themselves. Hangul, where a slip is
within a syllable, is noted with each syllable left open; swapped syllables are swapped back in what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pacs.index import fuzzy

_BEGIN, _SOUND, _WORD = "<", "~", "="
_OPEN = "?"
_FEW = 3
"""Beginnings of so many ASCII letters are found by their gram."""


def of_name(groups: Iterable[str]) -> frozenset[str]:
    """The keys of a name, given as its component groups, folded."""
    return frozenset(key for group in groups if group for key in _of_group(group))


def of_word(asked: str) -> frozenset[str]:
    """The keys of which every name that is close to `asked` has at least one, if it does not begin a word of it.

    A word that begins with one or two ASCII letters has those as key as well; longer beginnings have a gram.
    """
    found = {_WORD + word for word in (asked, *fuzzy.swapped(asked))}
    if fuzzy.has_syllables(asked):
        found |= set(_opened(asked))
    elif not fuzzy.has_ideographs(asked) and len(asked) >= _FEW:
        found |= set(_shortened(asked))
    if sound := fuzzy.sound(asked):
        found.add(_SOUND + sound)
    if is_short_beginning(asked):
        found.add(_BEGIN + asked)
    return frozenset(found)


def is_short_beginning(asked: str) -> bool:
    """Whether words that begin with `asked` are found by its key, not by its grams."""
    return len(asked) < _FEW and asked.isascii()


def _of_group(group: str) -> Iterator[str]:
    for word in fuzzy.words_of(group):
        yield from (_BEGIN + word[:count] for count in (1, 2) if word[:count].isascii())
        if sound := fuzzy.sound(word[: fuzzy.MAX_LETTERS]):
            yield _SOUND + sound
        if len(word) > fuzzy.MAX_LETTERS + 1:
            continue  # close to nothing that is asked for but what it begins with or sounds like
        yield _WORD + word
        if fuzzy.has_syllables(word):
            yield from _opened(word)
        if not _is_of_syllables(word):
            yield from _shortened(word)
    for whole in fuzzy.written_together(group):
        yield _WORD + whole
        if fuzzy.has_syllables(whole):
            yield from _opened(whole)


def _is_of_syllables(word: str) -> bool:
    """Whether all but one character are Hangul or ideographs: no word of letters is one slip from it."""
    return sum(not (fuzzy.has_syllables(each) or fuzzy.has_ideographs(each)) for each in word) < _FEW - 1


def _shortened(word: str) -> Iterator[str]:
    return (f"{_WORD}{word[:at]}{word[at + 1 :]}" for at in range(len(word)))


def _opened(word: str) -> Iterator[str]:
    if len(word) > 1:
        yield from (f"{_WORD}{word[:at]}{_OPEN}{word[at + 1 :]}" for at in range(len(word)))

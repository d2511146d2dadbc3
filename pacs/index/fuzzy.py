"""Fuzzy matching of person names (PS3.4 C.2.2.2.1.4, PS3.18 §8.3.4.2, which leave the rule to us). Pure.

A word that is asked for finds a word of a name which begins with it, differs from it by one slip of the keyboard
(a letter too many, too few, wrong, or two swapped), or sounds the same. Words may stand in any order, and parts of a
name may be written together or apart: ``Minsu``, ``Min Su``, ``김민수``.

`likely` says in wild cards what `is_close` can only be true of, so that a database can choose the rows to look at.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_WORDS = 8
"""Words of one value that are compared; a name of three groups and all parts has about as many."""
MAX_LETTERS = 32
"""Letters of a word that are compared."""

_MOST_SYLLABLES = 4
"""A Korean name has two to four: longer words are not compared with a gap and a slip at once."""

_BETWEEN_WORDS = re.compile(r"[\s^=,.*?\-]+")
_BETWEEN_PARTS = re.compile(r"[\s,.\-]+")
_SYLLABLES = re.compile(r"[가-힣]")
_IDEOGRAPHS = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]")
_FEW_LETTERS = 3
"""Words so short differ by one letter from too many others: their first letter must be right."""


def words(folded: str) -> tuple[str, ...]:
    """The words of a folded value that is asked for."""
    return tuple(word[:MAX_LETTERS] for word in _BETWEEN_WORDS.split(folded) if word)[:MAX_WORDS]


def words_of(group: str) -> list[str]:
    """The words of a component group of a name, folded."""
    return [word for word in _BETWEEN_WORDS.split(group) if word]


def has_syllables(text: str) -> bool:
    """Whether a character is a syllable of Hangul."""
    return _SYLLABLES.search(text) is not None


def has_ideographs(text: str) -> bool:
    """Whether a character is a Chinese one."""
    return _IDEOGRAPHS.search(text) is not None


def is_close(asked: str, group: str) -> bool:
    """Whether a component group of a name, folded, has a word that `asked` may mean."""
    return any(_is_close_word(asked, word) for word in words_of(group)) or any(
        asked == whole or (len(asked) <= _MOST_SYLLABLES and _is_one_syllable_off(asked, whole))
        for whole in _written_together(group, len(asked))
    )


@lru_cache(maxsize=1024)
def likely(asked: str) -> tuple[str, ...]:
    """Patterns of which one covers every component group that `is_close` to `asked` by letters; see `likely_sound`."""
    count = len(asked)
    found = [asked]
    if not asked.isascii():
        found += _apart(asked)
    if _SYLLABLES.search(asked) or _IDEOGRAPHS.search(asked):
        found += swapped(asked)
        if _SYLLABLES.search(asked) and count > 1:
            mistyped = [f"{asked[:at]}?{asked[at + 1 :]}" for at in range(count)]
            found += mistyped
            if count <= _MOST_SYLLABLES:
                # Hong^Gildong asked for as one word, with a slip in it.
                found += [pattern for slip in (*mistyped, *swapped(asked)) for pattern in _apart(slip)]
    elif count > _FEW_LETTERS:
        half = count // 2
        found += [asked[:half], asked[half:], f"{asked[: half - 1]}{asked[half]}{asked[half - 1]}{asked[half + 1 :]}"]
    elif count == _FEW_LETTERS:
        first, second, third = asked[0], asked[1], asked[2]
        found += [f"{first}?{third}", first + second, first + third, f"{first}?{second}{third}"]
    elif count == 2:
        found += swapped(asked)
    return tuple(dict.fromkeys(f"*{pattern}*" for pattern in found))


def likely_sound(asked: str) -> tuple[str, ...]:
    """Sets of letters that follow each other in every word that sounds like `asked`; empty when none does but by
    its letters."""
    return tuple(_SPELLINGS[sound] for sound in sound(asked))


def _is_close_word(asked: str, word: str) -> bool:
    if word.startswith(asked):
        return True
    if _SYLLABLES.search(asked):
        return _is_one_syllable_off(asked, word)
    if _IDEOGRAPHS.search(asked) or len(asked) < _FEW_LETTERS:
        return word in swapped(asked)
    return _is_one_letter_off(asked, word) or _sounds_alike(asked, word)


def _apart(word: str) -> list[str]:
    """What `_written_together` may have been before: two parts with something between them, in both orders."""
    places = range(1, len(word))
    return [f"{word[:at]}?{word[at:]}" for at in places] + [f"{word[at:]}?{word[:at]}" for at in places]


def swapped(word: str) -> list[str]:
    """`word` with each two neighbours changed over."""
    return [f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}" for at in range(len(word) - 1)]


def _is_one_letter_off(asked: str, word: str) -> bool:
    if abs(len(asked) - len(word)) > 1:
        return False
    same = 0
    while same < min(len(asked), len(word)) and asked[same] == word[same]:
        same += 1
    rest, other = asked[same:], word[same:]
    if len(rest) == len(other):
        if rest[:2] == other[1::-1] and rest[2:] == other[2:]:
            return True
        is_one_off = rest[1:] == other[1:]
    else:
        longer, shorter = (rest, other) if len(rest) > len(other) else (other, rest)
        is_one_off = longer[1:] == shorter
    if len(asked) == _FEW_LETTERS and same == 0:
        return is_one_off and len(word) > len(asked)
    return is_one_off


def _is_one_syllable_off(asked: str, word: str) -> bool:
    """One syllable with one sound wrong, missing or too many, or two syllables swapped."""
    if len(asked) != len(word) or len(asked) < 2 or not _SYLLABLES.search(asked):
        return False
    if word in swapped(asked):
        return True
    different = [(one, other) for one, other in zip(asked, word, strict=True) if one != other]
    if len(different) != 1:
        return False
    first, second = (_jamo(syllable) for syllable in different[0])
    return None not in (first, second) and sum(a != b for a, b in zip(first or (), second or (), strict=True)) == 1


def _jamo(syllable: str) -> tuple[int, int, int] | None:
    """Initial, vowel and final sound of a Hangul syllable (Unicode §3.12)."""
    place = ord(syllable) - 0xAC00
    return (place // 588, place % 588 // 28, place % 28) if 0 <= place < 11172 else None


def _written_together(group: str, length: int) -> set[str]:
    return {whole for whole in written_together(group) if len(whole) == length}


def written_together(group: str) -> set[str]:
    """Each component, and family and given name in both orders, written as one word of up to `MAX_LETTERS`; one gap is
    closed, no more."""
    parts = [_BETWEEN_PARTS.split(component.strip()) for component in group.split("^")[:2]]
    choices = [*parts, [*parts[0], *parts[-1]], [*parts[-1], *parts[0]]] if len(parts) > 1 else parts
    together = {"".join(choice): len(choice) - 1 for choice in choices}
    return {
        word
        for word, gaps in together.items()
        if len(word) <= MAX_LETTERS and gaps == 1 and (len(word) > _FEW_LETTERS or not word.isascii())
    }


_SAME_SOUND = (
    (re.compile("tsch|dsch|tch|dj"), "C"),
    (re.compile("sch|sh"), "S"),
    (re.compile("ch|j"), "C"),
    (re.compile("c(?=[eiy])|[szx]"), "S"),
    (re.compile("ph|[fvw]"), "F"),
    (re.compile("ck|qu|[kcqg]"), "K"),
    (re.compile("th|dt|[td]"), "T"),
    (re.compile("[pb]"), "P"),
    (re.compile("l"), "L"),
    (re.compile("m"), "M"),
    (re.compile("n"), "N"),
    (re.compile("r"), "R"),
)
_SPELLINGS = {
    "A": "aeiouy",
    "C": "tdcj",
    "S": "scszx",
    "F": "pfvw",
    "K": "ckqg",
    "T": "td",
    "P": "pb",
    "L": "l",
    "M": "m",
    "N": "n",
    "R": "r",
}
_LETTERS = re.compile(r"[a-z]+\Z")


@lru_cache(maxsize=4096)
def sound(word: str) -> str:
    """What is heard of a word in Latin letters: consonants that sound alike as one, vowels only at the beginning.

    Empty for other words, and for those of which too little is heard to compare.
    """
    if not _LETTERS.match(word):
        return ""
    heard = word
    for spelling, sound in _SAME_SOUND:
        heard = spelling.sub(sound, heard)
    heard = heard.lstrip("h")
    heard = ("A" if heard[:1].islower() else "") + re.sub("[a-z]", "", heard)
    heard = re.sub(r"(.)\1+", r"\1", heard)
    return heard if len(heard) > 1 else ""


def _sounds_alike(asked: str, word: str) -> bool:
    heard = sound(asked)
    if not heard or heard != sound(word[:MAX_LETTERS]):
        return False
    return _edits(asked, word) <= (max(len(asked), len(word)) + 1) // 2


def _edits(one: str, other: str) -> int:
    """Letters to put in, take out or change to make one word of the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, start=1):
        before, row[0] = row[0], number
        for at, compared in enumerate(other, start=1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (letter != compared))
    return row[-1]

"""Wild card matching of PS3.4 C.2.2.2.4: ``*`` is any run of characters, ``?`` exactly one. Pure."""

from __future__ import annotations


def has_wildcard(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` covers the whole of `text`; time is bounded by the product of their lengths.

    A regular expression would take exponential time on a pattern of many stars.
    """
    if "?" not in pattern:
        return _runs_match(pattern.split("*"), text)
    at = in_text = 0
    star = resume = -1
    while in_text < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, in_text
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[in_text]):
            at += 1
            in_text += 1
        elif star >= 0:
            resume += 1
            at, in_text = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def _runs_match(runs: list[str], text: str) -> bool:
    """Whether the runs of characters between stars follow each other in `text`, the first and last at its ends."""
    first, *between = runs
    if not between:
        return text == first
    last = between.pop()
    if len(first) + len(last) > len(text) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for run in between:
        at = text.find(run, at, end)
        if at < 0:
            return False
        at += len(run)
    return True


def literal_prefix(pattern: str) -> str:
    """The characters before the first wild card."""
    ends = [end for end in (pattern.find("*"), pattern.find("?")) if end >= 0]
    return pattern[: min(ends)] if ends else pattern


def as_glob(pattern: str) -> str:
    """For SQLite's GLOB."""
    return pattern.replace("[", "[[]")


def as_like(pattern: str) -> str:
    r"""For LIKE with ``ESCAPE '\'``."""
    for character in "\\%_":
        pattern = pattern.replace(character, "\\" + character)
    return pattern.replace("*", "%").replace("?", "_")

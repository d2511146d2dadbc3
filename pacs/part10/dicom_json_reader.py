"""A document of the DICOM JSON Model (PS3.18 Annex F) -> its data sets, one at a time. Pure; every size is bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from pacs.errors import MalformedDataSet, TooLarge
from pacs.part10.data_set_writer import RepeatedAttribute

MAX_STRUCTURE: Final = 3_000_000
"""Brackets, braces and commas of one document: about 200 MB of Python objects at worst. An enhanced multi-frame of
10,000 frames has 2.5 million."""

_SPACE = re.compile(r"[ \t\r\n]*")


def read_json(document: bytes) -> Iterator[Any]:
    """The data sets of `document`, an array of them or one alone. What they hold is not looked at.

    Raises:
        TooLarge: more structure than `MAX_STRUCTURE`, counted before anything is built.
        MalformedDataSet: no JSON from here on; data sets before it have been given.
    """
    structure = document.count(b",") + document.count(b"[") + document.count(b"{")
    if structure > MAX_STRUCTURE:
        raise TooLarge(
            f"the JSON metadata has {structure} brackets and commas, more than {MAX_STRUCTURE}; send application/dicom"
        )
    try:
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise MalformedDataSet(f"the JSON metadata is no UTF-8 at byte {problem.start}") from None
    position = _skip(text, 0)
    if not text.startswith("[", position):
        value, position = _value(text, position)
        yield value
    else:
        position = _skip(text, position + 1)
        is_first = True
        while not (is_first and text.startswith("]", position)):
            value, position = _value(text, position)
            yield value
            is_first = False
            position = _skip(text, position)
            if text.startswith("]", position):
                break
            if not text.startswith(",", position):
                raise MalformedDataSet(f"the JSON metadata has no comma or bracket at character {position}")
            position = _skip(text, position + 1)
        position += 1
    if _skip(text, position) != len(text):
        raise MalformedDataSet(f"the JSON metadata goes on after its end at character {position}")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _value(text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as problem:
        raise MalformedDataSet(f"the JSON metadata is torn or no JSON at character {problem.pos}") from None
    except RecursionError:
        raise MalformedDataSet("the JSON metadata is nested too deep") from None
    except ValueError:
        raise MalformedDataSet("the JSON metadata holds a number that is none or has too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else RepeatedAttribute(found)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)

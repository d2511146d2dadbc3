"""What an attribute that was made searchable is compared by: its values in normal form, each a row. Pure.

A name with one group is that group; one with several is a row for each, and one for the whole, so that a key with
several groups is not found in groups of different names. A mark tells which group it is, or that it is a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from pydicom.datadict import dictionary_VR

from pacs.index.criteria import Empty, name_groups
from pacs.index.normal_form import date_text, date_time_span, time_span, word
from pacs.model import DicomJson

WHOLE_NAME: Final = "\x01"
GROUP_MARKS: Final = ("", "\x02", "\x03")
"""Before the alphabetic, ideographic and phonetic group; in a whole name between them."""
AFTER_MARKS: Final = "\x04"
"""Every value without a mark is at least this."""
_WITHOUT_MARKS = dict.fromkeys(range(1, 4))
_MOST_SHOWN = 1024
_NUMBERS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})


def vr_of(path: tuple[int, ...], known: str = "") -> str:
    """`known`, or what the data dictionary says; of what it does not know, text."""
    try:
        return known or dictionary_VR(path[-1])[:2]
    except KeyError:
        return "LO"


def elements(found: DicomJson, path: tuple[int, ...]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The attributes at `path` below what was found of a data set, each with the outermost that it lies in."""
    for outermost in found.values():
        below = [outermost]
        for tag in path[1:]:
            name = f"{tag:08X}"
            below = [
                item[name]
                for one in below
                for item in one.get("Value") or ()
                if isinstance(item, dict) and isinstance(item.get(name), dict)
            ]
        for one in below:
            yield one, outermost


def vr_in(found: DicomJson) -> str:
    """The VR with which a private attribute was sent; "" where nobody said one."""
    return next((one["vr"] for one in found.values() if one.get("vr") not in (None, "UN", "SQ")), "")


def to_keep(path: tuple[int, ...], vr: str, found: DicomJson) -> list[tuple[str, str]]:
    """Values in normal form, each with the whole attribute as it is shown; "" stands for what cannot be compared."""
    kept: dict[str, str] = {}
    for one, outermost in elements(found, path):
        shown = json.dumps(outermost, separators=(",", ":"))
        forms = [form for value in one.get("Value") or () for form in normal_forms(vr, value)]
        if not forms and not Empty(vr).holds({f"{path[-1]:08X}": one}, path[-1]):
            forms = [""]
        for form in forms:
            kept.setdefault(form, shown if len(shown) <= _MOST_SHOWN else "")
    return list(kept.items())


def normal_forms(vr: str, value: Any) -> list[str]:
    """What a value is compared by; of a name, of each group and of all together."""
    if value is None:
        return []
    if vr == "PN":
        return _of_name(value)
    if isinstance(value, dict):  # a name where other data of the attribute is none
        value = "=".join(group for group in value.values() if isinstance(group, str))
    normal: str | None
    if vr == "DA":
        normal = date_text(str(value))
    elif vr == "TM":
        time_of_day = time_span(str(value))
        normal = time_of_day.first if time_of_day else None
    elif vr == "DT":
        moment = date_time_span(str(value))
        normal = moment.first if moment else None
    elif vr in _NUMBERS:
        normal = number_text(value)
    else:
        normal = word(value)
    return [normal] if normal else []


def _of_name(value: Any) -> list[str]:
    groups = [group.translate(_WITHOUT_MARKS) for group in name_groups(value)]
    forms = [mark + group for mark, group in zip(GROUP_MARKS, groups, strict=True) if group]
    return [*forms, whole_name(groups)] if len(forms) > 1 else forms


def whole_name(groups: list[str]) -> str:
    """Groups, or patterns of them, as one."""
    return WHOLE_NAME + "".join(mark + group for mark, group in zip(GROUP_MARKS, groups, strict=True))


def name_in(value: str) -> dict[str, str]:
    """The groups of a kept value."""
    if not value.startswith(WHOLE_NAME):
        return {"Alphabetic": value.translate(_WITHOUT_MARKS)}
    alphabetic, _, rest = value[1:].partition(GROUP_MARKS[1])
    ideographic, _, phonetic = rest.partition(GROUP_MARKS[2])
    return {"Alphabetic": alphabetic, "Ideographic": ideographic, "Phonetic": phonetic}


def number_text(value: object) -> str | None:
    """The same text for the same number, however it is written."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > 64:
        return None
    return "0" if number == 0 else f"{number.normalize():f}"

"""Normal forms of attributes that are made searchable."""

from __future__ import annotations

from typing import Any

import pytest

from pacs.index.searchable_values import name_in, number_text, to_keep, vr_in
from tests.index.new_instances import name

PATH = (0x00111003,)


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("PN", name("Kim^A"), ["kim^a"]),
        ("PN", name("Kim^A", "金^甲"), ["kim^a", "\x02金^甲", "\x01kim^a\x02金^甲\x03"]),
        ("PN", name("", "", "k\x02"), ["\x03k"]),
        ("DS", 1.5, ["1.5"]),
        ("DS", "1.50", ["1.5"]),
        ("DA", "2024.01.02", ["20240102"]),
        ("DA", "soon", [""]),
        ("LO", name("Kim", "金"), ["Kim=金"]),
        ("PN", "Kim^A", ["kim^a"]),
    ],
)
def test_values_are_kept_in_the_form_of_the_vr(vr: str, value: Any, expected: list[str]) -> None:
    assert [form for form, _ in to_keep(PATH, vr, {"00111103": {"vr": vr, "Value": [value]}})] == expected


def test_what_is_empty_has_no_value_and_what_is_unknown_has_one() -> None:
    for empty in ({"vr": "PN"}, {"vr": "PN", "Value": [{}]}, {"vr": "PN", "Value": [None]}):
        assert to_keep(PATH, "PN", {"00111103": empty}) == []
    assert [form for form, _ in to_keep(PATH, "LO", {"00111103": {"vr": "UN", "InlineBinary": "AAA="}})] == [""]


def test_members_of_every_item() -> None:
    item = {"00401001": {"vr": "SH", "Value": ["R1"]}}
    found = {"00400275": {"vr": "SQ", "Value": [item, {}, {"00401001": {"vr": "SH", "Value": ["R2"]}}]}}
    assert [form for form, _ in to_keep((0x00400275, 0x00401001), "SH", found)] == ["R1", "R2"]


def test_groups_of_a_kept_name() -> None:
    assert name_in("\x01a\x02b\x03c") == name("a", "b", "c")
    assert name_in("\x02b") == {"Alphabetic": "b"}


def test_a_vr_is_that_of_data_that_says_one() -> None:
    assert vr_in({"1": {"vr": "UN"}, "2": {"vr": "DS"}}) == "DS"
    assert vr_in({"1": {"vr": "UN"}}) == ""
    assert number_text("1e1000") is None
